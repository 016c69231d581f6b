"""WebSocket connections, over Autobahn's protocol.

Autobahn parses frames, validates UTF-8, keeps the closing handshake and pings. What was measured to be missing or
wrong in 26.10 for a server that faces the internet is mended here; each point names its test in
tests/edge/test_autobahn_regressions.py:

- `tcpNoDelay` has no effect on Twisted: set in `connectionMade`.
- `onConnect` runs again for a second request head that comes while the first one waits for its answer, and `onOpen`
  runs after the connection is gone: `processHandshake` and `succeedHandshake` look first.
- What comes before the handshake is answered is kept without limit: bounded in `processHandshake`. So is what comes
  after the end, while TLS is being closed (`dataReceived`), a control frame longer than a control frame can be
  (`onFrameData`), and empty fragments (`onMessageFrameData`).
- After a message that cannot be decompressed it stays inside that frame: `onFrameData` and `onFrameEnd` go on.
- Pongs are written without a look at the reader: `onPing` puts them into the outbox.
- `dropConnection` resets a connection whose input has not been read, and the one whose client has answered our close
  frame always: the client may never see the frame. `_closeConnection` closes in order, within limits.
- Its timers round down to whole seconds and lose cancels: the factory has a `TimerWheel` in their place.
- It reads whatever comes, however much is left to do: `consumeData` stops in a pause.
- A pong that waits in the socket while the reactor is busy counts as missing, and each connection has timers of its
  own for its pings and pongs: a `PingSchedule` has them all, and looks for a missing pong once more a second later.
- Its reading of frames takes longer than all that is done with a short message: see `fast_reads`.
- Error answers repeat the client's input and have no length: answered with our own responses.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.config import Settings
from wsrelay.core.flow.admission import Admission
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.wire.frames import Opcode, frame
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.client import Client
from wsrelay.engine.client_services import Connection
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel
from wsrelay.interfaces import IDialect
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import DRAINING, ConnectionRegistry
from wsrelay.transports.lingering_close import REJECTED_CLIENT_LINGER_SECONDS, LingeringClose
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.listening.socket_options import tune_socket, underlying
from wsrelay.transports.ping_schedule import Ping, PingGroup, PingSchedule
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.websocket.compression import accept_offer
from wsrelay.transports.websocket.fast_reads import read_frames
from wsrelay.transports.websocket.opening import Opening, complete_handshake, end_connection
from wsrelay.transports.websocket.shared_attributes import HANDSHAKE_ATTRIBUTES, NO_TEXT, set_own_attributes
from wsrelay.transports.writer import ConnectionWriter, ConnectionWriters

__all__ = ["ConnectionContext", "WebSocketConnection"]

UNANSWERED_CLOSE_SECONDS = 0.25
"""How long a client has to look at our close frame before its connection ends, if its answer is not waited for.

With the resolution of the timers less than the second after which clients end the connection themselves (Autobahn's
does), which RFC 6455 section 7.1.1 leaves to the server."""

MAX_IDLE_VALIDATORS = 64
"""Validators that are kept for the next messages: to make one takes longer than to validate a short message."""


_BY_CLIENT = 1
_BY_OUTBOX = 2
"""The reasons for a pause: the client's session cannot take more now, or its outbox is too full."""

_STOPPED = 4
"""In a pause, whether the transport is not read, either."""

_HANDSHAKE_ERRORS = {
    400: "The WebSocket handshake is malformed (RFC 6455 section 4.2.1).",
    426: "The relay speaks version 13 of the WebSocket protocol (RFC 6455).",
    500: "The relay failed; its log has the traceback.",
    505: "The relay speaks HTTP/1.1.",
}

_OPEN = WebSocketServerProtocol.STATE_OPEN
_ORDINARY_ENDS = (ConnectionDone, ConnectionLost, ConnectionAborted)

# Autobahn writes a line for every handshake that fails and every pong that is missing. A hostile client could fill
# the disk with them; what matters is logged by ourselves.
WebSocketServerProtocol.log.set_log_level("error")


