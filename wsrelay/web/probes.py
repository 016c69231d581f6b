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
        any_method: Whether other methods than GET, HEAD and OPTIONS get the same response, as at unknown paths.
    """

    isLeaf = True

    def __init__(self, get_response: Callable[[], TextResponse], *, any_method: bool = False) -> None:
        super().__init__()
        self._get_response = get_response
        self._any_method = any_method

    def render(self, request: Request) -> bytes:
        """Respond to GET, HEAD and OPTIONS, and reject other methods unless all are allowed."""
        rejection = None if self._any_method else respond_method_not_allowed(request)
        return respond_text(request, *self._get_response()) if rejection is None else rejection


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
        """Respond to GET, HEAD and OPTIONS, and reject other methods."""
        if (rejection := respond_method_not_allowed(request)) is not None:
            return rejection
        return respond(request, b"text/plain; version=0.0.4; charset=utf-8", self._get_metrics())
