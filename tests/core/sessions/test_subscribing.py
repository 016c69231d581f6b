"""Tests of `wsrelay.core.sessions.subscribing`: the subscriptions of a connected client."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.core.sessions.session_helpers import CREDENTIAL, RULES, connected, connected_by_commands, connecting
from tests.support.publications import At
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity
from wsrelay.core.access.refresh import refresh_identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import Connect, Subscribe, Unsubscribe
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.messaging.replies import Failed, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.messaging.subscription_start import SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import (
    CarryOut,
    Close,
    DeliverEvents,
    ExpireAt,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.session_data import MAX_CHANNELS, REFRESH_GRACE_SECONDS
from wsrelay.core.sessions.states import SessionState


def after_connect(connect: Connect) -> Session:
    """Return a session whose client is being authenticated."""
    session = Session(RULES, Acceptance.AT_ONCE)
    session.open([])
    session.received(connect)
    return session


class SubscribeCommandTests(SynchronousTestCase):
    """A connected client that subscribes and unsubscribes by commands."""

    def test_subscribe_is_answered_when_the_channel_is_subscribed(self) -> None:
        session = connected_by_commands()
        self.assertEqual(session.received(Subscribe(2, "a")), [SubscribeChannel("a", is_initial=False)])
        self.assertEqual(session.subscribed("a", SubscriptionStart("5-0")), [SendReply(Subscribed(2, "a", "5-0"))])
        self.assertEqual(session.subscribed("a"), [])

    def test_reply_says_that_the_client_wanted_to_resume(self) -> None:
        session = connected_by_commands()
        session.received(Subscribe(2, "a", since=""))
        self.assertEqual(session.subscribed("a"), [SendReply(Subscribed(2, "a", since=""))])

    def test_channel_that_is_not_permitted_is_an_error(self) -> None:
        for channel, error in (
            ("nowhere", ClientError.UNKNOWN_CHANNEL),
            ("inbox", ClientError.SUBSCRIBE_DENIED),
            ("user:41", ClientError.CHANNEL_DENIED),
        ):
            self.assertEqual(connected_by_commands().received(Subscribe(2, channel)), [SendReply(Failed(2, error))])
        self.assertEqual(
            connected_by_commands(identity=ANONYMOUS).received(Subscribe(2, "members")),
            [SendReply(Failed(2, ClientError.NO_CREDENTIAL))],
        )

    def test_channel_that_is_subscribed_or_being_subscribed_is_an_error(self) -> None:
        twice = [SendReply(Failed(3, ClientError.ALREADY_SUBSCRIBED))]
        session = connected_by_commands()
        session.received(Subscribe(2, "a"))
        self.assertEqual(session.received(Subscribe(3, "a")), twice)
        session.subscribed("a")
        self.assertEqual(session.received(Subscribe(3, "a")), twice)

    def test_number_of_channels_is_bounded_and_an_unsubscribe_makes_room(self) -> None:
        session = connected_by_commands(*(f"many:{number}" for number in range(MAX_CHANNELS)))
        self.assertEqual(len(session.channels), MAX_CHANNELS)
        self.assertEqual(session.received(Subscribe(3, "a")), [SendReply(Failed(3, ClientError.TOO_MANY_CHANNELS))])
        session.received(Unsubscribe(4, "many:0"))
        self.assertEqual(session.received(Subscribe(5, "a")), [SubscribeChannel("a", is_initial=False)])

    def test_failed_subscription_is_released_and_may_be_tried_again(self) -> None:
        session = connected_by_commands()
        for error in (ClientError.NOT_AVAILABLE, ClientError.HOOK):
            session.received(Subscribe(2, "a"))
            self.assertEqual(
                session.subscribe_failed("a", error), [UnsubscribeChannel("a"), SendReply(Failed(2, error))]
            )
            self.assertEqual((session.subscribe_failed("a"), session.channels), ([], ()))

    def test_late_failure_of_a_subscribed_channel_changes_nothing(self) -> None:
        session = connected_by_commands("a")
        self.assertEqual(session.subscribe_failed("a"), [])
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("a")])

    def test_newest_publications_of_a_channel_that_keeps_none_are_denied(self) -> None:
        session = connected_by_commands()
        self.assertEqual(session.received(Subscribe(2, "a", newest=1)), [SendReply(Failed(2, ClientError.NO_HISTORY))])

    def test_unsubscribe_takes_effect_before_its_reply(self) -> None:
        session = connected_by_commands("a")
        self.assertEqual(session.received(Unsubscribe(3, "a")), [UnsubscribeChannel("a"), SendReply(Unsubscribed(3))])
        self.assertEqual(session.connection_lost(), [])

    def test_unsubscribe_from_a_channel_that_is_not_subscribed_succeeds(self) -> None:
        for channel in ("a", "nowhere", "no channel\ud800"):
            self.assertEqual(connected_by_commands().received(Unsubscribe(3, channel)), [SendReply(Unsubscribed(3))])

    def test_unsubscribe_while_subscribing_answers_both_commands(self) -> None:
        session = connected_by_commands()
        session.received(Subscribe(2, "a"))
        self.assertEqual(
            session.received(Unsubscribe(3, "a")),
            [
                UnsubscribeChannel("a"),
                SendReply(Failed(2, ClientError.NOT_AVAILABLE)),
                SendReply(Unsubscribed(3)),
            ],
        )
        self.assertEqual([session.subscribed("a"), session.subscribe_failed("a")], [[], []])

    def test_channels_are_released_in_order_when_the_connection_is_lost(self) -> None:
        session = connected_by_commands("a", "talk")
        session.received(Subscribe(3, "b"))
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel(each) for each in ("a", "talk", "b")])
        self.assertEqual([session.subscribed("b"), session.connection_lost()], [[], []])


class GapTests(SynchronousTestCase):
    """Messages of a channel may have been lost."""

    def test_client_without_replies_is_closed_and_keeps_its_channel_until_it_is_lost(self) -> None:
        session = connected("a")
        self.assertEqual(session.gap("a"), [Close(Disconnect.GAP)])
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("a")])

    def test_client_with_replies_loses_the_one_subscription_and_may_subscribe_again(self) -> None:
        session = connected_by_commands("a", "b")
        ended = SendReply(SubscriptionEnded("a", Disconnect.GAP))
        self.assertEqual(session.gap("a"), [UnsubscribeChannel("a"), ended])
        self.assertEqual((session.channels, session.gap("a"), session.gap("nowhere")), (("b",), [], []))
        self.assertEqual(session.received(Subscribe(9, "a")), [SubscribeChannel("a", is_initial=False)])

    def test_subscription_that_is_not_confirmed_yet_has_missed_nothing_and_goes_on(self) -> None:
        session = connected_by_commands()
        session.received(Subscribe(2, "a"))
        self.assertEqual(session.gap("a"), [])
        self.assertEqual(session.subscribed("a"), [SendReply(Subscribed(2, "a"))])


class UnaskedSubscriptionTests(SynchronousTestCase):
    """Channels that the client's credential names, in a dialect with commands."""

    LISTED = Identity("42", channels=("a", "b", "user:*", "nowhere"))

    def connecting(self, positions: dict[str, str] | None = None) -> Session:
        """Return a session whose client has sent its connect."""
        session = Session(RULES, Acceptance.AT_ONCE)
        session.open([])
        session.received(Connect(1, CREDENTIAL, positions or {}))
        return session

    def test_client_that_may_have_nothing_of_what_it_asks_for_is_welcomed_without_it(self) -> None:
        session = Session(RULES, Acceptance.AT_ONCE)
        session.open([])
        session.received(Connect(1, None, channels=("members", "nowhere")))
        self.assertEqual(session.authenticated(ANONYMOUS), [Welcome(1)])

    def subscribing(self) -> Session:
        """Return a session that subscribes to what the credential names."""
        session = self.connecting()
        self.assertEqual(
            session.authenticated(self.LISTED),
            [SubscribeChannel("a", is_initial=False), SubscribeChannel("b", is_initial=False)],
        )
        self.assertIs(session.state, SessionState.SUBSCRIBING)
        return session

    def connected(self) -> Session:
        """Return one that has done so."""
        session = self.subscribing()
        session.subscribed("a")
        session.subscribed("b")
        return session

    def test_connect_is_answered_when_all_that_may_be_are_subscribed(self) -> None:
        session = self.subscribing()
        start = SubscriptionStart("5-0.00000005")
        self.assertEqual(session.subscribed("b", start), [])
        self.assertEqual(session.received(Subscribe(2, "talk")), [])
        self.assertEqual(
            session.subscribed("a"),
            [
                Welcome(1, (Subscribed(0, "b", start.position), Subscribed(0, "a"))),
                CarryOut((Subscribe(2, "talk"),)),
            ],
        )
        self.assertTrue(session.is_connected)
        self.assertEqual(session.channels, ("a", "b"))

    def test_client_resumes_from_the_positions_of_its_connect(self) -> None:
        session = self.connecting({"b": "4-0.00000004", "talk": ""})
        self.assertEqual(
            session.authenticated(self.LISTED),
            [SubscribeChannel("a", is_initial=False), SubscribeChannel("b", is_initial=False, since="4-0.00000004")],
        )
        session.subscribed("a")
        (welcome,) = session.subscribed("b")
        assert isinstance(welcome, Welcome)
        self.assertEqual([each.since for each in welcome.subscriptions], [None, "4-0.00000004"])

    def test_one_that_cannot_be_subscribed_is_the_reply_to_the_connect(self) -> None:
        session = self.subscribing()
        session.subscribed("a")
        self.assertEqual(
            session.subscribe_failed("b"),
            [
                SendReply(Failed(1, ClientError.NOT_AVAILABLE)),
                UnsubscribeChannel("a"),
                UnsubscribeChannel("b"),
            ],
        )
        self.assertTrue(session.is_rejected)
        self.assertEqual(session.connection_lost(), [])

    def test_one_that_the_application_does_not_permit_is_left_out(self) -> None:
        session = self.subscribing()
        self.assertEqual(session.subscribe_failed("a", ClientError.HOOK), [UnsubscribeChannel("a")])
        self.assertEqual(session.subscribed("b"), [Welcome(1, (Subscribed(0, "b"),))])
        self.assertEqual(session.channels, ("b",))
        session = self.subscribing()
        session.subscribed("b")
        self.assertEqual(
            session.subscribe_failed("a", ClientError.HOOK),
            [UnsubscribeChannel("a"), Welcome(1, (Subscribed(0, "b"),))],
        )

    def test_application_is_not_asked_about_what_it_has_named(self) -> None:
        session = self.connecting()
        identity = replace(self.LISTED, answer=ApplicationAnswer(named=("b", "user:*")))
        self.assertEqual(
            session.authenticated(identity),
            [SubscribeChannel("a", is_initial=False), SubscribeChannel("b", is_initial=True)],
        )

    def test_wish_that_is_not_permitted_is_left_out_without_a_question(self) -> None:
        session = after_connect(Connect(1, CREDENTIAL, channels=("nowhere",)))
        self.assertEqual(session.authenticated(Identity("42")), [Welcome(1)])

    def test_late_failure_of_another_channel_changes_nothing(self) -> None:
        self.assertEqual(self.subscribing().subscribe_failed("talk"), [])

    def test_gap_before_the_connect_is_answered_has_the_client_try_again(self) -> None:
        session = self.subscribing()
        self.assertEqual(session.gap("a"), [], "nothing has been missed yet")
        session.subscribed("a")
        self.assertEqual(session.gap("a")[0], SendReply(Failed(1, ClientError.NOT_AVAILABLE)))

    def test_gap_afterwards_closes_the_client_because_it_would_not_subscribe_again(self) -> None:
        session = self.connected()
        self.assertEqual(session.gap("a"), [Close(Disconnect.GAP)])

    def test_revocation_ends_one_of_them_and_the_client_is_told(self) -> None:
        session = self.connected()
        self.assertEqual(
            session.unsubscribed("a"),
            [UnsubscribeChannel("a"), SendReply(SubscriptionEnded("a", Disconnect.REVOKED))],
        )
        self.assertEqual(session.channels, ("b",))

    def test_another_end_before_the_connect_is_answered_holds_and_comes_with_the_answer(self) -> None:
        session = self.subscribing()
        self.assertEqual(session.expires(100.0), [ExpireAt(100.0 + REFRESH_GRACE_SECONDS)])
        self.assertEqual(session.identity.expires, 100.0)
        stream = connecting("a")
        self.assertEqual(stream.expires(100.0), [ExpireAt(100.0)])
        self.assertEqual(stream.state, SessionState.SUBSCRIBING)

    def test_revocation_before_the_connect_is_answered_leaves_the_channel_out(self) -> None:
        session = self.subscribing()
        self.assertEqual(session.unsubscribed("talk"), [])
        session.subscribed("a")
        self.assertEqual(session.unsubscribed("a"), [UnsubscribeChannel("a")])
        self.assertEqual(session.unsubscribed("b"), [UnsubscribeChannel("b"), Welcome(1)])
        self.assertEqual((session.subscribed("b"), session.channels), ([], ()))

    def test_channel_that_the_application_adds_before_the_connect_is_answered_comes_with_the_answer(self) -> None:
        session = self.subscribing()
        self.assertEqual(session.subscribe_by_server(ServerSubscription("a")), [])
        subscribed = SubscribeChannel("talk", is_initial=True)
        self.assertEqual(session.subscribe_by_server(ServerSubscription("talk")), [subscribed])
        self.assertEqual((session.subscribed("a"), session.subscribed("b")), ([], []))
        self.assertEqual(
            session.subscribed("talk"), [Welcome(1, (Subscribed(0, "a"), Subscribed(0, "b"), Subscribed(0, "talk")))]
        )
        self.assertEqual(connecting("a").subscribe_by_server(ServerSubscription("talk")), [])

    def test_what_the_credential_says_about_them_comes_with_the_connect(self) -> None:
        session = self.connecting()
        identity = Identity("42", subs=(ServerSubscription("talk", data=b"[1]"),))
        self.assertEqual(session.authenticated(identity), [SubscribeChannel("talk", is_initial=False)])
        self.assertEqual(
            session.subscribed("talk"), [Welcome(1, (Subscribed(0, "talk", terms=SubscriptionTerms(data=b"[1]")),))]
        )

    def test_application_subscribes_the_client_and_what_it_missed_follows(self) -> None:
        session = connected_by_commands()
        self.assertEqual(
            session.subscribe_by_server(ServerSubscription("talk"), "4-0.00000004"),
            [SubscribeChannel("talk", is_initial=True, since="4-0.00000004")],
        )
        missed = (Publication("talk", b"x", At("5-0.00000005")),)
        start = SubscriptionStart("5-0.00000005", recovered=True, publications=missed)
        self.assertEqual(
            session.subscribed("talk", start),
            [
                SendReply(Subscribed(0, "talk", start.position, "4-0.00000004", True, missed)),
                DeliverEvents("talk", missed),
            ],
        )
        self.assertEqual(session.subscribe_by_server(ServerSubscription("talk")), [])
        self.assertEqual(session.subscribe_by_server(ServerSubscription("nowhere")), [])

    def test_client_without_commands_is_subscribed_to_nothing_and_gets_another_end_without_grace(
        self,
    ) -> None:
        session = connected("talk")
        self.assertEqual(session.subscribe_by_server(ServerSubscription("a")), [])
        self.assertEqual(session.expires(100.0), [ExpireAt(100.0)])
        self.assertEqual(session.identity.expires, 100.0)
        self.assertEqual(session.expires(None), [ExpireAt(None)])

    def test_end_that_the_application_sets_takes_the_place_of_the_one_in_its_answer(self) -> None:
        for at in (50.0, 500.0, None):
            session = connected_by_commands(identity=Identity("42", expires=90.0, answer=ApplicationAnswer(100.0)))
            session.expires(at)
            for end in (40.0, 900.0):
                refreshed = refresh_identity(session.identity, Identity("42", expires=end), has_hook=True)
                self.assertEqual(refreshed.expires, end if at is None else min(at, end))

    def test_client_that_must_recover_and_cannot_may_subscribe_again(self) -> None:
        session = connected_by_commands()
        session.received(Subscribe(2, "a", "4-0.00000004", must_recover=True))
        self.assertEqual(
            session.subscribed("a"), [UnsubscribeChannel("a"), SendReply(Failed(2, ClientError.UNRECOVERABLE))]
        )
        self.assertEqual(session.received(Subscribe(3, "a")), [SubscribeChannel("a", is_initial=False)])

    def test_token_of_somebody_else_closes_the_client(self) -> None:
        session = connected_by_commands()
        session.received(Subscribe(2, "a", token="d.e.f"))
        self.assertEqual(
            session.subscribe_failed("a", ClientError.TOKEN_MISMATCH),
            [UnsubscribeChannel("a"), Close(Disconnect.CREDENTIAL)],
        )

    def test_client_subscribes_to_none_of_them_twice(self) -> None:
        session = self.connected()
        self.assertEqual(session.received(Subscribe(2, "a")), [SendReply(Failed(2, ClientError.ALREADY_SUBSCRIBED))])

    def test_credential_that_expires_meanwhile_is_the_reply_to_the_connect(self) -> None:
        session = self.subscribing()
        self.assertEqual(
            session.rejected(ClientError.TOKEN_EXPIRED),
            [
                SendReply(Failed(1, ClientError.TOKEN_EXPIRED)),
                UnsubscribeChannel("a"),
                UnsubscribeChannel("b"),
            ],
        )
