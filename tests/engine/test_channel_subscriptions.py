"""Tests of `wsrelay.engine.channel_subscriptions`."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import MOMENT
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.messaging.subscription_start import START, SubscriptionStart
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_subscriptions import (
    CHANNEL_LINGER_SECONDS,
    SUBSCRIBE_TIMEOUT_SECONDS,
    ChannelSubscriptions,
)
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub
from wsrelay.engine.topic import Subscriber
from wsrelay.interfaces import IBroker
from wsrelay.metrics.counters import Counters
from wsrelay.testing.brokers import FakeBroker, RecordingSink
from wsrelay.testing.dialects import LineDialect
from wsrelay.testing.subscribers import RecordingSubscriber

NAMESPACES = Namespaces([Namespace("quiet", ("quiet",), notify_gaps=False), Namespace("all", ("*",))])
ENCODING = LineDialect().encoding


class SubscriptionsCase(SynchronousTestCase):
    """The channels of a process whose broker answers as the test says."""

    def setUp(self) -> None:
        """Make them."""
        self.clock = Clock()
        self.broker = FakeBroker()
        self.counters = Counters()
        self.subscriptions = self.make(self.broker)

    def make(self, broker: IBroker) -> ChannelSubscriptions:
        """Return the channels of a process on a broker."""
        self.hub = Hub(self.clock.callLater, self.clock.seconds, self.fail_send)
        self.gaps = GapNotifier(self.clock, Random(3), self.counters)
        return ChannelSubscriptions(broker, self.hub, self.gaps, NAMESPACES, self.clock)

    def fail_send(self, subscriber: Subscriber) -> None:
        """Fail the test: no send may."""
        self.fail(f"the send of {subscriber} failed")

    def subscribe(self, channel: str = "room") -> tuple[RecordingSubscriber, Deferred[SubscriptionStart]]:
        """Subscribe; the broker has not answered yet."""
        subscriber = RecordingSubscriber()
        return subscriber, self.subscriptions.subscribe(subscriber, channel, ENCODING)

    def subscribed(self, channel: str = "room") -> RecordingSubscriber:
        """Return a subscriber whose channel is confirmed."""
        subscriber, outcome = self.subscribe(channel)
        self.subscriptions.confirmed(channel)
        self.successResultOf(outcome)
        return subscriber

    def deliver(self, *messages: bytes, channel: str = "room") -> None:
        """Deliver messages of a channel."""
        self.hub.broadcast([Publication(channel, data) for data in messages])

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the steps of the gap notices."""
        self.clock.pump([0.05] * round(seconds * 20))

    def assert_nothing_left(self) -> None:
        """Assert that after the linger no channel and no timer is left."""
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        self.assertEqual((self.broker.wanted, len(self.subscriptions), self.clock.getDelayedCalls()), (set(), 0, []))


