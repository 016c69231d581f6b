"""Tests of `wsrelay.process.clock`."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.clock import use_monotonic_clock, wall_clock


class FakeReactor:
    """A reactor that has a clock and scheduled calls."""

    def __init__(self, *calls: object) -> None:
        self.seconds = time.time
        self.calls = list(calls)

    def getDelayedCalls(self) -> list[object]:
        """Return the scheduled calls."""
        return self.calls


class ClockTests(SynchronousTestCase):
    """The clocks of the process."""

    def test_idle_reactor_gets_the_monotonic_clock(self) -> None:
        reactor = FakeReactor()
        use_monotonic_clock(reactor)
        self.assertIs(reactor.seconds, time.monotonic)

    def test_reactor_with_scheduled_calls_keeps_its_clock(self) -> None:
        reactor = FakeReactor(object())
        use_monotonic_clock(reactor)
        self.assertIs(reactor.seconds, time.time)

    def test_wall_clock_is_the_time_of_day(self) -> None:
        self.patch(time, "time", lambda: 1234.5)
        self.assertEqual(wall_clock(), 1234.5)
