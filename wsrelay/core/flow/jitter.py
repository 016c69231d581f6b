"""Times that differ from client to client, so that nothing happens to all of them at once."""

from __future__ import annotations

from random import Random

__all__ = ["PING_JITTER", "REJECTED_RETRY_SECONDS", "RETRY_SECONDS", "ping_interval", "retry_delay"]

PING_JITTER = 0.2
"""Each ping comes up to this part of the interval earlier than asked, so that connections do not ping in step."""

RETRY_SECONDS = (1.0, 4.0)
"""How long clients of event streams wait before they connect again, from and to. They have no back-off of their own."""

REJECTED_RETRY_SECONDS = (4.0, 12.0)
"""The same for those that were turned away: around the five seconds that Retry-After says to others, and beyond."""


def ping_interval(seconds: float, rng: Random) -> float:
    """Return how long it takes until a connection is pinged, in seconds.

    Args:
        seconds: The interval that is never exceeded.
        rng: The source of the jitter.
    """
    return seconds * (1.0 - PING_JITTER * rng.random())


def retry_delay(rng: Random, *, is_rejected: bool = False) -> float:
    """Return how long one client waits before it connects again, in seconds.

    Args:
        rng: The source of the jitter.
        is_rejected: Whether the client is being turned away.
    """
    return rng.uniform(*(REJECTED_RETRY_SECONDS if is_rejected else RETRY_SECONDS))
