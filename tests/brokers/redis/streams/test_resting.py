"""Tests of `wsrelay.brokers.redis.streams.resting`."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from wsrelay.brokers.redis.streams.resting import BUSY_SECONDS, MAX_ENTRIES_BEFORE_REST, REST_SECONDS, Resting


@implementer(IPushProducer)
class Transport:
    """Records whether it is paused."""

    is_paused = False

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def stopProducing(self) -> None:
        raise NotImplementedError


class RestingTests(SynchronousTestCase):
    """Rests between entries that come one by one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.resting = Resting(self.clock)

    def entries(self, count: int = 1, after: float = 0.0004) -> bool:
        """Have entries come, and return whether the connection rests."""
        self.clock.advance(after)
        self.resting.entries_came(self.transport, count)
        return self.transport.is_paused

    def test_entries_that_come_now_and_then_are_received_at_once(self) -> None:
        for _ in range(5):
            self.assertFalse(self.entries(after=2 * BUSY_SECONDS))

    def test_second_one_of_a_busy_time_is_followed_by_a_rest(self) -> None:
        self.assertFalse(self.entries())
        self.assertTrue(self.entries())
        self.clock.advance(REST_SECONDS)
        self.assertFalse(self.transport.is_paused)
        self.assertTrue(self.entries(after=0.0001))

    def test_busy_time_ends(self) -> None:
        self.entries()
        self.entries()
        self.clock.advance(REST_SECONDS)
        self.assertFalse(self.entries(after=2 * BUSY_SECONDS))

    def test_flood_is_received_without_a_rest(self) -> None:
        self.entries()
        self.assertFalse(self.entries(MAX_ENTRIES_BEFORE_REST + 1))
        self.assertTrue(self.entries(MAX_ENTRIES_BEFORE_REST))

    def test_rest_is_not_prolonged_by_another_connection(self) -> None:
        self.entries()
        self.entries()
        other = Transport()
        self.resting.entries_came(other, 1)
        self.assertFalse(other.is_paused)
        self.clock.advance(REST_SECONDS)
        self.assertFalse(self.transport.is_paused)

    def test_stop_ends_a_rest_and_leaves_no_timer(self) -> None:
        self.entries()
        self.entries()
        self.resting.stop()
        self.assertEqual((self.transport.is_paused, self.clock.getDelayedCalls()), (False, []))
        self.resting.stop()
