"""One stream: a request, and a response that lasts.

What its bytes are is a matter of its kind (`wsrelay.transports.streams.event_streams`, `.message_streams`). The router
has read the head. Everything that the client sends behind the request is dropped, and more than a little of it ends the
connection, for a client has nothing more to say there. A client that is gone without a word is found by the kernel,
which misses the acknowledgement of what was sent.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.config import Settings
from wsrelay.core.flow.admission import Admission
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.wire.cors import cors_headers
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.client import Client
from wsrelay.engine.client_services import Connection
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel
from wsrelay.engine.topic import Subscriber
from wsrelay.interfaces import IDialect
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import ConnectionRegistry
from wsrelay.transports.lingering_close import REJECTED_CLIENT_LINGER_SECONDS, LingeringClose
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.listening.socket_options import limit_unacknowledged, tune_socket, underlying
from wsrelay.transports.ping_schedule import Ping, PingGroup, PingSchedule
from wsrelay.transports.writer import ConnectionWriter, ConnectionWriters

__all__ = ["MAX_EXTRA_BYTES", "UNEXPECTED_BODY", "StreamConnection", "StreamContext"]

MAX_EXTRA_BYTES = 4096
"""How much a client may send behind its request in all, in bytes. There is no reason to send anything."""

UNEXPECTED_BODY = ErrorResponse(400, "A GET for a stream has no body, and nothing follows a request for one.")

_FAILED = ErrorResponse(500, "The relay failed; its log has the traceback.")


class StreamContext(Protocol):
    """The parts of a factory that its streams use."""

    log: Logger
    settings: Settings
    timers: TimerWheel
    writers: ConnectionWriters
    counters: Counters
    rejections: RejectionLog
    admission: Admission
    http_connections: HTTPConnections
    connections: ConnectionRegistry
    pings: PingSchedule

    def client(self, connection: Connection) -> Client:
        """Make the client of a connection."""

    def next_retry_delay(self) -> float:
        """Return how long one more client waits before it connects again, in seconds."""

    def error_response(self, handshake: Handshake, response: ErrorResponse) -> ErrorResponse:
        """Return the form in which a rejected client can make use of a response."""


class _State(Enum):
    """The states of a stream: its request waits for the answer; events are sent; nothing is sent any more."""

    CONNECTING = "connecting"
    OPEN = "open"
    ENDED = "ended"


@implementer(IProtocol, IHalfCloseableProtocol)
class StreamConnection(ABC):
    """One stream. Implements `Connection` of its client, `Owner`, `RegisteredConnection` and `Pinged`.

    Args:
        handshake: The client's request.
        factory: What it belongs to.
    """

    __slots__ = (
        "_address",
        "_client",
        "_closing",
        "_extra_bytes",
        "_factory",
        "_handshake",
        "_is_rejected",
        "_out",
        "_peer_has_ended",
        "_state",
        "ping_group",
        "transport",
        "writer",
    )

    def __init__(self, handshake: Handshake, factory: StreamContext) -> None:
        self._factory = factory
        # Until the request is answered.
        self._handshake: Handshake | None = handshake
        self._address = handshake.peer if factory.admission.max_per_address else ""
        self._state = _State.CONNECTING
        self._is_rejected = False
        self._peer_has_ended = False
        self._extra_bytes = 0
        self._closing: LingeringClose | None = None
        # Set by the schedule. If None, the stream gets no signs of life.
        self.ping_group: PingGroup | None = None
        self._out = ConnectionWriter(self, factory.writers)
        self.writer: Subscriber = self._out
        self.transport: Any = None
        self._client = factory.client(self)

    @property
    def is_open(self) -> bool:
        """True if messages are sent: the request is answered, and the stream has not ended."""
        return self._state is _State.OPEN

    # Connection

    @property
    @abstractmethod
    def dialect(self) -> IDialect:
        """See `Connection.dialect`."""

    @abstractmethod
    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """See `Connection.encoding`."""

    @property
    def ping_seconds(self) -> int:
        """See `Connection.ping_seconds`."""
        return math.ceil(self._factory.settings.ping_interval_seconds)

    def offer_compression(self) -> None:  # noqa: B027 -- none of them is compressed
        """See `Connection.offer_compression`: a stream is not compressed."""

    def accept(self, connection_id: str | None) -> None:
        """See `Connection.accept`."""
        factory, handshake = self._factory, self._handshake
        if handshake is None:
            return
        if (refusal := factory.connections.refusal) is not None:
            # It waited for its answer while the drain began, and has not been closed by that.
            self.reject(refusal)
            return
        self._handshake = None
        self._state = _State.OPEN
        headers = cors_headers(handshake.origin)
        if connection_id is not None:
            headers = (("X-Connection-Id", connection_id), *headers)
        self._out.send_control(self._begin(handshake, headers))
        self._out.open()
        factory.connections.opened(self)
        factory.counters.connections_opened += 1
        factory.pings.start(self)
        if self._peer_has_ended:
            self._end()

    @property
    def emulated_session(self) -> str:
        """See `Connection.emulated_session`: most clients of streams send nothing."""
        return ""

    def pause_reading(self) -> None:  # noqa: B027 -- most clients of streams send nothing
        """See `Connection.pause_reading`."""

    def resume_reading(self) -> None:  # noqa: B027 -- as above
        """See `Connection.resume_reading`."""

    def counts_as(self, messages: int) -> bool:
        """See `Connection.counts_as`: what comes with the request has bounds of its own."""
        return True

    def reject(self, response: ErrorResponse) -> None:
        """See `Connection.reject`."""
        handshake, self._handshake = self._handshake, None
        if handshake is None:
            return
        self._factory.counters.requests_rejected[response.status] += 1
        self._give_up_place()
        self._out.send_control(self._factory.error_response(handshake, response).to_bytes())
        self._end(REJECTED_CLIENT_LINGER_SECONDS)

    def close(self, disconnect: AnyDisconnect) -> None:
        """See `Connection.close`."""
        if self._state is _State.CONNECTING:
            self.reject(self._factory.connections.response_to(disconnect) or _FAILED)
        elif self._state is _State.OPEN:
            farewell = self.dialect.close(disconnect)
            client = self._client
            self._factory.rejections.record_close(
                farewell.code, farewell.reason, client.session.channels, client.connection_id
            )
            self._out.shut()
            # Behind what is begun, and never too much for the outbox.
            self._out.send_control(self._farewell(disconnect, farewell.messages))
            self._state = _State.ENDED
            # Before the end, with which the connection may be lost.
            self._client.connection_closing(disconnect)
            self._end()

    # Owner and RegisteredConnection

    def batch_dropped(self) -> None:
        """See `Owner.batch_dropped`."""
        self._factory.counters.batches_dropped += 1

    def outbox_emptied(self) -> None:  # noqa: B027 -- as above
        """See `Owner.outbox_emptied`."""

    def report_gap(self, channel: str) -> None:
        """See `Owner.report_gap`."""
        self._client.report_gap(channel)

    def abort(self) -> None:
        """See `RegisteredConnection.abort`."""
        self.transport.abortConnection()

    # IProtocol

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        factory = self._factory
        tune_socket(self.transport, factory.settings.send_buffer_bytes)
        limit_unacknowledged(self.transport, factory.settings.ping_timeout_seconds)
        self._out.connect(self.transport)
        factory.connections.handshake_begun(self)
        try:
            if self._handshake is not None:
                self._client.open(self._handshake)
        except Exception:  # noqa: BLE001 -- what it says is not for the client
            factory.log.failure("a request for a stream failed")
            # With 500, or in a stream that has begun by then, with its last event.
            self.close(Disconnect.INTERNAL_ERROR)

    def dataReceived(self, data: bytes) -> None:
        if self._closing is not None:
            self._closing.discard(len(data))
            return
        self._extra_bytes += len(data)
        if self._extra_bytes > MAX_EXTRA_BYTES:
            # One of the two, by whether the request has been answered.
            self.reject(UNEXPECTED_BODY)
            self.close(Disconnect.TOO_FAST)

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`: a request is answered, and a stream ends."""
        self._peer_has_ended = True
        if self._closing is not None:
            self._closing.peer_ended()
        elif self._state is _State.OPEN:
            self._end()
        else:
            # Nearly always a client that has left; it must not keep others out until the answer comes.
            self._give_up_place()

    def writeConnectionLost(self) -> None:  # noqa: B027 -- it is for none of them to know
        """See `IHalfCloseableProtocol.writeConnectionLost`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        factory = self._factory
        self._state = _State.ENDED
        self._handshake = None
        factory.connections.closed(self)
        if self._is_rejected:
            factory.http_connections.remove(underlying(self.transport))
        else:
            factory.admission.release(self._address)
        factory.pings.stop(self)
        if self._closing is not None:
            self._closing.cancel()
        self._out.connection_lost()
        self._client.connection_lost()

    # Of each kind

    @abstractmethod
    def _begin(self, handshake: Handshake, headers: tuple[tuple[str, str], ...]) -> bytes:
        """Return the head of the response with these additional fields, and what comes first behind it."""

    @abstractmethod
    def _farewell(self, disconnect: AnyDisconnect, messages: Sequence[Message]) -> bytes:
        """Return what comes last; the dialect says it by these messages."""

    @abstractmethod
    def send_ping(self, ping: Ping) -> bool:
        """See `Pinged.send_ping`: send what keeps the connection alive."""

    def pong_missing(self) -> None:
        """See `Pinged.pong_missing`."""
        self.abort()

    # Private

    def _end(self, seconds: float | None = None) -> None:
        """Send nothing more, and end the connection when all has been sent."""
        self._state = _State.ENDED
        self._factory.pings.stop(self)
        self._out.shut()
        self._out.finish()
        self._closing = LingeringClose(
            self.transport,
            self._factory.timers.call_later,
            self._factory.settings.close_timeout_seconds if seconds is None else seconds,
            peer_has_ended=self._peer_has_ended,
        )
        self._closing.start()

    def _give_up_place(self) -> None:
        """Be counted no more: a client that is turned away must not keep others out while it is read out."""
        if not self._is_rejected:
            self._is_rejected = True
            self._factory.admission.release(self._address)
            self._factory.http_connections.add(underlying(self.transport))
