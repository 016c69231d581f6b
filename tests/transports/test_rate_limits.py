"""Tests of wsrelay.transports.rate_limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.token_bucket import MESSAGE_BURST_SECONDS
from wsrelay.engine.timers import TimerWheel
from wsrelay.transports.rate_limits import RateLimits


class RateLimitsTests(SynchronousTestCase):
    """Ten frames and a hundred bytes a second."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.limits = RateLimits(10, 100, TimerWheel(self.clock))

    def test_burst_of_frames_is_allowed_and_one_more_is_not(self) -> None:
        burst = round(10 * MESSAGE_BURST_SECONDS)
        self.assertEqual([self.limits.allows("a", 1, 0) for _ in range(burst + 1)], [True] * burst + [False])

    def test_burst_of_bytes_is_allowed_and_one_more_is_not(self) -> None:
        self.assertTrue(self.limits.allows("a", 0, round(100 * MESSAGE_BURST_SECONDS)))
        self.assertFalse(self.limits.allows("a", 0, 1))

    def test_clients_have_limits_of_their_own(self) -> None:
        self.assertFalse(self.limits.allows("a", 0, 10_000))
        self.assertTrue(self.limits.allows("b", 0, 1))

    def test_idle_client_is_removed_and_a_busy_one_kept(self) -> None:
        self.limits.allows("idle", 1, 1)
        for _ in range(8):
            self.clock.advance(MESSAGE_BURST_SECONDS / 4)
            self.assertTrue(self.limits.allows("busy", 10, 1))
        self.assertEqual(self.limits.clients, ["busy"])

    def test_client_that_was_not_read_may_send_what_it_could_not_meanwhile(self) -> None:
        self.limits.allows("a", 30, 300)
        for client in ("a", "b"):
            # The second one has sent nothing for so long that it is unknown.
            self.limits.hold(client)
            self.clock.advance(20)
            self.limits.release(client)
            left = 200 if client == "a" else 230
            self.assertEqual([self.limits.allows(client, left, 0), self.limits.allows(client, 1, 0)], [True, False])

    def test_no_timer_remains_without_clients(self) -> None:
        self.limits.allows("a", 1, 1)
        self.limits.allows("b", 1, 1)
        self.limits.remove("a")
        self.limits.remove("b")
        self.limits.remove("unknown")
        self.clock.advance(MESSAGE_BURST_SECONDS + 1)
        self.assertEqual((self.limits.clients, self.clock.getDelayedCalls()), ([], []))
