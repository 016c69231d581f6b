"""Tests of `wsrelay.engine.control_receiver`: commands about some connections of a user."""

from __future__ import annotations

from tests.engine.harness import CentrifugoCase, EngineCase
from wsrelay.core.access.identity import Identity
from wsrelay.core.messaging.user_commands import DisconnectUserCommand, UnsubscribeCommand
from wsrelay.core.outcomes.disconnects import AnyDisconnect, ApplicationDisconnect, Disconnect


class ControlReceiverCase(EngineCase):
    """Users 42 (twice) and 43 on raw connections."""

    def setUp(self) -> None:
        """Join them."""
        super().setUp()
        self.connections = [
            self.join(Identity(user), connection_id=name)[0]
            for user, name in (("42", "c1"), ("42", "c2"), ("43", "c3"))
        ]

    def send(self, command: DisconnectUserCommand | UnsubscribeCommand) -> None:
        """Have every process, this one, receive a command."""
        self.broker.sink.control_received(command.to_bytes())

    @property
    def disconnects(self) -> list[list[AnyDisconnect]]:
        """The disconnects of each connection."""
        return [connection.disconnects for connection in self.connections]


class DisconnectUserTests(ControlReceiverCase):
    """`disconnect_user`."""

    def test_all_connections_of_the_user_are_closed_with_the_code_of_the_application(self) -> None:
        why = ApplicationDisconnect(4100, "elsewhere")
        self.send(DisconnectUserCommand("42", disconnect=why))
        self.assertEqual(self.disconnects, [[why], [why], []])

    def test_connections_that_are_spared_stay(self) -> None:
        self.send(DisconnectUserCommand("42", spared=("c1", "c3", "c9")))
        self.assertEqual(self.disconnects, [[], [Disconnect.REVOKED], []])

    def test_one_connection_is_closed_if_it_is_the_users(self) -> None:
        self.send(DisconnectUserCommand("42", "c3"))
        self.send(DisconnectUserCommand("42", "c9"))
        self.send(DisconnectUserCommand("42", "c2", disconnect=Disconnect.RECONNECT))
        self.assertEqual(self.disconnects, [[], [Disconnect.RECONNECT], []])

    def test_connection_without_a_user_is_closed_and_that_of_a_user_is_not_without_its_name(self) -> None:
        ticket = self.join(Identity(), connection_id="c4")[0]
        self.send(DisconnectUserCommand("", "c4"))
        self.send(DisconnectUserCommand("", "c1"))
        self.assertEqual((ticket.disconnects, self.disconnects), ([Disconnect.REVOKED], [[], [], []]))


class UnsubscribeTests(ControlReceiverCase):
    """`unsubscribe`."""

    def test_raw_clients_on_the_channel_are_closed_and_no_others(self) -> None:
        (channel,) = self.clients[0].session.channels
        self.send(UnsubscribeCommand("42", "public-other"))
        self.assertEqual(self.disconnects, [[], [], []])
        self.send(UnsubscribeCommand("42", channel, "c1"))
        self.assertEqual(self.disconnects, [[Disconnect.REVOKED], [], []])
        self.send(UnsubscribeCommand("42", channel))
        self.assertEqual(self.disconnects[1:], [[Disconnect.REVOKED], []])

    def test_client_that_cannot_be_reached_costs_the_others_nothing(self) -> None:
        (channel,) = self.clients[0].session.channels

        def fail(_disconnect: AnyDisconnect) -> None:
            raise RuntimeError

        self.patch(self.connections[0], "close", fail)
        self.send(UnsubscribeCommand("42", channel))
        self.assertEqual(self.disconnects[1:], [[Disconnect.REVOKED], []])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class CentrifugoUnsubscribeTests(CentrifugoCase):
    """`unsubscribe` where clients have commands."""

    def test_subscription_ends_with_its_code_and_the_connection_stays(self) -> None:
        connection, client = self.connect()
        self.subscribe(connection, client, "talk1", "talk2")
        self.broker.sink.control_received(UnsubscribeCommand("42", "talk1").to_bytes())
        self.broker.sink.control_received(UnsubscribeCommand("42", "talk3").to_bytes())
        push = {"channel": "talk1", "unsubscribe": {"code": 2000, "reason": Disconnect.REVOKED.reason}}
        self.assertEqual((self.take(connection), connection.disconnects), ([{"push": push}], []))
        self.assertEqual(client.session.channels, ("talk2",))
