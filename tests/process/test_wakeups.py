"""Tests of wsrelay.process.wakeups: who sleeps, for how long, and who does not."""

from __future__ import annotations

import os
import time
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.wakeups import BUSY_TURNS, WakeupLimit, limit_wakeups

INTERVAL = 1.0


class FakeReactor:
    """A reactor whose turns take what the test says.

    Attributes:
        now: The time.
        worked: The part of it that was not waited.
        waits: How long the next turns wait for events.
        work: How long each turn works.
        timeouts: The timeouts that it was given.
        sleeps: How long was slept before turns.
    """

    def __init__(self) -> None:
        self.now = self.worked = 0.0
        self.work = 0.0625
        self.gap = 0.5
        self.timeouts: list[float | None] = []
        self.sleeps: list[float] = []
        self.event_at = 0.0
        self.limit = WakeupLimit(self.iterate, INTERVAL, lambda: self.now, lambda: self.worked, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.sleeps.append(seconds)
        self.now += seconds

    def iterate(self, timeout: float | None) -> None:
        """Wait for the next event, and work."""
        self.timeouts.append(timeout)
        self.now = max(self.now, self.event_at if timeout is None else min(self.event_at, self.now + timeout))
        while self.event_at <= self.now:
            self.event_at += self.gap
        self.now += self.work
        self.worked += self.work

    def turns(self, count: int, timeout: float | None = None) -> list[float]:
        """Make turns; returns how long was slept before them."""
        self.sleeps.clear()
        for _ in range(count):
            self.limit.iterate(timeout)
        return self.sleeps


class WakeupLimitTests(SynchronousTestCase):
    """A clock that moves only by waiting and working."""

    def setUp(self) -> None:
        """Make a reactor on which events come every half interval."""
        self.reactor = FakeReactor()

    def test_busy_time_begins_after_some_turns_and_then_each_sleeps(self) -> None:
        self.assertEqual(self.reactor.turns(BUSY_TURNS), [])
        self.assertEqual(self.reactor.turns(10), [INTERVAL - self.reactor.work] * 10)

    def test_events_of_an_interval_are_handled_in_one_turn(self) -> None:
        self.reactor.gap = 0.125
        self.reactor.turns(BUSY_TURNS)
        began = self.reactor.now
        self.reactor.turns(20)
        self.assertAlmostEqual((self.reactor.now - began) / 20, INTERVAL, delta=0.125)

    def test_event_in_a_quiet_time_waits_for_nothing(self) -> None:
        self.reactor.gap = 2 * INTERVAL
        self.assertEqual(self.reactor.turns(100), [])

    def test_quiet_moment_ends_a_busy_time(self) -> None:
        self.reactor.turns(BUSY_TURNS + 1)
        self.reactor.event_at = self.reactor.now + 5 * INTERVAL
        self.assertEqual(len(self.reactor.turns(2)), 1)
        self.assertEqual(self.reactor.turns(BUSY_TURNS - 1), [])

    def test_turns_that_work_long_are_not_followed_by_sleep(self) -> None:
        self.reactor.work = INTERVAL / 3
        self.assertEqual(self.reactor.turns(100), [])

    def test_calls_that_are_due_are_not_kept_waiting(self) -> None:
        self.assertEqual(self.reactor.turns(100, timeout=0), [])

    def test_sleep_is_no_longer_than_the_timeout_and_a_part_of_it(self) -> None:
        self.reactor.turns(BUSY_TURNS)
        self.reactor.timeouts.clear()
        self.assertEqual(self.reactor.turns(1, timeout=0.25), [0.25])
        self.assertEqual(self.reactor.turns(1, timeout=1.5), [INTERVAL - self.reactor.work])
        self.assertEqual(self.reactor.timeouts, [0, 1.5 - (INTERVAL - self.reactor.work)])


class LimitTests(SynchronousTestCase):
    """Reactors of Twisted."""

    def test_main_loop_of_twisted_makes_its_turns_through_the_limit(self) -> None:
        reactor: Any = EPollReactor()
        self.addCleanup(reactor._uninstallHandler if hasattr(reactor, "_uninstallHandler") else lambda: None)
        turns: list[float | None] = []
        own = reactor.doIteration

        def counted(timeout: float | None) -> None:
            turns.append(timeout)
            own(timeout)

        reactor.doIteration = counted
        limit_wakeups(reactor, 1e9)
        self.assertIsNot(reactor.doIteration, counted)

        def go_on(left: int) -> None:
            # Each in a turn of its own, however late: calls that are due together are made in one.
            reactor.callLater(0, *((go_on, left - 1) if left else (reactor.stop,)))

        go_on(5)
        reactor.run(installSignalHandlers=False)
        self.assertGreater(len(turns), 2)
        for each in reactor.removeAll():
            os.close(each.fileno())

    def test_no_limit_and_no_loop_change_nothing(self) -> None:
        reactor = FakeReactor()
        limit_wakeups(reactor, 1000)
        self.assertFalse(hasattr(reactor, "doIteration"))
        own: Any = lambda _timeout: None  # noqa: E731 -- an attribute
        reactor.doIteration = own  # type: ignore[attr-defined]
        limit_wakeups(reactor, 0)
        self.assertIs(reactor.doIteration, own)  # type: ignore[attr-defined]

    def test_clocks_are_those_of_the_process(self) -> None:
        limit = WakeupLimit(lambda _timeout: None, INTERVAL)
        self.assertEqual((limit._seconds, limit._worked), (time.monotonic, time.thread_time))
