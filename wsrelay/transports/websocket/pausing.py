"""The reading of a WebSocket connection: short ways where they are possible, and pauses while there is too much to do.

What was measured to be missing or wrong in Autobahn 26.10 is mended here; tests/edge/test_autobahn_regressions.py and
tests/transports/websocket/test_fast_reads.py have the tests:

- It reads whatever comes, however much is left to do: `consumeData` stops in a pause.
- Its reading of frames takes longer than all that is done with a short message: see `fast_reads`.
- What comes after the end, while TLS is being closed, is kept without limit: dropped in `dataReceived`.
"""

from __future__ import annotations

from typing import Any

from wsrelay.core.messaging.messages import Message
from wsrelay.engine.client import Client
from wsrelay.transports.lingering_close import LingeringClose
from wsrelay.transports.ping_schedule import PingGroup
from wsrelay.transports.websocket.fast_reads import read_frames
from wsrelay.transports.websocket.frame_parsing import FrameParsingConnection

__all__ = ["PausableConnection"]

_BY_CLIENT = 1
_BY_OUTBOX = 2
"""The reasons for a pause: the client's session cannot take more now, or its outbox is too full."""

_STOPPED = 4
"""In a pause, whether the transport is not read, either."""

_OPEN = FrameParsingConnection.STATE_OPEN


class PausableConnection(FrameParsingConnection):
    """The reading of one WebSocket connection, whose messages its client gets. A base of it, as the one below.

    Implements `FrameReceiver` together with that. A class on top of it makes the client, and calls `_lift_pause` when
    the end of the connection begins.
    """

    data: bytes

    # Set by the schedule. If None, the connection is not pinged.
    ping_group: PingGroup | None = None

    _client: Client | None = None
    # If not None, the connection ends, and what still comes is dropped.
    _closing: LingeringClose | None = None
    _pauses = 0

    def pause_reading(self) -> None:
        """See `Connection.pause_reading`."""
        self._pause(_BY_CLIENT)

    def resume_reading(self) -> None:
        """See `Connection.resume_reading`."""
        self._resume(_BY_CLIENT)

    def outbox_emptied(self) -> None:
        """See `Owner.outbox_emptied`."""
        self._resume(_BY_OUTBOX)

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
            self.factory.connections.paused.resumed(self)
            self.transport.resumeProducing()
        if self.data:
            # Not now, in the middle of something else. A close frame of the client may be in the buffer.
            self.factory.timers.call_later(0, self.consumeData)
