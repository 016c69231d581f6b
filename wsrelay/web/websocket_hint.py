"""The response to plain HTTP requests at the paths of WebSockets."""

from __future__ import annotations

from urllib.parse import urlsplit

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.access.client_address import client_is_secure
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import RAW
from wsrelay.web.handshake_check import HandshakeCheck
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
            handshake = self._handshake(request)
            hint = _RAW if f"{handshake.path}/".startswith(RAW.path) else _OTHER
            response = self._check.find_error(handshake) or hint
        else:
            response = _NOT_GET
        for name, value in response.headers:
            request.setHeader(name.encode(), value.encode())
        return respond_text(request, response.status, response.text)

    def _handshake(self, request: Request) -> Handshake:
        """Return the handshake that the client would send to this address."""
        path, _, query = request.uri.decode("latin-1").partition("?")
        return Handshake(
            path,
            peer="",
            query=query,
            origin=_joined(request, "origin") or _origin_of_script(request),
            host=_joined(request, "host") or "",
            authorization=_joined(request, "authorization") or "",
            cookie=_joined(request, "cookie", "; ") or "",
            is_secure=client_is_secure(
                request.isSecure(), _joined(request, "x-forwarded-proto") or "", self._trusted_proxies
            ),
        )


def _joined(request: Request, name: str, separator: str = ",") -> str | None:
    values = request.requestHeaders.getRawHeaders(name.encode())
    return None if values is None else separator.join(value.decode("latin-1") for value in values)


def _origin_of_script(request: Request) -> str | None:
    """Return the origin of the page whose script makes a request.

    Browsers send no Origin with a GET to the page's own host, as they do with every handshake (Fetch, section 3.2). A
    script that sets `referrerPolicy: "origin"` sends it in Referer. A link's Referer says where the visitor comes from,
    which is no page that connects.
    """
    referer = _joined(request, "referer")
    if referer is None or _joined(request, "sec-fetch-mode") == "navigate":
        return None
    try:
        parts = urlsplit(referer)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else None
