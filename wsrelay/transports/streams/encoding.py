"""Encodings of event streams, which can carry text only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.publications import ChannelEvent
from wsrelay.core.wire.framing import Framing
from wsrelay.engine.encodings import Encoding
from wsrelay.interfaces import IDialect

__all__ = ["StreamEncoding"]


class StreamEncoding(Encoding):
    """An encoding that reports the publications that its dialect leaves out because they are not text.

    The dialect has a form for every other event.

    Args:
        dialect: The wire language.
        framing: What the transport makes of its messages.
        frames: The type of frame for publications.
        on_not_text: Called with a channel and the number of publications that are left out of one of its batches.
    """

    __slots__ = ("_last_reported", "_on_not_text")

    def __init__(
        self, dialect: IDialect, framing: Framing, frames: FrameType, on_not_text: Callable[[str, int], None]
    ) -> None:
        super().__init__(dialect, framing, frames)
        self._on_not_text = on_not_text
        self._last_reported: Sequence[ChannelEvent] | None = None

    def encode(self, events: Sequence[ChannelEvent]) -> bytes:
        """See `Encoding.encode`."""
        messages = self._encode(events)
        # The hub has each batch, which is a list, encoded for some subscribers at a time while it has no bytes.
        # Anything else is an extract of a batch, or for one client, and has been or will be counted.
        if len(messages) < len(events) and isinstance(events, list) and events is not self._last_reported:
            self._last_reported = events
            self._on_not_text(events[0].channel, len(events) - len(messages))
        return self._frame(messages)
