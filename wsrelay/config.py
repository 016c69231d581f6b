"""THE table of settings: flag > environment > TOML file > default.

`Settings` is the table: each field carries its default, its unit, how it is read and what the operator is told about
it. The flags of `twistd wsrelay`, the environment names, the keys of the file, `--help` and docs/configuration.md are
all made from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wsrelay.core.channels import Namespace, Namespaces
from wsrelay.core.errors import ChannelError, ConfigError
from wsrelay.core.limits import BURST_SECONDS
from wsrelay.core.outbox import SlowPolicy
from wsrelay.core.redis_url import RedisURL

__all__ = ["Setting", "Settings", "load", "table"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a setting is written.

    Attributes:
        name: What the operator is told: "a whole number".
        types: What a TOML value must be an instance of.
        from_text: Reads a flag or an environment variable; raises ValueError.
        from_toml: Takes a TOML value of the right type; raises ValueError.
    """

    name: str
    types: tuple[type, ...]
    from_text: Callable[[str], Any]
    from_toml: Callable[[Any], Any] = lambda value: value


def _switch(text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _texts(items: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in items):
        raise ValueError(items)
    return tuple(items)


def _number(value: str | float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


TEXT = Kind("text", (str,), str)
WHOLE = Kind("a whole number", (int,), int)
NUMBER = Kind("a number", (int, float), _number, _number)
SWITCH = Kind("true or false", (bool,), _switch)
LIST = Kind("a list (commas between the items)", (list,), _items, _texts)
SLOW = Kind("close, drop or latest", (str,), SlowPolicy, SlowPolicy)
URL = Kind("a Redis URL", (str,), RedisURL.parse, RedisURL.parse)
PATH = Kind("a path", (str,), Path, Path)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Attributes:
        name: The key in the file; with dashes, the flag.
        kind: How it is written.
        default: Its value where nobody says otherwise.
        help: What the operator is told, with what None or zero means.
        unit: "seconds", "bytes" or nothing.
        environ: The environment variables that set it, the strongest first.
        secret: Whether it may hold a credential: then it has no flag, for a process's arguments are public.
        least: The smallest number allowed.
        most: The largest number allowed.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    unit: str = ""
    environ: tuple[str, ...] = ()
    secret: bool = False
    least: float | None = None
    most: float | None = None

    @property
    def flag(self) -> str | None:
        """The long option without its dashes, or None where there is none."""
        return None if self.secret else self.name.replace("_", "-")

    @property
    def shown_default(self) -> str:
        """The default as the operator would write it."""
        if self.default is None or self.default in ("", ()):
            return "none"
        return str(self.default).lower() if isinstance(self.default, bool) else f"{self.default}"

    def read(self, source: str, value: object) -> Any:
        """Turn what was written somewhere into the value.

        Raises:
            ConfigError: It cannot be read. The text names the source and never repeats a secret.
        """
        try:
            if isinstance(value, str) and str not in self.kind.types:
                if source == "file":
                    raise ValueError  # noqa: TRY301 -- a string where TOML has a type of its own
                result = self.kind.from_text(value)
            elif isinstance(value, self.kind.types) and (bool in self.kind.types or not isinstance(value, bool)):
                result = self.kind.from_toml(value)
            else:
                raise ValueError  # noqa: TRY301 -- same answer as below
        except (ValueError, OverflowError):  # the latter: an integer of TOML has no bound, a float has
            shown = "" if self.secret else f", not {value!r}"
            raise ConfigError(f"{self.called(source)} must be {self.kind.name}{shown}") from None
        except ConfigError as error:
            raise ConfigError(f"{self.called(source)} cannot be used: {error}") from None
        if self.least is not None and result < self.least:
            raise ConfigError(f"{self.called(source)} must be at least {self.least}, not {result}")
        if self.most is not None and result > self.most:
            raise ConfigError(f"{self.called(source)} must be at most {self.most}, not {result}")
        return result

    def called(self, source: str) -> str:
        """What the operator calls it where the value came from."""
        return {"flag": f"--{self.flag}", "file": self.name}.get(source, source)


def _setting(kind: Kind, default: Any, help: str, unit: str = "", *environ: str, **more: Any) -> Any:
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
    listen: str | None = _setting(
        TEXT,
        None,
        "A Twisted endpoint to listen on instead of host and port, such as systemd:domain=INET:index=0.",
    )
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
    demo: bool | None = _setting(
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
    router_idle_seconds: float = _setting(
        NUMBER,
        55.0,
        "After how much silence the router in front ends a connection (Heroku: 55); the ping interval must be "
        "shorter. 0: no router.",
        "seconds",
        least=0,
    )
    handshake_timeout_seconds: float = _setting(
        NUMBER, 10.0, "How long a client may take for its request head.", "seconds", least=1
    )
    close_timeout_seconds: float = _setting(
        NUMBER, 5.0, "How long a client may take to answer a close.", "seconds", least=1
    )
    http_idle_seconds: float = _setting(
        NUMBER,
        95.0,
        "How long an idle kept-alive HTTP connection stays open. Longer than the router's own 90 s, or it "
        "meets connections that have just been closed.",
        "seconds",
        least=1,
    )
    drain_seconds: float = _setting(
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
    outbox_max_bytes: int = _setting(
        WHOLE,
        1024 * 1024,
        "How much may wait for a slow client in this process before it is closed with 4008.",
        "bytes",
        least=1024,
    )
    outbox_max_seconds: float = _setting(
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
            return Namespace("channels", readable), Namespace("publish", self.publish, publish=True)
        everything = Namespace("default", ("*",))
        if self.has_demo:
            return everything, Namespace("demo", ("chat",), publish=True)
        return (everything,)

    @property
    def may_compress(self) -> bool:
        """Whether any channel's messages are compressed."""
        return self.compress or any(each.compress for each in self.namespaces)

    @property
    def uses_redis(self) -> bool:
        """Whether the broker is Redis."""
        return self.broker == "redis" or (self.broker == "auto" and self.redis_url is not None)

    @property
    def has_demo(self) -> bool:
        """Whether the chat page is served."""
        return not self.uses_redis if self.demo is None else self.demo


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


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was probably meant, or an empty str."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def load(flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """The settings that flags, environment and the TOML file amount to.

    Args:
        flags: What was given on the command line, by setting name.
        environ: The process's environment.

    Raises:
        ConfigError: Something cannot be used. The text says what, where, and what to do.
    """
    rows = {row.name: row for row in table()}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(source: str, row: Setting, value: object) -> None:
        values[row.name] = row.read(source, value)
        sources[row.name] = source

    # Kubernetes gives every container the addresses of services under their names; one may be called like us.
    environ = {name: text for name, text in environ.items() if name != "WSRELAY_PORT" or "://" not in text}
    _check_environ(environ, rows.values())
    of_environ = {row.name: (name, environ[name]) for row in rows.values() for name in reversed(row.environ)
                  if environ.get(name)}  # fmt: skip
    path = flags.get("config") or of_environ.get("config", ("", ""))[1]
    if path:
        keys = [*(name for name in rows if name != "config"), "namespaces"]
        for key, value in _read_file(Path(path)).items():
            if key not in keys:
                raise ConfigError(f"{path}: unknown key {key!r}{nearest(key, keys)}")
            if key == "namespaces":
                values[key] = _namespaces(value)
            else:
                take("file", rows[key], value)
    for name, (variable, text) in of_environ.items():
        take(variable, rows[name], text)
    # Heroku's older applications have both; the one with TLS is the one to use.
    if (tls := environ.get("REDIS_TLS_URL")) and not getattr(values.get("redis_url"), "tls", False):
        take("REDIS_TLS_URL", rows["redis_url"], tls)
    for name, text in flags.items():
        take("flag", rows[name], text)
    if sources.get("port") == "PORT":
        values.setdefault("host", "0.0.0.0")  # noqa: S104 -- a dyno's router comes from outside
    return _checked(Settings(**values), sources)


def _check_environ(environ: Mapping[str, str], rows: Iterable[Setting]) -> None:
    known = {name for row in rows for name in row.environ}
    for name in environ:
        if name.startswith(("WSRELAY_SERVICE_", "WSRELAY_PORT_")):
            continue
        if name.startswith("WSRELAY_") and name not in known:
            raise ConfigError(f"unknown environment variable {name}{nearest(name, known)}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration file cannot be read: {error.strerror}: {path}") from None
    except ValueError as error:  # bad TOML, bad UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _namespaces(tables: object) -> tuple[Namespace, ...]:
    if not isinstance(tables, dict) or not all(isinstance(keys, dict) for keys in tables.values()):
        raise ConfigError("namespaces are tables: [namespaces.NAME]")
    return tuple(_namespace(name, keys) for name, keys in tables.items())


def _namespace(name: str, keys: dict[str, Any]) -> Namespace:
    kinds = {
        "channels": LIST,
        "subscribe": SWITCH,
        "publish": SWITCH,
        "slow": SLOW,
        "tell_gaps": SWITCH,
        "compress": SWITCH,
    }
    read: dict[str, Any] = {}
    for key, value in keys.items():
        if key not in kinds:
            raise ConfigError(f"namespaces.{name}: unknown key {key!r}{nearest(key, kinds)}")
        read[key] = Setting(f"namespaces.{name}.{key}", kinds[key], None, "").read("file", value)
    if not read.get("channels"):
        raise ConfigError(f'namespaces.{name} names no channels: say which, as in channels = ["room:*"]')
    return Namespace(name, read.pop("channels"), **read)


def _checked(settings: Settings, sources: Mapping[str, str]) -> Settings:
    """The settings, if they fit together."""
    if settings.broker not in ("auto", "memory", "redis"):
        raise ConfigError(f"broker must be auto, memory or redis, not {settings.broker!r}")
    if settings.broker == "redis" and settings.redis_url is None:
        raise ConfigError("broker is redis but there is no redis_url: set REDIS_URL")
    if settings.listen is not None and ("host" in sources or sources.get("port") not in (None, "PORT")):
        raise ConfigError("listen says where to listen, and so do host and port: leave one of the two out")
    if settings.namespaces and (settings.channels or settings.publish):
        raise ConfigError("channels and publish are the short form of namespaces: leave one of the two out")
    if settings.redis_ca_file is not None and not settings.redis_tls_verify:
        raise ConfigError("redis_ca_file says whom to trust, redis_tls_verify=false trusts anybody: leave one out")
    pinned = settings.redis_tls_fingerprint is not None or settings.redis_ca_file is not None
    if pinned and settings.redis_url is not None and not settings.redis_url.tls:
        raise ConfigError("redis_tls_fingerprint and redis_ca_file are for rediss:// URLs; this one is not encrypted")
    if settings.max_message_bytes > BURST_SECONDS * settings.max_bytes_per_second:
        raise ConfigError(
            f"max_message_bytes ({settings.max_message_bytes}) is more than a client may send at once, which is "
            f"{BURST_SECONDS:g} times max_bytes_per_second: raise that, too"
        )
    if settings.redis_tls_fingerprint is not None:
        if not re.fullmatch("[0-9a-f]{64}", settings.redis_tls_fingerprint.replace(":", "").lower()):
            raise ConfigError("redis_tls_fingerprint must be 64 hexadecimal digits: openssl x509 -fingerprint -sha256")
        if settings.redis_ca_file is not None or not settings.redis_tls_verify:
            raise ConfigError(
                "redis_tls_fingerprint names the one certificate to trust: leave redis_ca_file and redis_tls_verify out"
            )
    try:
        settings.rules()
    except ChannelError as error:
        raise ConfigError(str(error)) from None
    if not settings.prefix.isascii() or any(character.isspace() for character in settings.prefix):
        raise ConfigError("prefix must be ASCII without white space")
    idle = settings.router_idle_seconds
    if idle and settings.ping_interval_seconds >= idle:
        raise ConfigError(
            f"ping_interval_seconds ({settings.ping_interval_seconds:g}) must be below router_idle_seconds "
            f"({idle:g}): the router would end every quiet connection before its first ping. Lower the interval, "
            "or set router_idle_seconds to what your router allows (0 if there is none)"
        )
    return settings if settings.host else dataclasses.replace(settings, host="127.0.0.1")
