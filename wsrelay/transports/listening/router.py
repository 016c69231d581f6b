"""The router of new connections: one port for WebSockets, event streams and HTTP.

The router reads a request head, bounded in size and time, rejects invalid ones, and only then decides which protocol
serves the connection: an upgrade gets a WebSocket protocol, a GET at the path of streams a stream, everything else
twisted.web. The other protocols are never instantiated. An HTTP connection serves one request, so that every head
passes the router.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import urandom
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.server import Site
from zope.interface import implementer

from wsrelay.config import Settings
from wsrelay.core.access.client_address import UNREADABLE, client_address, client_is_secure, peer_address
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.flow.admission import Admission
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.core.wire.request_head import END_OF_HEAD, RequestHead, parse_head
from wsrelay.dialects import Route, find_route, subprotocols
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import DRAINING
from wsrelay.transports.lingering_close import REJECTED_CLIENT_LINGER_SECONDS, LingeringClose
from wsrelay.transports.listening.hand_over import hand_over, talk_to
from wsrelay.transports.listening.handshake_turns import HandshakeTurns, WaitingConnection
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.listening.socket_options import is_tls, peer_host, underlying
from wsrelay.transports.streams.connection import UNEXPECTED_BODY
from wsrelay.transports.streams.factory import StreamConnectionFactory
from wsrelay.transports.websocket.factory import WebSocketConnectionFactory
from wsrelay.transports.websocket.opening import Opening

__all__ = ["MAX_BODY_BYTES", "ConnectionRouter", "ConnectionRouterFactory", "Destination"]

MAX_BODY_BYTES = 64 * 1024
"""The largest body of a request for a stream. Centrifugo's, too."""

_HEAD_TOO_LONG = ErrorResponse(431, "The request head is longer than max_head_bytes.")
_HEAD_TOO_LATE = ErrorResponse(408, "The request head did not arrive in time.")
_NO_WEBSOCKET = ErrorResponse(404, "There is no WebSocket at this path. Use /ws/<channel>.")
_EVENT_STREAM = ErrorResponse(
    404, "This is the address of an event stream: read it with EventSource. WebSockets are at /ws/<channel>."
)
_OTHER_STREAM = ErrorResponse(404, "This is the address of a stream over HTTP, and no WebSocket.")
_BODY_TOO_LONG = ErrorResponse(413, f"The body of a request for a stream has at most {MAX_BODY_BYTES} bytes.")
_BODY_TOO_LATE = ErrorResponse(408, "The request body did not arrive in time.")
_NO_LENGTH = ErrorResponse(411, "The body of a request for a stream needs a Content-Length.")
_BAD_LENGTH = ErrorResponse(400, "The Content-Length is no number (RFC 9112 section 6.2).")
_VERSION = ErrorResponse(505, "The relay speaks HTTP/1.1.")
_NO_HOST = ErrorResponse(400, "A request has to have a Host field (RFC 9112 section 3.2).")

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


