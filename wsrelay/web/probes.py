"""Resources whose content is computed for each request: probes and metrics."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.web.responses import TextResponse, respond, respond_method_not_allowed, respond_text

__all__ = ["MetricsResource", "TextResource"]


class TextResource(Resource):
    """A short text.

    Args:
        get_response: Returns HTTP status and text; called for each request.
        any_method: Whether methods other than GET and HEAD get the same response, as those to unknown paths do.
    """

    isLeaf = True

    def __init__(self, get_response: Callable[[], TextResponse], *, any_method: bool = False) -> None:
        super().__init__()
        self._get_response = get_response
        self._any_method = any_method

    def render(self, request: Request) -> bytes:
        """Respond to GET and HEAD, and reject other methods unless all are allowed."""
        if request.method not in (b"GET", b"HEAD") and not self._any_method:
            return respond_method_not_allowed(request)
        return respond_text(request, *self._get_response())


class MetricsResource(Resource):
    """Metrics in the text format of Prometheus.

    Args:
        get_metrics: Returns the metrics in this format; called for each request.
    """

    isLeaf = True

    def __init__(self, get_metrics: Callable[[], bytes]) -> None:
        super().__init__()
        self._get_metrics = get_metrics

    def render(self, request: Request) -> bytes:
        """Respond to GET and HEAD, and reject other methods."""
        if request.method not in (b"GET", b"HEAD"):
            return respond_method_not_allowed(request)
        return respond(request, b"text/plain; version=0.0.4; charset=utf-8", self._get_metrics())
