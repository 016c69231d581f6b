"""Tests of `wsrelay.engine.timers`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.timers import RESOLUTION_SECONDS, TimerWheel, WheelTimer

# Multiples of 1/64 s are exact in binary: a timer is late or early here by the wheel and not by rounding.
_DELAYS = st.integers(0, 64 * 20).map(lambda ticks: ticks / 64)


class TimerWheelTests(SynchronousTestCase):
    """Coarse timers."""

    def setUp(self) -> None:
        """Make a wheel."""
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.fired: list[str] = []

    def call(self, delay: float, name: str) -> WheelTimer:
        """Start a timer that records its name."""
        return self.wheel.call_later(delay, lambda: self.fired.append(name))

    @given(st.lists(st.tuples(_DELAYS, _DELAYS, st.booleans()), max_size=20))
    def test_timer_fires_never_early_at_most_its_resolution_late_and_never_if_cancelled(
        self, plan: list[tuple[float, float, bool]]
    ) -> None:
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

    def test_wheel_tells_the_time_of_its_clock(self) -> None:
        self.clock.advance(3)
        self.assertEqual(self.wheel.seconds(), 3)

    def test_reactor_has_one_timer_however_many_there_are(self) -> None:
        for index in range(1000):
            self.call(index / 10, "")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_timer_started_by_a_firing_call_does_not_delay_the_others(self) -> None:
        self.wheel.call_later(1, lambda: self.call(100, "late"))
        self.call(2, "soon")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.fired, ["soon"])

    def test_timer_for_now_started_by_a_firing_call_is_not_lost(self) -> None:
        self.wheel.call_later(1, lambda: self.call(0, "now"))
        self.clock.advance(1)
        self.assertEqual(self.fired, ["now"])

    def test_timer_that_is_due_before_all_others_fires_before_them(self) -> None:
        self.call(10, "second")
        self.call(1, "first")
        self.clock.advance(1)
        self.assertEqual(self.fired, ["first"])
        self.clock.advance(9)
        self.assertEqual(self.fired, ["first", "second"])

    def test_firing_timer_may_cancel_another_of_its_own_moment(self) -> None:
        timers: list[WheelTimer] = []
        self.wheel.call_later(1, lambda: timers[0].cancel())
        timers.append(self.call(1, "cancelled"))
        self.call(1, "kept")
        self.clock.advance(1)
        self.assertEqual(self.fired, ["kept"])

    def test_cancelling_twice_or_after_the_call_does_nothing(self) -> None:
        timer = self.call(1, "once")
        self.clock.advance(1)
        timer.cancel()
        timer.cancel()
        self.assertEqual(self.fired, ["once"])

    def test_call_that_raises_is_logged_and_costs_the_others_nothing(self) -> None:
        self.wheel.call_later(1, lambda: 1 // 0)
        self.call(1, "other")
        self.call(2, "later")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.fired, ["other", "later"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_everything_due_after_a_stall_fires_in_order_one_bucket_a_turn(self) -> None:
        for name in ("a", "b", "c"):
            self.call(1 + ord(name) - ord("a"), name)
        self.clock.advance(10)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.fired, ["a", "b", "c"])

    def test_cancelled_timers_leave_nothing_when_their_time_has_passed(self) -> None:
        for delay in (1.0, 2.0):
            self.call(delay, "").cancel()
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.wheel._buckets, {})

    def test_stopped_wheel_drops_its_timers_and_leaves_the_reactor_none(self) -> None:
        self.call(1, "never")
        self.wheel.stop()
        self.wheel.stop()
        self.clock.advance(2)
        self.assertEqual(self.fired, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
