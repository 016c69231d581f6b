"""The router of new connections: one port for WebSockets, event streams and HTTP.

The router reads a request head, bounded in size and time, rejects invalid ones (`request_checks`), and only then
decides which protocol serves the connection: an upgrade gets a WebSocket protocol, a GET at the path of streams a
stream, everything else twisted.web. The other protocols are never instantiated. An HTTP connection serves one request,
so that every head passes the router.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.server import Site
from zope.interface import implementer

from wsrelay.config import Settings
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.core.wire.request_head import END_OF_HEAD
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.metrics.counters import Counters
from wsrelay.transports.lingering_close import REJECTED_CLIENT_LINGER_SECONDS, LingeringClose
from wsrelay.transports.listening.hand_over import hand_over, talk_to
from wsrelay.transports.listening.handshake_turns import HandshakeTurns, WaitingConnection
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.listening.request_checks import Destination, RequestChecks
from wsrelay.transports.listening.socket_options import underlying
from wsrelay.transports.streams.factory import StreamConnectionFactory
from wsrelay.transports.websocket.factory import WebSocketConnectionFactory
from wsrelay.transports.websocket.opening import Opening

__all__ = ["ConnectionRouter", "ConnectionRouterFactory"]

_HEAD_TOO_LONG = ErrorResponse(431, "The request head is longer than max_head_bytes.")
_HEAD_TOO_LATE = ErrorResponse(408, "The request head did not arrive in time.")
_BODY_TOO_LATE = ErrorResponse(408, "The request body did not arrive in time.")
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


@implementer(IHalfCloseableProtocol)
class ConnectionRouter(Protocol):
    """Reads the first request head of a connection, and hands the connection over to the protocol that serves it.

    Of a request for a stream it reads the body as well, before the same deadline.

    Args:
        factory: Checks requests and starts protocols.
    """

    _head = _body = b""
    # The destination that a body is read for.
    _destination: Destination | None = None
    # The destination that admission has counted, while no other protocol is known to have taken that over.
    _begun: Destination | None = None
    _timer: WheelTimer | None = None
    _closing: LingeringClose | None = None

    def __init__(self, factory: ConnectionRouterFactory) -> None:
        self._factory = factory

    @property
    def buffered_bytes(self) -> int:
        """The size of the incomplete head or body that has arrived."""
        return len(self._head) + len(self._body)

    def connectionMade(self) -> None:
        # In a crowd most heads are there by now, and nothing is waited for. Above TLS, which passes on what it is asked
        # for, this protocol is known to nobody who could tell it.
        is_read_at_once = not isinstance(self.transport, ProtocolWrapper) and getattr(
            self.transport, "is_read_at_once", False
        )
        if not is_read_at_once:
            self.wait()

    def wait(self) -> None:
        """See `PatientProtocol.wait`."""
        factory, transport = self._factory, underlying(self.transport)
        if not transport.connected:
            return
        factory.http_connections.add(transport)
        if self._closing is None:
            self._timer = factory.timers.call_later(factory.settings.handshake_timeout_seconds, self._on_head_timeout)

    def dataReceived(self, data: bytes) -> None:
        if self._closing is not None:
            self._closing.discard(len(data))
            return
        if self._destination is not None:
            self._read_body(self._destination, data)
            return
        self._head = data = self._head + data
        # RFC 9112 section 2.2: ignore empty lines before the request line.
        if data[:1] == b"\r" and (empty := _EMPTY_LINES.match(data)) is not None:
            self._head = data = data[empty.end() :]
        end = data.find(END_OF_HEAD)
        # An incomplete head is at least one byte longer than its part that has arrived.
        size = end + len(END_OF_HEAD) if end >= 0 else len(data) + 1
        if size > self._factory.settings.max_head_bytes:
            self._reject(_HEAD_TOO_LONG)
        elif end >= 0:
            self._route(data[:size], data[size:])

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`."""
        if self._closing is not None:
            self._closing.peer_ended()
        else:
            # A request that will never be complete.
            transport: Any = self.transport
            transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.writeConnectionLost`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_timer()
        if self._closing is not None:
            self._closing.cancel()
        if self._begun is not None:
            # It has failed.
            self._factory.checks.release(self._begun)
        self._factory.http_connections.remove(underlying(self.transport))

    def _route(self, head: bytes, rest: bytes) -> None:
        try:
            destination = self._factory.checks.check_request(self.transport, head)
        except HTTPError as error:
            self._reject(error.response)
            return
        except RejectedError as error:
            self._reject(error.client_error.response)
            return
        if isinstance(destination, Destination) and destination.body_bytes:
            self._destination, self._head = destination, b""
            self._read_body(destination, rest)
            return
        if isinstance(destination, Destination):
            # The head lives on in the handshake.
            self._begin(destination, len(head), rest)
        else:
            # Probes, metrics and the API never wait.
            self._cancel_timer()
            self._factory.start_http(self.transport, destination + rest)

    def _begin(self, destination: Destination, size: int, rest: bytes) -> None:
        """Begin a handshake that admission has counted, or have it wait for its turn."""
        self._cancel_timer()
        factory = self._factory
        began = factory.turns.may_begin()
        if began is not None:
            self._begun = destination
            factory.start(self.transport, destination, rest)
            factory.turns.ended(began)
            return
        self._head = b""
        factory.promote(self.transport)
        waiting = WaitingConnection(factory.turns, self, destination, rest)
        factory.turns.wait(waiting, self.transport, size + len(rest))

    def begin_handshake(self, destination: Destination, early: bytes) -> None:
        """See `HandshakeStarter.begin_handshake`."""
        self._factory.start(self.transport, destination, early)

    def reject_handshake(self, destination: Destination, response: ErrorResponse) -> None:
        """See `HandshakeStarter.reject_handshake`."""
        talk_to(self.transport, self)
        self._factory.http_connections.add(underlying(self.transport))
        self._reject(self._factory.checks.error_response(destination, response))

    def _read_body(self, destination: Destination, data: bytes) -> None:
        self._body += data
        size = destination.body_bytes
        if len(self._body) < size:
            return
        destination.handshake.body, rest = self._body[:size], self._body[size:]
        self._body = b""
        try:
            self._factory.checks.admit_stream(destination.handshake)
        except HTTPError as error:
            self._reject(error.response)
            return
        self._begin(destination, size, rest)

    def _reject(self, response: ErrorResponse) -> None:
        self._cancel_timer()
        self._head = self._body = b""
        self._factory.counters.requests_rejected[response.status] += 1
        self._factory.checks.log_rejection(response, self.transport)
        transport: Any = self.transport
        transport.write(response.to_bytes())
        self._closing = LingeringClose(transport, self._factory.timers.call_later, REJECTED_CLIENT_LINGER_SECONDS)
        self._closing.start()

    def _on_head_timeout(self) -> None:
        if self._destination is not None:
            self._reject(_BODY_TOO_LATE)
        elif self._head:
            self._reject(_HEAD_TOO_LATE)
        else:
            # Browsers open connections ahead of need: without a request nothing waits for a response.
            transport: Any = self.transport
            transport.abortConnection()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ConnectionRouterFactory(Factory):
    """Makes the routers of one process, and starts the protocols that they hand connections over to.

    Args:
        websockets: Makes WebSocket connections.
        streams: Makes event streams.
        site: Serves HTTP requests.
        settings: Limits and timeouts.
        checks: Checks requests, and has admission count those that are no short HTTP requests.
        http_connections: The other ones.
        turns: Tells when handshakes begin.
        counters: Counts rejected requests.
        timers: Runs the timeouts.

    Attributes:
        checks: Checks requests.
        http_connections: The connections that are no WebSockets and no streams, or not yet.
        turns: Tells when handshakes begin; those that wait are in neither set.
    """

    noisy = False

    needs_address = False
    """True if `buildProtocol` looks at the address."""

    def __init__(
        self,
        websockets: WebSocketConnectionFactory,
        streams: StreamConnectionFactory,
        site: Site,
        settings: Settings,
        *,
        checks: RequestChecks,
        http_connections: HTTPConnections,
        turns: HandshakeTurns,
        counters: Counters,
        timers: TimerWheel,
    ) -> None:
        self.settings = settings
        self.checks = checks
        self.counters = counters
        self.timers = timers
        self.http_connections = http_connections
        self.turns = turns
        self._websockets = websockets
        self._streams = streams
        self._site = site

    def buildProtocol(self, _address: IAddress | None) -> Protocol:
        return ConnectionRouter(self)

    def start(self, transport: Any, destination: Destination, rest: bytes) -> None:
        """Hand a connection over to the protocol of its destination.

        Args:
            transport: The connection.
            destination: The destination that `RequestChecks.check_request` returned for it.
            rest: The bytes that arrived behind the request.
        """
        if destination.route.transport == "websocket":
            self._start_websocket(transport, destination, rest)
        else:
            self._start_stream(transport, destination, rest)

    def _start_websocket(self, transport: Any, destination: Destination, rest: bytes) -> None:
        request, opening = destination.request, None
        if destination.key and self._websockets.opens_usual_handshakes:
            opening = Opening(destination.key, request.subprotocols, request.offer)
        websocket = self._websockets.build(destination.route.dialect, destination.handshake, opening)
        self.promote(transport)
        hand_over(transport, websocket)
        if opening is None:
            websocket.dataReceived(request.websocket_head + rest)
        else:
            websocket.begin(rest)

    def _start_stream(self, transport: Any, destination: Destination, rest: bytes) -> None:
        stream = self._streams.build(destination.route, destination.handshake)
        self.promote(transport)
        hand_over(transport, stream)
        if rest:
            stream.dataReceived(rest)

    def start_http(self, transport: Any, data: bytes) -> None:
        """Hand a connection over to twisted.web.

        Args:
            transport: The connection.
            data: All bytes that have arrived.
        """
        channel: Any = self._site.buildProtocol(transport.getPeer())
        tcp = underlying(transport)
        self.http_connections.add(tcp)
        channel.call_when_lost(lambda: self.http_connections.remove(tcp))
        hand_over(transport, channel)
        channel.dataReceived(data)

    def promote(self, transport: Any) -> None:
        """Take a connection out of the set of HTTP connections, because it stays open, as WebSockets and streams do.

        It is no longer aborted to make room for others, and a drain does not wait for it as for a short request. Its
        protocol has it counted by admission instead, and released when the connection is lost.

        Args:
            transport: The connection. It may have left the set already.
        """
        self.http_connections.remove(underlying(transport))
