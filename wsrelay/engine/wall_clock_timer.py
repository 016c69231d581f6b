"""A call at an instant of the wall clock: the end of a credential."""

from __future__ import annotations

from collections.abc import Callable

from wsrelay.engine.timers import TimerWheel, WheelTimer

__all__ = ["LONGEST_TIMER_SECONDS", "WallClockTimer"]

LONGEST_TIMER_SECONDS = 3600.0
"""An instant that is further away is looked at again then: the clock that it goes by may have been set."""


class WallClockTimer:
    """A scheduled call, which `cancel` ends at any time.

    Args:
        timers: The timers of all clients.
        now: The wall clock, in seconds since the epoch.
        at: When to call, in seconds since the epoch. If that is over, it is called at the next tick of `timers`.
        call: What is called, without arguments.
    """

    __slots__ = ("_at", "_call", "_now", "_timer", "_timers")

    def __init__(self, timers: TimerWheel, now: Callable[[], float], at: float, call: Callable[[], object]) -> None:
        self._timers = timers
        self._now = now
        self._at = at
        self._call = call
        self._timer = self._start()

    def cancel(self) -> None:
        """Cancel the call; any number of times."""
        self._timer.cancel()

    def _start(self) -> WheelTimer:
        left = self._at - self._now()
        return self._timers.call_later(min(max(left, 0.0), LONGEST_TIMER_SECONDS), self._look)

    def _look(self) -> None:
        if self._now() < self._at:
            self._timer = self._start()
        else:
            self._call()
