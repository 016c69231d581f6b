"""Tests of wsrelay.engine.timers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.timers import RESOLUTION_SECONDS, TimerWheel, WheelTimer

# Multiples of 1/64 s are exact in binary: what is late or early here is so by the wheel and not by rounding.
_DELAYS = st.integers(0, 64 * 20).map(lambda ticks: ticks / 64)


class TimerWheelTests(SynchronousTestCase):
    """Coarse timers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.fired: list[str] = []

    def call(self, delay: float, name: str) -> WheelTimer:
        """Start a timer that writes its name down."""
        return self.wheel.call_later(delay, lambda: self.fired.append(name))

    @given(st.lists(st.tuples(_DELAYS, _DELAYS, st.booleans()), max_size=20))
    def test_never_early_and_hardly_late(self, plan: list[tuple[float, float, bool]]) -> None:
        """A timer fires no earlier than asked, at most the resolution later, once, and never if cancelled."""
        clock = Clock()
        wheel = TimerWheel(clock)
        fired: dict[int, float] = {}
        due: dict[int, float] = {}

        def fire(index: int) -> None:
            self.assertNotIn(index, fired)
            fired[index] = clock.seconds()

        def start(index: int, delay: float, cancelled: bool) -> None:
            timer = wheel.call_later(delay, lambda: fire(index))
            if cancelled:
                timer.cancel()
            else:
                due[index] = clock.seconds() + delay

        for index, (start_at, delay, cancelled) in enumerate(plan):
            clock.callLater(start_at, start, index, delay, cancelled)
        for _ in range(64 * 42):
            clock.advance(1 / 64)
        self.assertEqual(fired.keys(), due.keys())
        for index, seconds in fired.items():
            self.assertGreaterEqual(seconds, due[index])
            self.assertLessEqual(seconds, due[index] + RESOLUTION_SECONDS)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_one_reactor_timer(self) -> None:
        """However many timers there are, the reactor has one."""
        for index in range(1000):
            self.call(index / 10, "")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_call_starts_a_later_timer(self) -> None:
        """A timer started by a firing call does not delay those that were there already."""
        self.wheel.call_later(1, lambda: self.call(100, "late"))
        self.call(2, "soon")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.fired, ["soon"])

    def test_a_call_starts_an_equal_timer(self) -> None:
        """A timer for "now" started by a firing call is not lost with the bucket that fires."""
        self.wheel.call_later(1, lambda: self.call(0, "now"))
        self.clock.advance(1)
        self.assertEqual(self.fired, ["now"])

    def test_an_earlier_timer(self) -> None:
        """A timer that is due before all others fires before all others."""
        self.call(10, "second")
        self.call(1, "first")
        self.clock.advance(1)
        self.assertEqual(self.fired, ["first"])
        self.clock.advance(9)
        self.assertEqual(self.fired, ["first", "second"])

    def test_cancel_by_another_of_the_same_moment(self) -> None:
        """A firing timer that cancels another of its own bucket is obeyed."""
        timers: list[WheelTimer] = []
        self.wheel.call_later(1, lambda: timers[0].cancel())
        timers.append(self.call(1, "cancelled"))
        self.call(1, "kept")
        self.clock.advance(1)
        self.assertEqual(self.fired, ["kept"])

    def test_cancel_at_any_time(self) -> None:
        """Cancelling twice, or after the call, is nothing."""
        timer = self.call(1, "once")
        self.clock.advance(1)
        timer.cancel()
        timer.cancel()
        self.assertEqual(self.fired, ["once"])

    def test_a_call_that_fails(self) -> None:
        """A call that raises is logged and costs the others nothing."""
        self.wheel.call_later(1, lambda: 1 // 0)
        self.call(1, "other")
        self.call(2, "later")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.fired, ["other", "later"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_after_a_stall(self) -> None:
        """When the reactor comes late, everything that is due fires, in order, one bucket a turn."""
        for name in ("a", "b", "c"):
            self.call(1 + ord(name) - ord("a"), name)
        self.clock.advance(10)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.fired, ["a", "b", "c"])

    def test_all_cancelled(self) -> None:
        """Buckets whose timers were all cancelled leave nothing when their time has passed."""
        for delay in (1.0, 2.0):
            self.call(delay, "").cancel()
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.wheel._buckets, {})

    def test_stop(self) -> None:
        """A stopped wheel forgets its timers and leaves the reactor none; twice is fine."""
        self.call(1, "never")
        self.wheel.stop()
        self.wheel.stop()
        self.clock.advance(2)
        self.assertEqual(self.fired, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
