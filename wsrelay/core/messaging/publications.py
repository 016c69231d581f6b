"""The events of a channel: publications, and the joins and leaves of its subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

__all__ = ["ChannelEvent", "Join", "Leave", "Publication", "PublishResult"]


class Publication(NamedTuple):
    """One message on a channel.

    A NamedTuple and not a dataclass because one is made for every message: a frozen dataclass costs thrice as much.

    Attributes:
        channel: The channel's name, without the prefix it has in Redis.
        data: The message, byte for byte as it was published.
        position: The ID of its entry in the channel's stream (``1767225600000-0``). Empty where the channel has no
            history.
    """

    channel: str
    data: bytes
    position: str = ""


@dataclass(frozen=True, slots=True)
class Join:
    """A client subscribed to a channel whose namespace announces that.

    Attributes:
        channel: The channel's name.
        client: The id of the client's connection.
        user: The client's user. Empty for an anonymous client.
    """

    channel: str
    client: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    """A client is no longer subscribed to a channel whose namespace announces that. Attributes as for `Join`."""

    channel: str
    client: str
    user: str = ""


ChannelEvent: TypeAlias = Publication | Join | Leave
"""Whatever a channel carries. A dialect encodes the kinds it has a form for and leaves the others out."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The broker has taken a message.

    Attributes:
        position: The ID of the message's entry in the channel's stream. Empty where the channel has no history.
    """

    position: str = ""
