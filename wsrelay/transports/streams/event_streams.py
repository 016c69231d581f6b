"""Event streams of the channels in a URL: the dialect of `wsrelay.dialects.sse`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wsrelay.core.access.credentials import sends_ticket
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.wire.event_stream import HEARTBEAT, retry_event, stream_head
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects.sse import credential_event, read_subscriptions, starting_position
from wsrelay.engine.encodings import Encoding
from wsrelay.interfaces import IDialect
from wsrelay.transports.ping_schedule import Ping
from wsrelay.transports.streams.connection import StreamConnection, StreamContext
from wsrelay.transports.streams.position_writer import PositionWriter

__all__ = ["EventStreamConnection", "EventStreamContext"]


class EventStreamContext(StreamContext, Protocol):
    """The parts of a factory that its event streams use."""

    def dialect(self, *, has_several_channels: bool) -> IDialect:
        """Return the dialect of streams of one channel, or of several."""

    def encoding(self, frames: FrameType, *, has_several_channels: bool) -> Encoding:
        """Return the encoding that all streams of one channel share, or all streams of several."""


class EventStreamConnection(StreamConnection):
    """One event stream.

    Args:
        handshake: The client's request.
        factory: What it belongs to.
    """

    __slots__ = ("_has_ticket", "_shared")

    def __init__(self, handshake: Handshake, factory: EventStreamContext) -> None:
        self._shared = factory
        self._has_ticket = False
        super().__init__(handshake, factory)

    @property
    def dialect(self) -> IDialect:
        """See `Connection.dialect`."""
        return self._shared.dialect(has_several_channels=self._has_several_channels)

    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """See `Connection.encoding`."""
        return self._shared.encoding(frames, has_several_channels=self._has_several_channels)

    @property
    def _has_several_channels(self) -> bool:
        """True once the stream is open, if its ids carry the positions of several channels."""
        return self.writer is not self._out

    def _begin(self, handshake: Handshake, headers: tuple[tuple[str, str], ...]) -> bytes:
        self._has_ticket = sends_ticket(handshake)
        if len(self._client.session.channels) > 1:
            commands = read_subscriptions(handshake)
            self.writer = PositionWriter(
                self._out, {command.channel: starting_position(command).encode() for command in commands}
            )
        return stream_head(headers) + retry_event(self._factory.next_retry_delay())

    def _farewell(self, disconnect: AnyDisconnect, messages: Sequence[Message]) -> bytes:
        # Its ticket is spent: whatever ended the stream, the same request would be rejected.
        if self._has_ticket:
            messages = (credential_event(disconnect),)
        return retry_event(self._factory.next_retry_delay()) + self.encoding().frame(messages)

    def send_ping(self, _ping: Ping) -> bool:
        """See `Pinged.send_ping`: a comment, which has no answer."""
        # A client that is behind has its outbox, which is a sign of life as well, with bounds of its own.
        if self._out.is_writable:
            self._out.send(HEARTBEAT)
        return False
