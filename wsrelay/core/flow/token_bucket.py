"""A bound on the rate at which a client sends."""

from __future__ import annotations

__all__ = ["MESSAGE_BURST_SECONDS", "TokenBucket"]

MESSAGE_BURST_SECONDS = 3.0
"""How many seconds' worth of frames and bytes a client may send at once."""


class TokenBucket:
    """Permits a steady rate, and bursts of a few seconds' worth.

    Args:
        rate: Units per second.
        burst_seconds: How many seconds' worth may be taken at once.
        now: The time, in seconds on a monotonic clock.
    """

    __slots__ = ("_capacity", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, burst_seconds: float, now: float) -> None:
        self._rate = rate
        self._capacity = self._tokens = rate * burst_seconds
        self._since = now

    def take(self, units: float, now: float) -> bool:
        """Take units.

        Returns:
            True, or False if there are not so many: then none are taken.
        """
        # Never backwards, whatever the clock does.
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._since) * self._rate)
        self._since = now
        if units > self._tokens:
            return False
        self._tokens -= units
        return True

    def is_full(self, now: float) -> bool:
        """Return whether the bucket is full: then it has no more state than a new one."""
        return self._tokens + (now - self._since) * self._rate >= self._capacity
