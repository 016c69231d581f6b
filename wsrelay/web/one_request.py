"""HTTP connections that serve one request.

Every request passes the router, which reads each head by its own rules and within its own deadline. On connections that
are kept alive another parser would read the later heads by other rules, pipelined responses that the client does not
read would pile up, and idle connections would use the slots of new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request
from zope.interface import implementer

from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.transports.lingering_close import LingeringClose

__all__ = ["MAX_DROPPED_BYTES", "RESPONSE_LINGER_SECONDS", "OneRequest", "OneRequestChannel"]

RESPONSE_LINGER_SECONDS = 5.0
"""The time that a client has to read its response before its connection is reset."""

MAX_DROPPED_BYTES = 64 * 1024
"""The largest body that is read and dropped where no route needs it, so that the client sees its response."""

_UNEXPECTED_BODY = ErrorResponse(
    413, "The request body is too large: this request needs none, or lacks a valid API key."
)
_BODY_TOO_LATE = ErrorResponse(408, "The request body did not arrive in time.")
_MALFORMED_REQUEST = ErrorResponse(400, "The request is malformed (RFC 9112).")


@implementer(IHalfCloseableProtocol)
class OneRequestChannel(HTTPChannel):
    """One connection. It ends if its request does not arrive, or its response is not read, in time."""

    site: Any
    _on_lost: Callable[[], None] | None = None
    _timer: IDelayedCall | None = None
    _closing: LingeringClose | None = None
    _is_request_complete = False
    _peer_has_ended = False

    def call_when_lost(self, call: Callable[[], None]) -> None:
        """Set the function to call when the connection is lost."""
        self._on_lost = call

    def connectionMade(self) -> None:
        super().connectionMade()
        # A deadline for the whole body. The site's own timeout would begin anew with each byte of it, and logs a line.
        self.setTimeout(None)
        self._timer = self.callLater(self.site.timeOut, self._body_timed_out)

    def dataReceived(self, data: bytes) -> None:
        if self._closing is not None:
            self._closing.discard(len(data))
        else:
            super().dataReceived(data)

    def checkPersistence(self, request: HTTPRequest, version: bytes) -> bool:
        """Return False, and announce the end of the connection to the client."""
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return False

    def request_received(self) -> None:
        """Stop the deadline: the request is complete, and the relay alone is responsible for the response time."""
        self._is_request_complete = True
        self._cancel_timer()

    def reject(self, response: ErrorResponse) -> None:
        """Send a response before the request is complete, and end the connection; nothing if it is ending already."""
        if self._closing is None:
            transport: Any = self.transport
            transport.write(response.to_bytes())
            self.loseConnection()

    def loseConnection(self) -> None:
        # Not twisted.web's own, which resets a connection whose client still sends.
        if self._closing is None:
            self._cancel_timer()
            # What has arrived behind the end is not parsed.
            self.clearLineBuffer()
            transport: Any = self.transport
            transport.unregisterProducer()
            # Reading is paused where bytes have arrived behind the request.
            transport.resumeProducing()
            self._closing = LingeringClose(
                transport, self.callLater, RESPONSE_LINGER_SECONDS, peer_has_ended=self._peer_has_ended
            )
            self._closing.start()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`: a client that has sent its request gets its response."""
        self._peer_has_ended = True
        if self._closing is not None:
            self._closing.peer_ended()
        elif not self._is_request_complete:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.writeConnectionLost`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_timer()
        if self._closing is not None:
            self._closing.cancel()
        if self._on_lost is not None:
            self._on_lost()
        super().connectionLost(reason)

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 -- twisted.web's name
        # Its own response is empty.
        self.reject(_MALFORMED_REQUEST)

    def _body_timed_out(self) -> None:
        self._timer = None
        self.reject(_BODY_TOO_LATE)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class OneRequest(Request):
    """A request whose body cannot fill the memory or the disk."""

    channel: Any

    _received_bytes = 0
    _is_rejected = False
    _has_key = False
    _keeps_body = False
    _max_body_bytes = 0

    def gotLength(self, length: int | None) -> None:
        # Instead of twisted.web's own, which opens a file for a body of unknown length.
        self.content = BytesIO()
        # A body that no route needs, or whose sender has no key, is read and dropped.
        site = self.channel.site
        self._has_key = site.has_key(self)
        self._keeps_body = self._has_key or site.keeps_short_bodies
        self._max_body_bytes = site.max_body_bytes if self._has_key else MAX_DROPPED_BYTES
        if length is not None and length > self._max_body_bytes:
            self._reject()

    def handleContentChunk(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._received_bytes > self._max_body_bytes:
            self._reject()
        elif self._keeps_body:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # The end of a rejected body may be in the buffer already; it must not cause a second response.
        if not self._is_rejected:
            self.channel.request_received()
            super().requestReceived(command, path, version)

    def process(self) -> None:
        if self.path == b"*":
            # twisted.web would respond to OPTIONS * itself, with its name and version. It asks about the whole server.
            self.path = b"/" if self.method == b"OPTIONS" else b"/*"
        super().process()

    def _reject(self) -> None:
        if not self._is_rejected:
            self._is_rejected = True
            # The client must not be told to go on (RFC 9110 section 10.1.1), as twisted.web would do now.
            self.requestHeaders.removeHeader(b"expect")
            self.channel.reject(self._body_too_large())

    def _body_too_large(self) -> ErrorResponse:
        if not self._has_key:
            return _UNEXPECTED_BODY
        return ErrorResponse(
            413, f"The body is longer than {self._max_body_bytes} bytes. Raise api_max_body_bytes.", is_json=True
        )
