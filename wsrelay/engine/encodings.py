"""Encodings: the bytes of channel events, made once for all subscriptions that share one."""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.core.messaging.messages import MessagePair
from wsrelay.core.messaging.publications import ChannelEvent
from wsrelay.core.wire.framing import Framing
from wsrelay.interfaces import IDialect

__all__ = ["Encoding", "Encodings"]


class Encoding:
    """A dialect in a framing. Subscriptions with the same encoding share its bytes.

    Args:
        dialect: The wire language.
        framing: What the transport makes of its messages.
    """

    __slots__ = ("_encode", "_frame")

    def __init__(self, dialect: IDialect, framing: Framing) -> None:
        self._encode = dialect.encode
        self._frame = framing.frame

    def encode(self, events: Sequence[ChannelEvent]) -> bytes:
        """Return the bytes of events of one channel, in their order; empty if the dialect has no form for them."""
        return self._frame(self._encode(events))

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """Return the bytes of messages for one client."""
        return self._frame(messages)


class Encodings:
    """The encodings of one process, each made when it is first needed."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Encoding] = {}

    def get(self, dialect: IDialect, framing: Framing) -> Encoding:
        """Return the one encoding of a dialect in a framing."""
        key = (dialect.name, framing.name)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Encoding(dialect, framing)
        return found
