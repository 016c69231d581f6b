"""Plain HTTP error responses, and the header fields that every response has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["SECURITY_HEADERS", "ErrorResponse"]

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
"""The header fields of every response: no content sniffing, no framing, no script, no copy in a cache."""


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An HTTP error response, for a request or instead of an upgrade.

    Attributes:
        status: The HTTP status code.
        text: The problem and its remedy, in one or two sentences; never repeats anything that the client sent.
        headers: Additional header fields, as pairs of name and value.
        is_json: Whether the body is a JSON object with the text as its `error`, as in responses of the API.
    """

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()
    is_json: bool = False

    def to_bytes(self) -> bytes:
        """Return the complete HTTP/1.1 response, which announces the end of the connection (RFC 9112 section 9.6)."""
        text = json.dumps({"error": self.text}) if self.is_json else self.text
        body = text.encode() + b"\n"
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {'application/json' if self.is_json else 'text/plain; charset=utf-8'}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in (*SECURITY_HEADERS, *self.headers)),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("ascii") + body
