"""WebSocket connections: the only importer of autobahn.

Autobahn parses frames, validates UTF-8, keeps the closing handshake and pings. What was measured to be missing or
wrong in 26.10 for a server that faces the internet is mended here; each point names its test in
tests/edge/test_autobahn_regressions.py:

- `tcpNoDelay` has no effect on Twisted: set in `connectionMade`.
- `onConnect` runs again for a second request head that comes while the first one waits for its answer, and `onOpen`
  runs after the connection is gone: `processHandshake` and `succeedHandshake` look first.
- What comes before the handshake is answered is kept without limit: bounded in `processHandshake`. So is what comes
  after the end, while TLS says goodbye (`dataReceived`), a control frame longer than a control frame can be
  (`onFrameData`), and empty fragments (`onMessageFrameData`).
- Pongs are written without a look at who reads them: `onPing` lets them wait in the outbox.
- `dropConnection(abort=False)` has no time limit: a linger timer ends it.
- Its timers round down to whole seconds and lose cancels: the factory has a `TimerWheel` in their place.
- A pong that waits in the socket while the reactor is busy counts as missing: looked for once more a second later.
- A close frame that is itself a violation, or comes right behind one, is taken for the answer to the complaint about
  it, and the connection is reset before the complaint has reached the client: `onCloseFrame` makes that an orderly end.
- Error answers repeat the client's input and have no length: answered with our own refusals.
"""

from __future__ import annotations

from random import Random
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.config import Settings
from wsrelay.core.flow.admission import Admission
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import Opcode, frame
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.client import AUTHENTICATE_TIMEOUT_SECONDS, Client
from wsrelay.engine.encodings import Encodings
from wsrelay.engine.node import SUBSCRIBE_TIMEOUT_SECONDS, Node
from wsrelay.engine.timers import WheelTimer
from wsrelay.interfaces import IDialect
from wsrelay.transports.listening.socket_options import tune_socket
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.websocket.compression import accept_offer
from wsrelay.transports.websocket.shared_attributes import HANDSHAKE_ATTRIBUTES, shared_attributes
from wsrelay.transports.writer import ConnectionWriter

__all__ = ["STOPPING", "WebSocketConnection", "WebSocketConnectionFactory"]

PING_JITTER = 0.2
"""Each connection is pinged up to this part of the interval earlier than asked, so that they do not ping in step."""

SECOND_LOOK_SECONDS = 1.0

STOPPING = ErrorResponse(503, "The relay is stopping. Come back.", (("Retry-After", "1"),))
_HANDSHAKE_REFUSALS = {
    400: "The WebSocket handshake is malformed (RFC 6455 section 4.2.1).",
    426: "The relay speaks version 13 of the WebSocket protocol (RFC 6455).",
    500: "The relay failed; its log has the traceback.",
    505: "The relay speaks HTTP/1.1.",
}

# Autobahn writes a line for every handshake that fails and every pong that is missing. A hostile client could fill
# the disk with them; what matters is logged by ourselves.
WebSocketServerProtocol.log.set_log_level("error")


