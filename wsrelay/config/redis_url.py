"""The address of a Redis server, parsed from a URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["RedisURL"]

_FORMS = "redis://[[user]:password@]host[:port][/database], rediss://... for TLS, or unix:///path/to/socket"


@dataclass(frozen=True, slots=True)
class RedisURL:
    """Address and credentials of a Redis server. `str` and `repr` never show the credentials.

    The forms are those of the redis and rediss entries in the IANA registry of URI schemes, and ``unix://`` as in
    redis-py.

    Attributes:
        host: The host name or IP address, or an empty str for a Unix socket.
        port: The TCP port.
        path: The path of the Unix socket, or an empty str.
        tls: Whether the connection is encrypted.
        database: The number to SELECT.
        username: The ACL user. If None, the default user.
        password: The password. If None, no AUTH is sent.
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
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError:
            raise ConfigError(f"its host or port is malformed; it should look like {_FORMS}") from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ConfigError(f"it should look like {_FORMS}")
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        # Blank values count: the rest of a password with an unescaped ? looks like one, and must not pass for a host.
        query = parse_qs(parts.query, keep_blank_values=True)
        if unknown := sorted(set(query) - {"db"}):
            raise ConfigError(f"it has unknown parameters after ? ({len(unknown)}); only db is known")
        if parts.fragment:
            raise ConfigError("it has a part after #; write %23 for a # in a password")
        db = query.get("db", [""])[-1]
        if parts.scheme == "unix":
            # An @ in the path ends a password with an unescaped /, which must not pass for a path and be shown.
            if parts.hostname or "@" in parts.path or not parts.path.strip("/"):
                raise ConfigError(
                    "a unix URL has three slashes and a path, without an unescaped @: unix:///path/to/socket"
                )
            return cls(host="", path=unquote(parts.path), database=_database(db), username=username, password=password)
        if not parts.hostname:
            raise ConfigError(f"it names no host; it should look like {_FORMS}")
        return cls(
            host=unquote(parts.hostname),
            port=port or 6379,
            tls=parts.scheme == "rediss",
            database=_database(parts.path.strip("/") or db),
            username=username,
            password=password,
        )


def _database(number: str) -> int:
    if not number:
        return 0
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ConfigError("the database after the last slash is not a number")
    return int(number)