@dataclass(slots=True)
class Destination:
    """The destination of one client of a dialect.

    Attributes:
        route: The route that the request's path matches.
        handshake: The client's opening request.
        request: The request head.
        body_bytes: The length of the body that follows the head of a request for a stream.
    """

    route: Route
    handshake: Handshake
    request: RequestHead
    body_bytes: int = 0


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
            self._factory.release(self._begun)
        self._factory.http_connections.remove(underlying(self.transport))

    def _route(self, head: bytes, rest: bytes) -> None:
        try:
            destination = self._factory.check_request(self.transport, head)
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
        waiting = WaitingConnection(
            factory.turns,
            destination.handshake.peer,
            rest,
            lambda early: factory.start(self.transport, destination, early),
            lambda response: self._reject_waiting(destination, response),
        )
        factory.turns.wait(waiting, self.transport, size + len(rest))

    def _reject_waiting(self, destination: Destination, response: ErrorResponse) -> None:
        talk_to(self.transport, self)
        self._factory.http_connections.add(underlying(self.transport))
        self._reject(self._factory.error_response(destination, response))

    def _read_body(self, destination: Destination, data: bytes) -> None:
        self._body += data
        size = destination.body_bytes
        if len(self._body) < size:
            return
        destination.handshake.body, rest = self._body[:size], self._body[size:]
        self._body = b""
        try:
            self._factory.admit_stream(destination.handshake)
        except HTTPError as error:
            self._reject(error.response)
            return
        self._begin(destination, size, rest)

    def _reject(self, response: ErrorResponse) -> None:
        self._cancel_timer()
        self._head = self._body = b""
        self._factory.counters.requests_rejected[response.status] += 1
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
        settings: Limits, timeouts and trusted proxies.
        routes: The dialects that are spoken, and where.
        admission: Counts the connections that are no short HTTP requests.
        http_connections: The other ones.
        turns: Tells when handshakes begin.
        counters: Counts rejected requests.
        origins: Decides which origins may connect.
        rejections: Logs the clients that `origins` rejects.
        timers: Runs the timeouts.

    Attributes:
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
        routes: Sequence[Route],
        admission: Admission,
        http_connections: HTTPConnections,
        turns: HandshakeTurns,
        counters: Counters,
        origins: OriginPolicy,
        rejections: RejectionLog,
        timers: TimerWheel,
    ) -> None:
        self.settings = settings
        self.counters = counters
        self.timers = timers
        self.http_connections = http_connections
        self.turns = turns
        self._routes = routes
        self._subprotocols = subprotocols(routes)
        self._may_compress = settings.may_compress
        self._websockets = websockets
        self._streams = streams
        self._site = site
        self._admission = admission
        self._origins = origins
        self._rejections = rejections

    def buildProtocol(self, _address: IAddress | None) -> Protocol:
        return ConnectionRouter(self)

    def check_request(self, transport: Any, head: bytes) -> Destination | bytes:
        """Check a request head, and find its destination.

        Args:
            transport: The connection it arrived on.
            head: The head, up to and including the empty line at its end.

        Returns:
            The destination of a WebSocket handshake or of a request for a stream, which admission has counted unless
            its body is still to come; or the head of another HTTP request, its target without scheme and host.

        Raises:
            HTTPError: The head is malformed, no WebSocket is at its path, or the relay accepts no connections now.
            RejectedError: The origin may not connect.
        """
        request = parse_head(head, self._subprotocols, with_extensions=self._may_compress)
        fields = request.fields
        content_type = request.text(b"content-type") if b"content-type" in fields else ""
        route = find_route(self._routes, request.path, request.subprotocols, request.query, content_type)
        if request.is_upgrade:
            return self._check_websocket(transport, request, route)
        if route is not None and route.transport != "websocket" and request.method.decode() in route.methods:
            return self._check_stream(transport, request, route)
        return request.head

    def _check_websocket(self, transport: Any, request: RequestHead, route: Route | None) -> Destination:
        if self._websockets.connections.is_draining:
            raise HTTPError(DRAINING)
        if route is None:
            raise HTTPError(_NO_WEBSOCKET)
        if route.transport != "websocket":
            raise HTTPError(_EVENT_STREAM if route.transport == "sse" else _OTHER_STREAM)
        handshake = self._make_handshake(transport, request)
        self._check_origin(handshake)
        self._admission.admit(handshake.peer)
        return Destination(route, handshake, request)

    def _check_stream(self, transport: Any, request: RequestHead, route: Route) -> Destination:
        if request.version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise HTTPError(_VERSION)
        if b"host" not in request.fields and request.version == b"HTTP/1.1":
            raise HTTPError(_NO_HOST)
        body_bytes = _body_bytes(request)
        handshake = self._make_handshake(transport, request)
        if handshake.origin is None and request.text(b"sec-fetch-site") == "same-origin":
            self._origins.add_own_origin(handshake)
        self._check_origin(handshake)
        if not body_bytes:
            # Else once it is there: until then the connection is one of those that make room for others.
            self.admit_stream(handshake)
        return Destination(route, handshake, request, body_bytes)

    def admit_stream(self, handshake: Handshake) -> None:
        """Have admission count a request for a stream that is complete.

        Raises:
            HTTPError: The relay accepts no connections now.
        """
        if self._websockets.connections.is_draining:
            raise HTTPError(self._streams.error_response(handshake, DRAINING))
        try:
            self._admission.admit(handshake.peer)
        except HTTPError as error:
            raise HTTPError(self._streams.error_response(handshake, error.response)) from None

    def release(self, destination: Destination) -> None:
        """Have admission count a destination no more that nothing has been started for."""
        self._admission.release(destination.handshake.peer)

    def _check_origin(self, handshake: Handshake) -> None:
        if (client_error := self._origins.check(handshake)) is not None:
            self._rejections.record(client_error, handshake)
            raise RejectedError(client_error)

    def error_response(self, destination: Destination, response: ErrorResponse) -> ErrorResponse:
        """Return the form of a response that the client of a destination can make use of."""
        if destination.route.transport == "websocket":
            return response
        return self._streams.error_response(destination.handshake, response)

    def start(self, transport: Any, destination: Destination, rest: bytes) -> None:
        """Hand a connection over to the protocol of its destination.

        Args:
            transport: The connection.
            destination: The destination that `check_request` returned for it.
            rest: The bytes that arrived behind the request.
        """
        if destination.route.transport == "websocket":
            self.start_websocket(transport, destination, rest)
        else:
            self.start_stream(transport, destination, rest)

    def start_websocket(self, transport: Any, destination: Destination, rest: bytes) -> None:
        """Hand a connection over to a WebSocket protocol.

        Args:
            transport: The connection.
            destination: The destination that `check_request` returned for it.
            rest: The bytes that arrived behind the head.
        """
        request, opening = destination.request, None
        if request.key and self._websockets.opens_usual_handshakes:
            opening = Opening(request.key, request.subprotocols, request.offer)
        websocket = self._websockets.build(destination.route.dialect, destination.handshake, opening)
        self.promote(transport)
        hand_over(transport, websocket)
        if opening is None:
            websocket.dataReceived(request.websocket_head + rest)
        else:
            websocket.begin(rest)

    def start_stream(self, transport: Any, destination: Destination, rest: bytes) -> None:
        """Hand a connection over to a stream.

        Args:
            transport: The connection.
            destination: The destination that `check_request` returned for it.
            rest: The bytes that arrived behind the head.
        """
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

    def _make_handshake(self, transport: Any, request: RequestHead) -> Handshake:
        address = peer_address(peer_host(transport))
        proxies = self.settings.trusted_proxies
        # Without a call for each field, of which most are not there.
        fields = request.fields
        get = fields.get
        if proxies:
            address = client_address(address, request.text(b"x-forwarded-for"), proxies)
        if address == UNREADABLE:
            self._rejections.log_detail(
                "X-Forwarded-For has no address where trusted_proxies says that one is: such clients are counted "
                "together, and no ticket that is bound to an address is valid for them"
            )
        return Handshake(
            request.path,
            address,
            query=request.query,
            origin=get(b"origin", b"").decode("latin-1") if b"origin" in fields else None,
            host=get(b"host", b"").decode("latin-1"),
            authorization=get(b"authorization", b"").decode("latin-1"),
            cookie=get(b"cookie", b"").decode("latin-1"),
            subprotocols=request.subprotocols,
            is_secure=client_is_secure(is_tls(transport), get(b"x-forwarded-proto", b"").decode("latin-1"), proxies),
            accept=get(b"accept", b"").decode("latin-1"),
            last_event_id=get(b"last-event-id", b"").decode("latin-1") if b"last-event-id" in fields else None,
            # As `secrets.token_hex`, without its three calls.
            connection=urandom(8).hex(),
        )


def _body_bytes(request: RequestHead) -> int:
    """Return the length of the body of a request for a stream.

    Raises:
        HTTPError: It has none that is permitted.
    """
    if not request.has_body:
        return 0
    if request.method == b"GET":
        raise HTTPError(UNEXPECTED_BODY)
    text = request.fields.get(b"content-length")
    if text is None:
        raise HTTPError(_NO_LENGTH)
    if not text.isdigit():
        raise HTTPError(_BAD_LENGTH)
    # A text that no `int` reads is too long as well.
    if len(text) > 10 or int(text) > MAX_BODY_BYTES:
        raise HTTPError(_BODY_TOO_LONG)
    return int(text)
