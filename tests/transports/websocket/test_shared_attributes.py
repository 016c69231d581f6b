"""Tests of wsrelay.transports.websocket.shared_attributes: what connections share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol
from websockets.frames import Opcode as FrameOpcode

from devtools.harness.http import answers, client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from tests.transports.websocket import test_closing, test_frame_parsing, test_handshaking, test_protocol
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.websocket import frame_parsing
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.transports.websocket.shared_attributes import HANDSHAKE_ATTRIBUTES, OWN, shared_attributes

CAFE = "caf\u00e9".encode()


class Grown:
    """A version of Autobahn that gives each connection one more attribute, until the test is over.

    Args:
        case: The test.
        make: Makes the attribute's value.

    Attributes:
        undo: Ends it before the test is over.
    """

    def __init__(self, case: EdgeCase, make: Callable[[], object]) -> None:
        ordinary: Any = WebSocketProtocol.__init__

        def grown(connection: Any) -> None:
            ordinary(connection)
            connection.novelty = make()

        self.undo = case.patch(WebSocketProtocol, "__init__", grown).restore


class LifeCase(EdgeCase):
    """A busy connection, with shared attributes or its own."""

    def live(self, client: WebSocketClient) -> None:
        """Send text, binary, fragments, and a ping between two fragments."""
        client.protocol.send_text(CAFE)
        client.protocol.send_binary(b"\xff")
        client.protocol.send_text(b"frag", fin=False)
        client.protocol.send_ping(b"in between")
        client.protocol.send_continuation(b"ment", fin=True)
        client.flush()


class SharedAttributesTests(LifeCase):
    """Connections that share what is the same for all."""

    shares_attributes = True

    def publishing_relay(self, **settings: Any) -> InMemoryRelay:
        """Build a relay where clients may publish."""
        relay = self.relay(publish=("room", "other"), ping_interval_seconds=10, **settings)
        self.assertIs(relay.websockets.shares_attributes, self.shares_attributes)
        return relay

    def test_messages_and_pings_work_from_handshake_to_close(self) -> None:
        relay = self.publishing_relay()
        client = WebSocketClient(relay).connect()
        self.live(client)
        relay.turn()
        relay.pass_time(10.5)
        client.read()
        client.flush()
        relay.pass_time(10.5)
        client.read()
        client.flush()
        client.protocol.send_close(1000)
        client.flush()
        client.read()
        self.assertEqual(
            [(frame.opcode, bytes(frame.data)) for frame in client.frames if frame.opcode is not FrameOpcode.PING],
            [
                (FrameOpcode.PONG, b"in between"),
                (FrameOpcode.TEXT, CAFE),
                (FrameOpcode.BINARY, b"\xff"),
                (FrameOpcode.TEXT, b"fragment"),
                (FrameOpcode.CLOSE, b"\x03\xe8"),
            ],
        )
        self.assertEqual(sum(frame.opcode is FrameOpcode.PING for frame in client.frames), 2)
        self.assertTrue(client.wire.closed)
        self.assertEqual(relay.websockets.countConnections, 0)

    def test_connections_share_no_utf8_validator(self) -> None:
        relay = self.publishing_relay()
        one, other = WebSocketClient(relay).connect(), WebSocketClient(relay, "/ws/other").connect()
        one.wire.send(client_frame(0x01, CAFE[:-1]))
        other.wire.send(client_frame(0x01, b"plain"))
        one.wire.send(client_frame(0x00, CAFE[-1:] + b" 1"))
        other.wire.send(client_frame(0x80, b" text"))
        one.wire.send(client_frame(0x80, b"!"))
        relay.turn()
        self.assertEqual((one.messages(), other.messages()), ([CAFE + b" 1!"], [b"plain text"]))

    def test_invalid_utf8_closes_only_its_own_connection(self) -> None:
        relay = self.publishing_relay()
        bad, good = WebSocketClient(relay).connect(), WebSocketClient(relay, "/ws/other").connect()
        good.wire.send(client_frame(0x01, CAFE[:-1]))
        bad.wire.send(client_frame(0x01, CAFE[:-1]))
        bad.wire.send(client_frame(0x80, b"x"))
        good.wire.send(client_frame(0x80, CAFE[-1:]))
        relay.turn()
        bad.read()
        self.assertEqual(good.messages(), [CAFE])
        assert bad.close_received is not None
        self.assertEqual(bad.close_received[0], 1007)

    def test_each_end_has_its_close_code_and_other_connections_stay(self) -> None:
        relay = self.publishing_relay(max_message_bytes=100)
        stays = WebSocketClient(relay).connect()
        for data, code in (
            (client_frame(0x81, b"\xff"), 1007),
            (client_frame(0x82, b"x" * 101), 1009),
            (client_frame(0xC1, b"reserved"), 1002),
            (client_frame(0x88, b"\x03\xe8"), 1000),
            (b"", 1012),
        ):
            client = WebSocketClient(relay).connect()
            client.wire.send(data)
            if not data:
                client.wire.connection.close(Disconnect.RESTART)
            client.read()
            assert client.close_received is not None
            self.assertEqual(client.close_received[0], code)
            client.flush()
            relay.pass_time(2)
            self.assertTrue(client.wire.closed)
        relay.publish(b"still here")
        self.assertEqual(stays.messages(), [b"still here"])

    def test_connection_without_pong_is_reset_and_others_are_kept(self) -> None:
        relay = self.publishing_relay(ping_timeout_seconds=4)
        silent, alive = WebSocketClient(relay).connect(), WebSocketClient(relay).connect()
        for _ in range(60):
            relay.pass_time(0.25)
            alive.read()
            alive.flush()
        self.assertTrue(silent.wire.transport.aborted)
        self.assertFalse(alive.wire.closed)

    def test_unanswered_handshake_is_rejected_with_503_and_leaves_nothing(self) -> None:
        relay = self.relay(FakeBroker(), handshake_timeout_seconds=2)
        wire = ClientWire(relay)
        wire.send(upgrade())
        relay.pass_time(4.5)
        self.assertFalse(wire.closed)
        relay.pass_time(1)
        self.assertIn(b" 503 ", wire.read())
        self.assertEqual(relay.websockets.countConnections, 0)

    def test_hanging_up_before_or_after_the_handshake_leaves_nothing(self) -> None:
        relay = self.publishing_relay()
        ClientWire(relay).hang_up()
        waiting = ClientWire(relay)
        waiting.send(upgrade("/ws/room#no"))
        self.assertEqual([answer.status for answer in answers(waiting.read())], [400])
        client = WebSocketClient(relay).connect()
        self.live(client)
        client.wire.hang_up()
        self.assertEqual((relay.websockets.countConnections, len(relay.connections)), (0, 0))


class OwnAttributesTests(SharedAttributesTests):
    """The same with an Autobahn whose connections have an unknown attribute that can change in place."""

    shares_attributes = False

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)

    def test_each_connection_has_an_unknown_attribute_of_its_own(self) -> None:
        relay = self.publishing_relay()
        one, other = WebSocketClient(relay).connect().wire.connection, WebSocketClient(relay).connect().wire.connection
        self.assertIsNot(one.novelty, other.novelty)


class PlainHandshakeTests(test_handshaking.HandshakeTests):
    """The handshake, with attributes of its own."""

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)


class PlainConversationTests(test_protocol.ConversationTests):
    """Conversations, with attributes of their own."""

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)


class PlainFrameTests(test_frame_parsing.FrameTests):
    """Frames of a client, with attributes of their own."""

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)


class PlainRejectionTests(test_closing.RejectionTests):
    """Rejections, with attributes of their own."""

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)


class PlainCloseTests(test_closing.CloseTests):
    """Ends of open connections, with attributes of their own."""

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)


class PlainSlowClientTests(test_protocol.SlowClientTests):
    """Slow clients, with attributes of their own."""

    def setUp(self) -> None:
        """Patch Autobahn."""
        Grown(self, list)


class SharingTests(LifeCase):
    """Which attributes are shared."""

    def test_unknown_immutable_attribute_is_shared_and_a_mutable_one_disables_sharing(self) -> None:
        for make, shares_attributes in ((lambda: 7, True), (lambda: "text", True), (dict, False), (object, False)):
            Grown(self, make)
            relay = self.relay()
            self.assertEqual(relay.websockets.shares_attributes, shares_attributes)
            if shares_attributes:
                self.assertEqual(vars(relay.websockets.protocol)["novelty"], make())

    def test_installed_autobahn_allows_sharing(self) -> None:
        relay = self.relay()
        self.assertTrue(relay.websockets.shares_attributes)
        self.assertIsNotNone(shared_attributes(relay.websockets.protocol, relay.websockets))

    def test_every_shared_attribute_is_one_that_autobahn_sets(self) -> None:
        relay = self.relay()
        protocol: Any = relay.websockets.protocol
        ordinary = object.__new__(protocol)
        ordinary.factory = relay.websockets
        WebSocketProtocol.__init__(ordinary)
        WebSocketProtocol._connectionMade(ordinary)
        ordinary.openHandshakeTimeoutCall.cancel()
        given = {*vars(ordinary), "websocket_version", "_transport_details"}
        shared = {name for name in vars(protocol) if not name.startswith("__")} - set(OWN)
        self.assertEqual(shared - given, set())

    def test_every_slot_begins_as_autobahn_has_it(self) -> None:
        relay = self.relay()
        ordinary: Any = object.__new__(relay.websockets.protocol.__mro__[1])
        ordinary.factory = relay.websockets
        WebSocketProtocol.__init__(ordinary)
        WebSocketProtocol._connectionMade(ordinary)
        ordinary.openHandshakeTimeoutCall.cancel()
        # Those that the constructor sets, and the validator, which comes with a message.
        unlike = {"factory", "dialect", "writer", "utf8validator"}
        begins = {name: getattr(ordinary, name, OWN[name]) for name in OWN if name not in unlike}
        self.assertEqual(begins, {name: OWN[name] for name in begins})

    def test_no_shared_attribute_changes_during_busy_connections(self) -> None:
        relay = self.relay(publish=("room",), ping_interval_seconds=10)
        protocol: Any = relay.websockets.protocol

        def shared() -> dict[str, tuple[int, str]]:
            # Counters of all connections together are the one thing that may.
            names = [name for name in vars(protocol) if name != "trafficStats"]
            return {name: (id(vars(protocol)[name]), repr(vars(protocol)[name])) for name in names}

        before = shared()
        idle = WebSocketClient(relay).connect()
        own = self.own(idle.wire.connection)
        clients = [WebSocketClient(relay).connect() for _ in range(20)]
        for client in clients:
            self.live(client)
        relay.turn()
        relay.pass_time(11)
        for number, client in enumerate(clients):
            client.read()
            client.flush()
            if number % 3 == 0:
                client.wire.send(client_frame(0x81, b"\xff"))
            elif number % 3 == 1:
                client.protocol.send_close(1000)
                client.flush()
            else:
                client.wire.connection.close(Disconnect.RESTART)
        relay.turn()
        self.assertEqual(shared(), before)
        self.assertEqual(
            {name for name in vars(idle.wire.connection) if name not in own} - self.ping_attributes(), set()
        )
        self.assertEqual(
            (idle.wire.connection.data, idle.wire.connection.state), (b"", idle.wire.connection.STATE_OPEN)
        )

    @staticmethod
    def own(connection: Any) -> dict[str, object]:
        """Return the attributes of a connection that are its own, in slots or not."""
        return {**vars(connection), **{name: getattr(connection, name) for name in OWN}}

    @staticmethod
    def ping_attributes() -> set[str]:
        """Return the attributes that a ping under way adds to a connection."""
        names = ("Pending", "PendingCall", "PendingSeq", "PendingSent", "TimeoutCall")
        return {f"autoPing{name}" for name in names}

    def test_idle_connection_has_few_attributes_and_nothing_of_its_handshake(self) -> None:
        relay = self.relay()
        connection = WebSocketClient(relay).connect().wire.connection
        self.assertEqual(vars(connection), {})
        self.assertEqual(HANDSHAKE_ATTRIBUTES & set(OWN), set())
        self.assertIsInstance(connection, WebSocketConnection)

    def test_open_connection_holds_nothing_of_its_request(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade("/ws/hunter2"))
        self.assertIn("hunter2", repr(self.own(wire.connection)))
        relay.node.subscribed("hunter2")
        self.assertNotIn("hunter2", repr(self.own(wire.connection)))

    def test_connection_holds_nothing_of_a_message_behind_it(self) -> None:
        relay = self.relay(publish=("room",))
        client = WebSocketClient(relay).connect()
        before = self.own(client.wire.connection)
        self.live(client)
        client.wire.send(client_frame(0x8A, b"pong"))
        self.assertEqual(self.own(client.wire.connection), before)

    def test_connection_has_no_dictionary_behind_a_ping_and_its_pong(self) -> None:
        relay = self.relay(ping_interval_seconds=10)
        client = WebSocketClient(relay).connect()
        relay.pass_time(10.5)
        client.read()
        client.flush()
        self.assertEqual(vars(client.wire.connection), {})

    def test_validators_are_used_again_and_not_more_of_them_kept_than_may_be(self) -> None:
        relay = self.relay(publish=("room",))
        client = WebSocketClient(relay).connect()
        client.wire.send(client_frame(0x01, CAFE[:-1]))
        first = client.wire.connection.utf8validator
        client.wire.send(client_frame(0x80, CAFE[-1:]))
        self.assertEqual(relay.websockets.idle_validators, [first])
        client.wire.send(client_frame(0x01, CAFE))
        self.assertIs(client.wire.connection.utf8validator, first)
        self.patch(frame_parsing, "MAX_IDLE_VALIDATORS", 0)
        client.wire.send(client_frame(0x80, CAFE))
        self.assertEqual(relay.websockets.idle_validators, [])
