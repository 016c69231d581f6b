"""Connections of the HTTP client, and the bodies that they carry. Works around what twisted.web 26.10 lacks."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ResponseDone, _HTTP11ClientFactory
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from wsrelay.core.outcomes.errors import FetchError

__all__ = ["MAX_BODY_BYTES", "BodyReader", "ConnectionPool", "RequestBody"]

MAX_BODY_BYTES = 64 * 1024
"""The longest body of a response. No response that is of use here is longer."""

MAX_IDLE_CONNECTIONS = 8
"""The most idle connections to one server."""

IDLE_SECONDS = 1
"""How long an idle connection is kept.

Shorter than servers keep theirs (gunicorn: 2 s, Node.js: 5 s): a POST on a connection that the server is just closing
is lost, and must not be sent again (RFC 9110 section 9.2.2).
"""


class _QuietFactory(_HTTP11ClientFactory):
    # Otherwise each connection writes two lines to the log.
    noisy = False


class ConnectionPool(HTTPConnectionPool):
    """Keeps idle connections for `IDLE_SECONDS`."""

    maxPersistentPerHost = MAX_IDLE_CONNECTIONS  # noqa: N815 -- twisted.web's name
    cachedConnectionTimeout = IDLE_SECONDS  # noqa: N815 -- twisted.web's name
    _factory = _QuietFactory

    def stop_reusing(self) -> None:
        """Use every connection for one request from now on, because the server does not keep them open."""
        if self.persistent:
            self.persistent = False
            # A response without a body has returned its connection already.
            self.closeCachedConnections()

    def _putConnection(self, key: Any, connection: Any) -> None:  # noqa: N802 -- twisted.web's name
        if self.persistent:
            super()._putConnection(key, connection)
        else:
            # Its request was made before the version of the server's HTTP was known.
            connection.transport.loseConnection()


@implementer(IBodyProducer)
class RequestBody:
    """The body of a request, written at once. Twisted.web's own producer runs on the clock of the global reactor.

    Args:
        body: The bytes.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the body.

        Returns:
            Has fired with None.
        """
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: nothing is left to be written."""

    resumeProducing = stopProducing = pauseProducing


class BodyReader(Protocol):
    """Reads the body of a response, up to `MAX_BODY_BYTES`.

    Not twisted.web's `readBody`: that of 26.10 does not end the connection when it is cancelled, and logs a traceback
    when the connection then ends by itself.

    Attributes:
        done: Fires with the body. A body without a length ends with the connection, as in HTTP/1.0 (RFC 9112 section
            6.3); a whole one cannot be told from half of one, which its reader has to do. Fails with `FetchError` if
            it is too long, and with the reason if the connection ends before the body does. Cancelling it aborts the
            connection.
    """

    def __init__(self) -> None:
        self._body = bytearray()
        self.done: Deferred[bytes] = Deferred(self._abort)

    def dataReceived(self, data: bytes) -> None:
        """Collect a part of the body."""
        self._body += data
        if len(self._body) > MAX_BODY_BYTES and not self.done.called:
            self._abort()
            self.done.errback(FetchError(f"its answer is longer than {MAX_BODY_BYTES} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Handle the end of the body, or of the connection."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._body))
        else:
            self.done.errback(reason)

    def _abort(self, _cancelled: object = None) -> None:
        # No public method aborts a connection in the middle of a response: the proxy between this protocol and the
        # connection offers loseConnection alone, which over TLS waits until the peer agrees.
        proxy: Any = self.transport
        if (connection := proxy._producer) is not None:  # noqa: SLF001 -- it has no way to abort
            connection.abortConnection()
