"""The choice of what a slow client receives."""

from __future__ import annotations

from enum import Enum

__all__ = ["SlowPolicy"]


class SlowPolicy(Enum):
    """The messages of a channel that a client receives if it does not read fast enough. A namespace chooses.

    Attributes:
        value: The operator's word for it.
    """

    CLOSE = "close"
    """Everything until its outbox is full; then it is disconnected with a code that tells it to reconnect."""

    DROP = "drop"
    """Everything until its outbox is full, and then nothing until there is room: messages are lost."""

    LATEST = "latest"
    """Only the latest message, for tickers and locations, where older ones are worthless."""
