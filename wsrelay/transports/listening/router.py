"""The front door: one port for WebSocket and HTTP.

The door reads a request head, at most so long and for at most so long, refuses what has no business there, and only
then decides whose connection this is: an upgrade gets a WebSocket protocol, everything else twisted.web. The other
one's objects are never made. There is one request on an HTTP connection, so that every head is read here.
"""

from __future__ import annotations

import re
from secrets import token_hex
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.server import Site

from wsrelay.config import Settings
from wsrelay.core.access.client_address import client_address, client_is_secure
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.core.wire.request_head import END_OF_HEAD, RequestHead, parse_head
from wsrelay.dialects import SUBPROTOCOLS, find_dialect
from wsrelay.engine.timers import WheelTimer
from wsrelay.transports.listening.socket_options import underlying
from wsrelay.transports.websocket.protocol import STOPPING, WebSocketConnectionFactory

__all__ = ["ConnectionRouter", "ConnectionRouterFactory"]

LEAST_ROOM = 64
"""Connections that are no WebSockets, beside a tenth of those that are: requests, and handshakes that have begun. Where
there are more the oldest has to go, and not who comes: that one has had its time."""

LINGER_SECONDS = 2.0
"""How long a refused client may take to read why before its connection is reset."""

_TOO_LONG = ErrorResponse(431, "The request head is too long for max_head_bytes.")
_TOO_SLOW = ErrorResponse(408, "The request head did not come in time.")
_NO_SOCKET_HERE = ErrorResponse(404, "No WebSocket lives here. Use /ws/<channel>.")

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


