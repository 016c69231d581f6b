"""Tests of `wsrelay.engine.control_receiver`: commands about some connections of a user."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import CONNECTION_ID, EPOCH, USER, CentrifugoCase, EngineCase, make_node
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.history.offsets import BASE_MS
from wsrelay.core.history.offsets import EPOCH as EPOCH_OF_OFFSETS
from wsrelay.core.messaging.client_commands import RefreshCommand, SubscribeCommand
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.user_commands import DisconnectUserCommand, UnsubscribeCommand
from wsrelay.core.outcomes.disconnects import AnyDisconnect, ApplicationDisconnect, Disconnect
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection


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


class SessionTests(ControlReceiverCase):
    """Commands for the connection of a session."""

    def setUp(self) -> None:
        """Give the first connection a session."""
        super().setUp()
        self.node.registry.add_session(self.clients[0], "s1")

    def test_connection_of_the_session_is_closed_and_no_other_one_of_its_user(self) -> None:
        self.send(DisconnectUserCommand("42", session="other"))
        self.send(DisconnectUserCommand("43", session="s1"))
        self.send(DisconnectUserCommand("42", spared=("c1",), session="s1"))
        self.assertEqual(self.disconnects, [[], [], []])
        self.send(DisconnectUserCommand("42", session="s1"))
        self.assertEqual(self.disconnects, [[Disconnect.REVOKED], [], []])

    def test_subscription_of_the_session_ends_and_no_other_one_of_its_user(self) -> None:
        (channel,) = self.clients[0].session.channels
        self.send(UnsubscribeCommand("42", channel, session="s1"))
        self.assertEqual(self.disconnects, [[Disconnect.REVOKED], [], []])

    def test_session_that_is_named_is_not_logged(self) -> None:
        with capturedLogs() as logs:
            self.send(DisconnectUserCommand("42", session="s1"))
            self.broker.sink.control_received(b'{"refresh_session": {"session": "s1", "client": 5}}')
        self.assertEqual((len(logs), "s1" in "".join(map(repr, logs))), (2, False))


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


class ConnectingTests(CentrifugoCase):
    """Commands about a user whose client is still connecting."""

    def open_client(self) -> RecordingConnection:
        """Return a client of user 42 about whom the application is still being asked."""
        connection, client = self.open_centrifugo()
        self.authenticator.early_identity = USER
        self.send(client, {"id": 1, "connect": {"token": "a.b.c"}}, {"id": 2, "subscribe": {"channel": "talk"}})
        return connection

    def receive(
        self, *commands: DisconnectUserCommand | UnsubscribeCommand | SubscribeCommand | RefreshCommand
    ) -> None:
        """Have this process receive commands."""
        for command in commands:
            self.broker.sink.control_received(command.to_bytes())

    def test_client_that_is_disconnected_while_its_credential_is_checked_does_not_get_in(self) -> None:
        for command in (DisconnectUserCommand("42"), DisconnectUserCommand("42", CONNECTION_ID)):
            self.setUp()
            connection = self.open_client()
            self.receive(command)
            self.identify(USER)
            self.assertEqual((self.close_codes(connection), self.broker.log), ([3503], []))

    def test_client_that_is_refreshed_as_expired_while_its_credential_is_checked_does_not_get_in(self) -> None:
        connection = self.open_client()
        self.receive(RefreshCommand("42", is_expired=True))
        self.identify(USER)
        (reply,) = self.take(connection)
        self.assert_error(reply, 1, 109)
        self.assertEqual(self.broker.log, [])

    def test_other_commands_are_older_than_what_is_answered_about_the_credential(self) -> None:
        connection = self.open_client()
        self.receive(
            UnsubscribeCommand("42", "talk"),
            SubscribeCommand("42", ServerSubscription("room1")),
            RefreshCommand("42", expires=EPOCH + 60),
        )
        self.identify(USER)
        self.assertEqual(self.broker.log, [("subscribe", ["talk"])])
        (reply,) = self.take(connection)
        self.assertNotIn("expires", reply["connect"])

    def test_client_that_waits_for_its_channels_is_reached_and_learns_the_outcome_by_its_connect(self) -> None:
        connection = self.open_client()
        self.identify(Identity("42", channels=("room1", "room2")))
        news = ServerSubscription("talk2", data=b'{"a":1}', expires=EPOCH + 60)
        self.receive(
            UnsubscribeCommand("42", "room1"), SubscribeCommand("42", news), RefreshCommand("42", expires=EPOCH + 600)
        )
        for channel in ("room1", "talk2", "room2"):
            self.broker.sink.subscribed(channel)
        (reply,) = self.take(connection)
        self.assertEqual(set(reply["connect"]["subs"]), {"room2", "talk2"})
        self.assertEqual((reply["connect"]["ttl"], reply["connect"]["subs"]["talk2"]["data"]), (600, {"a": 1}))


class CommandedClient:
    """A registered client that records what the application wants of it.

    Args:
        connection_id: See `RegisteredClient`.
    """

    registered_as: Identity | None = None

    def __init__(self, connection_id: str) -> None:
        self.connection_id = connection_id
        self.subscriptions: list[tuple[ServerSubscription, str | None]] = []
        self.ends: list[tuple[float | None, bool]] = []
        self.infos: list[bytes] = []

    def disconnect(self, disconnect: AnyDisconnect) -> None:
        """See `RegisteredClient.disconnect`."""

    def end_subscription(self, channel: str) -> None:
        """See `RegisteredClient.end_subscription`."""

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> None:
        """See `RegisteredClient.subscribe_by_server`."""
        self.subscriptions.append((subscription, since))

    def refresh_by_server(self, expires: float | None, *, is_expired: bool = False, info: bytes = b"") -> None:
        """See `RegisteredClient.refresh_by_server`."""
        self.ends.append((expires, is_expired))
        self.infos.append(info)


class ClientCommandTests(SynchronousTestCase):
    """`subscribe` and `refresh`, and the clients that they are for."""

    def setUp(self) -> None:
        """Register user 42 twice, user 43, and an anonymous client."""
        self.broker = FakeBroker()
        node = make_node(self.broker, Namespaces([]), Clock())
        self.clients = [CommandedClient(f"c{number}") for number in range(1, 5)]
        identities = (Identity("42"), Identity("42"), Identity("43"), Identity(credential_id="token:x"))
        for client, identity in zip(self.clients, identities, strict=True):
            node.registry.add(client, identity)
        node.registry.add_session(self.clients[0], "s1")
        node.registry.add_session(self.clients[3], "s4")

    def send(self, command: SubscribeCommand | RefreshCommand) -> None:
        """Have this process receive a command."""
        self.broker.sink.control_received(command.to_bytes())

    def test_subscribe_reaches_the_connections_of_the_user_or_the_one_that_is_named(self) -> None:
        news, room = ServerSubscription("news", b'{"a": 1}', b"1.0"), ServerSubscription("room:1")
        self.send(SubscribeCommand("42", news))
        self.send(SubscribeCommand("42", room, "c2"))
        self.send(SubscribeCommand("42", room, "c3"))
        self.send(SubscribeCommand("", room, "c4"))
        self.send(SubscribeCommand("", room, "c1"))
        self.send(SubscribeCommand("44", room))
        self.assertEqual(
            [each.subscriptions for each in self.clients],
            [[(news, None)], [(news, None), (room, None)], [], [(room, None)]],
        )

    def test_session_user_and_client_have_to_be_those_of_one_connection(self) -> None:
        names = [("42", "", "s1"), ("42", "c1", "s1"), ("42", "c2", "s1"), ("43", "", "s1"), ("", "", "s1")]
        names += [("", "", "s4"), ("", "c1", "s4")]
        rooms = [ServerSubscription(f"room:{number}") for number in range(len(names))]
        for room, (user, client, session) in zip(rooms, names, strict=True):
            self.send(SubscribeCommand(user, room, client, session=session))
        self.assertEqual(
            [[each for each, _since in client.subscriptions] for client in self.clients],
            [rooms[:2], [], [], [rooms[5]]],
        )

    def test_refresh_carries_what_others_are_told(self) -> None:
        self.send(RefreshCommand("42", info=b'{"a": 1.0}', session="s1"))
        self.assertEqual([each.infos for each in self.clients], [[b'{"a": 1.0}'], [], [], []])

    def test_offset_to_recover_from_is_a_position_and_one_that_leads_nowhere_is_an_empty_one(self) -> None:
        news = ServerSubscription("news")
        for since in (
            (4096 + 7, EPOCH_OF_OFFSETS),
            (4096 + 7, ""),
            (4096 + 7, "other"),
            (0, ""),
            (2**64 - 1, EPOCH_OF_OFFSETS),
        ):
            self.send(SubscribeCommand("43", news, since=since))
        position = f"{BASE_MS + 1}-7.*"
        positions = [since for _, since in self.clients[2].subscriptions]
        self.assertEqual(positions, [position, position, "", "", ""])

    def test_refresh_reaches_the_connections_of_the_user_or_the_one_that_is_named(self) -> None:
        self.send(RefreshCommand("42", expires=1234.5))
        self.send(RefreshCommand("42", "c1"))
        self.send(RefreshCommand("43", is_expired=True))
        found = [each.ends for each in self.clients]
        self.assertEqual(found, [[(1234.5, False), (None, False)], [(1234.5, False)], [(None, True)], []])
