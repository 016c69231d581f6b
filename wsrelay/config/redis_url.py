"""The address of a Redis server, as a URL gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["RedisURL"]

_FORMS = "redis://[[user]:password@]host[:port][/database], rediss://... for TLS, or unix:///path/to/socket"


@dataclass(frozen=True, slots=True)
class RedisURL:
    """Where Redis is and how to sign in. Its `str` and `repr` never show the password.

    The forms are those of the redis and rediss entries in the IANA registry of URI schemes, and ``unix://`` as
    redis-py has it.

    Attributes:
        host: The host, or an empty str for a unix socket.
        port: The TCP port.
        path: The path of the unix socket, or an empty str.
        tls: Whether the connection is encrypted.
        database: The number to SELECT.
        username: The ACL user, or None for the default user.
        password: The password, or None for no AUTH.
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
        """Read a URL.

        Raises:
            ConfigError: It is malformed. The text never repeats the URL, which may hold a password.
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
        # Blank ones count: the rest of a password with a bare ? in it looks like one, and must not pass for a host.
        query = parse_qs(parts.query, keep_blank_values=True)
        if unknown := sorted(set(query) - {"db"}):
            raise ConfigError(f"it has parameters after ? that mean nothing here ({len(unknown)}); only db is known")
        if parts.fragment:
            raise ConfigError("it has a part after #; write %23 for a # in a password")
        if parts.scheme == "unix":
            # An @ so late is the end of a password with a bare / in it, which must not pass for a path and be shown.
            if parts.hostname or "@" in parts.path or not parts.path.strip("/"):
                raise ConfigError("a unix URL has three slashes and a path, without a bare @: unix:///path/to/socket")
            number = query.get("db", [""])[-1]
            return cls(
                host="",
                path=unquote(parts.path),
                database=_database(number),
                username=username,
                password=password,
            )
        if not parts.hostname:
            raise ConfigError(f"it names no host; it should look like {_FORMS}")
        number = parts.path.strip("/") or query.get("db", [""])[-1]
        return cls(
            host=unquote(parts.hostname),
            port=port or 6379,
            tls=parts.scheme == "rediss",
            database=_database(number),
            username=username,
            password=password,
        )


def _database(number: str) -> int:
    if not number:
        return 0
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ConfigError("the database after the last slash is not a number")
    return int(number)
