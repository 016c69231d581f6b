"""Resources that answer with a text made at that moment: probes and metrics."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.web.responses import Answer, body, not_allowed, plain

__all__ = ["Exposition", "PlainAnswer"]


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
