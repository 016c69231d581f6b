"""Tests of `wsrelay.core.flow.backoff`."""

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
        """The upper end."""
        return b


class Lowest(Random):
    """Always draws the lower end."""

    def uniform(self, a: float, _b: float) -> float:
        """The lower end."""
        return a


class FullJitterTests(SynchronousTestCase):
    """The pauses between tries."""

    def test_ceiling_doubles(self) -> None:
        """The longest possible delay doubles with every try until it reaches the ceiling, and stays there."""
        jitter = FullJitter(Highest())
        self.assertEqual([jitter.next() for _ in range(8)], [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])

    def test_floor(self) -> None:
        """No delay is shorter than the floor, so a refusing server is not hammered."""
        jitter = FullJitter(Lowest(), floor=0.3, first=1.0)
        self.assertEqual([jitter.next() for _ in range(3)], [0.3, 0.3, 0.3])

    def test_reset(self) -> None:
        """After a success the next delay is short again."""
        jitter = FullJitter(Highest(), first=1.0, ceiling=100.0)
        delays = [jitter.next(), jitter.next()]
        jitter.reset()
        self.assertEqual([*delays, jitter.next(), jitter.next()], [1.0, 2.0, 1.0, 2.0])

    @given(st.integers(0, 2**32), st.integers(1, 30))
    def test_between_floor_and_ceiling(self, seed: int, tries: int) -> None:
        """Whatever the dice say, every delay lies between the floor and what doubling allows."""
        jitter = FullJitter(Random(seed), floor=0.05, first=0.2, ceiling=10.0)
        for n in range(tries):
            delay = jitter.next()
            self.assertTrue(0.05 <= delay <= min(10.0, 0.2 * 2**n), delay)


class FarewellTests(SynchronousTestCase):
    """The spread of goodbyes."""

    def test_few_at_once(self) -> None:
        """Few clients are told at once: nobody waits for a spread that harms no one."""
        self.assertEqual(drain_delays(499, 15.0, 500.0, Random(1)), [0.0] * 499)

    def test_nobody(self) -> None:
        """Nobody to tell is fine."""
        self.assertEqual(drain_delays(0, 15.0, 500.0, Random(1)), [])

    def test_spread_follows_the_rate(self) -> None:
        """Many clients are spread over as long as the rate asks for."""
        self.assertEqual(drain_delays(500, 15.0, 500.0, Highest()), [1.0] * 500)
        self.assertEqual(drain_delays(1000, 15.0, 500.0, Highest()), [2.0] * 1000)

    def test_never_later_than_the_window(self) -> None:
        """The window wins over the rate: the process must be gone in time."""
        self.assertEqual(drain_delays(100_000, 15.0, 500.0, Highest())[-1], 15.0)

    @given(st.integers(0, 3000), st.floats(0.0, 60.0), st.floats(1.0, 5000.0), st.integers(0, 2**32))
    def test_schedule(self, count: int, window: float, rate: float, seed: int) -> None:
        """There is one delay for each client, in ascending order, none negative and none beyond the window."""
        delays = drain_delays(count, window, rate, Random(seed))
        self.assertEqual(len(delays), count)
        self.assertEqual(delays, sorted(delays))
        self.assertTrue(all(0.0 <= delay <= window for delay in delays))
