"""The frames that a client sends, as Autobahn parses them: within their bounds, and with its faults mended.

Autobahn parses frames, validates UTF-8 and inflates messages. What was measured to be missing or wrong in 26.10 for a
server that faces the internet is mended here; each point has its test in tests/edge/test_autobahn_regressions.py:

- Frames have no rate (`onFrameBegin`), a control frame may be longer than a control frame can be (`onFrameData`), and
  empty fragments are kept without limit (`onMessageFrameData`).
- After a message that cannot be decompressed it stays inside that frame: `onFrameData` and `onFrameEnd` go on.
- Pongs are written without a look at the reader: `onPing` puts them into the outbox.
- What came last is kept until something else comes: `onFrameEnd` and `onMessageEnd` let go of it.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.utf8validator import Utf8Validator

from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import Opcode, frame
from wsrelay.transports.websocket.connection_context import ConnectionContext
from wsrelay.transports.websocket.shared_attributes import NO_TEXT
from wsrelay.transports.writer import ConnectionWriter

__all__ = ["FrameParsingConnection"]

MAX_IDLE_VALIDATORS = 64
"""Validators that are kept for the next messages: to make one takes longer than to validate a short message."""

# Autobahn writes a line for every handshake that fails and every pong that is missing. A hostile client could fill
# the disk with them; what matters is logged by ourselves.
WebSocketServerProtocol.log.set_log_level("error")


class FrameParsingConnection(WebSocketServerProtocol):
    """The frames of one WebSocket connection. A base of it and not a part: connections have one object less.

    A class on top of it implements `Connection.close`, and `onMessage`, which gets each message that is complete.

    Attributes:
        factory: What the connection belongs to.
        writer: The way out of the connection.
    """

    factory: ConnectionContext
    writer: ConnectionWriter

    # If None, no message is under way.
    utf8validator: Any

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

    def is_within_rate(self, frames: int, size: int) -> bool:
        """See `FrameReceiver.is_within_rate`."""
        # Before the handshake is answered other bounds hold; after our close frame the same ones as ever.
        if self.state == self.STATE_CONNECTING or self.factory.rate_limits.allows(self, frames, size):
            return True
        self.close(Disconnect.TOO_FAST)
        # Without waiting for an answer, which would stand behind everything else that it has sent.
        self.dropConnection(abort=False)
        return False
