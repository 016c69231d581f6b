"""Tests of `wsrelay.core.sessions.connecting`: what happens until a client is connected."""

from __future__ import annotations

from collections.abc import Callable

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
from wsrelay.core.messaging.commands import (
    Command,
    Connect,
    Pong,
    Publish,
    ReadHistory,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import Positioned, Publication
from wsrelay.core.messaging.replies import Failed, Subscribed, Unsubscribed
from wsrelay.core.messaging.subscription_start import SubscriptionStart
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
    PublishMessage,
    Reject,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.pending_connect import MAX_QUEUED_BYTES, MAX_QUEUED_COMMANDS, MAX_QUEUED_TEXT_BYTES
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.session_data import SessionData
from wsrelay.core.sessions.states import CredentialSource

UNKNOWN = Reject(ClientError.UNKNOWN_CHANNEL, is_accepted=False)
DENIED = Reject(ClientError.SUBSCRIBE_DENIED, is_accepted=False)
AWAY = Reject(ClientError.NOT_AVAILABLE, is_accepted=False)


def initial(*channels: str) -> list[SubscribeChannel]:
    """Return the effects that subscribe to the channels of a handshake."""
    return [SubscribeChannel(channel, is_initial=True) for channel in channels]


class AtOnceTests(SynchronousTestCase):
    """Handshakes that ask for one channel that every client may subscribe to."""

    def test_session_that_is_opened_at_once_is_what_it_would_be_step_by_step(self) -> None:
        for channel in ("a", "talk", "many:1"):
            session, stepwise = Session(RULES), Session(RULES)
            self.assertEqual(session.channel_at_once([Subscribe(0, channel)]), channel)
            effects = session.opened_at_once(channel)
            self.assertEqual(stepwise.open([Subscribe(0, channel)]), [SubscribeChannel(channel, is_initial=True)])
            self.assertEqual(stepwise.subscribed(channel), effects)
            for name in SessionData.__slots__:
                self.assertEqual(getattr(session, name), getattr(stepwise, name), name)
            self.assertEqual(session.channels, (channel,))
            self.assertEqual(session.connection_lost(), [UnsubscribeChannel(channel)])

    def test_channel_about_which_more_is_to_be_decided_is_not_opened_at_once(self) -> None:
        for channel in ("inbox", "members", "user:42", "nowhere", "many:x#42"):
            self.assertIsNone(Session(RULES).channel_at_once([Subscribe(0, channel)]), channel)

    def test_handshake_that_asks_for_more_is_not_opened_at_once(self) -> None:
        for commands in (
            [],
            [Subscribe(0, "a"), Subscribe(0, "b")],
            [Subscribe(0, "a", since="1-0")],
            [Subscribe(0, "a", since="")],
            [Subscribe(0, "a", newest=1)],
            [Subscribe(0, "a", only_publishes=True)],
            [Subscribe(0, "a", must_recover=True)],
            [Subscribe(0, "a", token="a.b.c")],
            [Pong()],
        ):
            self.assertIsNone(Session(RULES).channel_at_once(commands), commands)

    def test_dialect_that_answers_otherwise_opens_nothing_at_once(self) -> None:
        for acceptance in (Acceptance.AT_ONCE, Acceptance.AUTHENTICATED):
            self.assertIsNone(Session(RULES, acceptance).channel_at_once([Subscribe(0, "a")]))

    def test_session_that_has_begun_is_not_opened_again(self) -> None:
        session = connected("a")
        self.assertIsNone(session.channel_at_once([Subscribe(0, "a")]))
        self.assertEqual(session.opened_at_once("b"), [])
        self.assertEqual(session.channels, ("a",))


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