class ConnectionRouter(Protocol):
    """Reads the first request head of a connection, hands the connection over, and is gone.

    Args:
        factory: Decides who is admitted, and to whom.
    """

    def __init__(self, factory: ConnectionRouterFactory) -> None:
        self._house = factory
        self._head = b""
        self._timer: WheelTimer | None = None
        self._refused = False

    def connectionMade(self) -> None:
        self._house.receive(underlying(self.transport))
        self._wait(self._house.settings.handshake_timeout_seconds, self._too_slow)

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        self._head += data
        # RFC 9112 section 2.2: an empty line before the request line is to be ignored.
        if (empty := _EMPTY_LINES.match(self._head)) is not None:
            self._head = self._head[empty.end() :]
        end = self._head.find(END_OF_HEAD)
        # A head that has not ended is at least one byte longer than what came of it.
        cut = end + len(END_OF_HEAD) if end >= 0 else len(self._head) + 1
        if cut > self._house.settings.max_head_bytes:
            self._refuse(_TOO_LONG)
        elif end >= 0:
            self._decide(self._head[:cut], self._head[cut:])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel()
        self._house.left(underlying(self.transport))

    def _decide(self, head: bytes, rest: bytes) -> None:
        try:
            request, handshake = self._house.admit(self.transport, head)
        except HTTPError as error:
            self._refuse(error.response)
            return
        except RejectedError as error:
            self._refuse(error.client_error.response)
            return
        self._cancel()
        if handshake is not None:
            self._house.hand_to_socket(self.transport, request, handshake, rest)
        else:
            self._house.hand_to_site(self.transport, head + rest)

    def _refuse(self, response: ErrorResponse) -> None:
        self._refused = True
        self._head = b""
        self._house.counters.requests_rejected[response.status] += 1
        transport: Any = self.transport
        transport.write(response.to_bytes())
        # Closing now, with input unread, would reset the connection and the client would never see the answer
        # (RFC 9112 section 9.6): say that nothing more comes, read on for a moment, then end it.
        if hasattr(transport, "loseWriteConnection") and not isinstance(transport, ProtocolWrapper):
            transport.loseWriteConnection()
        else:
            transport.loseConnection()
        self._wait(LINGER_SECONDS, transport.abortConnection)

    def _too_slow(self) -> None:
        if self._head:
            self._refuse(_TOO_SLOW)
        else:
            # Browsers open connections ahead of need; nobody waits for an answer on one without a request.
            transport: Any = self.transport
            transport.abortConnection()

    def _wait(self, seconds: float, call: Any) -> None:
        self._cancel()
        self._timer = self._house.wheel.call_later(seconds, call)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ConnectionRouterFactory(Factory):
    """The door of one process.

    Args:
        sockets: Makes WebSocket connections.
        site: Serves everything else.
        settings: The operator's decisions.
    """

    noisy = False

    def __init__(self, sockets: WebSocketConnectionFactory, site: Site, settings: Settings) -> None:
        self._sockets = sockets
        self._site = site
        self.settings = settings
        self.wheel = sockets.wheel
        self.counters = sockets.node.counters
        # By the innermost transport, which stays the same whatever protocol a connection is given to.
        self._guests: dict[Any, None] = {}
        self._origins = OriginPolicy(settings.origins, require=settings.require_origin)
        self.room = sockets.admission.max_connections // 10 + LEAST_ROOM

    @property
    def guests(self) -> int:
        """How many connections are no WebSockets, or not yet."""
        return len(self._guests)

    def buildProtocol(self, _address: IAddress | None) -> Protocol:
        return ConnectionRouter(self)

    def receive(self, tcp: Any) -> None:
        """Count one more connection that is no WebSocket, or not yet; if it is one too many the oldest goes."""
        if len(self._guests) >= self.room:
            self.counters.requests_rejected[503] += 1
            oldest = next(iter(self._guests))
            del self._guests[oldest]
            # Without a word: there is no descriptor to spare for the time that an answer takes.
            oldest.abortConnection()
        self._guests[tcp] = None

    def left(self, tcp: Any) -> None:
        """It is gone, or it has become a WebSocket."""
        self._guests.pop(tcp, None)

    def admit(self, transport: Any, head: bytes) -> tuple[RequestHead, Handshake | None]:
        """Look at a request head; gives it, and what a client says that wants a WebSocket, which is then counted.

        Raises:
            RefusedError: It is turned away.
            DeniedError: So is it, because it does not belong here.
        """
        request = parse_head(head, SUBPROTOCOLS, with_extensions=self.settings.may_compress)
        if not request.upgrade:
            return request, None
        if self._sockets.stopping:
            raise HTTPError(STOPPING)
        if find_dialect(request.path) is None:
            raise HTTPError(_NO_SOCKET_HERE)
        handshake = self._handshake(transport, request)
        if (client_error := self._origins.check(handshake)) is not None:
            self._sockets.node.rejections.record(client_error)
            raise RejectedError(client_error)
        self._sockets.admission.admit(handshake.peer)
        return request, handshake

    def _handshake(self, transport: Any, request: RequestHead) -> Handshake:
        peer = getattr(transport.getPeer(), "host", "unix")
        proxies = self.settings.trusted_proxies
        fields = request.fields
        return Handshake(
            request.path,
            client_address(peer, request.forwarded_for, proxies),
            query=request.query,
            origin=fields.get(b"origin"),
            host=fields.get(b"host", ""),
            authorization=fields.get(b"authorization", ""),
            cookie=fields.get(b"cookie", ""),
            subprotocols=request.protocols,
            is_secure=client_is_secure(_is_tls(transport), request.forwarded_proto, proxies),
            connection=token_hex(8),
        )

    def hand_to_socket(self, transport: Any, request: RequestHead, handshake: Handshake, rest: bytes) -> None:
        """Give a connection to a WebSocket protocol, with what the client sent behind its head."""
        dialect = find_dialect(request.path)
        assert dialect is not None, "admitted"  # noqa: S101 -- `admit` has looked
        socket = self._sockets.build(dialect, handshake)
        self.left(underlying(transport))
        _hand_over(transport, socket)
        socket.dataReceived(request.handshake + rest)

    def hand_to_site(self, transport: Any, data: bytes) -> None:
        """Give a connection to twisted.web, with what the client sent so far."""
        channel: Any = self._site.buildProtocol(transport.getPeer())
        tcp = underlying(transport)
        channel.when_lost = lambda: self.left(tcp)
        _hand_over(transport, channel)
        channel.dataReceived(data)


def _is_tls(transport: Any) -> bool:
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, TLSMemoryBIOProtocol):
            return True
        transport = transport.transport
    return False


def _hand_over(transport: Any, protocol: Any) -> None:
    """Make a protocol the one that a transport talks to from now on."""
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
