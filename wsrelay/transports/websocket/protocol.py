"""WebSocket connections, over Autobahn's protocol.

Autobahn parses frames, validates UTF-8, keeps the closing handshake and pings. A connection is classes on top of each
other and one object, each with one thing that it does, and with what it mends in Autobahn for that:

- `frame_parsing`: the frames that a client sends;
- `pausing`: what is read, and when nothing is;
- `closing`: the end;
- `handshaking`: the opening handshake;
- this module: what the client and the process use of it.

What was measured to be missing or wrong in 26.10 is mended here as well; each point has its test in
tests/edge/test_autobahn_regressions.py:

- `tcpNoDelay` has no effect on Twisted: set in `connectionMade`.
- Its timers round down to whole seconds and lose cancels: the factory has a `TimerWheel` in their place.
- A pong that waits in the socket while the reactor is busy counts as missing, and each connection has timers of its
  own for its pings and pongs: a `PingSchedule` has them all, and looks for a missing pong once more a second later.
"""

from __future__ import annotations

import math

from wsrelay.core.wire.handshake import Handshake
from wsrelay.interfaces import IDialect
from wsrelay.transports.listening.socket_options import tune_socket
from wsrelay.transports.ping_schedule import Ping
from wsrelay.transports.websocket.connection_context import ConnectionContext
from wsrelay.transports.websocket.handshaking import HandshakingConnection
from wsrelay.transports.websocket.opening import Opening
from wsrelay.transports.websocket.shared_attributes import set_own_attributes
from wsrelay.transports.writer import ConnectionWriter

__all__ = ["WebSocketConnection"]

_OPEN = HandshakingConnection.STATE_OPEN


class WebSocketConnection(HandshakingConnection):
    """One WebSocket connection.

    Implements `Connection` of its client, `Owner`, `RegisteredConnection`, `Pinged` and `FrameReceiver`.

    Args:
        dialect: The wire language spoken on it.
        handshake: The client's opening request.
        factory: What it belongs to.
        opening: The opening request as it was read, if Autobahn need not read it; `begin` follows. If None, the
            head is the first that is received.
    """

    # Options are attributes of the class that the factory makes. Autobahn would copy some 40 of them into each
    # connection, and format them for a debug line that is not printed: half the price of a handshake.
    CONFIG_ATTRS = ()

    # What is the same for most connections at most times is an attribute of the class; see `shared_attributes`.
    peer = ""
    emulated_session = ""

    def __init__(
        self, dialect: IDialect, handshake: Handshake, factory: ConnectionContext, opening: Opening | None = None
    ) -> None:
        if factory.shares_attributes:
            set_own_attributes(self)
        else:
            super().__init__()
        self.factory = factory
        self.dialect = dialect
        self._handshake = handshake
        if opening is not None:
            self._opening = opening
        if factory.admission.max_per_address:
            self._address = handshake.peer
        self.writer = ConnectionWriter(self, factory.writers)

    # Connection

    @property
    def ping_seconds(self) -> int:
        """See `Connection.ping_seconds`."""
        return math.ceil(self.factory.settings.ping_interval_seconds)

    def counts_as(self, messages: int) -> bool:
        """See `Connection.counts_as`."""
        return self.is_within_rate(messages, 0)

    def batch_dropped(self) -> None:
        """See `Owner.batch_dropped`."""
        self.factory.counters.batches_dropped += 1

    def report_gap(self, channel: str) -> None:
        """See `Owner.report_gap`."""
        if self._client is not None:
            self._client.report_gap(channel)

    # Autobahn's callbacks

    def connectionMade(self) -> None:
        if self.factory.shares_attributes:
            # Instead of Autobahn's, which fills the connection with what the class has already.
            self.factory.countConnections += 1
            if self._opening is None:
                self._start_handshake_timer()
        else:
            super().connectionMade()
        tune_socket(self.transport, self.factory.settings.send_buffer_bytes)
        self.writer.connect(self.transport)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # Autobahn's own spends twenty times as long on arguments for a debug line.
        self.writer.send_control(data)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Never: the writer watches the transport."""

    # Pings

    def send_ping(self, ping: Ping) -> bool:
        """See `Pinged.send_ping`. Any message of the client is an answer, too."""
        if self.state != _OPEN:
            # Nothing may follow the close frame (RFC 6455 section 5.5.1).
            return False
        dialect = self.dialect
        if not dialect.has_pong:
            self.writer.send_control(ping.frame)
        # Behind the WebSocket's own, which pages do not see. Either always fits: whether a client is behind is for its
        # messages to find out.
        if dialect.ping() is not None:
            self.writer.send_control(ping.of_dialect(dialect, self.encoding()))
        return True

    def pong_missing(self) -> None:
        """See `Pinged.pong_missing`."""
        self.onAutoPingTimeout()
