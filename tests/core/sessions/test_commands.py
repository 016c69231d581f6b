"""Tests of `wsrelay.core.sessions.commands`: publishing, lookups and other commands of a connected client."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.sessions.session_helpers import USER, connected, connected_by_commands
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import (
    Connect,
    Pong,
    Publish,
    ReadHistory,
    ReadPresence,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.replies import Failed, Published
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import (
    Close,
    LookUp,
    PublishMessage,
    Reject,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
)
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.states import CredentialSource


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
        for error, why, disconnect in (
            (ClientError.NOT_AVAILABLE, Disconnect.TRY_AGAIN, Disconnect.TRY_AGAIN),
            (ClientError.NOT_AVAILABLE, None, Disconnect.NOT_AVAILABLE),
            (ClientError.PUBLISH_DENIED, None, Disconnect.PUBLISH_DENIED),
        ):
            session = connected("talk")
            self.assertEqual(session.publish_failed(0, error, why), [Close(disconnect)])
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
        identity = Identity("42", publish=("user:42",))
        session = connected("user:42", identity=identity, source=by_credential)
        self.assertEqual(session.received(Publish(0, None, b"x")), [PublishMessage(0, "user:42", b"x")])
        for channel in ("user:41", "members"):
            session = connected("user:42", identity=identity, source=by_credential)
            self.assertEqual(session.received(Publish(0, channel, b"x")), denied)
        session = connected("user:42", identity=USER, source=by_credential)
        self.assertEqual(session.received(Publish(0, None, b"x")), denied)
        self.assertEqual(connected("a").received(Publish(0, "members", b"x")), denied)
        session = connected("a", identity=USER, source=by_credential)
        self.assertEqual(session.received(Publish(0, "members", b"x")), [PublishMessage(0, "members", b"x")])


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
