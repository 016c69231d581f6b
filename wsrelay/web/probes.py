"""Resources whose content is computed for each request: probes and metrics."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.web.responses import TextResponse, respond, respond_later, respond_method_not_allowed, respond_text

__all__ = ["MetricsResource", "TextResource"]

_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class TextResource(Resource):
    """A short text.

    Args:
        get_response: Returns HTTP status and text, or a Deferred with them; called for each request.
        any_method: Whether other methods than GET, HEAD and OPTIONS get the same response, as at unknown paths.
        policy: The Content-Security-Policy. If None, that of every response.
    """

    isLeaf = True

    def __init__(
        self,
        get_response: Callable[[], TextResponse | Deferred[TextResponse]],
        *,
        any_method: bool = False,
        policy: bytes | None = None,
    ) -> None:
        super().__init__()
        self._get_response = get_response
        self._any_method = any_method
        self._policy = policy

    def render(self, request: Request) -> bytes | int:
        """Respond to GET, HEAD and OPTIONS, and reject other methods unless all are allowed."""
        rejection = None if self._any_method else respond_method_not_allowed(request)
        if rejection is not None:
            return rejection
        if self._policy is not None:
            request.setHeader(b"content-security-policy", self._policy)
        response = self._get_response()
        if isinstance(response, Deferred):
            return respond_later(request, response, lambda found: respond_text(request, *found))
        return respond_text(request, *response)


class MetricsResource(Resource):
    """Metrics in the text format of Prometheus.

    Args:
        get_metrics: Returns the metrics in this format, or a Deferred with them; called for each
            request.
    """

    isLeaf = True

    def __init__(self, get_metrics: Callable[[], bytes | Deferred[bytes]]) -> None:
        super().__init__()
        self._get_metrics = get_metrics

    def render(self, request: Request) -> bytes | int:
        """Respond to GET, HEAD and OPTIONS, and reject other methods."""
        if (rejection := respond_method_not_allowed(request)) is not None:
            return rejection
        metrics = self._get_metrics()
        if isinstance(metrics, Deferred):
            return respond_later(request, metrics, lambda found: respond(request, _METRICS_TYPE, found))
        return respond(request, _METRICS_TYPE, metrics)
