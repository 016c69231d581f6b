"""One HTTP request on one connection.

There is no second one: whoever comes passes the front door, which reads each head by its own rules and within its own
deadline. With connections that are kept alive, another parser would read the heads to come by other rules, answers that
nobody reads would pile up, and idle connections would take the room of those who want in.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request

from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["MAX_DROPPED_BYTES", "OneRequest", "OneRequestChannel"]

LINGER_SECONDS = 5.0
"""How long a client may take to read its answer before its connection is reset."""

MAX_DROPPED_BYTES = 64 * 1024
"""As much of a body that nobody wants is read, so that the client sees its answer."""

_BODY_TOO_BIG = ErrorResponse(413, "No route here takes a request body of this size.")


class OneRequestChannel(HTTPChannel):
    """The connection: its request is complete in time, or it ends; its answer is read in time, or it is reset."""

    site: Any
    when_lost: Callable[[], None] | None = None
    _timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        # A body has to be here within the site's timeout, which each byte of it would put off.
        self._wait(self.site.timeOut)

    def checkPersistence(self, request: HTTPRequest, version: bytes) -> bool:
        """Never; and the client is told so."""
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return False

    def request_received(self) -> None:
        """The request is complete; how long its answer takes is the relay's own affair."""
        self._cancel()

    def loseConnection(self) -> None:
        super().loseConnection()
        self._wait(LINGER_SECONDS)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel()
        if self.when_lost is not None:
            self.when_lost()
        super().connectionLost(reason)

    def _abort(self) -> None:
        self._timer = None
        transport: Any = self.transport
        transport.abortConnection()

    def _wait(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.callLater(seconds, self._abort)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class OneRequest(Request):
    """A request that cannot fill the memory or the disk with its body."""

    channel: Any

    _received = 0
    _refused = False
    _is_wanted = False
    _most = 0

    def gotLength(self, length: int | None) -> None:
        # Not twisted.web's own, which opens a file for a body of unknown length.
        self.content = BytesIO()
        # The body of a request that no route takes, or whose sender has no key, is read and dropped.
        self._is_wanted = self.channel.site.wants_body(self)
        self._most = self.channel.site.max_body_bytes if self._is_wanted else MAX_DROPPED_BYTES
        if length is not None and length > self._most:
            self._too_big()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._most:
            self._too_big()
        elif self._is_wanted:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # The end of a refused body may stand in the buffer already; a second answer must not.
        if not self._refused:
            self.channel.request_received()
            super().requestReceived(command, path, version)

    def process(self) -> None:
        if self.path == b"*":
            # twisted.web would answer OPTIONS * itself, with its name and version; so it is a path like any other.
            self.path = b"/*"
        super().process()

    def _too_big(self) -> None:
        if not self._refused:
            self._refused = True
            self.channel.transport.write(_BODY_TOO_BIG.to_bytes())
            self.channel.loseConnection()
