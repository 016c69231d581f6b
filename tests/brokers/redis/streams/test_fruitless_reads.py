"""Tests of `wsrelay.brokers.redis.streams.fruitless_reads`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.streams.fruitless_reads import MIN_READS, WINDOW_SECONDS, FruitlessReads


class FruitlessReadsTests(SynchronousTestCase):
    """Reads that bring nothing."""

    def setUp(self) -> None:
        self.reads = FruitlessReads()

    def count(self, fruitless: int, fruitful: int = 0, now: float = 100.0) -> bool:
        """Count reads, and return whether there have been too many that brought nothing."""
        return self.reads.count(now, fruitless + fruitful, fruitful=fruitful)

    def test_many_in_a_moment_are_too_many(self) -> None:
        self.assertFalse(self.count(MIN_READS - 1))
        self.assertTrue(self.count(1))
        self.assertFalse(self.count(MIN_READS - 1))

    def test_those_that_accompany_writes_are_not(self) -> None:
        for _ in range(MIN_READS):
            self.assertFalse(self.count(2, 1))

    def test_more_that_brought_something_than_followed_a_report_are_no_reason_to_count_less(self) -> None:
        self.reads.count(100.0, 0, fruitful=MIN_READS)
        self.assertFalse(self.count(MIN_READS - 1))
        self.assertTrue(self.count(1))

    def test_those_of_a_sweep_are_not(self) -> None:
        for number in range(20):
            self.assertFalse(self.count(MIN_READS // 2, now=number * (WINDOW_SECONDS + 1)))
