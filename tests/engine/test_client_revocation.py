"""Tests of `wsrelay.engine.client`: clients that the application disconnects, in each state."""

from __future__ import annotations

import json

from tests.engine.harness import (
    CONNECTION_ID,
    RECONNECT_USER,
    REVOKE_USER,
    TOKEN_MESSAGE,
    USER,
    EngineCase,
)
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect

FIRST = Message(TOKEN_MESSAGE)


class DisconnectTests(EngineCase):
    """Disconnecting by control messages."""

    def test_connected_client_is_closed_by_any_of_its_targets_as_the_application_says(self) -> None:
        for kind, value in ("user", "42"), ("token", "jti"), ("connection", CONNECTION_ID):
            for reconnect, disconnect in ((False, Disconnect.REVOKED), (True, Disconnect.RECONNECT)):
                connection, client = self.join()
                self.send_control(disconnect={kind: value}, reconnect=reconnect)
                self.assertEqual(connection.disconnects, [disconnect])
                client.connection_lost()

    def test_all_connections_of_a_user_are_closed_and_no_others(self) -> None:
        mine = [self.join(connection_id=str(number))[0] for number in range(3)]
        other, _ = self.join(Identity("43"))
        anonymous, _ = self.join(ANONYMOUS, "public")
        self.node.control_received(REVOKE_USER)
        self.assertEqual([each.disconnects for each in mine], [[Disconnect.REVOKED]] * 3)
        self.assertEqual((other.disconnects, anonymous.disconnects), ([], []))

    def test_client_that_is_revoked_while_the_application_is_asked_is_rejected(self) -> None:
        for kind, value, early_identity in (
            ("user", "42", USER),
            ("token", "jti", USER),
            ("connection", CONNECTION_ID, None),
        ):
            self.authenticator.early_identity = early_identity
            connection, client = self.open()
            self.node.control_received(json.dumps({"disconnect": {kind: value}}).encode())
            self.assertEqual(connection.responses, [ClientError.REVOKED.response])
            self.identify(ANONYMOUS)
            self.assertFalse(connection.accepted)
            client.connection_lost()

    def test_client_that_is_another_user_for_the_application_is_found_as_either(self) -> None:
        self.authenticator.early_identity = Identity("7")
        connection, client = self.join()
        self.node.control_received(b'{"disconnect": {"user": "7"}}')
        self.assertEqual(connection.disconnects, [Disconnect.REVOKED])
        client.connection_lost()
        self.store.revoke("user:7", 60)
        connection, _ = self.open()
        self.identify(USER)
        self.assertEqual(connection.responses, [ClientError.REVOKED.response])

    def test_client_that_is_revoked_during_the_lookup_is_rejected_at_once(self) -> None:
        self.store.is_slow = True
        connection, _ = self.open()
        self.identify(USER)
        self.node.control_received(REVOKE_USER)
        self.assert_rejected(connection, ClientError.REVOKED)
        self.store.answers[0].callback([False] * 3)
        self.assertEqual((connection.accepted, len(connection.responses), self.broker.log), (False, 1, []))

    def test_client_that_is_revoked_while_the_broker_is_asked_is_not_accepted_by_the_confirmation(self) -> None:
        connection, _ = self.open()
        self.identify(USER)
        self.node.control_received(REVOKE_USER)
        self.broker.sink.subscribed("room")
        self.deliver("room", b"1")
        self.assertEqual((connection.responses, connection.accepted), ([ClientError.REVOKED.response], False))
        self.assertEqual(connection.sent, [])

    def test_client_that_was_accepted_ahead_is_closed_as_the_application_says(self) -> None:
        for message, disconnect in ((REVOKE_USER, Disconnect.REVOKED), (RECONNECT_USER, Disconnect.RECONNECT)):
            # During the lookup.
            self.setUp()
            self.store.is_slow = True
            connection, client = self.open_with_first_message()
            client.received(FIRST)
            self.identify(USER)
            self.node.control_received(message)
            self.assertEqual(connection.disconnects, [disconnect])
            self.store.answers[0].callback([False] * 3)
            self.assertEqual(connection.disconnects, [disconnect])
            # While the broker is asked.
            self.setUp()
            connection, client = self.open_with_first_message()
            client.received(FIRST)
            self.identify(USER)
            self.node.control_received(message)
            self.assertEqual(connection.disconnects, [disconnect])
            self.broker.sink.subscribed("room")
            self.assertEqual((connection.sent, connection.disconnects), ([], [disconnect]))

    def test_client_that_is_rejected_or_has_left_is_not_disconnected_again(self) -> None:
        connection, client = self.open()
        self.identify(USER)
        self.node.control_received(REVOKE_USER)
        self.node.control_received(REVOKE_USER)
        client.connection_lost()
        client.disconnect(Disconnect.REVOKED)
        self.node.control_received(REVOKE_USER)
        self.assertEqual((connection.responses, connection.disconnects), ([ClientError.REVOKED.response], []))

    def test_message_that_waits_for_its_answer_is_not_published_behind_the_close(self) -> None:
        self.authenticator.asks_to_publish = lambda _data: True
        connection, client = self.join()
        client.received(Message(b"1"))
        self.node.control_received(REVOKE_USER)
        # The question is given up at once, and its answer would change nothing.
        self.assertFalse(self.authenticator.publish_questions[0].is_open)
        client.connection_lost()
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.REVOKED], []))
