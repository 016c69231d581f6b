"""Tests of `wsrelay.core.sessions.session`: what a client goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.core.sessions.session_helpers import (
    CONNECT,
    CREDENTIAL,
    EXPIRING_USER,
    RULES,
    USER,
    connected,
    connected_by_commands,
    connecting,
    connecting_by_commands,
    open_session,
)
from tests.support.publications import At
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import (
    Command,
    Connect,
    Pong,
    Publish,
    ReadHistory,
    ReadPresence,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.publications import Positioned, Publication
from wsrelay.core.messaging.replies import Failed, Published, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.messaging.subscription_start import SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import (
    Accept,
    Authenticate,
    CarryOut,
    Close,
    DeliverEvents,
    Effect,
    ExpireAt,
    LookUp,
    PublishMessage,
    Reject,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.pending_connect import MAX_QUEUED_BYTES, MAX_QUEUED_COMMANDS, MAX_QUEUED_TEXT_BYTES
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.session_data import MAX_CHANNELS
from wsrelay.core.sessions.states import CredentialSource, SessionState

UNKNOWN = Reject(ClientError.UNKNOWN_CHANNEL, is_accepted=False)
DENIED = Reject(ClientError.SUBSCRIBE_DENIED, is_accepted=False)
AWAY = Reject(ClientError.NOT_AVAILABLE, is_accepted=False)


def initial(*channels: str) -> list[SubscribeChannel]:
    """Return the effects that subscribe to the channels of a handshake."""
    return [SubscribeChannel(channel, is_initial=True) for channel in channels]


class HandshakeTests(SynchronousTestCase):
    """From a handshake that names its channels to its answer."""

    def test_handshake_is_accepted_only_when_its_channel_is_subscribed(self) -> None:
        session, effects = open_session(CredentialSource.NONE, "a")
        self.assertEqual(effects, initial("a"))
        self.assertEqual(session.subscribed("a"), [Accept()])

    def test_handshake_is_accepted_when_the_last_of_several_channels_is_subscribed(self) -> None:
        session, effects = open_session(CredentialSource.NONE, "a", "b", "a")
        self.assertEqual(effects, initial("a", "b"))
        self.assertEqual([session.subscribed("b"), session.subscribed("b")], [[], []])
        self.assertEqual(session.subscribed("a"), [Accept()])
        self.assertEqual(session.channels, ("a", "b"))

    def test_handshake_without_channel_is_accepted_at_once(self) -> None:
        self.assertEqual(Session(RULES).open([]), [Accept()])

    def test_unknown_channel_is_rejected_and_nothing_is_subscribed(self) -> None:
        session, effects = open_session(CredentialSource.NONE, "a", "nowhere")
        self.assertEqual(effects, [UNKNOWN])
        self.assertEqual(session.connection_lost(), [])

    def test_channel_that_no_client_may_subscribe_to_is_rejected(self) -> None:
        session, effects = open_session(CredentialSource.NONE, "inbox")
        self.assertEqual(effects, [DENIED])
        self.assertEqual(session.connection_lost(), [])

    def test_failed_subscription_rejects_the_handshake_and_releases_every_channel_once(self) -> None:
        session = connecting("a", "b")
        session.subscribed("a")
        self.assertEqual(session.subscribe_failed("b"), [AWAY, UnsubscribeChannel("a"), UnsubscribeChannel("b")])
        self.assertEqual(
            [session.subscribe_failed("a"), session.subscribed("b"), session.connection_lost()], [[], [], []]
        )

    def test_failed_subscription_rejects_the_handshake_with_its_own_error(self) -> None:
        self.assertEqual(
            connecting("a").subscribe_failed("a", ClientError.NOT_CHECKED),
            [Reject(ClientError.NOT_CHECKED, is_accepted=False), UnsubscribeChannel("a")],
        )

    def test_connection_lost_before_the_answer_releases_the_channel_and_late_outcomes_change_nothing(self) -> None:
        session = connecting("a")
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("a")])
        self.assertEqual(
            [session.subscribed("a"), session.subscribe_failed("a"), session.connection_lost()], [[], [], []]
        )

    def test_confirmation_of_a_channel_that_was_not_asked_for_changes_nothing(self) -> None:
        session = connecting("a")
        self.assertEqual(session.subscribed("b"), [])
        self.assertEqual(session.subscribed("a"), [Accept()])

    def test_message_before_the_answer_is_not_published(self) -> None:
        self.assertEqual(connecting("talk").received(Publish(0, None, b"x")), [])


class OnlyPublishesTests(SynchronousTestCase):
    """A client that only publishes to the channel of its handshake."""

    def open(self, channel: str, source: CredentialSource = CredentialSource.NONE) -> tuple[Session, list[Effect]]:
        """Open a session, and return it with the effects."""
        session = Session(RULES)
        return session, session.open([Subscribe(0, channel, only_publishes=True)], source)

    def test_it_is_accepted_at_once_publishes_and_releases_nothing(self) -> None:
        session, effects = self.open("talk")
        self.assertEqual((effects, session.channels), ([Accept()], ("talk",)))
        self.assertEqual(session.received(Publish(0, None, b"x")), [PublishMessage(0, "talk", b"x")])
        self.assertEqual(session.connection_lost(), [])

    def test_it_needs_the_right_to_subscribe_and_that_to_publish(self) -> None:
        self.assertEqual(self.open("unknown")[1], [UNKNOWN])
        session, effects = self.open("members", CredentialSource.HANDSHAKE)
        self.assertEqual(effects, [Authenticate(None)])
        self.assertEqual(session.authenticated(ANONYMOUS), [Reject(ClientError.NO_CREDENTIAL, is_accepted=False)])
        session, _ = self.open("a")
        self.assertEqual(session.received(Publish(0, None, b"x")), [Close(Disconnect.PUBLISH_DENIED)])

    def test_credential_in_the_first_message_is_confirmed(self) -> None:
        session, effects = self.open("talk", CredentialSource.FIRST_MESSAGE)
        self.assertEqual(effects, [Accept()])
        session.received(Connect(0, CREDENTIAL))
        self.assertEqual(session.authenticated(EXPIRING_USER), [SendReply(Subscribed(0, "talk")), ExpireAt(100.0)])
        self.assertEqual(session.received(Publish(0, None, b"x")), [PublishMessage(0, "talk", b"x")])


class PublishTests(SynchronousTestCase):
    """Messages of a connected client, in a dialect without replies."""

    def test_message_without_channel_goes_to_the_one_of_the_handshake_unchanged(self) -> None:
        session = connected("talk")
        for data in (b"1", b"\xff"):
            self.assertEqual(session.received(Publish(0, None, data)), [PublishMessage(0, "talk", data)])

    def test_message_with_channel_goes_there_whether_or_not_it_is_subscribed(self) -> None:
        self.assertEqual(connected("a").received(Publish(0, "inbox", b"x")), [PublishMessage(0, "inbox", b"x")])

    def test_message_that_is_not_permitted_closes_the_connection(self) -> None:
        for channel in ("a", "nowhere"):
            self.assertEqual(connected("talk").received(Publish(0, channel, b"x")), [Close(Disconnect.PUBLISH_DENIED)])

    def test_success_is_not_reported(self) -> None:
        self.assertEqual(connected("talk").published(0), [])

    def test_failure_closes_the_connection_which_keeps_its_channel_until_it_is_lost(self) -> None:
        session = connected("talk")
        self.assertEqual(session.publish_failed(0, disconnect=Disconnect.TRY_AGAIN), [Close(Disconnect.TRY_AGAIN)])
        self.assertEqual(session.publish_failed(0), [Close(Disconnect.NOT_AVAILABLE)])
        self.assertEqual(session.publish_failed(0, ClientError.PUBLISH_DENIED), [Close(Disconnect.PUBLISH_DENIED)])
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("talk")])

    def test_nothing_is_published_or_released_after_the_connection_is_lost(self) -> None:
        session = connected("talk")
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("talk")])
        self.assertEqual(
            [session.received(Publish(0, None, b"x")), session.publish_failed(0), session.connection_lost()],
            [[], [], []],
        )

    def test_identity_decides_what_may_be_published(self) -> None:
        denied = [Close(Disconnect.PUBLISH_DENIED)]
        by_credential = CredentialSource.HANDSHAKE
        session = connected("user:42", identity=Identity("42", publish=("user:42",)), source=by_credential)
        self.assertEqual(session.received(Publish(0, None, b"x")), [PublishMessage(0, "user:42", b"x")])
        for channel in ("user:41", "members"):
            self.assertEqual(session.received(Publish(0, channel, b"x")), denied)
        session = connected("user:42", identity=USER, source=by_credential)
        self.assertEqual(session.received(Publish(0, None, b"x")), denied)
        self.assertEqual(connected("a").received(Publish(0, "members", b"x")), denied)
        session = connected("a", identity=USER, source=by_credential)
        self.assertEqual(session.received(Publish(0, "members", b"x")), [PublishMessage(0, "members", b"x")])


class HandshakeCredentialTests(SynchronousTestCase):
    """A client whose credential is in its handshake."""

    def test_nothing_is_subscribed_before_the_client_is_authenticated(self) -> None:
        session, effects = open_session(CredentialSource.HANDSHAKE, "members", "a")
        self.assertEqual(effects, [Authenticate(None)])
        self.assertEqual([session.awaits_credential, session.is_closed, session.identity], [False, False, ANONYMOUS])
        self.assertEqual(session.authenticated(USER), initial("members", "a"))
        self.assertIs(session.identity, USER)
        self.assertEqual([session.subscribed("members"), session.subscribed("a")], [[], [Accept()]])

    def test_expiry_is_set_once_behind_the_subscriptions(self) -> None:
        session, _ = open_session(CredentialSource.HANDSHAKE, "members")
        self.assertEqual(session.authenticated(EXPIRING_USER), [*initial("members"), ExpireAt(100.0)])
        self.assertEqual(session.subscribed("members"), [Accept()])

    def test_handshake_without_channel_is_accepted_as_soon_as_the_client_is_authenticated(self) -> None:
        session, _ = open_session(CredentialSource.HANDSHAKE)
        self.assertEqual(session.authenticated(EXPIRING_USER), [Accept(), ExpireAt(100.0)])

    def test_channel_for_no_client_is_rejected_before_the_credential_is_used(self) -> None:
        for source in CredentialSource:
            self.assertEqual(open_session(source, "a", "nowhere")[1], [UNKNOWN])
            self.assertEqual(open_session(source, "members", "inbox")[1], [DENIED])

    def test_client_that_may_not_subscribe_to_one_channel_is_subscribed_to_none(self) -> None:
        session, _ = open_session(CredentialSource.HANDSHAKE, "members", "user:41")
        self.assertEqual(session.authenticated(EXPIRING_USER), [Reject(ClientError.CHANNEL_DENIED, is_accepted=False)])
        self.assertTrue(session.is_closed)
        self.assertIs(session.identity, ANONYMOUS)
        self.assertEqual(
            [session.authenticated(USER), session.subscribed("members"), session.connection_lost()], [[], [], []]
        )

    def test_anonymous_client_is_subscribed_to_public_channels_alone(self) -> None:
        missing = [Reject(ClientError.NO_CREDENTIAL, is_accepted=False)]
        session, _ = open_session(CredentialSource.HANDSHAKE, "members")
        self.assertEqual(session.authenticated(ANONYMOUS), missing)
        self.assertEqual(open_session(CredentialSource.NONE, "members")[1], missing)
        session, _ = open_session(CredentialSource.HANDSHAKE, "a")
        self.assertEqual(session.authenticated(ANONYMOUS), initial("a"))

    def test_error_of_an_ambient_credential_is_reported_only_where_a_credential_is_needed(self) -> None:
        rejected = Identity(is_authenticated=False, cookie_error=ClientError.TOKEN_EXPIRED)
        session, _ = open_session(CredentialSource.HANDSHAKE, "members")
        self.assertEqual(session.authenticated(rejected), [Reject(ClientError.TOKEN_EXPIRED, is_accepted=False)])
        session, _ = open_session(CredentialSource.HANDSHAKE, "a")
        self.assertEqual(session.authenticated(rejected), initial("a"))
        session, _ = open_session(CredentialSource.HANDSHAKE, "user:41")
        known_as_other = Identity("42", cookie_error=ClientError.TOKEN_EXPIRED)
        self.assertEqual(session.authenticated(known_as_other), [Reject(ClientError.CHANNEL_DENIED, is_accepted=False)])

    def test_bad_credential_is_rejected_for_its_own_reason_and_late_outcomes_change_nothing(self) -> None:
        session, _ = open_session(CredentialSource.HANDSHAKE, "members")
        self.assertEqual(session.rejected(ClientError.TICKET), [Reject(ClientError.TICKET, is_accepted=False)])
        self.assertEqual(
            [session.authenticated(USER), session.rejected(ClientError.TOKEN), session.connection_lost()],
            [[], [], []],
        )

    def test_connection_lost_while_authenticating_releases_nothing(self) -> None:
        session, _ = open_session(CredentialSource.HANDSHAKE, "members")
        self.assertEqual(session.connection_lost(), [])
        self.assertEqual([session.authenticated(USER), session.rejected(ClientError.TOKEN)], [[], []])
        self.assertIs(session.identity, ANONYMOUS)

    def test_rejection_while_subscribing_releases_every_channel_once(self) -> None:
        session, _ = open_session(CredentialSource.HANDSHAKE, "members", "a")
        session.authenticated(EXPIRING_USER)
        session.subscribed("members")
        self.assertEqual(
            session.rejected(ClientError.REVOKED),
            [
                Reject(ClientError.REVOKED, is_accepted=False),
                UnsubscribeChannel("members"),
                UnsubscribeChannel("a"),
            ],
        )
        self.assertEqual(
            [session.subscribed("a"), session.rejected(ClientError.REVOKED), session.connection_lost()], [[], [], []]
        )

    def test_rejection_while_connected_closes_with_its_code_and_the_channel_is_released_when_lost(self) -> None:
        for error in (ClientError.REVOKED, ClientError.TOKEN_EXPIRED):
            session = connected("members", identity=EXPIRING_USER, source=CredentialSource.HANDSHAKE)
            self.assertEqual(session.rejected(error), [Close(error.disconnect)])
            self.assertFalse(session.is_closed)
            self.assertEqual(session.connection_lost(), [UnsubscribeChannel("members")])
            self.assertEqual(session.rejected(error), [])


class FirstMessageTests(SynchronousTestCase):
    """A client whose first message is its credential."""

    def test_handshake_is_accepted_at_once_and_each_subscription_is_reported(self) -> None:
        session, effects = open_session(CredentialSource.FIRST_MESSAGE, "members", "a", "a")
        self.assertEqual((effects, session.awaits_credential), ([Accept()], True))
        self.assertEqual(session.received(Connect(0, CREDENTIAL)), [Authenticate(CREDENTIAL)])
        self.assertFalse(session.awaits_credential)
        self.assertEqual(session.authenticated(EXPIRING_USER), [*initial("members", "a"), ExpireAt(100.0)])
        self.assertEqual(session.subscribed("members"), [SendReply(Subscribed(0, "members"))])
        self.assertEqual(
            session.subscribed("a", SubscriptionStart("5-0")),
            [SendReply(Subscribed(0, "a", "5-0")), DeliverEvents("a", (Positioned("a", "5-0"),))],
        )
        self.assertEqual(session.received(Publish(0, "talk", b"x")), [PublishMessage(0, "talk", b"x")])
        self.assertEqual(session.channels, ("members", "a"))
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("members"), UnsubscribeChannel("a")])

    def test_handshake_without_channel_is_connected_as_soon_as_the_client_is_authenticated(self) -> None:
        session, _ = open_session(CredentialSource.FIRST_MESSAGE)
        session.received(Connect(0, CREDENTIAL))
        self.assertEqual(session.authenticated(USER), [])
        self.assertEqual(session.received(Publish(0, "talk", b"x")), [PublishMessage(0, "talk", b"x")])

    def test_rejection_is_a_close_from_the_first_moment_on(self) -> None:
        steps: list[Callable[[Session], object]] = [
            lambda session: session.received(Connect(0, CREDENTIAL)),
            lambda session: session.authenticated(USER),
        ]
        for count, released in ((0, []), (1, []), (2, [UnsubscribeChannel("members")])):
            session, _ = open_session(CredentialSource.FIRST_MESSAGE, "members")
            for step in steps[:count]:
                step(session)
            self.assertEqual(
                session.rejected(ClientError.TOO_LATE),
                [Reject(ClientError.TOO_LATE, is_accepted=True), *released],
                count,
            )
            self.assertTrue(session.is_closed)
            self.assertEqual(
                [session.received(CONNECT), session.authenticated(USER), session.connection_lost()], [[], [], []]
            )

    def test_temporary_failure_ends_the_connection_because_there_are_no_replies(self) -> None:
        for error in (ClientError.NOT_CHECKED, ClientError.TOKEN_EXPIRED, ClientError.TICKET):
            session, _ = open_session(CredentialSource.FIRST_MESSAGE, "members")
            session.received(Connect(0, CREDENTIAL))
            self.assertEqual(session.rejected(error), [Reject(error, is_accepted=True)])

    def test_channel_that_is_denied_or_not_available_is_a_close(self) -> None:
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "user:41")
        session.received(Connect(0, CREDENTIAL))
        self.assertEqual(session.authenticated(USER), [Reject(ClientError.CHANNEL_DENIED, is_accepted=True)])
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "members")
        session.received(Connect(0, CREDENTIAL))
        session.authenticated(USER)
        self.assertEqual(
            session.subscribe_failed("members"),
            [Reject(ClientError.NOT_AVAILABLE, is_accepted=True), UnsubscribeChannel("members")],
        )

    def test_message_before_the_subscription_is_reported_is_not_published_and_ends_the_session(self) -> None:
        steps: list[Callable[[Session], object]] = [
            lambda session: session.received(Connect(0, CREDENTIAL)),
            lambda session: session.authenticated(USER),
            lambda session: session.subscribed("a"),
        ]
        channels = ("a", "talk")
        for count in (1, 2, 3):
            session, _ = open_session(CredentialSource.FIRST_MESSAGE, *channels)
            for step in steps[:count]:
                step(session)
            released = [UnsubscribeChannel(channel) for channel in channels if count > 1]
            self.assertEqual(
                session.received(Publish(0, None, b"x")), [Close(Disconnect.PUBLISH_DENIED), *released], count
            )
            self.assertTrue(session.is_closed)
            self.assertEqual([session.authenticated(USER), session.subscribed("talk")], [[], []])
            self.assertEqual([session.received(Publish(0, None, b"x")), session.connection_lost()], [[], []])

    def test_first_message_that_is_no_credential_is_not_published_and_closes(self) -> None:
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "talk")
        self.assertEqual(session.received(Publish(0, None, b"x")), [Close(Disconnect.BAD_REQUEST)])

    def test_connection_lost_before_the_credential_releases_nothing(self) -> None:
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "members")
        self.assertEqual(session.connection_lost(), [])
        self.assertFalse(session.awaits_credential)
        self.assertEqual([session.received(CONNECT), session.received(Publish(0, None, b"x"))], [[], []])


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


class ConnectCommandTests(SynchronousTestCase):
    """A client that connects by a command."""

    def test_connection_is_accepted_at_once_and_awaits_the_connect_whatever_the_handshake_holds(self) -> None:
        for source in CredentialSource:
            session = Session(RULES, Acceptance.AT_ONCE)
            self.assertEqual(session.open([], source), [Accept()])
            self.assertTrue(session.awaits_credential)

    def test_connect_is_answered_when_the_client_is_authenticated(self) -> None:
        session = Session(RULES, Acceptance.AT_ONCE)
        session.open([])
        self.assertEqual(session.received(CONNECT), [Authenticate(CREDENTIAL)])
        self.assertEqual(session.authenticated(EXPIRING_USER), [Welcome(1), ExpireAt(125.0)])
        self.assertIs(session.identity, EXPIRING_USER)
        self.assertEqual(session.channels, ())

    def test_connect_without_credential_leaves_the_handshake_to_count(self) -> None:
        session = Session(RULES, Acceptance.AT_ONCE)
        session.open([])
        self.assertEqual(session.received(Connect(7, None)), [Authenticate(None)])
        self.assertEqual(session.authenticated(ANONYMOUS), [Welcome(7)])

    def test_any_other_first_command_is_a_bad_request(self) -> None:
        others: list[Command] = [
            Subscribe(1, "a"),
            Unsubscribe(1, "a"),
            Publish(1, "talk", b"x"),
            Pong(),
            Unsupported(1, ClientError.NOT_SUPPORTED),
        ]
        for command in others:
            session = Session(RULES, Acceptance.AT_ONCE)
            session.open([])
            self.assertEqual(session.received(command), [Close(Disconnect.BAD_REQUEST)])
            self.assertEqual((session.is_closed, session.received(CONNECT)), (True, []))

    def test_commands_behind_an_asynchronous_connect_wait_and_are_carried_out_in_order(self) -> None:
        session = connecting_by_commands()
        commands: list[Command] = [
            Subscribe(2, "a"),
            Publish(3, "talk", b"x"),
            Unsubscribe(4, "a"),
            Pong(),
            Subscribe(5, "nowhere"),
        ]
        for command in commands:
            self.assertEqual(session.received(command), [])
        self.assertEqual(session.channels, ())
        self.assertEqual(session.authenticated(EXPIRING_USER), [Welcome(1), CarryOut(tuple(commands)), ExpireAt(125.0)])
        self.assertEqual(
            [effect for command in commands for effect in session.received(command)],
            [
                SubscribeChannel("a", is_initial=False),
                SendReply(Failed(3, ClientError.PUBLISH_DENIED)),
                UnsubscribeChannel("a"),
                SendReply(Failed(2, ClientError.NOT_AVAILABLE)),
                SendReply(Unsubscribed(4)),
                SendReply(Failed(5, ClientError.UNKNOWN_CHANNEL)),
            ],
        )

    def test_commands_that_wait_are_carried_out_as_the_client_that_was_authenticated(self) -> None:
        session = connecting_by_commands()
        session.received(Subscribe(2, "members"))
        (_, carry_out) = session.authenticated(ANONYMOUS)
        assert isinstance(carry_out, CarryOut)
        self.assertEqual(session.received(carry_out.commands[0]), [SendReply(Failed(2, ClientError.NO_CREDENTIAL))])

    def test_as_many_commands_may_wait_as_the_bound_says_and_none_is_carried_out_behind_the_close(self) -> None:
        session = connecting_by_commands()
        commands = [Publish(number, "talk", b"x") for number in range(1, MAX_QUEUED_COMMANDS + 1)]
        self.assertEqual([effect for command in commands for effect in session.received(command)], [])
        self.assertEqual(session.authenticated(USER), [Welcome(1), CarryOut(tuple(commands))])
        session = connecting_by_commands()
        for command in commands:
            session.received(command)
        self.assertEqual(session.received(Pong()), [Close(Disconnect.TOO_FAST)])
        self.assertEqual((session.is_closed, session.authenticated(USER)), (True, []))

    def test_data_that_waits_behind_a_connect_is_bounded_in_bytes(self) -> None:
        session = connecting_by_commands()
        self.assertEqual(session.received(Publish(2, "talk", b"x" * (MAX_QUEUED_BYTES - 1))), [])
        self.assertEqual(session.received(Publish(3, "talk", b"x")), [])
        self.assertEqual(session.received(Publish(4, "talk", b"x")), [Close(Disconnect.TOO_FAST)])
        self.assertEqual((session.is_closed, session.authenticated(USER)), (True, []))

    def test_texts_that_wait_behind_a_connect_are_bounded_too(self) -> None:
        text = "x" * (MAX_QUEUED_TEXT_BYTES // 2)
        for command in (
            Subscribe(2, "a", token=text),
            Unsubscribe(2, text),
            Refresh(2, text),
            RefreshSubscription(2, "a", text),
            ReadHistory(2, "a", epoch=text),
            Connect(2, CREDENTIAL, {text: ""}),
        ):
            session = connecting_by_commands()
            self.assertEqual(session.received(command), [])
            self.assertEqual(session.received(command), [])
            self.assertEqual(session.received(Unsubscribe(3, "a")), [Close(Disconnect.TOO_FAST)])

    def test_commands_that_wait_are_dropped_with_the_connection(self) -> None:
        session = connecting_by_commands()
        session.received(Publish(2, "talk", b"x"))
        self.assertEqual(session.connection_lost(), [])
        self.assertEqual(session.authenticated(USER), [])

    def test_second_connect_is_a_bad_request(self) -> None:
        self.assertEqual(connected_by_commands().received(CONNECT), [Close(Disconnect.BAD_REQUEST)])

    def test_failure_that_a_new_attempt_may_mend_is_a_reply_and_the_connection_is_unusable(self) -> None:
        for error in ClientError:
            if not (error.is_temporary or error.wants_new_credential):
                continue
            session = connecting_by_commands()
            session.received(Subscribe(2, "a"))
            self.assertEqual(session.rejected(error), [SendReply(Failed(1, error))])
            self.assertEqual((session.is_rejected, session.is_closed), (True, False))
            self.assertEqual(session.authenticated(USER), [])
            # They may have been under way when the client was told: a close would keep an SDK from coming back.
            self.assertEqual([session.received(Subscribe(3, "a")), session.received(CONNECT)], [[], []])
            self.assertEqual(session.rejected(ClientError.TOO_LATE), [Reject(ClientError.TOO_LATE, is_accepted=True)])
            self.assertTrue(session.is_closed)

    def test_unusable_connection_is_closed_even_by_an_error_that_is_temporary(self) -> None:
        session = connecting_by_commands()
        session.rejected(ClientError.NOT_CHECKED)
        self.assertEqual(session.rejected(ClientError.NOT_CHECKED), [Reject(ClientError.NOT_CHECKED, is_accepted=True)])

    def test_any_other_failure_of_the_connect_is_a_close(self) -> None:
        for error in ClientError:
            if error.is_temporary or error.wants_new_credential:
                continue
            session = connecting_by_commands()
            self.assertEqual(session.rejected(error), [Reject(error, is_accepted=True)])
            self.assertTrue(session.is_closed)

    def test_credential_that_does_not_come_in_time_is_a_close(self) -> None:
        session = Session(RULES, Acceptance.AT_ONCE)
        session.open([])
        self.assertEqual(session.rejected(ClientError.TOO_LATE), [Reject(ClientError.TOO_LATE, is_accepted=True)])

    def test_expired_credential_closes_and_the_channels_are_released_when_the_connection_is_lost(self) -> None:
        session = connected_by_commands("a", "members", identity=EXPIRING_USER)
        self.assertEqual(session.rejected(ClientError.TOKEN_EXPIRED), [Close(Disconnect.CREDENTIAL_EXPIRED)])
        self.assertEqual(session.connection_lost(), [UnsubscribeChannel("a"), UnsubscribeChannel("members")])


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


class PublishCommandTests(SynchronousTestCase):
    """A connected client whose messages are answered."""

    def test_success_and_failure_are_replies(self) -> None:
        session = connected_by_commands("talk")
        self.assertEqual(session.received(Publish(2, "talk", b"x")), [PublishMessage(2, "talk", b"x")])
        self.assertEqual(session.published(2), [SendReply(Published(2))])
        self.assertEqual(session.publish_failed(2), [SendReply(Failed(2, ClientError.NOT_AVAILABLE))])
        self.assertEqual(
            session.publish_failed(2, ClientError.HOOK, Disconnect.TRY_AGAIN),
            [SendReply(Failed(2, ClientError.HOOK))],
        )

    def test_message_that_is_not_permitted_is_an_error_and_the_connection_goes_on(self) -> None:
        session = connected_by_commands("a", "members", identity=USER)
        for channel in ("a", "nowhere", "user:42"):
            self.assertEqual(
                session.received(Publish(2, channel, b"x")), [SendReply(Failed(2, ClientError.PUBLISH_DENIED))]
            )
        self.assertEqual(session.received(Publish(3, "members", b"x")), [PublishMessage(3, "members", b"x")])

    def test_message_on_a_channel_that_is_not_subscribed_is_not_permitted(self) -> None:
        denied = [SendReply(Failed(3, ClientError.PUBLISH_DENIED))]
        session = connected_by_commands(identity=USER)
        self.assertEqual(session.received(Publish(3, "talk", b"x")), denied)
        session.received(Subscribe(2, "talk"))
        self.assertEqual(session.received(Publish(3, "talk", b"x")), denied)
        session.subscribed("talk")
        self.assertEqual(session.received(Publish(3, "talk", b"x")), [PublishMessage(3, "talk", b"x")])
        session.received(Unsubscribe(4, "talk"))
        self.assertEqual(session.received(Publish(3, "talk", b"x")), denied)


class OtherCommandTests(SynchronousTestCase):
    """Commands that change nothing."""

    def test_pong_has_no_effect(self) -> None:
        self.assertEqual(connected_by_commands().received(Pong()), [])

    def test_unsupported_command_is_an_error_if_it_wants_a_reply_and_else_a_close(self) -> None:
        session = connected_by_commands()
        self.assertEqual(
            session.received(Unsupported(2, ClientError.NOT_SUPPORTED)),
            [SendReply(Failed(2, ClientError.NOT_SUPPORTED))],
        )
        self.assertEqual(session.received(Unsupported(0, ClientError.NOT_SUPPORTED)), [Close(Disconnect.NOT_SUPPORTED)])


class DisconnectTests(SynchronousTestCase):
    """The application ends the connection."""

    def check(self, session: Session, *expected: Effect, is_closed: bool) -> None:
        self.assertEqual(session.disconnect(Disconnect.RECONNECT), list(expected))
        self.assertEqual(session.is_closed, is_closed)

    def test_handshake_that_has_no_answer_is_rejected_and_its_channels_are_released(self) -> None:
        revoked = Reject(ClientError.REVOKED, is_accepted=False)
        self.check(Session(RULES), revoked, is_closed=True)
        self.check(open_session(CredentialSource.HANDSHAKE, "a")[0], revoked, is_closed=True)
        self.check(connecting("a"), revoked, UnsubscribeChannel("a"), is_closed=True)

    def test_accepted_connection_that_is_not_connected_is_closed_and_its_channels_are_released(self) -> None:
        close = Close(Disconnect.RECONNECT)
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "a")
        self.check(session, close, is_closed=True)
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "a")
        session.received(CONNECT)
        self.check(session, close, is_closed=True)
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "a")
        session.received(Connect(0, CREDENTIAL))
        session.authenticated(USER)
        self.check(session, close, UnsubscribeChannel("a"), is_closed=True)
        session = connecting_by_commands()
        session.received(Publish(2, "talk", b"x"))
        self.check(session, close, is_closed=True)
        self.assertEqual(session.authenticated(USER), [])

    def test_rejected_connection_is_closed(self) -> None:
        session = connecting_by_commands()
        session.rejected(ClientError.TICKET)
        self.check(session, Close(Disconnect.RECONNECT), is_closed=True)

    def test_connected_client_is_closed_and_its_channels_are_released_when_it_is_lost(self) -> None:
        for session in (connected("a"), connected_by_commands("a")):
            self.check(session, Close(Disconnect.RECONNECT), is_closed=False)
            self.assertEqual(session.connection_lost(), [UnsubscribeChannel("a")])

    def test_closed_session_stays_so(self) -> None:
        session = connected("a")
        session.connection_lost()
        self.check(session, is_closed=True)


class AcceptedWhenAuthenticatedTests(SynchronousTestCase):
    """A dialect whose handshake is completed once the client may subscribe, before it is subscribed."""

    def open(
        self, *commands: Subscribe, source: CredentialSource = CredentialSource.NONE
    ) -> tuple[Session, list[Effect]]:
        """Return a session of such a dialect, and the effects of its opening."""
        session = Session(RULES, Acceptance.AUTHENTICATED)
        return session, session.open(commands, source)

    def test_handshake_is_completed_before_the_channels_are_subscribed(self) -> None:
        _, effects = self.open(Subscribe(0, "a", "5-0.00000000"), Subscribe(0, "b"))
        self.assertEqual(
            effects,
            [
                Accept(),
                SubscribeChannel("a", is_initial=True, since="5-0.00000000"),
                SubscribeChannel("b", is_initial=True),
            ],
        )

    def test_client_that_may_not_subscribe_is_rejected_with_a_status(self) -> None:
        _, effects = self.open(Subscribe(0, "members"))
        self.assertEqual(effects, [Reject(ClientError.NO_CREDENTIAL, is_accepted=False)])

    def test_credential_is_awaited_before_the_handshake_is_completed(self) -> None:
        session, effects = self.open(Subscribe(0, "members"), source=CredentialSource.HANDSHAKE)
        self.assertEqual(effects, [Authenticate(None)])
        self.assertEqual(session.authenticated(USER)[0], Accept())

    def test_each_channel_is_reported_with_its_first_events(self) -> None:
        session, _ = self.open(Subscribe(0, "a", "4-0.00000004"), Subscribe(0, "b"))
        missed = Publication("a", b"x", At("5-0.00000005"))
        start = SubscriptionStart(missed.position, recovered=True, publications=(missed,))
        self.assertEqual(
            session.subscribed("a", start),
            [
                SendReply(Subscribed(0, "a", missed.position, "4-0.00000004", True, (missed,))),
                DeliverEvents("a", (missed,)),
            ],
        )
        self.assertFalse(session.is_connected)
        self.assertEqual(session.subscribed("b"), [SendReply(Subscribed(0, "b"))])
        self.assertTrue(session.is_connected)

    def test_channel_that_cannot_be_subscribed_closes_the_connection(self) -> None:
        session, _ = self.open(Subscribe(0, "a"), Subscribe(0, "b"))
        effects = session.subscribe_failed("b")
        self.assertEqual(effects[0], Reject(ClientError.NOT_AVAILABLE, is_accepted=True))
        self.assertEqual(session.connection_lost(), [])

    def test_newest_messages_of_a_plain_channel_are_rejected(self) -> None:
        _, effects = self.open(Subscribe(0, "a", newest=3))
        self.assertEqual(effects, [Reject(ClientError.NO_HISTORY, is_accepted=False)])


class FirstEventsTests(SynchronousTestCase):
    """The first events in a dialect whose handshake is completed once the client is subscribed."""

    def test_newest_messages_come_behind_the_completed_handshake(self) -> None:
        namespaces = Namespaces([Namespace("kept", ("kept",), history_size=5, history_seconds=5)])
        session = Session(namespaces)
        effects = session.open([Subscribe(0, "kept", newest=2)])
        self.assertEqual(effects, [SubscribeChannel("kept", is_initial=True, newest=2)])
        newest = Publication("kept", b"x", At("5-0.00000005"))
        start = SubscriptionStart(newest.position, publications=(newest,))
        self.assertEqual(session.subscribed("kept", start), [Accept(), DeliverEvents("kept", (newest,))])


class UnaskedSubscriptionTests(SynchronousTestCase):
    """Channels that the client's credential names, in a dialect with commands."""

    LISTED = Identity("42", channels=("a", "b", "user:*", "nowhere"))

    def connecting(self, positions: dict[str, str] | None = None) -> Session:
        """Return a session whose client has sent its connect."""
        session = Session(RULES, Acceptance.AT_ONCE)
        session.open([])
        session.received(Connect(1, CREDENTIAL, positions or {}))
        return session

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
        identity = replace(self.LISTED, named_by_application=("b", "user:*"))
        self.assertEqual(
            session.authenticated(identity),
            [SubscribeChannel("a", is_initial=False), SubscribeChannel("b", is_initial=True)],
        )

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


