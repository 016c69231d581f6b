"""Tests of `wsrelay.core.flow.traffic`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.token_bucket import MESSAGE_BURST_SECONDS, TokenBucket
from wsrelay.core.flow.traffic import CREDIT_SECONDS, TrafficBucket, TrafficRates

RATES = TrafficRates(10, 100)


class TrafficBucketTests(SynchronousTestCase):
    """Ten frames and a hundred bytes a second."""

    def test_burst_of_frames_passes_and_one_more_does_not(self) -> None:
        bucket = TrafficBucket(RATES, 0.0)
        self.assertEqual([bucket.take(1, 0, 0.0) for _ in range(31)], [True] * 30 + [False])

    def test_burst_of_bytes_passes_and_one_more_does_not(self) -> None:
        bucket = TrafficBucket(RATES, 0.0)
        self.assertEqual([bucket.take(0, 100, 0.0) for _ in range(4)], [True] * 3 + [False])

    def test_what_is_too_much_takes_nothing_away_of_either(self) -> None:
        bucket = TrafficBucket(RATES, 0.0)
        self.assertEqual([bucket.take(31, 300, 0.0), bucket.take(30, 301, 0.0)], [False, False])
        self.assertTrue(bucket.take(30, 300, 0.0))

    def test_clock_set_back_takes_nothing_away(self) -> None:
        bucket = TrafficBucket(RATES, 1000.0)
        self.assertTrue(bucket.take(29, 299, 0.0))
        self.assertTrue(bucket.take(1, 1, 0.0))

    def test_bucket_is_full_when_the_time_to_fill_both_is_over(self) -> None:
        for frames, size in ((5, 0), (0, 50), (5, 50)):
            bucket = TrafficBucket(RATES, 0.0)
            self.assertTrue(bucket.is_full(0.0))
            bucket.take(frames, size, 0.0)
            self.assertEqual([bucket.is_full(0.4), bucket.is_full(0.5)], [False, True])

    def test_credit_permits_what_the_rates_did_since_then_beyond_the_capacity(self) -> None:
        bucket = TrafficBucket(RATES, 0.0)
        bucket.take(30, 300, 0.0)
        bucket.credit(5.0)
        self.assertEqual(
            [bucket.take(49, 499, 5.0), bucket.take(2, 0, 5.0), bucket.take(1, 1, 5.0)], [True, False, True]
        )
        bucket.credit(0.0)
        self.assertFalse(bucket.take(1, 0, 0.0))

    def test_credit_does_not_grow_and_lapses_where_it_is_not_used(self) -> None:
        for most, too_much in (((80, 0), (81, 0)), ((0, 800), (0, 801))):
            bucket = TrafficBucket(RATES, 0.0)
            bucket.credit(5.0)
            self.assertEqual([bucket.take(*too_much, 7.0), bucket.take(*most, 7.0)], [False, True])
            bucket.credit(100.0)
            self.assertEqual([bucket.is_full(100.0 + after) for after in (0, CREDIT_SECONDS)], [False, True])

    def test_credit_is_bounded_however_long_and_often_its_owner_was_kept_from_it(self) -> None:
        seconds = MESSAGE_BURST_SECONDS + CREDIT_SECONDS
        for ends in ((3600.0,), (50.0, 100.0, 150.0)):
            for rate, kind in ((RATES.frames, (1, 0)), (RATES.size, (0, 1))):
                bucket, most = TrafficBucket(RATES, 0.0), int(rate * seconds)
                for end in ends:
                    bucket.credit(end)
                frames, size = kind
                outcomes = [bucket.take(frames * count, size * count, ends[-1]) for count in (most + 1, most)]
                self.assertEqual(outcomes, [False, True])

    @given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 9), st.integers(0, 90)), max_size=50))
    def test_it_allows_what_two_buckets_allow(self, steps: list[tuple[int, int, int]]) -> None:
        bucket, now = TrafficBucket(RATES, 0.0), 0.0
        two = TokenBucket(RATES.frames, MESSAGE_BURST_SECONDS, now), TokenBucket(RATES.size, MESSAGE_BURST_SECONDS, now)
        for ticks, frames, size in steps:
            now += ticks / 64
            expected = two[0].take(frames, now) and two[1].take(size, now)
            self.assertEqual(bucket.take(frames, size, now), expected)
            if not expected:
                # The first of two has taken its part by then, and the connection ends.
                return
            self.assertEqual(bucket.is_full(now), all(each.is_full(now) for each in two))
