"""When to try again, and how to spread what should not happen at once."""

from __future__ import annotations

from random import Random

__all__ = ["FullJitter"]


class FullJitter:
    """Exponential back-off with full jitter: each delay is drawn evenly between the floor and a doubling ceiling.

    Full jitter keeps many processes that lost the same Redis from coming back in step
    (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    Args:
        rng: Where the randomness comes from.
        floor: The shortest delay, in seconds, so that a refusing server is never hammered.
        first: The ceiling of the first delay, in seconds.
        ceiling: The ceiling no later delay exceeds, in seconds.
    """

    def __init__(self, rng: Random, *, floor: float = 0.05, first: float = 0.2, ceiling: float = 10.0) -> None:
        self._rng = rng
        self._floor = floor
        self._first = first
        self._ceiling = ceiling
        self._next = first

    def next(self) -> float:
        """The delay before the next try, in seconds."""
        highest = self._next
        self._next = min(self._ceiling, highest * 2)
        return self._rng.uniform(self._floor, highest)

    def reset(self) -> None:
        """Say that a try succeeded: the next delay is short again."""
        self._next = self._first
