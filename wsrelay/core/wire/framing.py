"""Framings: the bytes that a transport makes of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wsrelay.core.messaging.messages import MessagePair
from wsrelay.core.wire.deflate import Deflater
from wsrelay.core.wire.event_stream import END_OF_EVENT, EventBatch, PositionedLines, data_lines
from wsrelay.core.wire.frames import SHORT_TEXT, Opcode, frame, message_frame

__all__ = [
    "BlockFraming",
    "DataEventFraming",
    "DeflatedWebSocketFraming",
    "EventStreamFraming",
    "Framing",
    "LineFraming",
    "SeveralChannelsFraming",
    "WebSocketFraming",
]


class Framing(Protocol):
    """Makes the bytes that carry messages on one kind of transport.

    Attributes:
        name: A short text, unique among framings.
        text_headers: What stands in front of a text message, by its length, where that is all that `frame` does to one
            so short. Empty if there is none.
    """

    name: str
    text_headers: tuple[bytes, ...]

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """Return complete frames, in the order of the messages; empty bytes for no messages."""


class WebSocketFraming:
    """One unmasked WebSocket frame for each message (RFC 6455 section 5)."""

    name = "websocket"
    text_headers = SHORT_TEXT

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        if len(messages) == 1:
            ((data, is_binary),) = messages
            size = len(data)
            if not is_binary and size < 65536:
                # As `message_frame` does, without the calls: this is done for nearly every message.
                return SHORT_TEXT[size] + data if size < 126 else b"\x81\x7e%c%c%b" % (size >> 8, size & 255, data)
            return message_frame(data, is_binary)
        return b"".join([message_frame(data, is_binary) for data, is_binary in messages])


class DeflatedWebSocketFraming:
    """The same with permessage-deflate (RFC 7692), each message independent of all others."""

    name = "websocket-deflate"
    text_headers: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self._deflater = Deflater()

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        return b"".join([self._frame(*message) for message in messages])

    def _frame(self, data: bytes, is_binary: bool) -> bytes:
        compressed = self._deflater.compress(data)
        if compressed is None:
            return message_frame(data, is_binary)
        return frame(Opcode.BINARY if is_binary else Opcode.TEXT, compressed, compressed=True)


class EventStreamFraming:
    """One event of an event stream for each message: its lines and an empty one (WHATWG HTML section 9.2.6)."""

    name = "event-stream"
    text_headers: tuple[bytes, ...] = ()

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        if len(messages) == 1:
            return messages[0][0] + END_OF_EVENT
        return b"".join([data + END_OF_EVENT for data, _is_binary in messages])


class SeveralChannelsFraming(EventStreamFraming):
    """The same for streams of several channels, each of which puts ids of its own into what they share."""

    name = "event-stream-several"

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`. Events of a channel become an `EventBatch`."""
        events = [data for data, _is_binary in messages if isinstance(data, PositionedLines)]
        return EventBatch(events) if events else super().frame(messages)


class DataEventFraming:
    """One event of an event stream for each message, without a name or an id: the message is its data."""

    name = "data-event"
    text_headers: tuple[bytes, ...] = ()

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        return b"".join([data_lines(data) + END_OF_EVENT for data, _is_binary in messages])


class LineFraming:
    """One line for each message, or as many as it has itself."""

    name = "line"
    text_headers: tuple[bytes, ...] = ()

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        return b"".join([data + b"\n" for data, _is_binary in messages])


class BlockFraming:
    """The messages as they are: of a dialect that puts their lengths in front of what is in them."""

    name = "block"
    text_headers: tuple[bytes, ...] = ()

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        return b"".join([data for data, _is_binary in messages])