class WebSocketConnection(WebSocketServerProtocol):
    """One WebSocket connection. Implements `wsrelay.engine.node.Connection`.

    Args:
        dialect: The wire language spoken on it.
        handshake: The client's opening request.
        factory: What it belongs to.
    """

    factory: WebSocketConnectionFactory

    # Options are attributes of the class that the factory makes. Autobahn would copy some 40 of them into each
    # connection, and format them for a debug line that is not printed: half the price of a handshake.
    CONFIG_ATTRS = ()

    _complaining = False

    # What is the same for most connections at most times is an attribute of the class; see `lean`.
    peer = ""
    _answer: Deferred[Any] | None = None
    _client: Client | None = None
    _handshake: Handshake | None = None
    _linger: WheelTimer | None = None
    _compression: object = None
    _address = ""

    def __init__(self, dialect: IDialect, handshake: Handshake, factory: WebSocketConnectionFactory) -> None:
        if not factory.shares_attributes:
            super().__init__()
        self.factory = factory
        self.dialect = dialect
        self._handshake = handshake
        if factory.admission.max_per_address:
            self._address = handshake.peer
        self.subscriber = ConnectionWriter(self, factory.encodings.get(dialect), factory.settings, factory.wheel)

    # Connection

    def compress(self) -> None:
        """See `Connection.compress`."""
        self._compression = accept_offer(self.websocket_extensions)
        if self._compression is not None:
            self.subscriber.encoding = self.factory.encodings.get(self.dialect, compressed=True)

    def accept(self, name: str | None = None) -> None:
        """See `Connection.accept`."""
        if self._answer is not None:
            # The door lets Autobahn know of one at most, and only of a dialect's.
            chosen = self.websocket_protocols[0] if self.websocket_protocols else None
            if chosen not in self.dialect.subprotocols:
                chosen = None
            self._answer.callback(chosen if name is None else (chosen, {"X-Connection-Id": name}))

    def refuse(self, response: ErrorResponse) -> None:
        """See `Connection.refuse`."""
        if self.state == self.STATE_CONNECTING:
            self.factory.node.counters.requests_rejected[response.status] += 1
            self.wasNotCleanReason = "refused"
            self.transport.write(response.to_bytes())
            self.dropConnection(abort=False)

    def close(self, disconnect: Disconnect) -> None:
        """See `Connection.close`."""
        if self.state == self.STATE_OPEN:
            self.factory.node.counters.connections_closed[disconnect.code] += 1
            self.subscriber.shut()
            self.sendCloseFrame(disconnect.code, disconnect.reason.encode())
            if disconnect is Disconnect.CREDENTIAL:
                # Without waiting for an answer: who has not shown who it is does not keep its place by silence.
                self.dropConnection(abort=False)
        elif self.state == self.STATE_CONNECTING:
            self.refuse(STOPPING if disconnect is Disconnect.RESTART else ErrorResponse(500, _HANDSHAKE_REFUSALS[500]))

    def dropped(self) -> None:
        """See `Owner.dropped`."""
        self.factory.node.counters.batches_dropped += 1

    # Autobahn's callbacks

    def connectionMade(self) -> None:
        if self.factory.shares_attributes:
            # Instead of Autobahn's, which fills the connection with what the class has already.
            self.factory.countConnections += 1
            self.openHandshakeTimeoutCall = self.factory.wheel.call_later(
                self.openHandshakeTimeout, self.onOpenHandshakeTimeout
            )
        else:
            super().connectionMade()
        tune_socket(self.transport, self.factory.settings.send_buffer_bytes)
        self.subscriber.connect(self.transport)

    def dataReceived(self, data: bytes) -> None:
        # TLS reads on until the client says goodbye, too.
        if self.state != self.STATE_CLOSED and self._within_rate(0, len(data)):
            # Not Autobahn's `dataReceived`: the arguments of its debug line cost 1.6 us for each read (measured).
            self._dataReceived(data)

    def processHandshake(self) -> None:
        if self._client is None:
            super().processHandshake()
        elif len(self.data) > self.factory.settings.max_head_bytes:
            self.dropConnection(abort=True)

    def onConnect(self, _request: object) -> Deferred[Any]:
        self.factory.waiting[self] = None
        self._answer = answer = Deferred[Any]()
        self._client = client = self.factory.node.client(self)
        try:
            if self._handshake is not None:
                client.open(self._handshake)
        except Exception:  # noqa: BLE001 -- Autobahn would show the client what it says
            self.factory.log.failure("a handshake failed")
            self.failHandshake("", 500)
        return answer

    def succeedHandshake(self, result: object) -> None:
        if self.factory.stopping:
            # It waited for its answer while the drain began, and has not been told goodbye.
            self.refuse(STOPPING)
        elif self.state == self.STATE_CONNECTING:
            self.autoPingInterval = self.factory.next_ping_interval()
            self._answer = None
            super().succeedHandshake(result)

    def failHandshake(self, _reason: str, code: int = 400, _headers: object = None) -> None:
        # Autobahn answers a version it does not speak with 400; RFC 6455 section 4.4 wants 426 and the version.
        if code == 400 and self._asks_for_other_version():
            code = 426
        headers = (("Sec-WebSocket-Version", "13"),) if code == 426 else ()
        self.refuse(ErrorResponse(code, _HANDSHAKE_REFUSALS.get(code, _HANDSHAKE_REFUSALS[400]), headers))

    def _onOpen(self) -> None:  # noqa: N802 -- Autobahn's name
        # Without a look at the transport's details, which are not collected.
        self.onOpen()

    def onOpen(self) -> None:
        self.factory.waiting.pop(self, None)
        self.factory.sockets[self] = None
        self.factory.node.counters.connections_opened += 1
        self.subscriber.open()
        if self.factory.shares_attributes:
            self._forget_handshake()

    def onMessage(self, payload: bytes, _is_binary: bool) -> None:
        if self._client is not None and self.state == self.STATE_OPEN:
            self._client.received(payload)

    def perMessageCompressionAccept(self, _offers: object) -> Any:  # noqa: N802 -- Autobahn's name
        return self._compression

    def onFrameBegin(self) -> None:
        if self._within_rate(1, 0):
            super().onFrameBegin()

    def onFrameData(self, payload: bytes) -> bool | None:
        # A connection that has failed waits for the client's close frame, of which the type is enough.
        return None if self.failedByMe else super().onFrameData(payload)

    def onMessageFrameData(self, payload: bytes) -> None:
        if payload:
            super().onMessageFrameData(payload)

    def onMessageEnd(self) -> None:
        # Without the signal that Autobahn fires for listeners, of which there are none.
        if not self.failedByMe:
            self._onMessage(b"".join(self.message_data or ()), self.message_is_binary)
        self.message_data: list[bytes] | None = None
        if self._perMessageCompress is not None:
            # No message refers to the one before: what it was decompressed with need not wait for the next.
            self._perMessageCompress._decompressor = None  # noqa: SLF001 -- no public way

    def onPing(self, payload: bytes) -> None:
        # Like a message, not like a control frame: who pings and does not read meets the bounds of its outbox.
        self.subscriber.send(frame(Opcode.PONG, payload))

    def onAutoPingTimeout(self) -> None:
        self.autoPingTimeoutCall = self.factory.wheel.call_later(SECOND_LOOK_SECONDS, super().onAutoPingTimeout)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # Autobahn's own spends twenty times as long on arguments for a debug line.
        self.subscriber.control(data)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:  # noqa: N803 -- Autobahn's
        self._complaining = self.failedByMe or self.state == self.STATE_OPEN
        try:
            ended: bool | None = super().onCloseFrame(code, reasonRaw)
            return ended
        finally:
            del self._complaining

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:  # noqa: N803
        # Whoever closes, nothing may follow the close frame (RFC 6455 section 5.5.1).
        self.subscriber.shut()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Never: the outlet watches the transport."""

    def dropConnection(self, abort: bool = False) -> None:
        abort = abort and not self._complaining
        self.subscriber.shut()
        if not abort:
            self.subscriber.finish()
        super().dropConnection(abort)
        if not abort and self._linger is None:
            self._linger = self.factory.wheel.call_later(
                self.factory.settings.close_timeout_seconds, self.transport.abortConnection
            )

    def connectionLost(self, reason: Failure) -> None:
        self.factory.sockets.pop(self, None)
        self.factory.waiting.pop(self, None)
        self.factory.admission.release(self._address)
        self.factory.rates.remove(self)
        try:
            super().connectionLost(reason)
        finally:
            for timer in (self._linger, self.closeHandshakeTimeoutCall):
                if timer is not None:
                    timer.cancel()
            self.subscriber.lost()
            if self._client is not None:
                self._client.lost()

    def _within_rate(self, frames: int, size: int) -> bool:
        """Whether the client may send this; if not, it is told so and the connection ends."""
        # Before the handshake is answered other bounds hold; after our close frame the same ones as ever.
        if self.state == self.STATE_CONNECTING or self.factory.rates.allows(self, frames, size):
            return True
        self.close(Disconnect.TOO_FAST)
        # Without waiting for an answer, which would stand behind everything else that it has sent.
        self.dropConnection(abort=False)
        return False

    def _forget_handshake(self) -> None:
        """Let go of what the opening handshake left, and take a dictionary that fits what remains."""
        of_class = type(self)
        self.__dict__ = {
            name: value
            for name, value in vars(self).items()
            if name not in HANDSHAKE_ATTRIBUTES and getattr(of_class, name, _Missing) is not value
        }

    def _asks_for_other_version(self) -> bool:
        version = getattr(self, "http_headers", {}).get("sec-websocket-version", "")
        return bool(version) and version != "13"


class WebSocketConnectionFactory(WebSocketServerFactory):
    """Makes the WebSocket connections of this process and keeps the registry of those that are open.

    Args:
        node: What the connections belong to.
        settings: The operator's decisions.
        clock: Time.
        rng: Randomness for the ping jitter.
        most_connections: How many connections there may be where the settings do not say.

    Attributes:
        sockets: The connections that are open, oldest first.
        waiting: Those whose handshake waits for its answer.
        stopping: Whether nobody is let in any more.
        encodings: What publications become for the connections.
        shares_attributes: Whether connections are made without what is the same for all.
    """

    log = Logger()
    noisy = False

    def __init__(
        self, node: Node, settings: Settings, clock: IReactorTime, rng: Random, most_connections: int = 10_000
    ) -> None:
        super().__init__(server="", reactor=clock)
        self.node = node
        self.settings = settings
        self.wheel = node.wheel
        self.admission = Admission(
            min(settings.max_connections or most_connections, most_connections),
            settings.max_connections_per_address,
            settings.max_handshakes_per_second,
            clock.seconds,
        )
        # Strangers that promise a credential and do not send it get a tenth of the room, and not all of it.
        node.max_pending_credentials = max(1, self.admission.max_connections // 10)
        self.rates = RateLimits(settings.max_frames_per_second, settings.max_bytes_per_second, self.wheel)
        self._batched_timer = self.wheel
        self._rng = rng
        self.sockets: dict[WebSocketConnection, None] = {}
        self.waiting: dict[WebSocketConnection, None] = {}
        self.stopping = False
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=settings.max_message_bytes,
            maxMessagePayloadSize=settings.max_message_bytes,
            # Tell the client what it did wrong (1002, 1007, 1009) instead of a silent reset.
            failByDrop=False,
            # The head is complete, in time, when the connection comes here; this is for our own answer.
            openHandshakeTimeout=AUTHENTICATE_TIMEOUT_SECONDS + SUBSCRIBE_TIMEOUT_SECONDS + 5,
            closeHandshakeTimeout=settings.close_timeout_seconds,
            autoPingTimeout=settings.ping_timeout_seconds,
        )
        names = WebSocketServerProtocol.CONFIG_ATTRS
        # One is a function that each connection answers for itself.
        options = {name: getattr(self, name) for name in names if name != "perMessageCompressionAccept"}
        self.encodings = Encodings()
        configured = type("ConfiguredRelaySocket", (WebSocketConnection,), options)
        lean = shared_attributes(configured, self)
        self.shares_attributes = lean is not None
        self.protocol = configured if lean is None else type("LeanRelaySocket", (configured,), lean)

    def next_ping_interval(self) -> float:
        """How often one more connection is pinged, in seconds."""
        return self.settings.ping_interval_seconds * (1.0 - PING_JITTER * self._rng.random())

    def build(self, dialect: IDialect, handshake: Handshake) -> WebSocketConnection:
        """A protocol for a client that asked for a WebSocket; it is given the transport and the head."""
        socket: WebSocketConnection = self.protocol(dialect, handshake, self)
        return socket

    def buildProtocol(self, _address: IAddress) -> None:
        """Never: connections come through the front door, which knows the handshake."""


class _Missing:
    """No attribute is this."""
