"""Tests of `wsrelay.brokers.redis.streams.fruitless_reads`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.streams.fruitless_reads import MIN_READS, WINDOW_SECONDS, FruitlessReads


class FruitlessReadsTests(SynchronousTestCase):
    """Reads that bring nothing."""

    def setUp(self) -> None:
        self.reads = FruitlessReads()

    def count(self, fruitless: int, fruitful: int, now: float = 100.0) -> int:
        """Count reads, in turn, and return how often there were too many that brought nothing."""
        times = 0
        for number in range(max(fruitless, fruitful)):
            times += number < fruitful and self.reads.count(now, is_fruitless=False)
            times += number < fruitless and self.reads.count(now, is_fruitless=True)
        return times

    def test_many_in_a_moment_are_too_many(self) -> None:
        self.assertEqual(self.count(MIN_READS - 1, 0), 0)
        self.assertEqual(self.count(1, 0), 1)
        self.assertEqual(self.count(MIN_READS - 1, 0), 0)

    def test_those_that_accompany_writes_are_not(self) -> None:
        self.assertEqual(self.count(MIN_READS * 2, MIN_READS), 0)

    def test_those_of_a_sweep_are_not(self) -> None:
        for number in range(20):
            self.assertEqual(self.count(MIN_READS // 2, 0, now=number * (WINDOW_SECONDS + 1)), 0)
