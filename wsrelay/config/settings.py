"""THE table of settings: each field carries its group, type, default, unit and the explanation for the operator.

The flags of `twistd wsrelay`, the environment names, the keys of the file, `--help` and docs/configuration.md are
all made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from wsrelay.config.redis_url import RedisURL
from wsrelay.config.setting import Setting
from wsrelay.config.setting_types import (
    ACCESS,
    BROKER,
    FRAME_TYPE,
    INTEGER,
    LIST,
    LOG_FORMAT,
    LOG_LEVEL,
    NUMBER,
    PATH,
    PATHS,
    REDIS_URL,
    SECRET,
    SECRETS,
    SWITCH,
    TEXT,
    TLS_VERSION,
    WORKERS,
    SettingType,
)
from wsrelay.config.short_form import short_form_namespaces
from wsrelay.core.access.secret import Secret
from wsrelay.core.history.retention import MAX_HISTORY_SECONDS, MAX_HISTORY_SIZE
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces

__all__ = ["CHANNELS_GROUP", "Settings", "setting_table"]

CHANNELS_GROUP = "Channels and namespaces"
"""The group whose settings are the short form of namespaces."""


def _setting(group: str, kind: SettingType, default: Any, help: str, unit: str = "", *environ: str, **more: Any) -> Any:
    return field(
        default=default,
        metadata={"kind": kind, "help": help, "unit": unit, "environ": environ, "more": {"group": group, **more}},
    )


_general = partial(_setting, "General")
_listening = partial(_setting, "Listening and TLS")
_redis = partial(_setting, "Redis")
_channels = partial(_setting, CHANNELS_GROUP)
_authentication = partial(_setting, "Authentication")
_limits = partial(_setting, "Limits")
_timeouts = partial(_setting, "Timeouts")
_observability = partial(_setting, "Observability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the operator may decide. See `setting_table` for the meaning of each."""

    config: Path | None = _general(PATH, None, "The TOML file to read settings from. If not set, no file is read.")

    host: str | None = _listening(
        TEXT,
        None,
        "The address to listen on, such as :: for every IPv4 and IPv6 address. If not set, 127.0.0.1, or 0.0.0.0 if "
        "the port comes from PORT, as on Heroku.",
    )
    port: int = _listening(
        INTEGER,
        8080,
        "The port to listen on. 0: any free port. PORT goes before WSRELAY_PORT: a platform that sets it connects to "
        "no other one.",
        "",
        "PORT",
        platform_decides=True,
        minimum=0,
        maximum=65535,
    )
    listen: tuple[str, ...] = _listening(
        LIST,
        (),
        "Twisted endpoints to listen on instead of host and port, such as unix:/run/wsrelay/socket or "
        "haproxy:tcp:8080. The latter takes the client's address from the PROXY protocol, and believes every peer "
        "that connects. systemd: all sockets that systemd has passed, which is the default where there are any and "
        "neither listen_tls, host nor port is set; systemd:NAME: those of that FileDescriptorName.",
    )
    listen_tls: tuple[str, ...] = _listening(
        LIST,
        (),
        "Twisted endpoints to listen on with TLS, such as tcp:8443, or haproxy:tcp:8443 if the PROXY protocol comes "
        "before TLS. They replace host and port unless these are set as well.",
    )
    tls_certificates: tuple[Path, ...] = _listening(
        PATHS,
        (),
        "Certificates for listen_tls: PEM files that hold a private key and its chain, directories of such files, or "
        "directories as certbot (fullchain.pem, privkey.pem) and Kubernetes (tls.crt, tls.key) write them. A client "
        "gets the certificate for the host that it names, else the first one. The files are read again when one "
        "changes, and on SIGHUP.",
    )
    tls_min_version: str = _listening(TLS_VERSION, "1.2", "The oldest TLS version that clients may use.")
    tls_ciphers: tuple[str, ...] = _listening(
        LIST,
        (),
        "Cipher suites of TLS 1.2 that clients may use, by their names in OpenSSL. If not set, those with ECDHE of "
        "Mozilla's intermediate configuration. TLS 1.3 has none that need a choice.",
    )
    trusted_proxies: int = _listening(
        INTEGER,
        0,
        "The number of proxies in front of the relay that append the address they see to X-Forwarded-For (1 on "
        "Heroku). The entry that the first of them wrote is taken as the client's address. 0: the peer address of "
        "the connection.",
        minimum=0,
        maximum=10,
    )
    sse: bool = _listening(SWITCH, True, "Serve event streams (SSE), which browsers read with EventSource, at /sse/.")
    centrifugo: bool = _listening(
        SWITCH,
        False,
        "Serve Centrifugo's client protocol, in JSON and Protobuf, below /connection/.",
    )
    personal_channel: str = _listening(
        TEXT,
        "",
        "A channel of each user, to which clients of Centrifugo's protocol are subscribed when they connect: #{sub} or "
        "user:{sub}, where {sub} stands for the user. If empty, there is none.",
    )

    broker: str = _redis(
        BROKER,
        "auto",
        "How publications travel between processes. memory: embedded, one process only. redis: a Redis server. auto: "
        "redis if redis_url is set, else memory.",
    )
    redis_url: RedisURL | None = _redis(
        REDIS_URL,
        None,
        "The Redis server: redis://[[user]:password@]host[:port][/database], rediss://... for TLS, or "
        "unix:///path; valkey:// and valkeys:// are the same. If not set, Redis is not used. WSRELAY_REDIS_URL goes "
        "before REDIS_URL, and REDIS_TLS_URL before a REDIS_URL without TLS.",
        "",
        "REDIS_URL",
        secret=True,
    )
    redis_tls_verify: bool = _redis(
        SWITCH,
        True,
        "Verify the certificate of a rediss:// server. Set it to false for hosters with self-signed certificates: the "
        "connection is then encrypted, but not protected against an impostor. A server without TLS is not affected.",
    )
    redis_tls_ca_file: Path | None = _redis(
        PATH, None, "PEM file with the CA certificates to trust for rediss://. If not set, those of the platform."
    )
    redis_tls_fingerprint: str | None = _redis(
        TEXT,
        None,
        "SHA-256 fingerprint of the only certificate to accept from a rediss:// server, in hex, with or without "
        "colons. Nothing else about that certificate is verified. If not set, no certificate is pinned.",
    )
    redis_tls_client_certificate: Path | None = _redis(
        PATH,
        None,
        "PEM file with the certificate that the relay shows to a rediss:// server, and those of its issuers. It is "
        "read again for each connection. If not set, none is shown.",
    )
    redis_tls_client_key: Path | None = _redis(
        PATH,
        None,
        "PEM file with the private key of redis_tls_client_certificate. If not set, the key is in the same file.",
    )
    prefix: str = _redis(
        TEXT,
        "wsrelay:",
        "The text before every channel name in Redis. Clients can reach no Redis channel without it. Empty: they can "
        "reach every Redis channel whose name is a valid channel name.",
    )

    channels: tuple[str, ...] = _channels(
        LIST,
        (),
        "Channels that clients may subscribe to: names, or prefixes such as room:*. If not set, and without "
        "namespaces in the file: the channels in publish, or every channel if that is empty too.",
    )
    publish: tuple[str, ...] = _channels(
        LIST, (), "Channels that clients may publish to through their connection, written as in channels."
    )
    access: Access = _channels(
        ACCESS,
        Access.PUBLIC,
        "Access level for the channels in channels and publish (all channels if both are empty). public: every "
        "client; authenticated: clients with a valid credential; token: clients whose credential names the channel.",
    )
    compress: bool = _channels(
        SWITCH,
        False,
        "Compress messages (permessage-deflate) for clients that support it: once for all of them. Safari breaks what "
        "it agrees to, and gets them as they are. Never use it for messages that hold both a secret and text that an "
        "attacker can choose.",
    )
    frames: FrameType = _channels(
        FRAME_TYPE,
        FrameType.AUTO,
        "The type of WebSocket frame for messages. A message in Redis has none, so auto goes by its bytes: text if "
        "they are valid UTF-8, which binary data is now and then by chance, else binary. text: what is not valid UTF-8 "
        "is not sent. binary: always binary; choose it for Protobuf, MessagePack and the like.",
    )
    history_size: int = _channels(
        INTEGER,
        0,
        "Entries of a channel that are kept for clients that were away. What is to be kept is added with XADD to the "
        "stream of the channel's name. 0: channels are plain, and a client that is away misses what is published.",
        minimum=0,
        maximum=MAX_HISTORY_SIZE,
    )
    history_seconds: int = _channels(
        INTEGER,
        86400,
        "Time for which an entry is kept.",
        "seconds",
        minimum=1,
        maximum=MAX_HISTORY_SECONDS,
    )
    chat_page: bool | None = _channels(
        SWITCH,
        None,
        "Serve the chat page at /. Unless channels or namespaces are set, this also opens the channel chat for "
        "publishing, keeps its newest messages and tells who is there. The page receives by an event stream (sse). If "
        "not set, the page is served with the memory broker only.",
    )

    origins: tuple[str, ...] = _authentication(
        LIST,
        (),
        "Origins of the pages that may connect: https://example.com, https://*.example.com, null, or * for all. If "
        "not set, only pages of the host and port under which the relay itself is reached.",
    )
    require_origin: bool = _authentication(SWITCH, False, "Reject clients that send no Origin, which are not browsers.")
    token_keys: Secret | None = _authentication(
        SECRET,
        None,
        "Keys to verify tokens (JWT) with: PEM public keys one after the other, or HMAC secrets of at least 32 "
        "bytes with commas between them; several for rotation. If not set, no such tokens are accepted.",
        secret=True,
    )
    token_previous_keys: Secret | None = _authentication(
        SECRET,
        None,
        "Keys that tokens are verified with after token_keys, until those signed with them have expired: the value of "
        "token_keys before it was changed, public keys or secrets. If not set, there are none.",
        secret=True,
    )
    token_jwks_url: str | None = _authentication(
        TEXT,
        None,
        "URL of a JWK Set with the keys to verify tokens with: https, or http on this machine. If not set, no keys "
        "are fetched.",
    )
    token_algorithms: tuple[str, ...] = _authentication(
        LIST, (), "Algorithms that tokens may be signed with, such as RS256. If not set, those that suit the keys."
    )
    token_audience: str | None = _authentication(
        TEXT,
        None,
        "The audience (aud) that tokens must have or contain. If not set, tokens with an audience are rejected.",
    )
    token_issuer: str | None = _authentication(
        TEXT, None, "The issuer (iss) that tokens must have. If not set, the issuer is not checked."
    )
    token_leeway_seconds: float = _authentication(
        NUMBER, 10.0, "Clock difference to allow between the issuer and the relay.", "seconds", minimum=0, maximum=300
    )
    token_cookie: str | None = _authentication(
        TEXT,
        None,
        "Name of the cookie that holds a token. Clients that send it need an allowed Origin. If not set, tokens in "
        "cookies are ignored.",
    )
    hook_url: str | None = _authentication(
        TEXT,
        None,
        "URL of the application's hook, which authenticates every client that connects: https, or http on this "
        "machine. If not set, there is no hook.",
    )
    hook_secret: Secret | None = _authentication(
        SECRET,
        None,
        "The secret that the relay sends to the hook, as Authorization: Bearer. If not set, none is sent.",
        secret=True,
    )
    hook_forward_headers: tuple[str, ...] = _authentication(
        LIST,
        ("cookie", "authorization"),
        "Header fields of the client that are forwarded to the hook: cookie, authorization, both, or none (in the "
        "variable, a comma alone).",
    )
    hook_timeout_seconds: float = _authentication(
        NUMBER,
        5.0,
        "Time that the hook may take to respond. Without a response the client is rejected.",
        "seconds",
        minimum=0.1,
        maximum=10,
    )
    hook_cache_seconds: float = _authentication(
        NUMBER,
        0.0,
        "Time for which a response of the hook is reused for identical requests. 0: never.",
        "seconds",
        minimum=0,
        maximum=86400,
    )
    hook_publish: bool = _authentication(
        SWITCH, False, "Ask the hook to authorize every message that a client publishes, too."
    )
    api_keys: tuple[Secret, ...] = _authentication(
        SECRETS,
        (),
        "Keys for the HTTP API under /api/, at least 16 characters each; several for rotation. If not set, there is "
        "no API.",
        secret=True,
    )

    workers: int = _limits(
        WORKERS,
        1,
        "Processes that serve clients, supervised by one that does not; auto: one for each processor. Limits on "
        "connections are divided among them, those of an address and of one client are each process's own. Without "
        "Redis there is one, which no other could send to.",
        "",
        "WEB_CONCURRENCY",
    )
    max_worker_memory_bytes: int = _limits(
        INTEGER,
        0,
        "Resident memory above which one of several workers is replaced by a new one, while its clients are told to "
        "reconnect. 0: any.",
        "bytes",
        minimum=0,
    )
    max_connections: int = _limits(
        INTEGER,
        0,
        "Clients that may be connected to this process; more are rejected with 503. 0: as many as the limit of open "
        "files allows, minus a reserve.",
        minimum=0,
    )
    max_connections_per_address: int = _limits(
        INTEGER,
        0,
        "Clients of one address (IPv6: of one /64 network) that may be connected; more are rejected with 429. 0: no "
        "limit.",
        minimum=0,
    )
    max_handshakes_per_second: float = _limits(
        NUMBER,
        0.0,
        "Handshakes per second, with bursts of two seconds' worth; more are rejected with 503. 0: no fixed limit. "
        "Those that come faster than the processor takes them wait in any case, and are rejected with 503 if they "
        "would wait for more than five seconds.",
        minimum=0,
    )
    max_head_bytes: int = _limits(
        INTEGER, 16384, "The longest request head.", "bytes", minimum=1024, maximum=1024 * 1024
    )
    max_message_bytes: int = _limits(
        INTEGER, 65536, "The longest message that a client may send.", "bytes", minimum=1, maximum=64 * 1024 * 1024
    )
    api_max_body_bytes: int = _limits(
        INTEGER,
        1024 * 1024,
        "The longest body of a request to the HTTP API. A message that the application publishes there may be as long, "
        "whatever max_message_bytes is.",
        "bytes",
        minimum=65536,
        maximum=64 * 1024 * 1024,
    )
    max_frames_per_second: float = _limits(
        NUMBER,
        100.0,
        "Frames per second from one client, pings and empty frames included, with bursts of three seconds' worth.",
        minimum=1,
    )
    max_bytes_per_second: float = _limits(
        NUMBER,
        1024.0 * 1024,
        "Bytes per second from one client, with bursts of three seconds' worth.",
        "bytes",
        minimum=1024,
    )
    max_forwarded_per_second: float = _limits(
        NUMBER,
        100.0,
        "Messages per second that clients of one address (IPv6: of one /64 network) may send with POST /emulation to "
        "another process than the one that gets them, with bursts of three seconds' worth; more are rejected with 429. "
        "Each is a PUBLISH in Redis, whatever process and session it names. 0: no limit.",
        minimum=0,
    )
    max_outbox_bytes: int = _limits(
        INTEGER,
        1024 * 1024,
        "Data that may wait in this process for a slow client before it is closed with 4008.",
        "bytes",
        minimum=1024,
    )
    max_outbox_seconds: float = _limits(
        NUMBER,
        15.0,
        "Time that any data may wait in this process for a slow client before it is closed with 4008.",
        "seconds",
        minimum=1,
    )
    max_wakeups_per_second: float = _limits(
        NUMBER,
        1000.0,
        "How often a busy process wakes up: what comes within a millisecond is handled together, for less than half of "
        "the CPU time. 0: for each event, at once.",
        minimum=0,
    )
    io_uring: bool = _limits(
        SWITCH,
        True,
        "Send to large audiences through Linux's io_uring, where the system permits it. Off: to one connection after "
        "the other, everywhere.",
    )
    send_buffer_bytes: int = _limits(
        INTEGER,
        65536,
        "Data that may wait in the kernel for a slow client (SO_SNDBUF). 0: the kernel decides, up to megabytes.",
        "bytes",
        minimum=0,
    )

    handshake_timeout_seconds: float = _timeouts(
        NUMBER,
        10.0,
        "Time that a client may take to send its request head, and again for the body.",
        "seconds",
        minimum=1,
    )
    ping_interval_seconds: float = _timeouts(
        NUMBER,
        25.0,
        "Interval between pings on an idle connection. Each ping comes up to a fifth earlier.",
        "seconds",
        minimum=1,
    )
    ping_timeout_seconds: float = _timeouts(
        NUMBER, 20.0, "Time that a pong may take before the connection is aborted.", "seconds", minimum=1
    )
    router_idle_timeout_seconds: float = _timeouts(
        NUMBER,
        55.0,
        "Silence after which the router in front of the relay ends a connection (Heroku: 55). The ping interval must "
        "be shorter. 0: there is no router.",
        "seconds",
        minimum=0,
    )
    close_timeout_seconds: float = _timeouts(
        NUMBER, 5.0, "Time that a client may take to answer a close frame.", "seconds", minimum=1
    )
    drain_timeout_seconds: float = _timeouts(
        NUMBER,
        25.0,
        "Time that the process may take to stop, from SIGTERM to its end. Keep it below the time after which the "
        "platform kills the process. Heroku does so after 30 seconds, and permits 29 here.",
        "seconds",
        minimum=1,
    )
    shutdown_delay_seconds: float = _timeouts(
        NUMBER,
        0.0,
        "Time after SIGTERM for which connections are still accepted and served while /readyz is 503 already, so that "
        "load balancers notice before they are refused. It is a part of drain_timeout_seconds. 0: the drain begins at "
        "once.",
        "seconds",
        minimum=0,
    )

    metrics: bool = _observability(
        SWITCH,
        False,
        "Serve the metrics of this process at /metrics, in the text format of Prometheus, to every client that asks.",
    )
    log_format: str = _observability(
        LOG_FORMAT,
        "text",
        "The form of the log: text, for people, or json, one JSON object in each line, for programs.",
    )
    log_level: str = _observability(
        LOG_LEVEL,
        "info",
        "The lowest level of what is logged. debug adds a line for each connection and each rejected request, and what "
        "libraries log.",
    )

    namespaces: tuple[Namespace, ...] = field(default=(), metadata={"file_only": True})

    def build_namespaces(self) -> Namespaces:
        """Return the namespaces that these settings stand for: those of the file, or those of the short form.

        Raises:
            ChannelError: A pattern is malformed, or two namespaces contradict each other.
        """
        namespaces = (
            dataclasses.replace(
                each,
                compress=self.compress if each.compress is None else each.compress,
                frames=each.frames or self.frames,
                history_size=self.history_size if each.history_size is None else each.history_size,
                history_seconds=self.history_seconds if each.history_seconds is None else each.history_seconds,
            )
            for each in self._configured_namespaces()
        )
        return Namespaces(namespaces, self.personal_channel)

    def _configured_namespaces(self) -> tuple[Namespace, ...]:
        return self.namespaces or short_form_namespaces(
            self.channels,
            self.publish,
            self.access,
            with_chat=self.has_chat_page,
            may_keep_history=bool(self.prefix),
        )

    @property
    def may_compress(self) -> bool:
        """True if the messages of any channel are compressed."""
        return self.compress or any(each.compress for each in self.namespaces)

    @property
    def listens_on_port(self) -> bool:
        """True if the relay listens on host and port."""
        return not self.listen and self.host is not None

    @property
    def has_history(self) -> bool:
        """True if any channel keeps history."""
        return any(
            bool(self.history_size if each.history_size is None else each.history_size)
            for each in self._configured_namespaces()
            if each.patterns
        )

    @property
    def requires_authentication(self) -> bool:
        """True if any channel is open to authenticated clients only."""
        levels = {
            level for each in self._configured_namespaces() if each.patterns for level in (each.subscribe, each.publish)
        }
        return bool(levels & {Access.AUTHENTICATED, Access.TOKEN})

    @property
    def uses_redis(self) -> bool:
        """True if the broker is Redis."""
        return self.broker == "redis" or (self.broker == "auto" and self.redis_url is not None)

    @property
    def has_chat_page(self) -> bool:
        """True if the chat page is served."""
        return not self.uses_redis and self.sse if self.chat_page is None else self.chat_page


def setting_table() -> Iterator[Setting]:
    """Return the rows of the table, in the order in which the operator reads them: the rows of a group together."""
    for row in fields(Settings):
        if "kind" in row.metadata:
            more = dict(row.metadata["more"])
            own, general = (f"WSRELAY_{row.name.upper()}",), row.metadata["environ"]
            environ = (*general, *own) if more.pop("platform_decides", False) else (*own, *general)
            yield Setting(
                row.name,
                row.metadata["kind"],
                row.default,
                row.metadata["help"],
                row.metadata["unit"],
                environ,
                **more,
            )