class LookUpTests(SynchronousTestCase):
    """History and presence by a command."""

    def setUp(self) -> None:
        level = Access.AUTHENTICATED
        self.rules = Namespaces(
            [
                Namespace("kept", ("kept",), history_size=10, presence=True),
                Namespace(
                    "members",
                    ("members",),
                    history_size=10,
                    read_history=level,
                    presence=True,
                    read_presence=level,
                ),
                Namespace("plain", ("plain",)),
                Namespace("listed", ("room:*",), Access.TOKEN, history_size=10, presence=True),
                Namespace(
                    "vault",
                    ("vault",),
                    history_size=10,
                    read_history=Access.NOBODY,
                    presence=True,
                    read_presence=Access.NOBODY,
                ),
            ]
        )

    def session(self, identity: Identity = ANONYMOUS, *wishes: str) -> Session:
        """Return the session of a client that has connected."""
        session = Session(self.rules, Acceptance.AT_ONCE)
        session.open([])
        session.received(Connect(1, None, channels=wishes))
        for effect in session.authenticated(identity):
            if isinstance(effect, SubscribeChannel):
                session.subscribed(effect.channel)
        self.assertTrue(session.is_connected)
        return session

    def assert_lookups(self, session: Session, channel: str, error: ClientError | None) -> None:
        """Ask for all that can be looked up, and check that it is looked up, or the error."""
        for command in (ReadHistory(2, channel), ReadPresence(2, channel), ReadPresence(2, channel, only_counts=True)):
            expected = LookUp(command) if error is None else SendReply(Failed(2, error))
            self.assertEqual(session.received(command), [expected], command)

    def test_subscription_token_permits_lookups_of_its_channel_while_the_client_is_subscribed(self) -> None:
        for identity, error in (
            (ANONYMOUS, ClientError.NO_CREDENTIAL),
            (Identity("42", channels=()), ClientError.CHANNEL_DENIED),
            (Identity("42"), ClientError.CHANNEL_DENIED),
        ):
            session = self.session(identity)
            session.received(Subscribe(3, "room:1", token="t"))
            # The token has not been checked yet.
            self.assert_lookups(session, "room:1", error)
            session.subscribed("room:1")
            self.assert_lookups(session, "room:1", None)
            self.assert_lookups(session, "room:2", error)
            session.received(Unsubscribe(4, "room:1"))
            self.assert_lookups(session, "room:1", error)

    def test_subscription_token_that_is_not_good_permits_nothing(self) -> None:
        session = self.session()
        session.received(Subscribe(3, "room:1", token="t"))
        session.subscribe_failed("room:1", ClientError.TOKEN)
        self.assert_lookups(session, "room:1", ClientError.NO_CREDENTIAL)

    def test_end_of_the_subscription_ends_what_its_token_permits(self) -> None:
        for end in (Session.subscription_expired, Session.unsubscribed, Session.gap):
            session = self.session()
            session.received(Subscribe(3, "room:1", token="t"))
            session.subscribed("room:1")
            end(session, "room:1")
            self.assert_lookups(session, "room:1", ClientError.NO_CREDENTIAL)

    def test_channels_in_subs_of_the_credential_may_be_looked_up_until_the_client_leaves_them(self) -> None:
        session = self.session(Identity("42", channels=(), subs=(ServerSubscription("room:1"),)))
        self.assert_lookups(session, "room:1", None)
        self.assert_lookups(session, "room:2", ClientError.CHANNEL_DENIED)
        # A refresh leaves subscriptions alone, and names none.
        session.refreshed(3, Identity("42", channels=()))
        self.assert_lookups(session, "room:1", None)
        session.received(Unsubscribe(4, "room:1"))
        self.assert_lookups(session, "room:1", ClientError.CHANNEL_DENIED)

    def test_channel_that_the_application_subscribes_the_client_to_may_be_looked_up(self) -> None:
        session = self.session()
        session.subscribe_by_server(ServerSubscription("room:1"))
        self.assert_lookups(session, "room:1", ClientError.NO_CREDENTIAL)
        session.subscribed("room:1")
        self.assert_lookups(session, "room:1", None)

    def test_wish_of_a_connect_is_no_grant(self) -> None:
        session = self.session(ANONYMOUS, "members", "kept")
        self.assertEqual(session.channels, ("members", "kept"))
        self.assert_lookups(session, "members", ClientError.NO_CREDENTIAL)
        self.assert_lookups(session, "kept", None)

    def test_subscription_without_a_token_is_no_grant(self) -> None:
        session = self.session()
        session.received(Subscribe(3, "members"))
        session.subscribed("members")
        self.assert_lookups(session, "members", ClientError.NO_CREDENTIAL)

    def test_grant_of_a_channel_counts_as_a_credential_where_the_namespace_asks_for_one(self) -> None:
        session = self.session()
        session.received(Subscribe(3, "members", token="t"))
        session.subscribed("members")
        self.assert_lookups(session, "members", None)

    def test_no_grant_permits_lookups_that_are_for_nobody(self) -> None:
        by_subs = self.session(Identity("42", subs=(ServerSubscription("vault"),)))
        by_token, by_application = self.session(), self.session()
        by_token.received(Subscribe(3, "vault", token="t"))
        by_application.subscribe_by_server(ServerSubscription("vault"))
        for session in (by_subs, by_token, by_application):
            session.subscribed("vault")
            self.assertTrue(session.is_granted("vault"))
            self.assert_lookups(session, "vault", ClientError.SUBSCRIBE_DENIED)

    def test_what_is_permitted_is_looked_up(self) -> None:
        for identity, channel in ((ANONYMOUS, "kept"), (Identity("42"), "members")):
            for command in (ReadHistory(2, channel), ReadPresence(2, channel)):
                self.assertEqual(self.session(identity).received(command), [LookUp(command)])

    def test_what_is_not_is_an_error(self) -> None:
        for channel, error in (
            ("members", ClientError.NO_CREDENTIAL),
            ("plain", ClientError.NOT_SUPPORTED),
            ("nowhere", ClientError.UNKNOWN_CHANNEL),
        ):
            for command in (ReadHistory(2, channel), ReadPresence(2, channel)):
                self.assertEqual(self.session().received(command), [SendReply(Failed(2, error))], channel)

    def test_newest_messages_need_the_level_of_the_history(self) -> None:
        wanted = Subscribe(0, "members", newest=3)
        session = Session(self.rules)
        self.assertEqual(session.open([wanted])[0], Reject(ClientError.NO_CREDENTIAL, is_accepted=False))
        session = Session(self.rules)
        session.open([wanted], CredentialSource.HANDSHAKE)
        self.assertEqual(
            session.authenticated(Identity("42")), [SubscribeChannel("members", is_initial=True, newest=3)]
        )
