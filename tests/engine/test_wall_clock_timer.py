"""Tests of `wsrelay.engine.wall_clock_timer`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.timers import RESOLUTION_SECONDS, TimerWheel
from wsrelay.engine.wall_clock_timer import LONGEST_TIMER_SECONDS, WallClockTimer

EPOCH = 1_800_000_000.0


class WallClockTimerTests(SynchronousTestCase):
    """`WallClockTimer`."""

    def setUp(self) -> None:
        """Make a wall clock that can be set."""
        self.clock = Clock()
        self.offset = EPOCH
        self.calls: list[float] = []

    def start(self, at: float) -> WallClockTimer:
        """Start a timer that notes when it is called."""
        timers = TimerWheel(self.clock)
        return WallClockTimer(
            timers, lambda: self.offset + self.clock.seconds(), at, lambda: self.calls.append(self.clock.seconds())
        )

    def test_instant_is_not_called_early_and_once(self) -> None:
        self.start(EPOCH + 60)
        self.clock.advance(59.5)
        self.assertEqual(self.calls, [])
        self.clock.pump([RESOLUTION_SECONDS, LONGEST_TIMER_SECONDS])
        self.assertEqual(self.calls, [60.0])

    def test_instant_that_is_over_is_called_at_the_next_tick_and_not_before(self) -> None:
        self.start(EPOCH - 60)
        self.assertEqual(self.calls, [])
        self.clock.advance(RESOLUTION_SECONDS)
        self.assertEqual(len(self.calls), 1)

    def test_clock_that_is_set_forward_is_noticed_within_an_hour_and_one_set_back_is_waited_for(self) -> None:
        at = EPOCH + 3 * LONGEST_TIMER_SECONDS
        self.start(at)
        self.offset = at
        self.clock.advance(LONGEST_TIMER_SECONDS)
        self.assertEqual(len(self.calls), 1)
        self.start(self.offset + self.clock.seconds() + 60)
        self.offset -= 600
        self.clock.advance(60)
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(600)
        self.assertEqual(len(self.calls), 2)

    def test_cancelled_timer_is_not_called_before_or_after_it_has_looked_at_the_clock_again(self) -> None:
        for seconds in (0.0, LONGEST_TIMER_SECONDS):
            timer = self.start(EPOCH + 3 * LONGEST_TIMER_SECONDS)
            self.clock.advance(seconds)
            timer.cancel()
            timer.cancel()
        self.clock.pump([LONGEST_TIMER_SECONDS] * 4)
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), ([], []))