class ConfirmationTests(SubscriptionsCase):
    """Waiting for the broker."""

    def test_subscriber_is_in_the_hub_when_it_is_confirmed_and_not_before(self) -> None:
        subscriber, outcome = self.subscribe()
        self.deliver(b"before")
        self.assertNoResult(outcome)

        def deliver(start: SubscriptionStart) -> SubscriptionStart:
            self.deliver(b"in the same moment")
            return start

        outcome.addCallback(deliver)
        self.subscriptions.confirmed("room")
        self.assertEqual((self.successResultOf(outcome), subscriber.sent), (START, [b"in the same moment\n"]))

    def test_confirmed_channel_needs_no_second_question(self) -> None:
        self.subscribed()
        _, outcome = self.subscribe()
        self.assertEqual((self.successResultOf(outcome), self.broker.log), (START, [("subscribe", ["room"])]))

    def test_subscription_at_once_is_one_to_a_confirmed_channel_and_keeps_it(self) -> None:
        _, waiting = self.subscribe("room1")
        other = RecordingSubscriber()
        for channel in ("room", "room1"):
            self.assertIsNone(self.subscriptions.subscribe_at_once(other, channel, ENCODING))
        self.assertEqual(self.hub.subscribers("room"), [])
        first = self.subscribed()
        self.subscriptions.unsubscribe(first, "room")
        self.assertIs(self.subscriptions.subscribe_at_once(other, "room", ENCODING), START)
        self.clock.advance(CHANNEL_LINGER_SECONDS + 1)
        self.failureResultOf(waiting, BrokerUnavailable)
        self.deliver(b"one")
        self.assertEqual(other.sent, [b"one\n"])
        self.subscriptions.rejected("room")
        self.assertIsNone(self.subscriptions.subscribe_at_once(RecordingSubscriber(), "room", ENCODING))

    def test_broker_may_confirm_before_subscribe_returns(self) -> None:
        broker = MemoryBroker(self.clock)
        self.subscriptions = self.make(broker)

        class Sink(RecordingSink):
            """Passes confirmations on."""

            def subscribed(sink, channel: str) -> None:  # noqa: N805 -- the test is `self`
                self.subscriptions.confirmed(channel)

        broker.attach(Sink())
        broker.start()
        subscriber, outcome = self.subscribe()
        self.successResultOf(outcome)
        self.assertEqual(self.hub.subscribers("room"), [subscriber])

    def test_confirmation_of_one_channel_is_none_of_another(self) -> None:
        outcomes = [self.subscribe(channel)[1] for channel in ("room1", "room2", "room1")]
        self.subscriptions.confirmed("room1")
        self.successResultOf(outcomes[0])
        self.assertNoResult(outcomes[1])
        self.successResultOf(outcomes[2])

    def test_subscriber_may_leave_because_another_one_is_confirmed(self) -> None:
        _, first = self.subscribe()
        shy, second = self.subscribe()
        first.addCallback(lambda _position: self.subscriptions.unsubscribe(shy, "room"))
        self.subscriptions.confirmed("room")
        self.failureResultOf(second, CancelledError)
        self.assertNotIn(shy, self.hub.subscribers("room"))

    def test_subscription_fails_without_a_confirmation_in_time(self) -> None:
        subscriber, outcome = self.subscribe()
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS - MOMENT)
        self.assertNoResult(outcome)
        self.clock.advance(MOMENT)
        error = self.failureResultOf(outcome, BrokerUnavailable).value
        self.assertEqual(str(error), "no confirmation within 5 seconds")
        # A late confirmation does not bring it in, and its channel is still owed an unsubscribe.
        self.subscriptions.confirmed("room")
        self.deliver(b"1")
        self.assertEqual(subscriber.sent, [])
        self.subscriptions.unsubscribe(subscriber, "room")
        self.assert_nothing_left()

    def test_subscriber_that_leaves_while_it_waits_leaves_nothing_behind(self) -> None:
        subscriber, outcome = self.subscribe()
        self.subscriptions.unsubscribe(subscriber, "room")
        self.failureResultOf(outcome, CancelledError)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "more than the linger is left")
        self.subscriptions.confirmed("room")
        self.assertEqual(self.hub.subscribers("room"), [])
        self.assert_nothing_left()

    def test_confirmation_of_a_channel_that_was_given_up_changes_nothing(self) -> None:
        self.subscriptions.confirmed("room")
        _, outcome = self.subscribe()
        self.assertNoResult(outcome)
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.failureResultOf(outcome, BrokerUnavailable)


