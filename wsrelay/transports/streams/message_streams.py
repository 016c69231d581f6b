"""Streams of the messages of a dialect: as events, as lines, or one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.wire.event_stream import retry_event, stream_head
from wsrelay.core.wire.framing import BlockFraming, DataEventFraming, Framing, LineFraming
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import Transport
from wsrelay.engine.encodings import Encoding
from wsrelay.interfaces import IDialect
from wsrelay.transports.ping_schedule import Ping
from wsrelay.transports.streams.connection import StreamConnection, StreamContext

__all__ = ["STREAM_KINDS", "MessageStreamConnection", "StreamKind"]


@dataclass(frozen=True, slots=True)
class StreamKind:
    """A form of streams of messages.

    Attributes:
        framing: What becomes of a message.
        content_type: The media type of the response.
        has_retry: Whether its clients come back by themselves, as an EventSource does, and are told how late.
    """

    framing: Framing
    content_type: str
    has_retry: bool = False


STREAM_KINDS: dict[Transport, StreamKind] = {
    "event-stream": StreamKind(DataEventFraming(), "text/event-stream", has_retry=True),
    "line-stream": StreamKind(LineFraming(), "application/x-ndjson"),
    "block-stream": StreamKind(BlockFraming(), "application/octet-stream"),
}
"""The form of each transport of routes that has one."""


class MessageStreamConnection(StreamConnection):
    """One stream of messages.

    Args:
        handshake: The client's request.
        factory: What it belongs to.
        dialect: The wire language.
        kind: The form of the stream.
        encoding: The dialect in that form.
    """

    __slots__ = ("_dialect", "_encoding", "_kind")

    def __init__(
        self, handshake: Handshake, factory: StreamContext, dialect: IDialect, kind: StreamKind, encoding: Encoding
    ) -> None:
        self._dialect = dialect
        self._kind = kind
        self._encoding = encoding
        super().__init__(handshake, factory)

    @property
    def dialect(self) -> IDialect:
        """See `Connection.dialect`."""
        return self._dialect

    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """See `Connection.encoding`. These dialects wrap publications, so that the type of frame is of no account."""
        return self._encoding

    def _begin(self, _handshake: Handshake, headers: tuple[tuple[str, str], ...]) -> bytes:
        # The empty line is Centrifugo's: it makes intermediaries send the head.
        return stream_head(headers, self._kind.content_type) + (
            b"\r\n" + self._retry() if self._kind.has_retry else b""
        )

    def _farewell(self, _disconnect: AnyDisconnect, messages: Sequence[Message]) -> bytes:
        return self._retry() + self._encoding.frame(messages)

    def send_ping(self, ping: Ping) -> bool:
        """See `Pinged.send_ping`: the dialect's own, which has no answer."""
        # A client that is behind has its outbox, which is a sign of life as well, with bounds of its own.
        if self._out.is_writable and (data := ping.of_dialect(self._dialect, self._encoding)):
            self._out.send(data)
        return False

    def _retry(self) -> bytes:
        return retry_event(self._factory.next_retry_delay()) if self._kind.has_retry else b""
