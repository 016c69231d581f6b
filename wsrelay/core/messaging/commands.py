"""What clients ask, as plain values: every dialect decodes its wire language into these."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Publish", "Subscribe"]


class Subscribe(NamedTuple):
    """The client wants to hear a channel.

    Attributes:
        channel: A name inside the channel grammar.
    """

    channel: str


class Publish(NamedTuple):
    """The client wants a message published.

    Attributes:
        channel: A name inside the channel grammar, or None for the one channel the client listens to.
        payload: The message.
    """

    channel: str | None
    payload: bytes
