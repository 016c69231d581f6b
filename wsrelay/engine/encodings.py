"""Encodings: the bytes of channel events, made once for all subscriptions that share one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import MessagePair
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.wire.framing import Framing
from wsrelay.interfaces import IDialect

__all__ = ["Encoding", "Encodings"]


class Encoding:
    """A dialect in a framing, with the options of a subscription. Subscriptions with the same encoding share its bytes.

    Args:
        dialect: The wire language.
        framing: What the transport makes of its messages.
        frames: The type of frame for publications.

    Attributes:
        has_gap_event: Whether subscribers are told of a gap by an event. If not, their subscription ends.
        has_positions: Whether subscribers learn their position from each publication, and resume from there when their
            subscription has ended.
    """

    __slots__ = ("_encode", "_frame", "_text_headers", "has_gap_event", "has_positions")

    def __init__(self, dialect: IDialect, framing: Framing, frames: FrameType = FrameType.AUTO) -> None:
        # Bound once: this is called for every batch.
        self._encode = dialect.encode if frames is not FrameType.BINARY else partial(dialect.encode, frames=frames)
        self._frame = framing.frame
        # If not empty, a batch of one short ASCII message is its header and its data.
        is_short = dialect.is_verbatim and frames is not FrameType.BINARY
        self._text_headers = framing.text_headers if is_short else ()
        self.has_gap_event: bool = dialect.has_gap_event
        self.has_positions: bool = dialect.acceptance.has_commands

    def encode(self, events: Sequence[ChannelEvent]) -> bytes:
        """Return the bytes of events of one channel, in their order; empty if the dialect has no form for them."""
        if len(events) == 1 and type(event := events[0]) is Publication:
            # Nearly every batch where each client has a channel of its own. The dialect and the framing make the same
            # of it, by two calls and two tuples: half of what is done for a message in the hub.
            data, headers = event.data, self._text_headers
            if len(data) < len(headers) and data.isascii():
                return headers[len(data)] + data
        return self._frame(self._encode(events))

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """Return the bytes of messages for one client."""
        return self._frame(messages)


class Encodings:
    """The encodings of one process, each made when it is first needed."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, bool], Encoding] = {}

    def get(self, dialect: IDialect, framing: Framing, frames: FrameType = FrameType.AUTO) -> Encoding:
        """Return the one encoding of a dialect in a framing, for channels with a type of frame."""
        # Of text the hub has left out what is not; the rest is the same as of either type.
        key = (dialect.name, framing.name, frames is FrameType.BINARY)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Encoding(dialect, framing, frames)
        return found
