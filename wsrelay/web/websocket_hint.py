"""The response to plain HTTP requests at the paths of WebSockets."""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import RAW
from wsrelay.web.handshake_check import HandshakeCheck
from wsrelay.web.plain_handshake import plain_handshake
from wsrelay.web.responses import respond_text

__all__ = ["WebSocketHint"]

_UPGRADE_HEADERS = (("Upgrade", "websocket"), ("Connection", "Upgrade, close"))
_RAW = ErrorResponse(
    426,
    "This is the address of a WebSocket. Connect with a WebSocket client, in a browser: "
    "new WebSocket('wss://' + location.host + '/ws/<channel>').",
    _UPGRADE_HEADERS,
)
_OTHER = ErrorResponse(
    426,
    "This is the address of a WebSocket. Connect with a client library of the protocol that is spoken here.",
    _UPGRADE_HEADERS,
)
_NOT_GET = ErrorResponse(405, "A WebSocket handshake is a GET (RFC 6455 section 4.1).", (("Allow", "GET"),))


class WebSocketHint(Resource):
    """Explains how to connect, or why a handshake would be rejected.

    Handshakes themselves never arrive here: the router hands them to the WebSocket transport.

    Args:
        check: Finds the reason.
        trusted_proxies: How many proxies in front of the relay append to X-Forwarded-Proto.
    """

    isLeaf = True

    def __init__(self, check: HandshakeCheck, trusted_proxies: int) -> None:
        super().__init__()
        self._check = check
        self._trusted_proxies = trusted_proxies

    def render(self, request: Request) -> bytes:
        """Respond to GET and HEAD as to a handshake that is rejected, else with 426; to other methods with 405."""
        if request.method in (b"GET", b"HEAD"):
            handshake = plain_handshake(request, self._trusted_proxies)
            hint = _RAW if f"{handshake.path}/".startswith(RAW.path) else _OTHER
            response = self._check.find_error(handshake) or hint
        else:
            response = _NOT_GET
        for name, value in response.headers:
            request.setHeader(name.encode(), value.encode())
        return respond_text(request, response.status, response.text)
