"""Tests of `wsrelay.core.flow.token_bucket`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.token_bucket import CREDIT_SECONDS, TokenBucket


class TokenBucketTests(SynchronousTestCase):
    """A rate, and bursts."""

    def test_burst_passes_at_once_and_then_the_rate(self) -> None:
        """A rest fills the bucket to its capacity and no further."""
        bucket = TokenBucket(10, 3, now=100.0)
        self.assertEqual([bucket.take(1, 100.0) for _ in range(31)], [True] * 30 + [False])
        self.assertEqual([bucket.take(1, 100.2) for _ in range(3)], [True, True, False])
        self.assertEqual([bucket.take(1, 1000.0) for _ in range(31)], [True] * 30 + [False])

    def test_rejected_units_take_nothing_away(self) -> None:
        bucket = TokenBucket(10, 1, now=0.0)
        self.assertFalse(bucket.take(11, 0.0))
        self.assertTrue(bucket.take(10, 0.0))

    def test_clock_set_back_takes_nothing_away(self) -> None:
        bucket = TokenBucket(10, 1, now=1000.0)
        self.assertTrue(bucket.take(9, 0.0))
        self.assertTrue(bucket.take(1, 0.0))

    def test_bucket_is_full_when_the_time_to_fill_it_is_over(self) -> None:
        bucket = TokenBucket(10, 1, now=0.0)
        self.assertTrue(bucket.is_full(0.0))
        bucket.take(5, 0.0)
        self.assertEqual([bucket.is_full(0.4), bucket.is_full(0.5)], [False, True])

    def test_credit_permits_what_the_rate_did_since_then_beyond_the_capacity(self) -> None:
        bucket = TokenBucket(10, 1, now=0.0)
        bucket.take(10, 0.0)
        bucket.credit(5.0)
        self.assertEqual([bucket.take(49, 5.0), bucket.take(2, 5.0), bucket.take(1, 5.0)], [True, False, True])
        bucket.credit(0.0)
        self.assertFalse(bucket.take(1, 0.0))

    def test_credit_does_not_grow_and_lapses_where_it_is_not_used(self) -> None:
        bucket = TokenBucket(10, 1, now=0.0)
        bucket.credit(5.0)
        self.assertEqual([bucket.take(1, 6.0), bucket.take(60, 7.0), bucket.take(59, 7.0)], [True, False, True])
        bucket.credit(100.0)
        self.assertEqual([bucket.is_full(100.0 + after) for after in (0, CREDIT_SECONDS)], [False, True])

    @given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 50)), max_size=50))
    def test_never_more_passes_than_the_burst_and_the_rate_times_the_time(
        self, steps: list[tuple[float, float]]
    ) -> None:
        bucket, now, passed = TokenBucket(5, 2, now=0.0), 0.0, 0.0
        for pause, units in steps:
            now += pause
            passed += units if bucket.take(units, now) else 0
            self.assertLessEqual(passed, 10 + 5 * now + 1e-6)
