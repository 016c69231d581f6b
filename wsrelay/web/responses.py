"""Plain answers, and the headers that every answer has."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request

from wsrelay.core.wire.http_response import GUARDS

__all__ = ["Answer", "body", "harden", "not_allowed", "plain"]

Answer = tuple[int, str]


def harden(request: HTTPRequest) -> None:
    """Give an answer the header fields that all have, and none that says what made it."""
    request.responseHeaders.removeHeader(b"server")
    for name, value in GUARDS:
        request.setHeader(name.encode(), value.encode())


def body(request: Request, content_type: bytes, content: bytes) -> bytes:
    """Set a request up for this content and give what to return from `render`."""
    request.setHeader(b"content-type", content_type)
    request.setHeader(b"content-length", str(len(content)).encode())
    # A body for HEAD would be taken for the next answer.
    return b"" if request.method == b"HEAD" else content


def plain(request: Request, status: int, text: str) -> bytes:
    """Set a request up for a short text and give what to return from `render`."""
    # twisted.web knows no phrase for some statuses, 426 among them.
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    return body(request, b"text/plain; charset=utf-8", text.encode() + b"\n")


def not_allowed(request: Request) -> bytes:
    """Set a request up for the answer to methods other than GET and HEAD."""
    request.setHeader(b"allow", b"GET, HEAD")
    return plain(request, 405, "Only GET and HEAD are served here.")
