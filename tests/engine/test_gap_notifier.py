"""Tests of `wsrelay.engine.gap_notifier`."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import log_lines
from wsrelay.engine.gap_notifier import HEAD_START_SECONDS, NOTIFICATIONS_PER_SECOND, GapNotifier
from wsrelay.metrics.counters import Counters
from wsrelay.testing.subscribers import RecordingSubscriber


class FailingSubscriber(RecordingSubscriber):
    """A subscriber that fails when a gap is reported."""

    def report_gap(self, channel: str) -> None:
        """Fail."""
        raise ZeroDivisionError


class GapNotifierTests(SynchronousTestCase):
    """The queue."""

    def setUp(self) -> None:
        """Make one."""
        self.clock = Clock()
        self.counters = Counters()
        self.gaps = GapNotifier(self.clock, Random(3), self.counters)

    def pass_time(self, seconds: float = 2.0) -> None:
        """Let time pass in the steps of the queue."""
        self.clock.pump([0.05] * round(seconds * 20))

    def test_a_thousand_are_notified_over_two_seconds_each_once(self) -> None:
        crowd = [RecordingSubscriber() for _ in range(1000)]
        self.gaps.notify("chat", crowd)
        self.gaps.notify("chat", crowd)
        self.assertEqual(self.gaps.pending, 1000)
        counts = []
        for _ in range(4):
            self.pass_time(1.0)
            counts.append(self.counters.gap_notices)
        self.assertEqual((counts[3], self.gaps.pending), (1000, 0))
        self.assertTrue(
            counts[0] <= NOTIFICATIONS_PER_SECOND
            and counts[1] <= 2 * NOTIFICATIONS_PER_SECOND
            and counts[0] < counts[1],
            counts,
        )
        self.assertEqual({tuple(each.gaps) for each in crowd}, {("chat",)})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_processes_begin_at_different_times(self) -> None:
        begins = set()
        for seed in range(20):
            clock = Clock()
            GapNotifier(clock, Random(seed), self.counters).notify("chat", [RecordingSubscriber()])
            begins.add(clock.getDelayedCalls()[0].getTime())
        self.assertEqual(len(begins), 20)
        self.assertTrue(all(0 <= begin <= HEAD_START_SECONDS for begin in begins))

    def test_subscriber_of_two_channels_is_notified_of_each(self) -> None:
        subscriber = RecordingSubscriber()
        self.gaps.notify("chat", [subscriber])
        self.gaps.notify("news", [subscriber])
        self.pass_time()
        self.assertEqual((subscriber.gaps, self.counters.gap_notices), (["chat", "news"], 2))

    def test_subscription_that_ended_is_not_notified(self) -> None:
        subscriber, other = RecordingSubscriber(), RecordingSubscriber()
        self.gaps.withdraw(subscriber, "chat")
        self.gaps.notify("chat", [subscriber, other])
        self.gaps.notify("news", [subscriber])
        self.gaps.withdraw(subscriber, "chat")
        self.gaps.withdraw(subscriber, "chat")
        self.pass_time()
        self.assertEqual((subscriber.gaps, other.gaps, self.counters.gap_notices), (["news"], ["chat"], 2))

    def test_queue_whose_notices_were_all_withdrawn_leaves_no_timer(self) -> None:
        subscriber = RecordingSubscriber()
        self.gaps.notify("chat", [subscriber])
        self.gaps.withdraw(subscriber, "chat")
        self.pass_time()
        self.assertEqual((self.counters.gap_notices, self.clock.getDelayedCalls()), (0, []))

    def test_subscriber_that_fails_costs_the_others_nothing(self) -> None:
        good = RecordingSubscriber()
        self.gaps.notify("chat", [FailingSubscriber(), good])
        self.pass_time()
        self.assertEqual(good.gaps, ["chat"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_subscriber_may_be_notified_again_after_its_notice(self) -> None:
        subscriber = RecordingSubscriber()
        for _ in range(2):
            self.gaps.notify("chat", [subscriber])
            self.pass_time()
        self.assertEqual(subscriber.gaps, ["chat", "chat"])

    def test_one_line_is_logged_for_all_who_wait(self) -> None:
        with capturedLogs() as events:
            self.gaps.notify("chat", [RecordingSubscriber()])
            self.gaps.notify("news", [RecordingSubscriber()])
        self.assertEqual([line for _, line in log_lines(events)], ["possible message loss; notifying subscribers"])

    def test_stopping_leaves_no_timer(self) -> None:
        self.gaps.notify("chat", [RecordingSubscriber()])
        self.gaps.stop()
        self.gaps.stop()
        self.assertEqual((self.gaps.pending, self.clock.getDelayedCalls()), (0, []))

    def test_without_subscribers_nothing_begins(self) -> None:
        self.gaps.notify("chat", [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
