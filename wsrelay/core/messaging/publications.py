"""The events of a channel: publications, gaps between them, and the joins and leaves of its subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

__all__ = ["ChannelEvent", "Gap", "GapReason", "Join", "Leave", "Positioned", "Publication", "PublishResult"]


class Origin(Protocol):
    """An entry that a publication was read from."""

    @property
    def id(self) -> tuple[int, int]:
        """Its ID: milliseconds and a number."""

    @property
    def position_text(self) -> str:
        """The text of the channel's position behind it."""

    def field(self, name: bytes) -> bytes | None:
        """Return the value of one of its fields. None if it has none by this name."""


class Publication(NamedTuple):
    """One message on a channel.

    A NamedTuple and not a dataclass because one is made for every message: a frozen dataclass costs thrice as much.

    Attributes:
        channel: The channel's name, without the prefix it has in Redis.
        data: The message, byte for byte as it was published.
        origin: The entry that it was read from. If None, the channel has no history, or the message was published past
            its stream and is not kept.
    """

    channel: str
    data: bytes
    origin: Origin | None = None

    @property
    def position(self) -> str:
        """The channel's position behind it (see `wsrelay.core.history.positions`); empty without an origin.

        It is made when it is asked for: raw clients are not told of it.
        """
        return "" if self.origin is None else self.origin.position_text


class GapReason(StrEnum):
    """Why publications may be missing. The values are what clients are told.

    Attributes:
        TOO_MANY: More were missed than are sent at once.
        TRIMMED: The stream no longer holds all that was missed.
        EXPIRED: The stream is gone.
        OTHER_ENTRY: Another entry has the ID of the position: the stream was made anew.
        UNKNOWN_POSITION: The position is none of this stream, or none at all.
        NO_HISTORY: The channel keeps no history, and the client was away.
        CONNECTION_LOST: The channel keeps no history, and the connection between this process and Redis was lost.
    """

    TOO_MANY = "too_many"
    TRIMMED = "trimmed"
    EXPIRED = "expired"
    OTHER_ENTRY = "other_entry"
    UNKNOWN_POSITION = "unknown_position"
    NO_HISTORY = "no_history"
    CONNECTION_LOST = "connection_lost"


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications may be missing here: between those before this event and those behind it.

    Attributes:
        channel: The channel's name.
        reason: Why.
    """

    channel: str
    reason: GapReason


@dataclass(frozen=True, slots=True)
class Positioned:
    """The client's position on a channel. It carries nothing else.

    Attributes:
        channel: The channel's name.
        position: The position.
    """

    channel: str
    position: str


@dataclass(frozen=True, slots=True)
class Join:
    """A client subscribed to a channel whose namespace announces that.

    Attributes:
        channel: The channel's name.
        client: The id of the client's connection.
        user: The client's user. Empty for an anonymous client.
        conn_info: See `wsrelay.core.presence.member.Member`.
        chan_info: The same.
    """

    channel: str
    client: str
    user: str = ""
    conn_info: bytes = b""
    chan_info: bytes = b""


@dataclass(frozen=True, slots=True)
class Leave:
    """A client is no longer subscribed to a channel whose namespace announces that. Attributes as for `Join`.

    Nothing is told about the client: it may be the one of a process that crashed.
    """

    channel: str
    client: str
    user: str = ""


ChannelEvent: TypeAlias = Publication | Gap | Join | Leave | Positioned
"""Everything that a channel may carry. A dialect encodes the kinds it has a form for and leaves the others out."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The broker has taken a message.

    Attributes:
        position: The ID of the message's entry in the channel's stream (``1767225600000-0``). Empty where the channel
            has no history.
    """

    position: str = ""
