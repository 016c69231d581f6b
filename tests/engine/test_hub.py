"""Tests of `wsrelay.engine.hub`, one promise at a time; see `test_hub_batches` for sizes and long fan-outs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LOOK, LineDialect, LineSubscriber, SendArguments, Turns
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.messages import is_text
from wsrelay.core.messaging.publications import ChannelEvent, Join, Leave, Publication
from wsrelay.engine.hub import Hub, Subscriber

SLICE = 1.0
"""How long a slice is here, in seconds: together with the 64 a number that floats add up to exactly."""


class HubCase(SynchronousTestCase):
    """A hub on turns that the test takes."""

    def setUp(self) -> None:
        """Make a hub."""
        self.turns = Turns()
        self.dialect = LineDialect()
        self.failed: list[tuple[Subscriber, str]] = []
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, slice_seconds=SLICE)

    def on_failure(self, subscriber: Subscriber) -> None:
        """Record the subscriber and the exception."""
        self.failed.append((subscriber, str(sys.exc_info()[1])))

    def subscriber(
        self, channel: str = "a", on_send: Callable[[bytes], None] | None = None, dialect: LineDialect | None = None
    ) -> LineSubscriber:
        """Return a subscriber of a channel."""
        subscriber = LineSubscriber(on_send)
        self.hub.add(subscriber, channel, (dialect or self.dialect).encoding)
        return subscriber

    def broadcast(self, *messages: bytes, channel: str = "a") -> None:
        """Broadcast messages that came together."""
        self.hub.broadcast([Publication(channel, data) for data in messages])

    def fill_turn(self) -> list[LineSubscriber]:
        """Begin a fan-out on the channel `a` that goes on in the next turn; returns its subscribers."""
        crowd = [self.subscriber(on_send=self.turns.spend(SLICE / LOOK)) for _ in range(2 * LOOK)]
        self.broadcast(b"long")
        self.assertEqual(len(self.turns.due), 1)
        return crowd


class RegistryTests(HubCase):
    """Subscribing and unsubscribing."""

    def test_each_subscriber_is_counted_once_whatever_its_dialect(self) -> None:
        one = self.subscriber()
        self.hub.add(one, "a", self.dialect.encoding)
        other = self.subscriber(dialect=LineDialect("other"))
        self.assertEqual([self.hub.subscribers("a"), self.hub.subscribers("b")], [[one, other], []])

    def test_removed_subscriber_receives_nothing_and_the_others_do(self) -> None:
        gone, stays = self.subscriber(), self.subscriber()
        self.hub.remove(gone, "a")
        self.broadcast(b"1")
        self.assertEqual((gone.sent, stays.sent, self.hub.subscribers("a")), ([], [b"1\n"], [stays]))

    def test_channel_is_forgotten_with_its_last_subscriber(self) -> None:
        one, other = self.subscriber(), self.subscriber(dialect=LineDialect("other"))
        self.hub.remove(one, "a")
        self.hub.remove(other, "a")
        self.assertEqual((self.hub.subscribers("a"), self.hub._topics), ([], {}))

    def test_only_events_of_the_relays_own_channels_without_subscribers_are_internal(self) -> None:
        received: list[ChannelEvent] = []
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, on_internal=received.append)
        one = self.subscriber()
        events = [Publication(channel, b"1") for channel in ("a", "$here:{a}", "b", "$x")]
        self.hub.broadcast(events)
        self.assertEqual((received, one.sent), ([events[1], events[3]], [b"1\n"]))

    def test_removing_a_subscriber_that_is_not_there_is_ignored(self) -> None:
        stays = self.subscriber()
        stranger = LineSubscriber()
        self.hub.remove(stranger, "a")
        self.hub.remove(stranger, "nowhere")
        self.hub.remove(stays, "b")
        self.assertEqual(self.hub.subscribers("a"), [stays])

    def test_subscriber_that_is_added_twice_receives_once_and_is_removed_once(self) -> None:
        subscriber = self.subscriber()
        self.hub.add(subscriber, "a", self.dialect.encoding)
        self.broadcast(b"1")
        self.hub.remove(subscriber, "a")
        self.assertEqual((subscriber.sent, self.hub.subscribers("a")), ([b"1\n"], []))

    def test_subscriber_that_joins_twice_behind_pending_events_is_one(self) -> None:
        self.fill_turn()
        self.broadcast(b"before")
        late = LineSubscriber()
        self.hub.add(late, "a", self.dialect.encoding)
        # The turn in which the last event before it is taken: the fan-out of that is under way after it.
        self.turns.turn()
        self.turns.turn()
        self.hub.add(late, "a", self.dialect.encoding)
        self.assertEqual(self.hub.subscribers("a").count(late), 1)
        self.broadcast(b"after")
        self.turns.drain()
        self.assertEqual((late.sent, self.hub.subscribers("a").count(late)), ([b"after\n"], 1))

    def test_one_subscriber_has_another_encoding_on_each_channel(self) -> None:
        one, other = LineDialect("one"), LineDialect("other")
        subscriber = LineSubscriber()
        self.hub.add(subscriber, "a", one.encoding)
        self.hub.add(subscriber, "b", other.encoding)
        self.hub.broadcast([Publication("a", b"1"), Publication("b", b"2"), Publication("a", b"3")])
        self.assertEqual((subscriber.sent, one.batches, other.batches), ([b"1\n3\n", b"2\n"], 1, 1))
        self.hub.remove(subscriber, "a")
        self.hub.broadcast([Publication("a", b"4"), Publication("b", b"5")])
        self.assertEqual((subscriber.sent[2:], self.hub.subscribers("b")), ([b"5\n"], [subscriber]))


class BroadcastTests(HubCase):
    """Events that came together."""

    def test_publications_that_are_not_text_are_left_out_and_reported_where_text_is_asked_for(self) -> None:
        reported: list[tuple[str, int]] = []
        self.hub = Hub(
            self.turns.call_later,
            self.turns.seconds,
            self.on_failure,
            payload_check=lambda channel: is_text if channel == "a" else None,
            on_left_out=lambda channel, count: reported.append((channel, count)),
        )
        for channel, received in (("a", [b"1\n\xc3\xa9\n"]), ("b", [b"1\n\xff\n\xc3\xa9\n\xc3\n"])):
            subscriber = self.subscriber(channel)
            self.broadcast(b"1", b"\xff", b"\xc3\xa9", b"\xc3", channel=channel)
            self.assertEqual(subscriber.sent, received)
        subscriber = self.subscriber("a")
        self.broadcast(b"\xff")
        self.assertEqual(subscriber.sent, [])
        self.assertEqual(reported, [("a", 2), ("a", 1)])

    def test_events_that_came_together_are_sent_at_once_in_one_batch(self) -> None:
        subscriber = self.subscriber()
        self.broadcast(b"1", b"2", b"3")
        self.assertEqual((subscriber.sent, self.turns.due), ([b"1\n2\n3\n"], []))

    def test_each_channel_gets_its_own_events(self) -> None:
        a, b = self.subscriber("a"), self.subscriber("b")
        self.hub.broadcast([Publication("a", b"1"), Publication("b", b"2"), Publication("a", b"3")])
        self.assertEqual((a.sent, b.sent), ([b"1\n3\n"], [b"2\n"]))

    def test_event_without_subscribers_costs_nothing(self) -> None:
        self.subscriber()
        self.broadcast(b"1", b"2", channel="b")
        self.assertEqual((self.dialect.batches, self.turns.due, self.hub.deliveries), (0, [], 0))

    def test_no_events_are_fine(self) -> None:
        subscriber = self.subscriber()
        self.hub.broadcast([])
        self.assertEqual((subscriber.sent, self.turns.due), ([], []))

    def test_batch_is_encoded_once_for_each_encoding_and_shared(self) -> None:
        other = LineDialect("other")
        subscribers = [self.subscriber() for _ in range(3)]
        others = [self.subscriber(dialect=other) for _ in range(3)]
        self.broadcast(b"1", b"2")
        self.assertEqual((self.dialect.batches, other.batches), (1, 1))
        for group in (subscribers, others):
            self.assertEqual([len({id(each.sent[0]) for each in group}), group[0].sent], [1, [b"1\n2\n"]])

    def test_batch_of_a_large_audience_is_encoded_once(self) -> None:
        crowd = [self.subscriber() for _ in range(3 * LOOK + 1)]
        self.broadcast(b"1")
        self.assertEqual((self.dialect.batches, len({id(each.sent[0]) for each in crowd})), (1, 1))

    def test_deliveries_count_each_event_and_subscriber(self) -> None:
        for _ in range(3):
            self.subscriber()
        self.broadcast(b"1", b"2")
        self.assertEqual(self.hub.deliveries, 6)

    def test_events_wait_for_a_turn_that_is_due_behind_what_is_pending(self) -> None:
        crowd = self.fill_turn()
        self.broadcast(b"1")
        self.broadcast(b"2")
        self.assertEqual(crowd[0].sent, [b"long\n"])
        self.turns.drain()
        self.assertEqual((crowd[0].sent, crowd[-1].sent), ([b"long\n", b"1\n2\n"], [b"long\n", b"1\n2\n"]))

    def test_one_turn_is_asked_for_however_many_channels_have_events(self) -> None:
        self.fill_turn()
        for channel in ("b", "c", "d"):
            self.subscriber(channel)
            self.broadcast(b"1", channel=channel)
        self.assertEqual(len(self.turns.due), 1)

    def test_batch_is_not_encoded_if_its_subscribers_left_before_its_turn(self) -> None:
        self.fill_turn()
        other = LineDialect("other")
        subscriber = self.subscriber("b", dialect=other)
        self.broadcast(b"1", channel="b")
        self.hub.remove(subscriber, "b")
        self.turns.drain()
        self.assertEqual((subscriber.sent, other.batches), ([], 0))

    def test_events_that_a_send_causes_are_the_next_batch(self) -> None:
        def answer(data: bytes) -> None:
            if data == b"1\n":
                self.broadcast(b"2", b"3")

        first, second = self.subscriber(on_send=answer), self.subscriber()
        self.broadcast(b"1")
        self.turns.drain()
        self.assertEqual((first.sent, second.sent), ([b"1\n", b"2\n3\n"], [b"1\n", b"2\n3\n"]))


class FormlessEventTests(HubCase):
    """Events that a dialect has no form for."""

    def test_batch_without_a_form_is_not_sent_or_counted(self) -> None:
        crowd = [self.subscriber() for _ in range(LOOK + 1)]
        self.hub.broadcast([Join("a", "5f0c", "42"), Leave("a", "5f0c")])
        self.assertEqual((crowd[0].sent, crowd[-1].sent, self.hub.deliveries), ([], [], 0))

    def test_batch_without_a_form_is_not_sent_to_an_only_subscriber_either(self) -> None:
        alone = self.subscriber()
        self.hub.broadcast([Join("a", "5f0c", "42"), Leave("a", "5f0c")])
        self.assertEqual((alone.sent, self.hub.deliveries), ([], 0))
        self.broadcast(b"1")
        self.assertEqual((alone.sent, self.hub.deliveries), ([b"1\n"], 1))

    def test_publications_around_an_event_without_a_form_are_sent(self) -> None:
        subscriber = self.subscriber()
        self.hub.broadcast([Publication("a", b"1"), Join("a", "5f0c"), Publication("a", b"2")])
        self.assertEqual(subscriber.sent, [b"1\n2\n"])

    def test_latest_is_the_newest_event_that_has_a_form(self) -> None:
        self.hub = Hub(
            self.turns.call_later, self.turns.seconds, self.on_failure, policy=lambda _channel: SlowPolicy.LATEST
        )
        subscriber = self.subscriber()
        self.hub.broadcast([Publication("a", b"1"), Publication("a", b"2"), Join("a", "5f0c")])
        self.hub.broadcast([Join("a", "5f0c"), Leave("a", "5f0c")])
        self.assertEqual(subscriber.sent, [b"1\n2\n"])
        self.assertEqual(subscriber.send_arguments, [(SlowPolicy.LATEST, "a", b"2\n")])


class PolicyTests(HubCase):
    """The policy that a subscriber gets with a batch, for when it is behind."""

    def arguments(self, policy: SlowPolicy | None, *messages: bytes) -> list[SendArguments]:
        """Return what comes beside a batch of a channel with this policy."""
        asked: list[str] = []

        def policies(channel: str) -> SlowPolicy:
            asked.append(channel)
            return policy or SlowPolicy.CLOSE

        more: dict[str, Any] = {} if policy is None else {"policy": policies}
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, **more)
        subscribers = [self.subscriber() for _ in range(2)]
        self.broadcast(*messages)
        self.assertEqual(asked, [] if policy is None else ["a"])
        self.assertEqual([each.sent for each in subscribers], [[b"".join(data + b"\n" for data in messages)]] * 2)
        self.assertEqual(subscribers[0].send_arguments, subscribers[1].send_arguments)
        return subscribers[0].send_arguments

    def test_close_is_the_default_and_needs_no_arguments(self) -> None:
        for policy in (None, SlowPolicy.CLOSE):
            self.assertEqual(self.arguments(policy, b"1", b"2"), [(SlowPolicy.CLOSE, "", b"")])

    def test_drop_is_passed_with_the_batch(self) -> None:
        arguments = self.arguments(SlowPolicy.DROP, b"1", b"2")
        self.assertEqual([each.policy for each in arguments], [SlowPolicy.DROP])

    def test_latest_comes_with_the_channel_and_the_newest_message(self) -> None:
        self.assertEqual(self.arguments(SlowPolicy.LATEST, b"1", b"2"), [(SlowPolicy.LATEST, "a", b"2\n")])
        self.assertEqual(self.dialect.batches, 2)

    def test_latest_of_one_message_is_encoded_once(self) -> None:
        self.assertEqual(self.arguments(SlowPolicy.LATEST, b"1"), [(SlowPolicy.LATEST, "a", b"1\n")])
        self.assertEqual(self.dialect.batches, 1)


class FailureTests(HubCase):
    """One bad subscriber, or one bad dialect."""

    @staticmethod
    def fail_send(_data: bytes) -> None:
        """Fail."""
        raise RuntimeError("no")

    def use_policy(self, policy: SlowPolicy) -> None:
        """Make the hub anew, with one policy for all channels."""
        self.setUp()
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, policy=lambda _channel: policy)

    def test_send_that_raises_is_reported_with_its_exception_and_costs_the_others_nothing(self) -> None:
        for policy in SlowPolicy:
            self.use_policy(policy)
            first, bad, last = self.subscriber(), self.subscriber(on_send=self.fail_send), self.subscriber()
            self.broadcast(b"1")
            self.assertEqual((first.sent, last.sent, self.failed), ([b"1\n"], [b"1\n"], [(bad, "no")]))

    def test_only_subscriber_that_fails_does_not_end_its_channel(self) -> None:
        def fail_once(_data: bytes) -> None:
            if len(self.failed) == 0:
                raise ValueError("no")

        one = self.subscriber("alone", fail_once)
        for data in (b"1", b"2"):
            self.broadcast(data, channel="alone")
        self.assertEqual((one.sent, self.failed), ([b"1\n", b"2\n"], [(one, "no")]))

    def test_send_may_remove_its_subscriber_and_others(self) -> None:
        subscribers: list[LineSubscriber] = []

        def leave(_data: bytes) -> None:
            self.hub.remove(subscribers[0], "a")
            self.hub.remove(subscribers[1], "a")

        for policy in SlowPolicy:
            self.use_policy(policy)
            subscribers[:] = [self.subscriber(on_send=leave), self.subscriber(), self.subscriber()]
            self.broadcast(b"1")
            self.assertEqual([each.sent for each in subscribers], [[b"1\n"], [], [b"1\n"]])

    def test_dialect_that_raises_costs_its_own_subscribers_one_batch(self) -> None:
        other = LineDialect("other")
        subscriber, stranger = self.subscriber(), self.subscriber(dialect=other)
        self.dialect.is_broken = True
        self.broadcast(b"1")
        self.dialect.is_broken = False
        self.broadcast(b"2")
        self.assertEqual((subscriber.sent, stranger.sent), ([b"2\n"], [b"1\n", b"2\n"]))
        self.assertEqual(self.failed, [(subscriber, "the dialect is broken")])
