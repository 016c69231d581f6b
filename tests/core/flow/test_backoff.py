"""Tests of `wsrelay.core.flow.backoff` and `drain_schedule`."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.backoff import FullJitter
from wsrelay.core.flow.drain_schedule import drain_delays


class Highest(Random):
    """Always draws the upper end."""

    def uniform(self, _a: float, b: float) -> float:
        """Return the upper end."""
        return b


class Lowest(Random):
    """Always draws the lower end."""

    def uniform(self, a: float, _b: float) -> float:
        """Return the lower end."""
        return a


class FullJitterTests(SynchronousTestCase):
    """Delays between retries."""

    def test_ceiling_doubles_with_every_retry_up_to_the_highest(self) -> None:
        jitter = FullJitter(Highest())
        self.assertEqual([jitter.next() for _ in range(8)], [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])

    def test_no_delay_is_shorter_than_the_floor(self) -> None:
        """So that a rejecting server is not hammered."""
        jitter = FullJitter(Lowest(), floor=0.3, first=1.0)
        self.assertEqual([jitter.next() for _ in range(3)], [0.3, 0.3, 0.3])

    def test_delay_is_short_again_after_a_reset(self) -> None:
        jitter = FullJitter(Highest(), first=1.0, ceiling=100.0)
        delays = [jitter.next(), jitter.next()]
        jitter.reset()
        self.assertEqual([*delays, jitter.next(), jitter.next()], [1.0, 2.0, 1.0, 2.0])

    @given(st.integers(0, 2**32), st.integers(1, 30))
    def test_every_delay_lies_between_the_floor_and_the_ceiling(self, seed: int, retries: int) -> None:
        jitter = FullJitter(Random(seed), floor=0.05, first=0.2, ceiling=10.0)
        for n in range(retries):
            delay = jitter.next()
            self.assertTrue(0.05 <= delay <= min(10.0, 0.2 * 2**n), delay)


class DrainDelaysTests(SynchronousTestCase):
    """The spread of a drain."""

    def test_few_connections_are_closed_at_once(self) -> None:
        self.assertEqual(drain_delays(499, 15.0, 500.0, Random(1)), [0.0] * 499)

    def test_no_connections_have_no_delays(self) -> None:
        self.assertEqual(drain_delays(0, 15.0, 500.0, Random(1)), [])

    def test_many_connections_are_spread_by_the_rate(self) -> None:
        self.assertEqual(drain_delays(500, 15.0, 500.0, Highest()), [1.0] * 500)
        self.assertEqual(drain_delays(1000, 15.0, 500.0, Highest()), [2.0] * 1000)

    def test_no_delay_exceeds_the_window(self) -> None:
        """The window wins over the rate: the process must be gone in time."""
        self.assertEqual(drain_delays(100_000, 15.0, 500.0, Highest())[-1], 15.0)

    @given(st.integers(0, 3000), st.floats(0.0, 60.0), st.floats(1.0, 5000.0), st.integers(0, 2**32))
    def test_one_ascending_delay_for_each_connection_within_the_window(
        self, count: int, window: float, rate: float, seed: int
    ) -> None:
        delays = drain_delays(count, window, rate, Random(seed))
        self.assertEqual(len(delays), count)
        self.assertEqual(delays, sorted(delays))
        self.assertTrue(all(0.0 <= delay <= window for delay in delays))