class LingerTests(SubscriptionsCase):
    """Channels whose last subscriber has left."""

    def test_first_subscriber_subscribes_and_the_last_one_unsubscribes_after_the_linger(self) -> None:
        for subscriber in (self.subscribed(), self.subscribed()):
            self.subscriptions.unsubscribe(subscriber, "room")
            self.clock.advance(CHANNEL_LINGER_SECONDS - MOMENT)
            self.assertEqual(self.broker.log, [("subscribe", ["room"])])
        self.clock.advance(MOMENT)
        self.assertEqual(self.broker.log, [("subscribe", ["room"]), ("unsubscribe", ["room"])])
        self.assert_nothing_left()

    def test_subscriber_within_the_linger_does_not_wait_and_costs_the_broker_nothing(self) -> None:
        self.subscriptions.unsubscribe(self.subscribed(), "room")
        self.clock.advance(CHANNEL_LINGER_SECONDS - MOMENT)
        subscriber, outcome = self.subscribe()
        self.successResultOf(outcome)
        self.clock.advance(2 * CHANNEL_LINGER_SECONDS)
        self.deliver(b"1")
        self.assertEqual((subscriber.sent, self.broker.log), ([b"1\n"], [("subscribe", ["room"])]))
        self.subscriptions.unsubscribe(subscriber, "room")
        self.assert_nothing_left()

    def test_linger_is_counted_from_the_last_time_the_last_one_left(self) -> None:
        self.subscriptions.unsubscribe(self.subscribed(), "room")
        self.clock.advance(CHANNEL_LINGER_SECONDS - 1)
        self.subscriptions.unsubscribe(self.subscribed(), "room")
        self.clock.advance(CHANNEL_LINGER_SECONDS - MOMENT)
        self.assertEqual(self.broker.wanted, {"room"})
        self.clock.advance(MOMENT)
        self.assertEqual(self.broker.wanted, set())

    def test_channel_is_new_again_after_the_linger(self) -> None:
        self.subscriptions.unsubscribe(self.subscribed(), "room")
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        subscriber, outcome = self.subscribe()
        self.assertNoResult(outcome)
        self.assertEqual(self.broker.log[-1], ("subscribe", ["room"]))
        self.subscriptions.unsubscribe(subscriber, "room")
        self.failureResultOf(outcome, CancelledError)

    def test_one_timer_serves_all_channels_and_those_due_together_are_unsubscribed_together(self) -> None:
        for channel in ("room1", "room2"):
            self.subscriptions.unsubscribe(self.subscribed(channel), channel)
        self.clock.advance(1)
        self.subscriptions.unsubscribe(self.subscribed("room3"), "room3")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(CHANNEL_LINGER_SECONDS - 1)
        self.assertEqual((self.broker.log[-1], self.broker.wanted), (("unsubscribe", ["room1", "room2"]), {"room3"}))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.assertEqual(self.broker.log[-1], ("unsubscribe", ["room3"]))
        self.assert_nothing_left()

    def test_stopping_leaves_no_timer(self) -> None:
        self.subscriptions.unsubscribe(self.subscribed(), "room")
        self.subscriptions.stop()
        self.subscriptions.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class InterruptionTests(SubscriptionsCase):
    """Confirmations that become void."""

    def test_new_subscriber_waits_for_a_new_confirmation_and_the_old_one_receives_on(self) -> None:
        old = self.subscribed()
        self.assertTrue(self.subscriptions.interrupted(("room",)))
        new, outcome = self.subscribe()
        self.assertNoResult(outcome)
        self.subscriptions.confirmed("room")
        self.successResultOf(outcome)
        self.deliver(b"1")
        self.assertEqual((old.sent, new.sent, self.broker.log), ([b"1\n"], [b"1\n"], [("subscribe", ["room"])]))

    def test_subscriber_that_waits_through_an_interruption_keeps_its_deadline(self) -> None:
        _, outcome = self.subscribe()
        self.assertFalse(self.subscriptions.interrupted(("room",)))
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS - 1)
        self.subscriptions.confirmed("room")
        self.successResultOf(outcome)

    def test_channels_that_are_not_here_are_no_interruption(self) -> None:
        self.subscribed()
        self.assertFalse(self.subscriptions.interrupted(()))
        self.assertFalse(self.subscriptions.interrupted(("elsewhere",)))

    def test_old_subscribers_are_notified_when_the_channel_is_confirmed_again_and_new_ones_are_not(self) -> None:
        old = self.subscribed()
        self.subscriptions.interrupted(("room",))
        new, outcome = self.subscribe()
        self.pass_time(2)
        self.assertEqual(old.gaps, [])
        self.subscriptions.confirmed("room")
        self.successResultOf(outcome)
        self.pass_time(2)
        self.assertEqual((old.gaps, new.gaps, self.counters.gap_notices), (["room"], [], 1))

    def test_two_interruptions_before_a_confirmation_are_one_gap(self) -> None:
        subscriber = self.subscribed()
        self.assertTrue(self.subscriptions.interrupted(("room",)))
        self.assertFalse(self.subscriptions.interrupted(("room",)))
        self.subscriptions.confirmed("room")
        self.pass_time(2)
        self.subscriptions.confirmed("room")
        self.pass_time(2)
        self.assertEqual(subscriber.gaps, ["room"])

    def test_subscriber_that_was_not_confirmed_yet_has_missed_nothing(self) -> None:
        subscriber, outcome = self.subscribe()
        self.subscriptions.interrupted(("room",))
        self.subscriptions.confirmed("room")
        self.successResultOf(outcome)
        self.pass_time(2)
        self.assertEqual(subscriber.gaps, [])

    def test_namespace_may_do_without_notices(self) -> None:
        subscriber = self.subscribed("quiet")
        self.subscriptions.interrupted(("quiet",))
        self.subscriptions.confirmed("quiet")
        self.pass_time(2)
        self.assertEqual(subscriber.gaps, [])

    def test_subscriber_that_subscribes_anew_before_its_notice_gets_none(self) -> None:
        subscriber = self.subscribed()
        self.subscriptions.interrupted(("room",))
        self.subscriptions.confirmed("room")
        self.subscriptions.unsubscribe(subscriber, "room")
        self.successResultOf(self.subscriptions.subscribe(subscriber, "room", ENCODING))
        self.pass_time(2)
        self.assertEqual((subscriber.gaps, self.counters.gap_notices), ([], 0))


