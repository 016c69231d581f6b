"""What a client says when it knocks, and how it is turned away."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

__all__ = ["GUARDS", "MAX_PARAMETERS", "ONCE", "TWICE", "Handshake", "Refusal"]

MAX_PARAMETERS = 64
"""As many parameters of a query are looked at."""

GUARDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
"""Header fields of every answer: no guessing of types, no framing, no script, no copy in a cache."""

# What may stand in a head once only. Of two, one party would take the first and another the last, and a proxy in
# between has checked only one of them (RFC 9112 sections 3.2 and 6.3, RFC 6455 section 11.3, RFC 6454 section 7.3,
# RFC 9110 section 11.6.2, RFC 6265 section 5.4).
ONCE = frozenset(
    (
        b"host",
        b"origin",
        b"authorization",
        b"cookie",
        b"content-length",
        b"transfer-encoding",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)


@dataclass(slots=True)
class Handshake:
    """The opening request of a client, already checked for bytes that have no business in a head.

    Attributes:
        path: The request's path, percent-encoding untouched, without the query.
        peer: The client's address, as far as the proxies in front are trusted to tell it.
        query: What stands behind the question mark; may hold a ticket.
        origin: The Origin field (RFC 6454 section 7), as sent. None: there is none.
        host: The Host field.
        authorization: The Authorization field; may hold a token.
        cookie: The Cookie field; may hold a token.
        subprotocols: The items of Sec-WebSocket-Protocol; may hold a token.
        connection: A random name of the connection, which tells it from all others of all processes.
        is_secure: Whether the client's connection is encrypted. None: nobody knows, for it comes through a proxy.
    """

    path: str
    peer: str
    query: str = field(default="", repr=False)
    origin: str | None = None
    host: str = ""
    authorization: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)
    subprotocols: tuple[str, ...] = field(default=(), repr=False)
    is_secure: bool | None = None
    connection: str = ""

    @property
    def promises_credential(self) -> bool:
        """Whether the client says that its first message will be its credential."""
        return "auth=message" in self.query and self.parameters("auth") == ["message"]

    def parameters(self, name: str) -> list[str]:
        """The values of a parameter of the query, in order, empty ones too."""
        if not self.query:
            return []
        try:
            return [value for key, value in parse_qsl(self.query, True, max_num_fields=MAX_PARAMETERS) if key == name]
        except ValueError:
            return []

    def cookies(self, name: str) -> list[str]:
        """The values of the cookies of a name, in order (RFC 6265 section 4.2.1)."""
        pairs = (pair.strip().partition("=") for pair in self.cookie.split(";"))
        return [value.strip('"') for key, equals, value in pairs if equals and key == name]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer given instead of an upgrade.

    Attributes:
        status: The HTTP status code.
        text: What was wrong and what to do, in one or two sentences; never repeats what the client sent.
        headers: More header fields, as pairs of name and value.
    """

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()

    def to_bytes(self) -> bytes:
        """The whole HTTP/1.1 response; the connection ends after it (RFC 9112 section 9.6)."""
        body = self.text.encode() + b"\n"
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in (*GUARDS, *self.headers)),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("ascii") + body


TWICE = Refusal(400, "A header field stands twice in the request head that may stand there once.")
"""For a head with a field of `ONCE` twice."""
