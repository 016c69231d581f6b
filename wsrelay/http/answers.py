"""Plain answers, and the headers that every answer has."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.handshake import GUARDS

__all__ = ["Exposition", "PlainAnswer", "body", "harden", "not_allowed", "plain"]

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


class PlainAnswer(Resource):
    """A short text, made anew for each request.

    Args:
        answer: Gives status and text.
        any_method: Whether it is the answer to any method, as it is where nothing is.
    """

    isLeaf = True

    def __init__(self, answer: Callable[[], Answer], *, any_method: bool = False) -> None:
        super().__init__()
        self._answer = answer
        self._any_method = any_method

    def render(self, request: Request) -> bytes:
        """Answer GET and HEAD; tell any other method so."""
        if request.method not in (b"GET", b"HEAD") and not self._any_method:
            return not_allowed(request)
        return plain(request, *self._answer())


class Exposition(Resource):
    """Metrics in the text format of Prometheus.

    Args:
        text: Makes them.
    """

    isLeaf = True

    def __init__(self, text: Callable[[], bytes]) -> None:
        super().__init__()
        self._text = text

    def render(self, request: Request) -> bytes:
        """Answer GET and HEAD; tell any other method so."""
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request)
        return body(request, b"text/plain; version=0.0.4; charset=utf-8", self._text())
