"""The response to plain HTTP requests at the paths of WebSockets."""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.web.responses import respond_text

__all__ = ["WebSocketHint"]

_NOT_AN_UPGRADE = ErrorResponse(
    426,
    "This is the address of a WebSocket. Connect with a WebSocket client, in a browser: "
    "new WebSocket('wss://' + location.host + '/ws/<channel>').",
    (("Upgrade", "websocket"), ("Connection", "Upgrade, close")),
)
_NOT_GET = ErrorResponse(405, "A WebSocket handshake is a GET (RFC 6455 section 4.1).", (("Allow", "GET"),))


class WebSocketHint(Resource):
    """Explains how to connect. Handshakes never arrive here: the router hands them to the WebSocket transport."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """Respond with 426 to GET and HEAD, and with 405 to other methods."""
        response = _NOT_AN_UPGRADE if request.method in (b"GET", b"HEAD") else _NOT_GET
        for name, value in response.headers:
            request.setHeader(name.encode(), value.encode())
        return respond_text(request, response.status, response.text)
