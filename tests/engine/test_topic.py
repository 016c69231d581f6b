"""Tests of `wsrelay.engine.topic`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LineDialect
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.publications import ChannelEvent, Join, Leave, Publication
from wsrelay.engine.topic import (
    BATCH_BYTES,
    EVENT_OVERHEAD_BYTES,
    SMALL_AUDIENCE,
    Topic,
    counted_bytes,
)
from wsrelay.testing.subscribers import RecordingSubscriber

ONE, OTHER = LineDialect("one").encoding, LineDialect("other").encoding


class TopicCase(SynchronousTestCase):
    """A topic."""

    def setUp(self) -> None:
        """Make one."""
        self.topic = Topic("a", SlowPolicy.CLOSE)

    def append(self, *events: ChannelEvent) -> None:
        """Let events wait."""
        self.topic.pending += events
        self.topic.pending_bytes += sum(map(counted_bytes, events))

    def add(self) -> RecordingSubscriber:
        """Add a subscriber."""
        subscriber = RecordingSubscriber()
        self.topic.add(subscriber, ONE)
        return subscriber

    def take(self) -> list[ChannelEvent]:
        """Take a batch and end its fan-out."""
        batch, size = self.topic.take_batch()
        self.assertEqual(size, sum(map(counted_bytes, batch)))
        self.topic.admit_joining()
        return batch


class AudienceTests(TopicCase):
    """The subscribers."""

    def test_topic_without_subscribers_is_empty(self) -> None:
        self.assertTrue(self.topic.is_empty)
        subscriber = self.add()
        self.assertFalse(self.topic.is_empty)
        self.topic.remove(subscriber)
        self.assertEqual((self.topic.is_empty, self.topic.audiences), (True, {}))

    def test_only_subscriber_of_a_plain_topic_is_known_with_its_encoding(self) -> None:
        self.assertIsNone(self.topic.alone)
        first = self.add()
        self.assertEqual((self.topic.alone, self.topic.alone_encoding), (first, ONE))
        second = self.add()
        self.assertIsNone(self.topic.alone)
        self.topic.remove(first)
        self.assertEqual((self.topic.alone, self.topic.alone_encoding), (second, ONE))
        self.topic.add(first, OTHER)
        self.assertIsNone(self.topic.alone)
        self.topic.remove(second)
        self.assertEqual((self.topic.alone, self.topic.alone_encoding), (first, OTHER))
        self.topic.remove(first)
        self.assertIsNone(self.topic.alone)

    def test_nobody_is_alone_whose_publications_may_be_left_out_or_dropped(self) -> None:
        for topic in (Topic("a", SlowPolicy.DROP), Topic("a", SlowPolicy.CLOSE, lambda _data: True)):
            topic.add(RecordingSubscriber(), ONE)
            self.assertIsNone(topic.alone)

    def test_subscriber_that_joined_behind_a_batch_may_be_alone(self) -> None:
        first = self.add()
        self.append(Publication("a", b"1"))
        second = self.add()
        self.assertIs(self.topic.alone, first)
        self.take()
        self.assertIsNone(self.topic.alone)
        self.topic.remove(first)
        self.assertIs(self.topic.alone, second)

    def test_topic_with_a_joining_subscriber_is_not_empty(self) -> None:
        self.append(Publication("a", b"1"))
        subscriber = self.add()
        self.assertEqual((self.topic.is_empty, self.topic.subscribers()), (False, [subscriber]))
        self.topic.remove(subscriber)
        self.assertEqual((self.topic.is_empty, self.topic.subscribers()), (True, []))

    def test_small_audience_shares_one_encoding_and_is_not_large(self) -> None:
        self.assertIsNone(self.topic.small_audience())
        subscribers = [self.add() for _ in range(SMALL_AUDIENCE)]
        self.assertEqual(self.topic.small_audience(), (ONE, tuple(subscribers)))
        one_more = self.add()
        self.assertIsNone(self.topic.small_audience())
        self.topic.remove(one_more)
        self.topic.add(RecordingSubscriber(), OTHER)
        self.assertIsNone(self.topic.small_audience())

    def test_removed_subscribers_are_kept_while_a_fan_out_is_under_way(self) -> None:
        first, second = self.add(), self.add()
        self.topic.remove(first)
        self.assertEqual(self.topic.removed, set())
        self.topic.fan_out = iter(())
        self.topic.remove(second)
        self.assertEqual(self.topic.removed, {second})


class BatchTests(TopicCase):
    """Taking batches."""

    def test_everything_pending_is_one_batch_if_it_fits(self) -> None:
        events: list[ChannelEvent] = [Publication("a", b"1"), Join("a", "5f0c"), Publication("a", b"2")]
        self.append(*events)
        self.assertEqual((self.take(), self.topic.pending, self.topic.pending_bytes), (events, [], 0))

    def test_batch_ends_with_the_event_that_fills_it(self) -> None:
        half = Publication("a", b"x" * (BATCH_BYTES // 2))
        self.append(half, half, half)
        self.assertEqual([self.take(), self.take()], [[half, half], [half]])

    def test_taking_from_a_topic_without_events_gives_none(self) -> None:
        self.assertEqual(self.take(), [])

    def test_event_without_data_counts_its_overhead(self) -> None:
        sizes = [counted_bytes(each) for each in (Publication("a", b"123"), Join("a", "5f0c"), Leave("a", "5f0c"))]
        self.assertEqual(sizes, [EVENT_OVERHEAD_BYTES + 3, EVENT_OVERHEAD_BYTES, EVENT_OVERHEAD_BYTES])


class JoiningTests(TopicCase):
    """Subscribers that come while events are pending."""

    def test_batch_ends_where_a_subscriber_joins(self) -> None:
        first, second, third = (Publication("a", b"%d" % number) for number in range(3))
        self.append(first)
        early = self.add()
        self.append(second)
        late = self.add()
        self.append(third)
        audiences = []
        batches = []
        while self.topic.pending:
            audiences.append(list(self.topic.audiences.get(ONE, ())))
            batches.append(self.take())
        self.assertEqual(batches, [[first], [second], [third]])
        self.assertEqual(audiences, [[], [early], [early, late]])
        self.assertIsNone(self.topic.joining)

    def test_subscriber_joins_after_several_full_batches(self) -> None:
        giant = Publication("a", b"x" * BATCH_BYTES)
        self.append(giant, giant)
        subscriber = self.add()
        self.take()
        self.assertEqual((self.topic.audiences, self.topic.subscribers()), ({}, [subscriber]))
        self.take()
        self.assertEqual(self.topic.audiences, {ONE: {subscriber: None}})

    def test_subscriber_that_is_there_does_not_join_again(self) -> None:
        subscriber = self.add()
        self.append(Publication("a", b"1"))
        self.topic.add(subscriber, ONE)
        self.assertIsNone(self.topic.joining)

    def test_subscriber_that_is_added_twice_while_it_joins_keeps_its_place(self) -> None:
        self.append(Publication("a", b"1"))
        subscriber = self.add()
        self.append(Publication("a", b"2"))
        self.topic.add(subscriber, ONE)
        # Also when its events have been taken and their fan-out is under way.
        self.topic.take_batch()
        self.topic.add(subscriber, ONE)
        self.assertEqual((self.topic.subscribers(), self.topic.audiences), ([subscriber], {}))
        self.topic.admit_joining()
        self.assertEqual((self.topic.subscribers(), len(self.topic.pending)), ([subscriber], 1))

    def test_ending_a_fan_out_that_nobody_joined_changes_nothing(self) -> None:
        subscriber = self.add()
        self.topic.admit_joining()
        self.assertEqual(self.topic.subscribers(), [subscriber])
