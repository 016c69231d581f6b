"""A bound on the rate at which a client sends."""

from __future__ import annotations

__all__ = ["CREDIT_SECONDS", "MESSAGE_BURST_SECONDS", "TokenBucket"]

CREDIT_SECONDS = 60.0
"""How long a bucket that holds more than its capacity must be left alone to have no more in it than a new one."""

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
        tokens, elapsed = self._tokens, now - self._since
        self._since = now
        # Never backwards, whatever the clock does. Without `min` and `max`, which are half the price of this.
        if elapsed > 0 and tokens < self._capacity:
            tokens += elapsed * self._rate
            if tokens > self._capacity:
                tokens = self._capacity
        if units > tokens:
            self._tokens = tokens
            return False
        self._tokens = tokens - units
        return True

    def credit(self, now: float) -> None:
        """Permit what the rate did since units were last taken, beyond the capacity: its owner was kept from it."""
        self._tokens += max(0.0, now - self._since) * self._rate
        self._since = now

    def is_full(self, now: float) -> bool:
        """Return whether the bucket is full, and no more than that: then it has no more state than a new one."""
        if self._tokens > self._capacity:
            return now - self._since >= CREDIT_SECONDS
        return self._tokens + (now - self._since) * self._rate >= self._capacity
