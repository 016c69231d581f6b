"""Times that differ from client to client, so that nothing happens to all of them at once."""

from __future__ import annotations

from random import Random

__all__ = [
    "DISABLED_RETRY_SECONDS",
    "PING_JITTER",
    "REJECTED_RETRY_SECONDS",
    "RETRY_SECONDS",
    "PingIntervals",
    "retry_delay",
]

PING_JITTER = 0.2
"""Each ping comes up to this part of the interval earlier than asked, so that connections do not ping in step."""

RETRY_SECONDS = (1.0, 4.0)
"""How long clients of event streams wait before they connect again, from and to. They have no back-off of their own."""

REJECTED_RETRY_SECONDS = (4.0, 12.0)
"""The same for those that were turned away: around the five seconds that Retry-After says to others, and beyond."""

DISABLED_RETRY_SECONDS = (15.0, 45.0)
"""The same while the operator has turned websockets off: for minutes, rather than for a moment."""


_GOLDEN_RATIO = 0.6180339887498949


class PingIntervals:
    """The times that it takes until one connection after the other is pinged.

    Each comes into the widest gap between those before it, because the last part of the interval is passed through in
    steps of the golden ratio. So they are spread more evenly than by chance, and cost no random number, which is a
    system call where randomness is the system's.

    Args:
        seconds: The interval that is never exceeded.
        rng: Decides where they begin.
    """

    __slots__ = ("_seconds", "_share")

    def __init__(self, seconds: float, rng: Random) -> None:
        self._seconds = seconds
        self._share = rng.random()

    def next(self) -> float:
        """Return how long it takes until a connection is pinged, in seconds."""
        share = self._share = (self._share + _GOLDEN_RATIO) % 1.0
        return self._seconds * (1.0 - PING_JITTER * share)


def retry_delay(rng: Random, *, is_rejected: bool = False, is_disabled: bool = False) -> float:
    """Return how long one client waits before it connects again, in seconds.

    Args:
        rng: The source of the jitter.
        is_rejected: Whether the client is being turned away.
        is_disabled: Whether all clients are, because websockets are off.
    """
    if is_disabled:
        return rng.uniform(*DISABLED_RETRY_SECONDS)
    return rng.uniform(*(REJECTED_RETRY_SECONDS if is_rejected else RETRY_SECONDS))
