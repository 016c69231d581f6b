"""What a client says when it knocks, and how it is turned away."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["Handshake", "Refusal"]


@dataclass(frozen=True, slots=True)
class Handshake:
    """The opening request of a client, already checked for bytes that have no business in a head.

    Attributes:
        path: The request's path, percent-encoding untouched, without the query.
        peer: Where the connection comes from, for the log.
    """

    path: str
    peer: str


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
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in self.headers),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("ascii") + body