class ConnectionContext(Protocol):
    """The parts of a factory that its connections use."""

    log: Logger
    settings: Settings
    timers: TimerWheel
    writers: ConnectionWriters
    counters: Counters
    rejections: RejectionLog
    admission: Admission
    http_connections: HTTPConnections
    rate_limits: RateLimits
    connections: ConnectionRegistry
    pings: PingSchedule
    shares_attributes: bool
    reads_fast: bool
    idle_validators: list[Utf8Validator]
    countConnections: int  # noqa: N815 -- Autobahn's name

    def client(self, connection: Connection) -> Client:
        """Make the client of a connection."""

    def encoding(self, dialect: IDialect, frames: FrameType, *, is_compressed: bool) -> Encoding:
        """Return the encoding that all subscriptions of a dialect share, compressed or not."""


@implementer(IHalfCloseableProtocol)
class WebSocketConnection(WebSocketServerProtocol):
    """One WebSocket connection.

    Implements `Connection` of its client, `Owner`, `RegisteredConnection`, `Pinged` and `FrameReceiver`.

    Args:
        dialect: The wire language spoken on it.
        handshake: The client's opening request.
        factory: What it belongs to.
        opening: The opening request as it was read, if Autobahn need not read it; `begin` follows. If None, the
            head is the first that is received.
    """

    factory: ConnectionContext

    # Options are attributes of the class that the factory makes. Autobahn would copy some 40 of them into each
    # connection, and format them for a debug line that is not printed: half the price of a handshake.
    CONFIG_ATTRS = ()

    # If None, no message is under way.
    utf8validator: Any

    # Set by the schedule. If None, the connection is not pinged.
    ping_group: PingGroup | None = None

    # What is the same for most connections at most times is an attribute of the class; see `shared_attributes`.
    peer = ""
    emulated_session = ""
    _answer: Deferred[Any] | None = None
    _opening: Opening | None = None
    _client: Client | None = None
    _handshake: Handshake | None = None
    _closing: LingeringClose | None = None
    _peer_has_ended = False
    _is_rejected = False
    _pauses = 0
    _compression: PerMessageDeflateOfferAccept | None = None
    _address = ""

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

    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """See `Connection.encoding`."""
        # The second one is what the handshake leaves of the first.
        is_compressed = self._compression is not None or self._perMessageCompress is not None
        return self.factory.encoding(self.dialect, frames, is_compressed=is_compressed)

    @property
    def ping_seconds(self) -> int:
        """See `Connection.ping_seconds`."""
        return math.ceil(self.factory.settings.ping_interval_seconds)

    def offer_compression(self) -> None:
        """See `Connection.offer_compression`."""
        if self._opening is not None:
            offers = self._parseExtensionsHeader(self._opening.offer.decode()) if self._opening.offer else ()
        else:
            offers = self.websocket_extensions
        self._compression = accept_offer(offers)

    def accept(self, connection_id: str | None) -> None:
        """See `Connection.accept`."""
        if self._opening is not None:
            self._accept(self._opening, connection_id)
        elif self._answer is not None:
            # The router lets Autobahn see those of all dialects, and no others.
            offered = self.websocket_protocols or ()
            chosen = next((name for name in offered if name in self.dialect.subprotocols), None)
            answer = chosen if connection_id is None else (chosen, {"X-Connection-Id": connection_id})
            self._answer.callback(answer)

    def pause_reading(self) -> None:
        """See `Connection.pause_reading`."""
        self._pause(_BY_CLIENT)

    def resume_reading(self) -> None:
        """See `Connection.resume_reading`."""
        self._resume(_BY_CLIENT)

    def reject(self, response: ErrorResponse) -> None:
        """See `Connection.reject`."""
        if self.state == self.STATE_CONNECTING:
            self.factory.counters.requests_rejected[response.status] += 1
            self.wasNotCleanReason = "rejected"
            self._give_up_place()
            self.transport.write(response.to_bytes())
            self.dropConnection(abort=False)

    def close(self, disconnect: AnyDisconnect) -> None:
        """See `Connection.close`."""
        if self.state == self.STATE_OPEN:
            farewell = self.dialect.close(disconnect)
            self.writer.shut()
            if farewell.messages:
                # Behind what is begun and before the close frame, and never too much for the outbox.
                self.writer.send_control(self.encoding().frame(farewell.messages))
            self.sendCloseFrame(farewell.code, farewell.reason.encode())
            if disconnect in (Disconnect.CREDENTIAL, Disconnect.STALE):
                # Without waiting for an answer: a client that has not authenticated does not keep its place by silence.
                self._give_up_place()
                self.dropConnection(abort=False)
            if self._client is not None:
                self._client.connection_closing(disconnect)
        elif self.state == self.STATE_CONNECTING:
            self.reject(DRAINING if disconnect is Disconnect.RESTART else ErrorResponse(500, _HANDSHAKE_ERRORS[500]))

    def abort(self) -> None:
        """See `RegisteredConnection.abort`."""
        self.transport.abortConnection()

    def counts_as(self, messages: int) -> bool:
        """See `Connection.counts_as`."""
        return self.is_within_rate(messages, 0)

    def batch_dropped(self) -> None:
        """See `Owner.batch_dropped`."""
        self.factory.counters.batches_dropped += 1

    def outbox_emptied(self) -> None:
        """See `Owner.outbox_emptied`."""
        self._resume(_BY_OUTBOX)

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

    def dataReceived(self, data: bytes) -> None:
        # First what nearly every read is: it begins between two frames of an open connection.
        if self._reads_fast() and not self.data:
            taken = read_frames(self, data)
            if taken:
                # The rest has been counted with it.
                if taken < len(data) and self.state != self.STATE_CLOSED:
                    self._dataReceived(data[taken:])
                if self._pauses:
                    self._stop_reading()
                return
        if self._closing is not None:
            self._closing.discard(len(data))
        elif self.state != self.STATE_CLOSED and self.is_within_rate(0, len(data)):
            # Not Autobahn's `dataReceived`: the arguments of its debug line cost 1.6 us for each read (measured).
            self._dataReceived(data)
            if self._pauses:
                self._stop_reading()

    def consumeData(self) -> None:  # noqa: N802 -- Autobahn's name
        if self.state == self.STATE_OPEN or self.state == self.STATE_CLOSING:
            # As Autobahn's own, but for the pause: the messages of one read that are left wait in the buffer.
            while not self._pauses and self.processData() and self.state != self.STATE_CLOSED:
                pass
        else:
            super().consumeData()

    def begin(self, rest: bytes) -> None:
        """Begin with the opening request that the connection was made with.

        Args:
            rest: The bytes that arrived behind the head.
        """
        self.data = rest
        self._client = self.factory.client(self)
        self._open_client()
        if self.state == self.STATE_CONNECTING:
            # Most are answered by now.
            self.factory.connections.handshake_begun(self)
            self._start_handshake_timer()

    def processHandshake(self) -> None:
        if self._client is None:
            super().processHandshake()
            self._open_client()
        elif len(self.data) > self.factory.settings.max_head_bytes:
            self.dropConnection(abort=True)

    def onConnect(self, _request: object) -> Deferred[Any]:
        self.factory.connections.handshake_begun(self)
        self._answer = answer = Deferred[Any]()
        self._client = self.factory.client(self)
        return answer

    def _open_client(self) -> None:
        # Autobahn waits for the answer by now. Before that a client that is accepted at once would have no 101 yet, and
        # what it is sent first would have no place behind it.
        client = self._client
        try:
            if client is not None and self._handshake is not None:
                client.open(self._handshake)
        except Exception:  # noqa: BLE001 -- Autobahn would show the client what it says
            self.factory.log.failure("a handshake failed")
            self.failHandshake("", 500)

    def succeedHandshake(self, result: object) -> None:
        if self._may_open():
            self._answer = None
            super().succeedHandshake(result)
            if self._peer_has_ended:
                # It can answer no ping.
                self.dropConnection(abort=False)

    def _accept(self, opening: Opening, connection_id: str | None) -> None:
        """Do what `succeedHandshake` does."""
        if self._may_open():
            chosen = None
            if opening.subprotocols:
                spoken = self.dialect.subprotocols
                chosen = next((name for name in opening.subprotocols if name in spoken), None)
            complete_handshake(self, opening, chosen, connection_id, self._compression)
            if self._peer_has_ended:
                # It can answer no ping.
                self.dropConnection(abort=False)

    def _may_open(self) -> bool:
        if self.factory.connections.is_draining:
            # It waited for its answer while the drain began, and has not been closed by that.
            self.reject(DRAINING)
            return False
        is_waiting: bool = self.state == self.STATE_CONNECTING
        return is_waiting

    def _start_handshake_timer(self) -> None:
        self.openHandshakeTimeoutCall = self.factory.timers.call_later(
            self.openHandshakeTimeout, self.onOpenHandshakeTimeout
        )

    def failHandshake(self, _reason: str, code: int = 400, _headers: object = None) -> None:
        # Autobahn answers a version it does not speak with 400; RFC 6455 section 4.4 wants 426 and the version.
        if code == 400 and self._asks_for_other_version():
            code = 426
        headers = (("Sec-WebSocket-Version", "13"),) if code == 426 else ()
        self.reject(ErrorResponse(code, _HANDSHAKE_ERRORS.get(code, _HANDSHAKE_ERRORS[400]), headers))

    def _onOpen(self) -> None:  # noqa: N802 -- Autobahn's name
        # Without a look at the transport's details, which are not collected.
        self.onOpen()

    def onOpen(self) -> None:
        self.factory.connections.opened(self)
        self.factory.counters.connections_opened += 1
        self.writer.open()
        self.factory.pings.start(self)
        if self.factory.shares_attributes:
            self._forget_handshake()

    def onMessage(self, payload: bytes, is_binary: bool) -> None:
        if self._client is not None and self.state == self.STATE_OPEN:
            self._client.received(Message(payload, is_binary))
            writer = self.writer
            if not writer.is_writable and writer.is_crowded:
                # What it sends may come back to it, for which there would soon be no room.
                self._pause(_BY_OUTBOX)

    def message_received(self, payload: bytes, is_binary: bool) -> bool:
        """See `FrameReceiver.message_received`."""
        group = self.ping_group
        if group is not None and group.ping is not None:
            self.factory.pings.answered(self)
        self.onMessage(payload, is_binary)
        takes_more: bool = self.state == _OPEN and not self._pauses
        return takes_more

    def perMessageCompressionAccept(self, _offers: object) -> Any:  # noqa: N802 -- Autobahn's name
        return self._compression

    def onFrameBegin(self) -> None:
        if self.is_within_rate(1, 0):
            if self.utf8validator is None:
                validators = self.factory.idle_validators
                self.utf8validator = validators.pop() if validators else Utf8Validator()
            super().onFrameBegin()

    def onFrameEnd(self) -> None:
        if super().onFrameEnd() is False:
            # The connection has failed at the end of a compressed message. Autobahn would stand still in its frame, and
            # never come to the client's close frame.
            self.current_frame = None
            self.inside_message = False
        # Of what came last, an idle connection keeps nothing: that was a quarter of its memory.
        self.current_frame_masker = None
        if self.utf8validator is not None and not self.inside_message:
            if len(self.factory.idle_validators) < MAX_IDLE_VALIDATORS:
                self.factory.idle_validators.append(self.utf8validator)
            self.utf8validator = None
            self.utf8validateIncomingCurrentMessage = False
            self.utf8validateLast = NO_TEXT
            self.message_data_total_length = self.frame_length = 0

    def onFrameData(self, payload: bytes) -> None:
        # A connection that has failed waits for the client's close frame, of which the type is enough. The one that
        # fails here, by what cannot be decompressed, comes to it as the others do: Autobahn would stop in the frame.
        if not self.failedByMe:
            super().onFrameData(payload)

    def _invalid_payload(self, reason: str) -> bool:
        if getattr(self, "_isMessageCompressed", False) and "decompressed" in reason:
            # Nearly always a client that refers to an earlier message, though it agreed not to.
            reason = "the message cannot be decompressed without those before it (client_no_context_takeover)"
        stop: bool = super()._invalid_payload(reason)
        return stop

    def onMessageFrameEnd(self) -> None:
        super().onMessageFrameEnd()
        self.factory.pings.answered(self)

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
        # Like a message, not like a control frame: a client that pings and does not read meets the outbox's bounds.
        self.writer.send(frame(Opcode.PONG, payload))

    def onPong(self, payload: bytes) -> None:
        self.factory.pings.pong_received(self, payload)

    def answers_ping(self, payload: bytes) -> bool:
        """See `FrameReceiver.answers_ping`."""
        return self.factory.pings.pong_received(self, payload)

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

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # Autobahn's own spends twenty times as long on arguments for a debug line.
        self.writer.send_control(data)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:  # noqa: N803
        if not isReply and self.state == self.STATE_OPEN and code is not None:
            channels = () if self._client is None else self._client.session.channels
            self.factory.rejections.record_close(code, (reasonUtf8 or b"").decode(), channels)
        # Whichever side closes, nothing may follow the close frame (RFC 6455 section 5.5.1).
        self.writer.shut()
        self._lift_pause()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Never: the writer watches the transport."""

    def dropConnection(self, abort: bool = False) -> None:
        # Once both close frames have passed there is no reason for a reset, which Autobahn would make of it.
        abort = abort and not self.wasClean
        self.writer.shut()
        if not abort:
            self.writer.finish()
        super().dropConnection(abort)

    def _closeConnection(self, abort: bool = False) -> None:  # noqa: N802 -- Autobahn's name
        if abort:
            self.transport.abortConnection()
            return
        self._lift_pause()
        self._closing = LingeringClose(
            self.transport,
            self.factory.timers.call_later,
            REJECTED_CLIENT_LINGER_SECONDS if self._is_rejected else self.factory.settings.close_timeout_seconds,
            # Nothing needs to be waited for once both close frames have passed, nor behind an HTTP response.
            delay=UNANSWERED_CLOSE_SECONDS if self.closedByMe and not self.wasClean else 0.0,
            peer_has_ended=self._peer_has_ended,
        )
        self._closing.start()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`: a handshake is answered, everything else ends."""
        self._peer_has_ended = True
        if self._closing is not None:
            self._closing.peer_ended()
        elif self.state != self.STATE_CONNECTING:
            self.dropConnection(abort=False)
        else:
            # Nearly always a client that has left; it must not keep others out until the answer comes.
            self._give_up_place()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.writeConnectionLost`."""

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections.closed(self)
        self.factory.pings.stop(self)
        if self._is_rejected:
            self.factory.http_connections.remove(underlying(self.transport))
        else:
            self.factory.admission.release(self._address)
        self.factory.rate_limits.remove(self)
        try:
            if self.factory.shares_attributes and type(reason.value) in _ORDINARY_ENDS:
                end_connection(self)
            else:
                super().connectionLost(reason)
        finally:
            for pending in (self._closing, self.closeHandshakeTimeoutCall):
                if pending is not None:
                    pending.cancel()
            self.writer.connection_lost()
            if self._client is not None:
                self._client.connection_lost(self.remoteCloseCode)

    def _pause(self, reason: int) -> None:
        """Leave what was read and not yet looked at, and read no further, until all reasons are gone."""
        if self.state == self.STATE_OPEN:
            self._pauses |= reason

    def _reads_fast(self) -> bool:
        """Return whether what comes next may begin with simple frames: it begins between two of them, in no pause."""
        return bool(self.state == _OPEN and self.current_frame is None and not self._pauses and self.factory.reads_fast)

    def _is_at_end_of_frame(self) -> bool:
        """Return whether Autobahn is about to go on behind a frame, whose message has ended the pause that it began."""
        frame: Any = self.current_frame
        # One that shares no attributes has none before its first frame.
        masker: Any = getattr(self, "current_frame_masker", None)
        return frame is not None and bool(masker.pointer() == frame.length)

    def _stop_reading(self) -> None:
        """Read no further in a pause.

        Not before something has come in it, or is left: most pauses are over in a turn of the reactor, in which most
        clients send nothing, and two system calls are saved. More may come all the same, if TLS has decrypted it.
        """
        if not self._pauses & _STOPPED and self.data:
            self._pauses |= _STOPPED
            # Its pong may stand behind what is not read.
            self.factory.pings.suspend(self)
            self.factory.connections.paused.add(self)
            self.transport.pauseProducing()

    def _resume(self, reason: int) -> None:
        if not self._pauses & reason:
            return
        was_stopped = self._pauses & _STOPPED
        self._pauses &= ~reason
        if self._pauses & ~_STOPPED:
            return
        self._pauses = 0
        if was_stopped:
            self.factory.connections.paused.resumed(self)
            self.factory.pings.resume(self)
        # What was read comes first, and may bring the next pause.
        if self._reads_fast():
            data, self.data = self.data, b""
            self.data = data[read_frames(self, data, is_counted=True) :]
        if self.state != self.STATE_CLOSED and not self._is_at_end_of_frame():
            self.consumeData()
        if self._pauses:
            self._stop_reading()
        if was_stopped and not self._pauses & _STOPPED:
            self.transport.resumeProducing()

    def _lift_pause(self) -> None:
        """Read on for whatever reason reading is paused: the connection ends, for which the client has to be read."""
        if not self._pauses:
            return
        was_stopped, self._pauses = self._pauses & _STOPPED, 0
        if was_stopped:
            self.factory.connections.paused.remove(self)
            self.transport.resumeProducing()
        if self.data:
            # Not now, in the middle of something else. A close frame of the client may be in the buffer.
            self.factory.timers.call_later(0, self.consumeData)

    def _give_up_place(self) -> None:
        """Be counted no more: a client that is turned away must not keep others out while it is read out.

        Its connection is among those that can be aborted to make room.
        """
        if not self._is_rejected:
            self._is_rejected = True
            self.factory.admission.release(self._address)
            self.factory.http_connections.add(underlying(self.transport))

    def is_within_rate(self, frames: int, size: int) -> bool:
        """See `FrameReceiver.is_within_rate`."""
        # Before the handshake is answered other bounds hold; after our close frame the same ones as ever.
        if self.state == self.STATE_CONNECTING or self.factory.rate_limits.allows(self, frames, size):
            return True
        self.close(Disconnect.TOO_FAST)
        # Without waiting for an answer, which would stand behind everything else that it has sent.
        self.dropConnection(abort=False)
        return False

    def _forget_handshake(self) -> None:
        """Let go of what the opening handshake left, and take a dictionary that fits what remains."""
        if HANDSHAKE_ATTRIBUTES.issuperset(self.__dict__):
            # Of most.
            del self.__dict__
            return
        of_class = type(self)
        kept = {
            name: value
            for name, value in vars(self).items()
            if name not in HANDSHAKE_ATTRIBUTES and getattr(of_class, name, _Missing) is not value
        }
        if kept:
            self.__dict__ = kept
        else:
            del self.__dict__

    def _asks_for_other_version(self) -> bool:
        version = getattr(self, "http_headers", {}).get("sec-websocket-version", "")
        return bool(version) and version != "13"


class _Missing:
    """No attribute is this."""
