"""Tests of `wsrelay.engine.client`: raw clients that send their credential as their first message."""

from __future__ import annotations

import json

from tests.engine.harness import (
    CONNECTION_ID,
    MOMENT,
    RULES,
    TOKEN,
    TOKEN_MESSAGE,
    USER,
    EngineCase,
    make_node,
    messages_of,
)
from tests.engine.test_client import LeavesWhenAccepted
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.channel_subscriptions import SUBSCRIBE_TIMEOUT_SECONDS
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.pending_credentials import CREDENTIAL_TIMEOUT_SECONDS
from wsrelay.engine.timers import RESOLUTION_SECONDS
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.dialects import LineDialect

FIRST = Message(TOKEN_MESSAGE)


class FirstMessageTests(EngineCase):
    """A client that promises its credential."""

    def test_client_is_accepted_at_once_and_told_when_it_is_subscribed(self) -> None:
        connection, client = self.open_with_first_message()
        self.assertEqual((self.authenticator.questions, self.broker.log), ([], []))
        client.received(FIRST)
        (question,) = self.authenticator.questions
        self.assertEqual(
            (question.credential, question.handshake.path, question.channels), (TOKEN, "/ws/room", ("room",))
        )
        question.resolve(USER)
        self.assertEqual((self.broker.log, connection.sent), ([("subscribe", ["room"])], []))
        self.broker.sink.subscribed("room")
        self.deliver("room", b"1")
        client.received(Message(b"2"))
        self.assertEqual([json.loads(data) for data in messages_of(connection)], [{"subscribed": "room"}, 1])
        self.assertEqual((self.broker.published, connection.disconnects), ([Publication("room", b"2")], []))

    def test_client_of_several_channels_is_told_of_each(self) -> None:
        self.authenticator.credential = None
        connection, client = self.open("room1,room2", RecordingConnection(LineDialect("told")), query="auth=message")
        client.received(FIRST)
        self.identify(USER)
        self.broker.sink.subscribed("room2")
        self.broker.sink.subscribed("room1")
        self.assertEqual(messages_of(connection), [b"subscribed room2", b"subscribed room1"])
        client.received(Message(b"1"))
        self.assertEqual(self.broker.published, [Publication("room1", b"1")])

    def test_client_is_told_its_connection_id_and_is_found_by_it(self) -> None:
        connection, client = self.open_with_first_message()
        self.assertEqual(connection.connection_id, CONNECTION_ID)
        client.received(FIRST)
        self.identify(USER)
        self.assertIn(f"connection:{CONNECTION_ID}", self.node.registry.targets())

    def test_authenticator_that_is_asked_about_everyone_is_asked_when_the_credential_is_there(self) -> None:
        self.authenticator.authenticates_everyone = True
        _, client = self.open_with_first_message()
        self.assertEqual(self.authenticator.questions, [])
        client.received(FIRST)
        self.assertEqual([question.credential for question in self.authenticator.questions], [TOKEN])

    def test_credential_is_never_published_or_sent_on(self) -> None:
        connection, client = self.open_with_first_message("talk")
        client.received(FIRST)
        self.identify(USER)
        self.broker.sink.subscribed("talk")
        client.received(Message(b"hi"))
        self.assertEqual(self.broker.published, [Publication("talk", b"hi")])
        self.assertNotIn(b"a.b.c", b"".join(connection.sent))

    def test_message_before_the_client_is_subscribed_closes_it_and_is_not_published(self) -> None:
        connection, client = self.open_with_first_message("talk")
        client.received(FIRST)
        client.received(Message(b"early"))
        self.identify(USER)
        client.received(Message(b"early"))
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.PUBLISH_DENIED], []))
        self.assertEqual(self.rejections, {"publish_denied": 1})

    def test_credential_helps_nothing_and_does_no_harm_where_every_client_is_anonymous(self) -> None:
        self.node = make_node(self.broker, RULES, self.clock, AnonymousAuthenticator())
        self.addCleanup(self.assert_nothing_left, self.clock, self.broker, self.node, self.clients)
        connection, client = self.open_with_first_message("talk")
        client.received(FIRST)
        self.broker.sink.subscribed("talk")
        self.assertEqual(messages_of(connection), [b'{"subscribed": "talk"}'])
        connection, client = self.open_with_first_message("room")
        client.received(FIRST)
        self.assertEqual((connection.disconnects, self.broker.published), ([ClientError.NO_CREDENTIAL.disconnect], []))


class DeadlineTests(EngineCase):
    """How long a credential may take."""

    def test_client_is_closed_without_a_credential_in_time_and_not_a_moment_earlier(self) -> None:
        connection, client = self.open_with_first_message()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(MOMENT + RESOLUTION_SECONDS)
        self.assert_closed(connection, ClientError.TOO_LATE)
        client.received(FIRST)
        self.assertEqual((self.authenticator.questions, connection.disconnects), ([], [Disconnect.STALE]))

    def test_deadline_does_not_include_the_check_of_a_credential_that_came_in_time(self) -> None:
        connection, client = self.open_with_first_message()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS - MOMENT)
        client.received(FIRST)
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS)
        self.assertEqual(connection.disconnects, [])
        self.identify(USER)
        self.broker.sink.subscribed("room")
        self.clock.advance(2 * CREDENTIAL_TIMEOUT_SECONDS)
        self.assertEqual((len(messages_of(connection)), connection.disconnects), (1, []))

    def test_client_is_closed_without_an_answer_of_the_authenticator_or_the_broker_in_time(self) -> None:
        connection, client = self.open_with_first_message()
        client.received(FIRST)
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS)
        self.assert_closed(connection, ClientError.NOT_CHECKED)
        self.setUp()
        connection, client = self.open_with_first_message()
        client.received(FIRST)
        self.identify(USER)
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.assert_closed(connection, ClientError.NOT_AVAILABLE)

    def test_client_that_leaves_before_its_message_leaves_no_deadline(self) -> None:
        connection, client = self.open_with_first_message()
        client.connection_lost()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((connection.disconnects, self.rejections), ([], {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_client_that_leaves_while_it_is_accepted_has_no_deadline(self) -> None:
        self.authenticator.credential = None
        self.open("room", LeavesWhenAccepted(), query="auth=message")
        self.assertEqual((self.clock.getDelayedCalls(), len(self.node.pending_credentials)), ([], 0))


class RejectedTests(EngineCase):
    """Credentials that are not accepted."""

    def test_malformed_credential_closes_the_client_and_neither_it_nor_what_follows_is_published(self) -> None:
        for message, client_error in (
            (b"hello", ClientError.MALFORMED),
            (b'{"token": "x"}', ClientError.TOKEN),
            (b"", ClientError.MALFORMED),
        ):
            self.setUp()
            connection, client = self.open_with_first_message("talk")
            client.received(Message(message))
            self.assert_closed(connection, client_error)
            client.received(FIRST)
            client.received(Message(b"more"))
            self.assertEqual((self.authenticator.questions, self.broker.published), ([], []))

    def test_rejected_client_is_closed_with_the_code_of_its_error(self) -> None:
        for client_error in (ClientError.TICKET, ClientError.TOKEN_EXPIRED, ClientError.HOOK, ClientError.NOT_CHECKED):
            self.setUp()
            connection, client = self.open_with_first_message()
            client.received(FIRST)
            self.identify(client_error)
            self.assert_closed(connection, client_error)

    def test_authenticated_client_is_closed_where_the_channel_is_not_for_it(self) -> None:
        connection, client = self.open_with_first_message("user:43")
        client.received(FIRST)
        self.identify(USER)
        self.assert_closed(connection, ClientError.CHANNEL_DENIED)
