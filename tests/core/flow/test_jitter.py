"""Tests of `wsrelay.core.flow.jitter`."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.jitter import (
    PING_JITTER,
    REJECTED_RETRY_SECONDS,
    RETRY_SECONDS,
    PingIntervals,
    retry_delay,
)


class JitterTests(SynchronousTestCase):
    """Times that differ from client to client."""

    def test_ping_intervals_are_spread_evenly_below_the_one_that_is_asked(self) -> None:
        for seed in range(5):
            intervals = PingIntervals(10, Random(seed))
            for _ in range(3):
                drawn = [intervals.next() for _ in range(1000)]
                self.assertGreater(min(drawn), 10 * (1 - PING_JITTER) - 0.001)
                self.assertLessEqual(max(drawn), 10)
                in_tenths = Counter(int((each - 8) * 5) for each in drawn)
                self.assertTrue(all(95 <= in_tenths[tenth] <= 105 for tenth in range(10)), in_tenths)

    def test_delays_before_the_next_connection_are_spread_and_longer_for_those_turned_away(self) -> None:
        rng = Random(7)
        for is_rejected, (least, most) in ((False, RETRY_SECONDS), (True, REJECTED_RETRY_SECONDS)):
            delays = [retry_delay(rng, is_rejected=is_rejected) for _ in range(200)]
            self.assertTrue(all(least <= delay <= most for delay in delays))
            self.assertGreater(max(delays) - min(delays), (most - least) * 0.9)
