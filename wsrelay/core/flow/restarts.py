"""When a worker that has ended is started again."""

from __future__ import annotations

from random import Random

from wsrelay.core.flow.backoff import FullJitter

__all__ = ["RestartSchedule"]

STEADY_SECONDS = 10.0
"""A worker that has lived for so long may be started again at once when it ends."""

GIVE_UP_AFTER = 3
"""So many workers that end before they have started, one after the other, show that none can."""


class RestartSchedule:
    """The restarts of the workers of one slot.

    Args:
        rng: The source of the jitter.
    """

    def __init__(self, rng: Random) -> None:
        self._delays = FullJitter(rng, floor=0.5, first=1.0, ceiling=30.0)
        self._failures = 0

    @property
    def is_hopeless(self) -> bool:
        """True if `GIVE_UP_AFTER` workers in a row have ended before they had started."""
        return self._failures >= GIVE_UP_AFTER

    def ended(self, lived: float, has_started: bool) -> float:
        """Take that a worker has ended.

        Args:
            lived: For how long, in seconds.
            has_started: Whether it had reported that it listens.

        Returns:
            The delay until the next one is started, in seconds.
        """
        self._failures = 0 if has_started else self._failures + 1
        if has_started and lived >= STEADY_SECONDS:
            self._delays.reset()
            return 0.0
        return self._delays.next()