class RejectionTests(SubscriptionsCase):
    """Channels that the broker rejects."""

    def test_every_subscriber_that_waits_fails_at_once(self) -> None:
        outcomes = [self.subscribe()[1] for _ in range(2)]
        self.subscriptions.rejected("room")
        for outcome in outcomes:
            error = self.failureResultOf(outcome, BrokerUnavailable).value
            self.assertEqual(str(error), "the broker rejects the channel")

    def test_subscribers_that_were_confirmed_are_notified_whatever_the_namespace_says(self) -> None:
        for channel in ("room", "quiet"):
            subscriber = self.subscribed(channel)
            self.subscriptions.interrupted((channel,))
            self.subscriptions.rejected(channel)
            self.pass_time(2)
            self.assertEqual(subscriber.gaps, [channel])

    def test_subscriber_that_timed_out_does_not_fail_again(self) -> None:
        _, outcome = self.subscribe()
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.failureResultOf(outcome, BrokerUnavailable)
        self.subscriptions.rejected("room")

    def test_next_subscriber_asks_the_broker_again_also_within_the_linger(self) -> None:
        subscriber, outcome = self.subscribe()
        self.subscriptions.rejected("room")
        self.failureResultOf(outcome, BrokerUnavailable)
        self.subscriptions.unsubscribe(subscriber, "room")
        subscriber, outcome = self.subscribe()
        self.assertEqual(self.broker.log, [("subscribe", ["room"])] * 2)
        # Once for all who come then.
        other, second = self.subscribe()
        self.assertEqual(len(self.broker.log), 2)
        self.subscriptions.confirmed("room")
        self.successResultOf(outcome)
        self.successResultOf(second)
        for each in (subscriber, other):
            self.subscriptions.unsubscribe(each, "room")
        self.assert_nothing_left()

    def test_rejection_of_a_channel_that_was_given_up_changes_nothing(self) -> None:
        self.subscriptions.rejected("room")
        self.assertEqual((len(self.subscriptions), self.broker.log), (0, []))
