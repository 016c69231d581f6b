"""The address of a Redis server, parsed from a URL."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.host_name import check_host

__all__ = ["RedisURL"]

_FORMS = "redis://[[user]:password@]host[:port][/database], rediss://... for TLS, or unix:///path/to/socket"
_SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
"""True for the schemes with TLS."""

MAX_SOCKET_PATH_BYTES = 107
"""The size of `sun_path` in Linux, without the null byte at its end (unix(7))."""

_LEAVE_OUT = "leave it out, the relay has deadlines and retries of its own"
_VERIFY = "set redis_tls_verify instead"

# Parameters of redis-py, go-redis, ioredis, Lettuce, phpredis and Symfony, and what to do here instead. Nothing else
# that follows a question mark is repeated: it may be the rest of a password.
_PARAMETERS = {
    **dict.fromkeys(("ssl_cert_reqs", "ssl_check_hostname", "skip_verify", "verifypeer", "verify_peer"), _VERIFY),
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "cafile"), "set redis_tls_ca_file instead"),
    "ssl_certfile": "set redis_tls_client_certificate instead",
    "ssl_keyfile": "set redis_tls_client_key instead",
    **dict.fromkeys(("ssl", "tls", "usetls"), "write rediss:// for TLS"),
    **dict.fromkeys(("username", "user", "password", "auth"), "write it before the host: redis://user:password@host"),
    **dict.fromkeys(("database", "dbindex"), "write it behind the host: redis://host/1"),
    **dict.fromkeys(("prefix", "keyprefix", "key_prefix"), "set prefix instead"),
    **dict.fromkeys(("sentinelmasterid", "sentinel", "redis_sentinel"), "Redis Sentinel is not supported"),
    **dict.fromkeys(("redis_cluster", "cluster"), "a cluster of several nodes is not supported"),
    "family": "leave it out, IPv4 and IPv6 are both tried",
    "protocol": "leave it out, the relay speaks RESP2",
    **dict.fromkeys(("client_name", "clientname", "lib_name"), "leave it out, the relay has a name of its own"),
    **dict.fromkeys(
        (
            *("timeout", "socket_timeout", "socket_connect_timeout", "connect_timeout", "connecttimeout"),
            *("dial_timeout", "read_timeout", "write_timeout", "read_write_timeout", "commandtimeout"),
            *("health_check_interval", "socket_keepalive", "retry_on_timeout", "retry_on_error", "retry_interval"),
            *("max_retries", "maxretriesperrequest", "max_connections", "pool_size", "min_idle_conns", "pool_timeout"),
            *("decode_responses", "encoding", "persistent", "persistent_id", "lazy", "tcp_keepalive"),
        ),
        _LEAVE_OUT,
    ),
}


@dataclass(frozen=True, slots=True)
class RedisURL:
    """Address and credentials of a Redis server. `str` and `repr` never show the credentials.

    The forms are those of the redis and rediss entries in the IANA registry of URI schemes, ``valkey`` and ``valkeys``
    for them, and ``unix://`` as in redis-py.

    Attributes:
        host: The host name or IP address, or an empty str for a Unix socket.
        port: The TCP port.
        path: The path of the Unix socket, or an empty str.
        tls: Whether the connection is encrypted.
        database: The number to SELECT.
        username: The ACL user. If None, the default user.
        password: The password, empty for a user without one. If None, no AUTH is sent.
    """

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    tls: bool = False
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> RedisURL:
        """Parse a URL. White space at its ends is ignored.

        Raises:
            ConfigError: The URL is malformed. The text never repeats it, because it may hold a password.
        """
        text = text.strip()
        try:
            # Bytes that are not UTF-8, in the environment, have no character that could be sent to the server.
            text.encode()
            parts = urlsplit(text)
        except ValueError:
            raise _malformed() from None
        _check_scheme(text, parts)
        try:
            port = parts.port
        except ValueError:
            raise _malformed() from None
        username, password = _credentials(parts)
        database = _database(parts)
        if parts.fragment:
            raise ConfigError("it has a part after #; write %23 for a # in a password")
        if parts.scheme == "unix":
            # An @ in the path ends a password with an unescaped /, which must not pass for a path and be shown.
            if parts.hostname or "@" in parts.path or not parts.path.strip("/"):
                raise ConfigError(
                    "a unix URL has three slashes and a path, without an unescaped @: unix:///path/to/socket"
                )
            path = _socket_path(parts)
            return cls(host="", path=path, database=database, username=username, password=password)
        if port == 0:
            raise ConfigError("its port is 0, on which no server listens; leave it out for 6379")
        return cls(
            host=_host(parts),
            port=port or 6379,
            tls=_SCHEMES[parts.scheme],
            database=database,
            username=username,
            password=password,
        )


def _malformed() -> ConfigError:
    return ConfigError(f"its host or port is malformed; it should look like {_FORMS}")


def _check_scheme(text: str, parts: SplitResult) -> None:
    if "sentinel" in parts.scheme:
        raise ConfigError("Redis Sentinel is not supported: give the URL of the primary, or of a proxy that follows it")
    if "cluster" in parts.scheme:
        raise ConfigError("a cluster of several nodes is not supported: give the URL of one server")
    if text[:1] in ("'", '"'):
        raise ConfigError("there are quotes around it: remove them")
    if parts.scheme not in (*_SCHEMES, "unix"):
        raise ConfigError(f"it should look like {_FORMS}")
    if "," in parts.netloc.rpartition("@")[2]:
        raise ConfigError("it names several hosts: give the URL of one server, or of a proxy before several")


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    username = _decoded(parts.username) if parts.username else None
    if parts.password:
        return username, _decoded(parts.password)
    # The default user is who one is without AUTH. Any other name must not be dropped in silence: its user may do less.
    return (None, None) if username in (None, "default") else (username, "")


def _host(parts: SplitResult) -> str:
    host = _decoded(parts.hostname or "")
    if not host:
        raise ConfigError(f"it names no host; it should look like {_FORMS}")
    try:
        check_host(host, in_brackets="]" in parts.netloc.rpartition("@")[2])
    except ValueError:
        raise ConfigError("its host is no name that can be looked up") from None
    return host


def _socket_path(parts: SplitResult) -> str:
    path = _decoded(parts.path)
    if not path.isprintable():
        raise ConfigError("the path of its socket has control characters")
    if (size := len(os.fsencode(path))) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(f"the path of its socket has {size} bytes; unix sockets have at most {MAX_SOCKET_PATH_BYTES}")
    return path


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigError("it has %-escapes that are not UTF-8") from None


def _database(parts: SplitResult) -> int:
    # Blank values count: the rest of a password with an unescaped ? looks like one, and must not pass for a host.
    query = parse_qs(parts.query, keep_blank_values=True)
    if known := {name.lower(): advice for name in query if (advice := _PARAMETERS.get(name.lower())) is not None}:
        # Those with the same advice together.
        advices = [
            f"{', '.join(name for name, other in known.items() if other == advice)}: {advice}"
            for advice in dict.fromkeys(known.values())
        ]
        raise ConfigError(f"it has parameters that are not known here; {'; '.join(advices)}")
    if unknown := set(query) - {"db"}:
        raise ConfigError(f"it has unknown parameters after ? ({len(unknown)}); only db is known")
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    numbers = {_number(text) for text in (path, *query.get("db", ())) if text}
    if len(numbers) > 1:
        raise ConfigError("it names two databases, one behind the host and one as db: leave one of them out")
    return numbers.pop() if numbers else 0


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ConfigError("the database after the last slash is not a number")
    return int(text)
