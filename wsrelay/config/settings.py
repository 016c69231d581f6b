"""THE table of settings: each field carries its default, unit, how it is read and what the operator is told about it.

The flags of `twistd wsrelay`, the environment names, the keys of the file, `--help` and docs/configuration.md are
all made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wsrelay.config.redis_url import RedisURL
from wsrelay.config.setting_types import (
    ACCESS,
    LIST,
    NUMBER,
    PATH,
    PATHS,
    SECRET,
    SECRETS,
    SWITCH,
    TEXT,
    URL,
    WHOLE,
    Setting,
    SettingType,
)
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.channel_names import PERSONAL
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces

__all__ = ["Settings", "table"]


def _setting(kind: SettingType, default: Any, help: str, unit: str = "", *environ: str, **more: Any) -> Any:
    return field(
        default=default,
        metadata={"kind": kind, "help": help, "unit": unit, "environ": environ, "more": more},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator may decide. See `table` for what each means."""

    config: Path | None = _setting(PATH, None, "The TOML file to read. None: no file.")
    host: str | None = _setting(
        TEXT,
        None,
        "Address to listen on. None: 127.0.0.1, or 0.0.0.0 where the port comes from PORT, as on a dyno.",
    )
    port: int = _setting(WHOLE, 8080, "Port to listen on; 0 takes any free one.", "", "PORT", least=0, most=65535)
    listen: tuple[str, ...] = _setting(
        LIST,
        (),
        "Twisted endpoints to listen on instead of host and port, such as systemd:domain=INET:index=0 or "
        "haproxy:tcp:8080, which takes the client's address from the PROXY protocol, and from anybody who connects.",
    )
    listen_tls: tuple[str, ...] = _setting(
        LIST,
        (),
        "Twisted endpoints to listen on with TLS, such as tcp:8443, or haproxy:tcp:8443 where the PROXY protocol comes "
        "before TLS. Instead of host and port where these are not set.",
    )
    tls_certificates: tuple[Path, ...] = _setting(
        PATHS,
        (),
        "Certificates for listen_tls: PEM files that hold a private key and its chain, directories of such files, or "
        "directories as certbot (fullchain.pem, privkey.pem) and Kubernetes (tls.crt, tls.key) make them. Clients get "
        "the one for the host they name, else the first. Read again when a file changes, and on SIGHUP.",
    )
    tls_min_version: str = _setting(TEXT, "1.2", "The oldest version of TLS that clients may speak: 1.2 or 1.3.")
    broker: str = _setting(
        TEXT,
        "auto",
        "memory: embedded, one process. redis: a Redis server. auto: redis where redis_url is set, else memory.",
    )
    redis_url: RedisURL | None = _setting(
        URL,
        None,
        "The Redis server: redis://[[user]:password@]host[:port][/database], rediss://... for TLS, or "
        "unix:///path. None: no Redis. REDIS_TLS_URL is preferred where REDIS_URL is without TLS.",
        "",
        "REDIS_URL",
        secret=True,
    )
    redis_tls_verify: bool = _setting(
        SWITCH,
        True,
        "Whether the certificate of a rediss:// server must be good. false for hosters with self-signed "
        "certificates: encrypted, but not protected against an impostor.",
    )
    redis_ca_file: Path | None = _setting(
        PATH, None, "PEM certificates to trust for rediss://. None: those of the platform."
    )
    redis_tls_fingerprint: str | None = _setting(
        TEXT,
        None,
        "SHA-256 of the one certificate that a rediss:// server may show, in hex, with or without colons; then nothing "
        "else about it has to be good. None: none in particular.",
    )
    prefix: str = _setting(
        TEXT,
        "wsrelay:",
        "What every channel's name begins with in Redis; nothing without it is reachable for clients. "
        "Empty: every Redis channel is, whose name is inside the channel grammar.",
    )
    channels: tuple[str, ...] = _setting(
        LIST,
        (),
        "Which channels exist for clients: names, or beginnings with * at the end. Empty, and no namespaces in "
        "the file: all that publish names, or all there are where it names none.",
    )
    publish: tuple[str, ...] = _setting(
        LIST, (), "Which channels clients may publish to through their socket, written as for channels."
    )
    access: Access = _setting(
        ACCESS,
        Access.PUBLIC,
        "Who may use what channels and publish name, or everything where they name nothing. public: everybody; "
        "authenticated: clients with a credential; token: clients whose credential names the channel.",
    )
    origins: tuple[str, ...] = _setting(
        LIST,
        (),
        "Which pages may connect, by their origin: https://example.com, https://*.example.com, null, or * for all. "
        "Empty: those of the host and port that the relay itself is reached at.",
    )
    require_origin: bool = _setting(
        SWITCH, False, "Whether clients without an Origin, which are no browsers, are turned away."
    )
    token_keys: Secret | None = _setting(
        SECRET,
        None,
        "What tokens (JWT) are checked with: PEM public keys one after the other, or HMAC secrets of at least 32 "
        "bytes with commas between them; several for rotation. None: no such tokens are accepted.",
        secret=True,
    )
    token_jwks_url: str | None = _setting(
        TEXT,
        None,
        "Where the keys of tokens are fetched from, as a JWK Set: an https URL, or http on this "
        "machine. None: nowhere.",
    )
    token_algorithms: tuple[str, ...] = _setting(
        LIST, (), "Which algorithms tokens may be signed with, such as RS256. Empty: those that suit the keys."
    )
    token_audience: str | None = _setting(
        TEXT, None, "What the aud of tokens has to be or to contain. None: tokens must not have one."
    )
    token_issuer: str | None = _setting(TEXT, None, "What the iss of tokens has to be. None: it is not looked at.")
    token_leeway_seconds: float = _setting(
        NUMBER, 10.0, "How far the clock of whoever signs tokens may be off.", "seconds", least=0, most=300
    )
    token_cookie: str | None = _setting(
        TEXT,
        None,
        "The cookie that holds a token. Clients that send it need an Origin that is allowed. None: no cookie does.",
    )
    hook_url: str | None = _setting(
        TEXT,
        None,
        "Where the application is asked about every client that wants to connect: an https URL, or http on this "
        "machine. None: it is not asked.",
    )
    hook_secret: Secret | None = _setting(
        SECRET,
        None,
        "What the relay shows to the hook, as Authorization: Bearer. None: nothing.",
        secret=True,
    )
    hook_forward_headers: tuple[str, ...] = _setting(
        LIST,
        ("cookie", "authorization"),
        "Which of the client's header fields the hook is told: cookie, authorization, both or none.",
    )
    hook_timeout_seconds: float = _setting(
        NUMBER, 5.0, "How long the hook may take; without an answer nobody comes in.", "seconds", least=0.1, most=10
    )
    hook_cache_seconds: float = _setting(
        NUMBER, 0.0, "How long an answer of the hook is good for the same question.", "seconds", least=0, most=86400
    )
    hook_publish: bool = _setting(
        SWITCH, False, "Whether the hook is also asked about every message that a client wants to publish."
    )
    api_keys: tuple[Secret, ...] = _setting(
        SECRETS,
        (),
        "Keys for the HTTP API under /api/, at least 16 characters each; several for rotation. None: there is no API.",
        secret=True,
    )
    chat_page: bool | None = _setting(
        SWITCH,
        None,
        "Whether / is the chat page. Where no channels or namespaces are set it also opens the channel chat for "
        "publishing. None: only with the memory broker.",
    )
    ping_interval_seconds: float = _setting(
        NUMBER,
        25.0,
        "How often an idle connection is pinged; each connection takes up to a fifth less, at random.",
        "seconds",
        least=1,
    )
    ping_timeout_seconds: float = _setting(
        NUMBER, 20.0, "How long a pong may take before the connection is dropped.", "seconds", least=1
    )
    router_idle_timeout_seconds: float = _setting(
        NUMBER,
        55.0,
        "After how much silence the router in front ends a connection (Heroku: 55); the ping interval must be "
        "shorter. 0: no router.",
        "seconds",
        least=0,
    )
    handshake_timeout_seconds: float = _setting(
        NUMBER, 10.0, "How long a client may take for its request head, and again for a body.", "seconds", least=1
    )
    close_timeout_seconds: float = _setting(
        NUMBER, 5.0, "How long a client may take to answer a close.", "seconds", least=1
    )
    drain_timeout_seconds: float = _setting(
        NUMBER,
        25.0,
        "How long stopping may take. Below the 30 s after which Heroku kills.",
        "seconds",
        least=1,
    )
    max_head_bytes: int = _setting(WHOLE, 16384, "The longest request head.", "bytes", least=1024, most=1024 * 1024)
    max_message_bytes: int = _setting(
        WHOLE, 65536, "The longest message a client may send.", "bytes", least=1, most=64 * 1024 * 1024
    )
    trusted_proxies: int = _setting(
        WHOLE,
        0,
        "How many proxies in front append the address they see to X-Forwarded-For (Heroku's router: 1); the client's "
        "address is the one that the first of them wrote. 0: where the connection comes from.",
        least=0,
        most=10,
    )
    max_connections: int = _setting(
        WHOLE,
        0,
        "How many clients may be connected; more are answered 503. 0: as many as the limit of open files allows, but "
        "for a reserve.",
        least=0,
    )
    max_connections_per_address: int = _setting(
        WHOLE, 0, "How many clients of one address may be connected; more are answered 429. 0: any number.", least=0
    )
    max_handshakes_per_second: float = _setting(
        NUMBER,
        1000.0,
        "How many handshakes may begin in a second, two seconds' worth at once; more are answered 503. 0: any number.",
        least=0,
    )
    metrics: bool = _setting(
        SWITCH, False, "Whether /metrics shows this process's numbers, in the text format of Prometheus, to anybody."
    )
    max_frames_per_second: float = _setting(
        NUMBER,
        100.0,
        "How many frames a client may send, pings and empty ones too; three seconds' worth may come at once.",
        "",
        least=1,
    )
    max_bytes_per_second: float = _setting(
        NUMBER,
        1024.0 * 1024,
        "How much a client may send; three seconds' worth may come at once.",
        "bytes",
        least=1024,
    )
    compress: bool = _setting(
        SWITCH,
        False,
        "Whether messages are compressed for clients that can take it (permessage-deflate): once for all of them. "
        "Never where a message holds both a secret and text that an attacker chooses.",
    )
    max_outbox_bytes: int = _setting(
        WHOLE,
        1024 * 1024,
        "How much may wait for a slow client in this process before it is closed with 4008.",
        "bytes",
        least=1024,
    )
    max_outbox_seconds: float = _setting(
        NUMBER,
        15.0,
        "How long anything may wait for a slow client in this process before it is closed with 4008.",
        "seconds",
        least=1,
    )
    send_buffer_bytes: int = _setting(
        WHOLE,
        65536,
        "SO_SNDBUF: how much may wait for a slow client in the kernel. 0: the kernel decides, up to megabytes.",
        "bytes",
        least=0,
    )
    namespaces: tuple[Namespace, ...] = field(default=(), metadata={"file_only": True})

    def rules(self) -> Namespaces:
        """The namespaces these settings amount to."""
        return Namespaces(
            dataclasses.replace(each, compress=self.compress if each.compress is None else each.compress)
            for each in self._named()
        )

    def _named(self) -> tuple[Namespace, ...]:
        if self.namespaces:
            return self.namespaces
        if self.channels or self.publish:
            readable = tuple(pattern for pattern in self.channels if pattern not in self.publish)
            return *self._short("channels", readable, Access.NOBODY), *self._short("publish", self.publish, self.access)
        everything = Namespace("default", ("*",), self.access)
        if self.has_chat_page:
            return everything, Namespace("chat_page", ("chat",), self.access, self.access)
        return (everything,)

    def _short(self, name: str, patterns: tuple[str, ...], publish: Access) -> tuple[Namespace, ...]:
        """The namespaces of the short form: what belongs to one user each is not for everybody."""
        personal = tuple(pattern for pattern in patterns if pattern.endswith(PERSONAL))
        others = tuple(pattern for pattern in patterns if pattern not in personal)
        known = Access.AUTHENTICATED
        return (
            Namespace(name, others, self.access, publish),
            Namespace(f"{name} of users", personal, known, Access.NOBODY if publish is Access.NOBODY else known),
        )

    @property
    def may_compress(self) -> bool:
        """Whether any channel's messages are compressed."""
        return self.compress or any(each.compress for each in self.namespaces)

    @property
    def listens_on_port(self) -> bool:
        """Whether the relay listens on host and port."""
        return not self.listen and self.host is not None

    @property
    def asks_for_credentials(self) -> bool:
        """Whether any channel is open only to some."""
        levels = {level for each in self._named() if each.patterns for level in (each.subscribe, each.publish)}
        return bool(levels & {Access.AUTHENTICATED, Access.TOKEN})

    @property
    def uses_redis(self) -> bool:
        """Whether the broker is Redis."""
        return self.broker == "redis" or (self.broker == "auto" and self.redis_url is not None)

    @property
    def has_chat_page(self) -> bool:
        """Whether the chat page is served."""
        return not self.uses_redis if self.chat_page is None else self.chat_page


def table() -> Iterator[Setting]:
    """The rows of the table, in the order the operator reads them."""
    for row in fields(Settings):
        if "kind" in row.metadata:
            environ = (*row.metadata["environ"], f"WSRELAY_{row.name.upper()}")
            yield Setting(
                row.name,
                row.metadata["kind"],
                row.default,
                row.metadata["help"],
                row.metadata["unit"],
                environ,
                **row.metadata["more"],
            )
