"""Makes the WebSocket connections of this process, and keeps the registry of all its connections."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

from wsrelay.config import Settings
from wsrelay.core.flow.admission import Admission
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.wire.framing import DeflatedWebSocketFraming, WebSocketFraming
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.channel_subscriptions import SUBSCRIBE_TIMEOUT_SECONDS
from wsrelay.engine.client import Client
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.client_services import Connection
from wsrelay.engine.encodings import Encoding, Encodings
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel
from wsrelay.interfaces import IDialect
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import ConnectionRegistry
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.paused_connections import PausedConnections
from wsrelay.transports.ping_schedule import PingSchedule
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.websocket.fast_reads import has_known_state
from wsrelay.transports.websocket.opening import Opening
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.transports.websocket.shared_attributes import shared_attributes
from wsrelay.transports.writer import ConnectionWriters

__all__ = ["WebSocketConnectionFactory"]


class WebSocketConnectionFactory(WebSocketServerFactory):
    """Makes WebSocket connections. Implements `ConnectionContext`.

    Args:
        make_client: Makes the client of a connection.
        settings: The operator's decisions.
        timers: Coarse timers.
        writers: What the writers of the process share.
        counters: Where what happens is counted.
        rejections: Counts and logs the closes.
        admission: Counts connections.
        http_connections: Where the connections of rejected clients wait for their end.
        clock: Time, for Autobahn.
        rng: Randomness for the ping jitter.

    Attributes:
        connections: The registry of this process's connections.
        pings: Pings all connections of this process.
        shares_attributes: Whether connections are made without what is the same for all.
        reads_fast: Whether reads that are simple bypass Autobahn.
        opens_usual_handshakes: Whether handshakes with nothing unusual are opened without Autobahn.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        make_client: Callable[[Connection], Client],
        settings: Settings,
        *,
        timers: TimerWheel,
        writers: ConnectionWriters,
        counters: Counters,
        rejections: RejectionLog,
        admission: Admission,
        http_connections: HTTPConnections,
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        super().__init__(server="", reactor=clock)
        self.settings = settings
        self.timers = timers
        self.writers = writers
        self.counters = counters
        self.rejections = rejections
        self.admission = admission
        self.http_connections = http_connections
        self.rate_limits = RateLimits(settings.max_frames_per_second, settings.max_bytes_per_second, timers)
        self.pings = PingSchedule(timers, settings.ping_interval_seconds, settings.ping_timeout_seconds, rng)
        self.connections = ConnectionRegistry(PausedConnections(counters, self.rate_limits, timers.seconds))
        self._make_client = make_client
        self._encodings = Encodings()
        self._framings = (WebSocketFraming(), DeflatedWebSocketFraming())
        self._batched_timer = timers
        self.idle_validators: list[Utf8Validator] = []
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=settings.max_message_bytes,
            maxMessagePayloadSize=settings.max_message_bytes,
            # Tell the client what it did wrong (1002, 1007, 1009) instead of a silent reset.
            failByDrop=False,
            # The client's own code back (RFC 6455 section 5.5.1): it is what its page is told (section 7.1.5).
            echoCloseCodeReason=True,
            # The head is complete, in time, when the connection comes here; this is for our own answer.
            openHandshakeTimeout=AUTHENTICATE_TIMEOUT_SECONDS + SUBSCRIBE_TIMEOUT_SECONDS + 5,
            closeHandshakeTimeout=settings.close_timeout_seconds,
        )
        names = WebSocketServerProtocol.CONFIG_ATTRS
        # One is a function that each connection answers for itself.
        options = {name: getattr(self, name) for name in names if name != "perMessageCompressionAccept"}
        configured = type("ConfiguredWebSocketConnection", (WebSocketConnection,), options)
        self.reads_fast = has_known_state(self)
        shared = shared_attributes(configured, self)
        self.shares_attributes = self.opens_usual_handshakes = shared is not None
        self.protocol = configured if shared is None else type("SharingWebSocketConnection", (configured,), shared)

    def client(self, connection: Connection) -> Client:
        """See `ConnectionContext.client`."""
        return self._make_client(connection)

    def encoding(self, dialect: IDialect, frames: FrameType, *, is_compressed: bool) -> Encoding:
        """See `ConnectionContext.encoding`."""
        return self._encodings.get(dialect, self._framings[is_compressed], frames)

    def build(self, dialect: IDialect, handshake: Handshake, opening: Opening | None = None) -> WebSocketConnection:
        """Make a connection for a client that asked for a WebSocket; the caller gives it the transport.

        Args:
            dialect: The wire language to speak on it.
            handshake: The client's opening request.
            opening: What is left to answer; the caller calls `begin`. If None, the caller gives it the head.
        """
        connection: WebSocketConnection = self.protocol(dialect, handshake, self, opening)
        return connection

    def buildProtocol(self, _address: IAddress) -> None:
        """Never: connections come through the router, which has read the handshake."""
