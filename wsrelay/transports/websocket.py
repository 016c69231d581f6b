"""WebSocket connections: the only importer of autobahn.

Autobahn parses frames, validates UTF-8, keeps the closing handshake and pings. What was measured to be missing or
wrong in 26.10 for a server that faces the internet is mended here; each point names its test in
tests/transports/test_autobahn_traps.py:

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
from wsrelay.core.closing import Closing
from wsrelay.core.frames import Opcode, frame
from wsrelay.core.handshake import Handshake, Refusal
from wsrelay.core.outbox import Outbox
from wsrelay.interfaces import IDialect
from wsrelay.node import Client, Node
from wsrelay.transports.tcp import tune_socket
from wsrelay.transports.wheel import TimerWheel

__all__ = ["STOPPING", "RelaySocket", "RelaySocketFactory"]

PING_JITTER = 0.2
"""Each connection is pinged up to this part of the interval earlier than asked, so that they do not ping in step."""

SECOND_LOOK_SECONDS = 1.0

STOPPING = Refusal(503, "The relay is stopping. Come back.", (("Retry-After", "1"),))
_HANDSHAKE_REFUSALS = {
    400: "The WebSocket handshake is malformed (RFC 6455 section 4.2.1).",
    426: "The relay speaks version 13 of the WebSocket protocol (RFC 6455).",
    500: "The relay failed; its log has the traceback.",
    505: "The relay speaks HTTP/1.1.",
}

# Autobahn writes a line for every handshake that fails and every pong that is missing. A hostile client could fill
# the disk with them; what matters is logged by ourselves.
WebSocketServerProtocol.log.set_log_level("error")


class RelaySocket(WebSocketServerProtocol):
    """One WebSocket connection. Implements `wsrelay.node.Connection`.

    Args:
        dialect: The wire language spoken on it.
        handshake: The client's opening request.
    """

    factory: RelaySocketFactory

    # Options are attributes of the class that the factory makes. Autobahn would copy some 40 of them into each
    # connection, and format them for a debug line that is not printed: half the price of a handshake.
    CONFIG_ATTRS = ()

    def __init__(self, dialect: IDialect, handshake: Handshake) -> None:
        super().__init__()
        self.dialect = dialect
        self._handshake = handshake
        self._client: Client | None = None
        self._answer: Deferred[None] | None = None
        self._outbox: Outbox | None = None
        self._linger: Any = None

    # Connection

    def accept(self) -> None:
        """See `Connection.accept`."""
        if self._answer is not None:
            self._answer.callback(None)

    def refuse(self, refusal: Refusal) -> None:
        """See `Connection.refuse`."""
        if self.state == self.STATE_CONNECTING:
            self.wasNotCleanReason = "refused"
            self.transport.write(refusal.to_bytes())
            self.dropConnection(abort=False)

    def send(self, data: bytes) -> None:
        """See `Subscriber.send`."""
        if self.state != self.STATE_OPEN:
            return
        if self._outbox is None:
            self.transport.write(data)
        elif not self._outbox.put(data):
            self.close(Closing.SLOW)

    def close(self, closing: Closing) -> None:
        """See `Subscriber.close`."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(closing.code, closing.reason.encode())
            # Now, because the write of the frame may have been told to pause.
            self._outbox = None
        elif self.state == self.STATE_CONNECTING:
            self.refuse(STOPPING if closing is Closing.RESTART else Refusal(500, _HANDSHAKE_REFUSALS[500]))

    # Push producer: the transport says when it has more than it can send.

    def pauseProducing(self) -> None:
        """The client reads too slowly: what comes from here on waits in the outbox."""
        if self._outbox is None and self.state == self.STATE_OPEN:
            self._outbox = Outbox(self.factory.settings.outbox_max_bytes)

    def resumeProducing(self) -> None:
        """The client has caught up with the transport."""
        outbox, self._outbox = self._outbox, None
        if outbox is None or self.state != self.STATE_OPEN:
            return
        while (batch := outbox.take()) is not None:
            self.transport.write(batch)
            if self._is_paused():
                # Again, while the outbox was being emptied: the rest keeps its place in the queue.
                self._outbox = outbox
                return

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` does the rest."""

    # Autobahn's callbacks

    def connectionMade(self) -> None:
        super().connectionMade()
        tune_socket(self.transport, self.factory.settings.send_buffer_bytes)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        # TLS reads on until the client says goodbye, too.
        if self.state != self.STATE_CLOSED:
            super().dataReceived(data)

    def processHandshake(self) -> None:
        if self._client is None:
            super().processHandshake()
        elif len(self.data) > self.factory.settings.max_head_bytes:
            self.dropConnection(abort=True)

    def onConnect(self, _request: object) -> Deferred[None]:
        self._answer = Deferred()
        self._client = self.factory.node.client(self)
        try:
            self._client.open(self._handshake)
        except Exception:  # noqa: BLE001 -- Autobahn would show the client what it says
            self.factory.log.failure("a handshake failed")
            self.failHandshake("", 500)
        return self._answer

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
        self.refuse(Refusal(code, _HANDSHAKE_REFUSALS.get(code, _HANDSHAKE_REFUSALS[400]), headers))

    def onOpen(self) -> None:
        self.factory.sockets[self] = None

    def onMessage(self, payload: bytes, _is_binary: bool) -> None:
        if self._client is not None and self.state == self.STATE_OPEN:
            self._client.received(payload)

    def onFrameData(self, payload: bytes) -> bool | None:
        # A connection that has failed waits for the client's close frame, of which the type is enough.
        return None if self.failedByMe else super().onFrameData(payload)

    def onMessageFrameData(self, payload: bytes) -> None:
        if payload:
            super().onMessageFrameData(payload)

    def onPing(self, payload: bytes) -> None:
        self.send(frame(Opcode.PONG, payload))

    def onAutoPingTimeout(self) -> None:
        self.autoPingTimeoutCall = self.factory.wheel.call_later(SECOND_LOOK_SECONDS, super().onAutoPingTimeout)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # Autobahn's own spends twenty times as long on arguments for a debug line.
        self.transport.write(data)

    def dropConnection(self, abort: bool = False) -> None:
        super().dropConnection(abort)
        if not abort and self._linger is None:
            self._linger = self.factory.wheel.call_later(
                self.factory.settings.close_timeout_seconds, self.transport.abortConnection
            )

    def connectionLost(self, reason: Failure) -> None:
        self.factory.sockets.pop(self, None)
        try:
            super().connectionLost(reason)
        finally:
            for timer in (self._linger, self.closeHandshakeTimeoutCall):
                if timer is not None:
                    timer.cancel()
            self._outbox = None
            if self._client is not None:
                self._client.lost()

    def _is_paused(self) -> bool:
        return self._outbox is not None

    def _asks_for_other_version(self) -> bool:
        version = getattr(self, "http_headers", {}).get("sec-websocket-version", "")
        return bool(version) and version != "13"


class RelaySocketFactory(WebSocketServerFactory):
    """Makes the WebSocket connections of this process and keeps the registry of those that are open.

    Args:
        node: What the connections belong to.
        settings: The operator's decisions.
        clock: Time.
        rng: Randomness for the ping jitter.

    Attributes:
        sockets: The connections that are open, oldest first.
        stopping: Whether nobody is let in any more.
    """

    log = Logger()
    noisy = False

    def __init__(self, node: Node, settings: Settings, clock: IReactorTime, rng: Random) -> None:
        super().__init__(server="", reactor=clock)
        self.node = node
        self.settings = settings
        self.wheel = TimerWheel(clock)
        self._batched_timer = self.wheel
        self._rng = rng
        self.sockets: dict[RelaySocket, None] = {}
        self.stopping = False
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=settings.max_message_bytes,
            maxMessagePayloadSize=settings.max_message_bytes,
            # Tell the client what it did wrong (1002, 1007, 1009) instead of a silent reset.
            failByDrop=False,
            openHandshakeTimeout=settings.handshake_timeout_seconds,
            closeHandshakeTimeout=settings.close_timeout_seconds,
            autoPingTimeout=settings.ping_timeout_seconds,
        )
        names = WebSocketServerProtocol.CONFIG_ATTRS
        # staticmethod, because one option is a function and would become a method as an attribute of a class.
        options = {name: _unbound(getattr(self, name)) for name in names}
        self.protocol = type("ConfiguredRelaySocket", (RelaySocket,), options)

    def next_ping_interval(self) -> float:
        """How often one more connection is pinged, in seconds."""
        return self.settings.ping_interval_seconds * (1.0 - PING_JITTER * self._rng.random())

    def build(self, dialect: IDialect, handshake: Handshake) -> RelaySocket:
        """A protocol for a client that asked for a WebSocket; it is given the transport and the head."""
        socket: RelaySocket = self.protocol(dialect, handshake)
        socket.factory = self
        return socket

    def buildProtocol(self, _address: IAddress) -> None:
        """Never: connections come through the front door, which knows the handshake."""


def _unbound(value: Any) -> Any:
    return staticmethod(value) if callable(value) else value
