"""One message on a channel."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Publication"]


class Publication(NamedTuple):
    """One message on a channel.

    A NamedTuple and not a dataclass because one is made for every message: a frozen dataclass costs thrice as much.

    Attributes:
        channel: The channel's name, without the prefix it has in Redis.
        payload: The message, byte for byte as it was published.
    """

    channel: str
    payload: bytes
