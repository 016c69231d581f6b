"""An HTTP response given before or instead of an upgrade."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["GUARDS", "ErrorResponse"]

GUARDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
"""Header fields of every answer: no guessing of types, no framing, no script, no copy in a cache."""


@dataclass(frozen=True, slots=True)
class ErrorResponse:
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
