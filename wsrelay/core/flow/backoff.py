"""Delays between retries."""

from __future__ import annotations

from random import Random

__all__ = ["FullJitter"]


class FullJitter:
    """Exponential back-off with full jitter: each delay is drawn evenly between the floor and a doubling ceiling.

    Full jitter keeps many processes that lost the same Redis from reconnecting in step
    (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    Args:
        rng: The source of the jitter.
        floor: The shortest delay, in seconds, so that a rejecting server is never hammered.
        first: The ceiling of the first delay, in seconds.
        ceiling: The ceiling that no later delay exceeds, in seconds.
    """

    def __init__(self, rng: Random, *, floor: float = 0.05, first: float = 0.2, ceiling: float = 10.0) -> None:
        self._rng = rng
        self._floor = floor
        self._first = first
        self._ceiling = ceiling
        self._next = first

    def next(self) -> float:
        """Return the delay before the next retry, in seconds, and double the ceiling of the one after it."""
        highest = self._next
        self._next = min(self._ceiling, highest * 2)
        return self._rng.uniform(self._floor, highest)

    def reset(self) -> None:
        """Begin again with the shortest ceiling, after a success."""
        self._next = self._first
