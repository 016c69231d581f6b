"""Tests of `wsrelay.core.flow.jitter`."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.jitter import (
    PING_JITTER,
    REJECTED_RETRY_SECONDS,
    RETRY_SECONDS,
    ping_interval,
    retry_delay,
)


class JitterTests(SynchronousTestCase):
    """Times that differ from client to client."""

    def test_ping_intervals_are_spread_below_the_one_that_is_asked(self) -> None:
        rng = Random(7)
        intervals = [ping_interval(10, rng) for _ in range(200)]
        self.assertGreater(min(intervals), 10 * (1 - PING_JITTER) - 0.001)
        self.assertLess(max(intervals), 10.001)
        self.assertGreater(max(intervals) - min(intervals), 10 * PING_JITTER * 0.9)

    def test_delays_before_the_next_connection_are_spread_and_longer_for_those_turned_away(self) -> None:
        rng = Random(7)
        for is_rejected, (least, most) in ((False, RETRY_SECONDS), (True, REJECTED_RETRY_SECONDS)):
            delays = [retry_delay(rng, is_rejected=is_rejected) for _ in range(200)]
            self.assertTrue(all(least <= delay <= most for delay in delays))
            self.assertGreater(max(delays) - min(delays), (most - least) * 0.9)
