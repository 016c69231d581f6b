"""What is at the paths of WebSockets for those who come without one."""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.web.responses import plain

__all__ = ["SocketPath"]

_NOT_AN_UPGRADE = ErrorResponse(
    426,
    "This is the address of a WebSocket. Connect with a WebSocket client, in a browser: "
    "new WebSocket('wss://' + location.host + '/ws/<channel>').",
    (("Upgrade", "websocket"), ("Connection", "Upgrade, close")),
)
_NOT_GET = ErrorResponse(405, "A WebSocket handshake is a GET (RFC 6455 section 4.1).", (("Allow", "GET"),))


class SocketPath(Resource):
    """Answers plain requests with what to do instead; handshakes have left at the front door."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """Answer."""
        response = _NOT_AN_UPGRADE if request.method in (b"GET", b"HEAD") else _NOT_GET
        for name, value in response.headers:
            request.setHeader(name.encode(), value.encode())
        return plain(request, response.status, response.text)
