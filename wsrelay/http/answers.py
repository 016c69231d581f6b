"""Plain answers, and the headers that every answer has."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request

__all__ = ["PlainAnswer", "harden", "plain"]

Answer = tuple[int, str]


def harden(request: HTTPRequest) -> None:
    """Give an answer the headers that all have: no version of ours, no guessing of types, no framing, no script."""
    headers = request.responseHeaders
    headers.removeHeader(b"server")
    headers.setRawHeaders(b"x-content-type-options", [b"nosniff"])
    headers.setRawHeaders(b"referrer-policy", [b"no-referrer"])
    headers.setRawHeaders(b"content-security-policy", [b"default-src 'none'; frame-ancestors 'none'"])
    headers.setRawHeaders(b"cache-control", [b"no-store"])


def plain(request: Request, status: int, text: str) -> bytes:
    """Set a request up for a short text and give the body to return from `render`."""
    # twisted.web knows no phrase for some statuses, 426 among them.
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    body = text.encode() + b"\n"
    request.setHeader(b"content-length", str(len(body)).encode())
    # A body for HEAD would be taken for the next answer.
    return b"" if request.method == b"HEAD" else body


class PlainAnswer(Resource):
    """A short text, made anew for each request.

    Args:
        answer: Gives status and text.
        headers: More header fields.
    """

    isLeaf = True

    def __init__(self, answer: Callable[[], Answer], headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__()
        self._answer = answer
        self._headers = headers

    def render(self, request: Request) -> bytes:
        """Answer GET and HEAD; tell any other method so."""
        if request.method in (b"GET", b"HEAD"):
            status, text = self._answer()
            for name, value in self._headers:
                request.setHeader(name, value)
        else:
            status, text = 405, "Only GET and HEAD are served here."
            request.setHeader(b"allow", b"GET, HEAD")
        return plain(request, status, text)
