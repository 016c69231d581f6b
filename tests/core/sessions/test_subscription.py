"""Tests of `wsrelay.core.sessions.subscription`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.commands import Subscribe
from wsrelay.core.messaging.replies import Failed, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.messaging.subscription_start import START, SubscriptionStart
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.effects import Effect, SendReply, SubscribeChannel, UnsubscribeChannel
from wsrelay.core.sessions.subscription import Subscription, SubscriptionState

INPUTS: dict[str, Callable[[Subscription], list[Effect]]] = {
    "subscribe": lambda subscription: subscription.subscribe(),
    "subscribed": lambda subscription: subscription.subscribed(SubscriptionStart("5-0")),
    "failed": lambda subscription: subscription.failed(ClientError.NOT_AVAILABLE),
    "unsubscribe": lambda subscription: subscription.unsubscribe(9),
    "end": lambda subscription: subscription.end(Disconnect.GAP),
    "release": lambda subscription: subscription.release(),
}
# The inputs that lead to each state.
PATHS = {
    SubscriptionState.REQUESTED: (),
    SubscriptionState.SUBSCRIBING: ("subscribe",),
    SubscriptionState.SUBSCRIBED: ("subscribe", "subscribed"),
    SubscriptionState.PUBLISHING: ("subscribe",),
    SubscriptionState.ENDED: ("subscribe", "release"),
}
UNSUBSCRIBE = UnsubscribeChannel("a")
# What each input does in each state, and the state after it; what is not here has no effect and changes nothing.
TABLE: dict[tuple[SubscriptionState, str], tuple[list[Effect], SubscriptionState]] = {
    (SubscriptionState.REQUESTED, "subscribe"): (
        [SubscribeChannel("a", is_initial=False)],
        SubscriptionState.SUBSCRIBING,
    ),
    (SubscriptionState.REQUESTED, "release"): ([], SubscriptionState.ENDED),
    (SubscriptionState.SUBSCRIBING, "subscribed"): (
        [SendReply(Subscribed(2, "a", "5-0"))],
        SubscriptionState.SUBSCRIBED,
    ),
    (SubscriptionState.SUBSCRIBING, "failed"): (
        [UNSUBSCRIBE, SendReply(Failed(2, ClientError.NOT_AVAILABLE))],
        SubscriptionState.ENDED,
    ),
    (SubscriptionState.SUBSCRIBING, "unsubscribe"): (
        [UNSUBSCRIBE, SendReply(Failed(2, ClientError.NOT_AVAILABLE)), SendReply(Unsubscribed(9))],
        SubscriptionState.ENDED,
    ),
    (SubscriptionState.SUBSCRIBING, "release"): ([UNSUBSCRIBE], SubscriptionState.ENDED),
    (SubscriptionState.SUBSCRIBED, "unsubscribe"): (
        [UNSUBSCRIBE, SendReply(Unsubscribed(9))],
        SubscriptionState.ENDED,
    ),
    (SubscriptionState.SUBSCRIBED, "end"): (
        [UNSUBSCRIBE, SendReply(SubscriptionEnded("a", Disconnect.GAP))],
        SubscriptionState.ENDED,
    ),
    (SubscriptionState.SUBSCRIBED, "release"): ([UNSUBSCRIBE], SubscriptionState.ENDED),
    (SubscriptionState.PUBLISHING, "release"): ([], SubscriptionState.ENDED),
}


def subscription_in(state: SubscriptionState) -> Subscription:
    """Return a subscription in a state."""
    subscription = Subscription(Subscribe(2, "a", only_publishes=state is SubscriptionState.PUBLISHING))
    for name in PATHS[state]:
        INPUTS[name](subscription)
    return subscription


class SubscriptionTests(SynchronousTestCase):
    """The state machine of one client on one channel."""

    def test_paths_lead_to_every_state(self) -> None:
        self.assertEqual({state: subscription_in(state).state for state in PATHS}, {each: each for each in PATHS})
        self.assertEqual(set(PATHS), set(SubscriptionState))

    def test_every_input_in_every_state_does_what_the_table_says(self) -> None:
        for state in SubscriptionState:
            for name, step in INPUTS.items():
                subscription = subscription_in(state)
                effects = step(subscription)
                self.assertEqual((effects, subscription.state), TABLE.get((state, name), ([], state)), (state, name))
                self.assertEqual(subscription.is_subscribed, subscription.state is SubscriptionState.SUBSCRIBED)

    def test_client_that_only_publishes_is_subscribed_to_nothing(self) -> None:
        subscription = Subscription(Subscribe(0, "a", only_publishes=True), is_initial=True)
        self.assertEqual((subscription.subscribe(), subscription.state), ([], SubscriptionState.PUBLISHING))

    def test_initial_subscription_says_so(self) -> None:
        subscription = Subscription(Subscribe(0, "a"), is_initial=True)
        self.assertEqual(subscription.subscribe(), [SubscribeChannel("a", is_initial=True)])

    def test_what_the_client_wants_to_get_first_is_asked_for(self) -> None:
        subscription = Subscription(Subscribe(2, "a", "5-0.00000000"))
        self.assertEqual(subscription.subscribe(), [SubscribeChannel("a", is_initial=False, since="5-0.00000000")])
        subscription = Subscription(Subscribe(2, "a", newest=3))
        self.assertEqual(subscription.subscribe(), [SubscribeChannel("a", is_initial=False, newest=3)])

    def test_position_that_the_client_sent_is_reported_as_recovering(self) -> None:
        for since in (None, "", "5-0"):
            subscription = Subscription(Subscribe(2, "a", since))
            subscription.subscribe()
            reply = Subscribed(2, "a", since=since)
            self.assertEqual(subscription.subscribed(START), [SendReply(reply)])
            self.assertEqual(reply.was_recovering, since is not None)

    def test_client_that_must_recover_and_cannot_is_not_subscribed(self) -> None:
        subscription = Subscription(Subscribe(2, "a", "5-0", must_recover=True))
        subscription.subscribe()
        self.assertEqual(
            subscription.subscribed(START), [UnsubscribeChannel("a"), SendReply(Failed(2, ClientError.UNRECOVERABLE))]
        )
        self.assertTrue(subscription.is_ended)

    def test_client_that_must_recover_and_does_is_subscribed(self) -> None:
        subscription = Subscription(Subscribe(2, "a", "5-0", must_recover=True))
        subscription.subscribe()
        start = SubscriptionStart("6-0.00000000", recovered=True)
        reply = Subscribed(2, "a", "6-0.00000000", "5-0", recovered=True)
        self.assertEqual(subscription.subscribed(start), [SendReply(reply)])

    def test_channel_is_released_exactly_once_on_every_path(self) -> None:
        for one in INPUTS:
            for other in INPUTS:
                for third in INPUTS:
                    subscription = Subscription(Subscribe(2, "a"))
                    effects = [effect for name in (one, other, third) for effect in INPUTS[name](subscription)]
                    effects += subscription.release()
                    taken = effects.count(SubscribeChannel("a", is_initial=False))
                    self.assertEqual(effects.count(UNSUBSCRIBE), taken, (one, other, third))
