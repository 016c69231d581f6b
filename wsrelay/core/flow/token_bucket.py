"""How much a client may send."""

from __future__ import annotations

__all__ = ["BURST_SECONDS", "TokenBucket"]

BURST_SECONDS = 3.0
"""How many seconds' worth of frames and bytes a client may send at once."""


class TokenBucket:
    """Lets through a steady rate and bursts of a few seconds' worth.

    Args:
        rate: Units a second.
        burst_seconds: How many seconds' worth may come at once.
        now: The time.
    """

    __slots__ = ("_full", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, burst_seconds: float, now: float) -> None:
        self._rate = rate
        self._full = self._tokens = rate * burst_seconds
        self._since = now

    def take(self, units: float, now: float) -> bool:
        """Take units; False, and nothing taken, if there are not so many."""
        # Never backwards, whatever the clock does.
        self._tokens = min(self._full, self._tokens + max(0.0, now - self._since) * self._rate)
        self._since = now
        if units > self._tokens:
            return False
        self._tokens -= units
        return True

    def is_full(self, now: float) -> bool:
        """Whether as much may be taken as ever: nothing is known here that a new bucket would not know."""
        return self._tokens + (now - self._since) * self._rate >= self._full
