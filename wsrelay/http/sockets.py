"""What is at the paths of WebSockets for those who come without one, or by a kept-alive HTTP connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from wsrelay.core.errors import RefusedError
from wsrelay.core.handshake import Refusal
from wsrelay.http.answers import plain

__all__ = ["SocketPath", "Upgrade"]

Upgrade = Callable[[Any, bytes, bytes], None]
"""Takes a transport over from twisted.web: transport, request head, what came behind it.

Raises `wsrelay.core.errors.RefusedError` if the client is turned away; the transport is then still twisted.web's.
"""

_NOT_AN_UPGRADE = Refusal(
    426,
    "This is the address of a WebSocket. Connect with a WebSocket client, in a browser: "
    "new WebSocket('wss://' + location.host + '/ws/<channel>').",
    (("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
_NOT_GET = Refusal(405, "A WebSocket handshake is a GET (RFC 6455 section 4.1).", (("Allow", "GET"),))


class SocketPath(Resource):
    """Answers plain requests with what to do instead, and gives upgrades back to the front door.

    Args:
        upgrade: The way back to the door.
    """

    isLeaf = True

    def __init__(self, upgrade: Upgrade) -> None:
        super().__init__()
        self._upgrade = upgrade

    def render(self, request: Request) -> bytes | int:
        """Answer, or let go of the connection."""
        if request.method not in (b"GET", b"HEAD"):
            return _answer(request, _NOT_GET)
        if request.method == b"GET" and b"websocket" in (request.getHeader(b"upgrade") or b"").lower():
            try:
                return self._give_back(request)
            except RefusedError as error:
                return _answer(request, error.refusal)
        return _answer(request, _NOT_AN_UPGRADE)

    def _give_back(self, request: Request) -> int:
        channel: Any = request.channel
        lines = [b" ".join((request.method, request.uri, request.clientproto))]
        for name, values in request.requestHeaders.getAllRawHeaders():
            lines.extend(name + b": " + value for value in values)
        # What the client sent behind its request waits in the channel until the request is answered, and before that
        # in its buffer of lines.
        rest = b"".join(channel._dataBuffer) + channel.clearLineBuffer()  # noqa: SLF001 -- guarded by a test
        transport = channel.transport
        self._upgrade(transport, b"\r\n".join(lines) + b"\r\n\r\n", rest)
        # From here on the channel is nobody's: no timer of it may close the connection, nothing may be written.
        channel.setTimeout(None)
        channel.transport = None
        return NOT_DONE_YET


def _answer(request: Request, refusal: Refusal) -> bytes:
    for name, value in refusal.headers:
        request.setHeader(name.encode(), value.encode())
    return plain(request, refusal.status, refusal.text)
