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
from tests.transports.websocket import test_protocol as test_websocket
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.transports.websocket.shared_attributes import HANDSHAKE_ATTRIBUTES, shared_attributes

CAFE = "caf\u00e9".encode()
MOST_ATTRIBUTES = 14
"""How many attributes an idle connection may have of its own; beyond 30 its dictionary is no longer compact."""


class Grown:
    """Another version of Autobahn: one that gives each connection one thing more.

    Args:
        case: The test, at whose end Autobahn is as it was.
        make: Makes the thing.
    """

    def __init__(self, case: EdgeCase, make: Callable[[], object]) -> None:
        ordinary: Any = WebSocketProtocol.__init__

        def grown(connection: Any) -> None:
            ordinary(connection)
            connection.novelty = make()

        case.patch(WebSocketProtocol, "__init__", grown)


class LivesCase(EdgeCase):
    """What a connection does in its life, whichever way it was made."""

    def live(self, visitor: WebSocketClient) -> None:
        """A busy life: text, binary, fragments, pings in both directions."""
        visitor.protocol.send_text(CAFE)
        visitor.protocol.send_binary(b"\xff")
        visitor.protocol.send_text(b"frag", fin=False)
        visitor.protocol.send_ping(b"in between")
        visitor.protocol.send_continuation(b"ment", fin=True)
        visitor.flush()


class LeanLives(LivesCase):
    """Lives of connections that share what is the same for all."""

    shares_attributes = True

    def busy_house(self, **settings: Any) -> InMemoryRelay:
        """A relay where clients may publish."""
        house = self.house(publish=("room", "other"), ping_interval_seconds=10, **settings)
        self.assertIs(house.sockets.shares_attributes, self.shares_attributes)
        return house

    def test_whole_life(self) -> None:
        """From the handshake over messages and pings of both sides to the goodbye."""
        house = self.busy_house()
        visitor = WebSocketClient(house).enter()
        self.live(visitor)
        house.turn()
        house.pass_time(10.5)
        visitor.read()
        visitor.flush()
        house.pass_time(10.5)
        visitor.read()
        visitor.flush()
        visitor.protocol.send_close(1000)
        visitor.flush()
        visitor.read()
        self.assertEqual(
            [(frame.opcode, bytes(frame.data)) for frame in visitor.frames if frame.opcode is not FrameOpcode.PING],
            [
                (FrameOpcode.PONG, b"in between"),
                (FrameOpcode.TEXT, CAFE),
                (FrameOpcode.BINARY, b"\xff"),
                (FrameOpcode.TEXT, b"fragment"),
                (FrameOpcode.CLOSE, b"\x03\xe8"),
            ],
        )
        self.assertEqual(sum(frame.opcode is FrameOpcode.PING for frame in visitor.frames), 2)
        self.assertTrue(visitor.wire.closed)
        self.assertEqual(house.sockets.countConnections, 0)

    def test_two_texts_at_once(self) -> None:
        """Two connections in the middle of a character each go on with their own: no validator is shared."""
        house = self.busy_house()
        one, other = WebSocketClient(house).enter(), WebSocketClient(house, "/ws/other").enter()
        one.wire.send(client_frame(0x01, CAFE[:-1]))
        other.wire.send(client_frame(0x01, b"plain"))
        one.wire.send(client_frame(0x00, CAFE[-1:] + b" 1"))
        other.wire.send(client_frame(0x80, b" text"))
        one.wire.send(client_frame(0x80, b"!"))
        house.turn()
        self.assertEqual((one.messages(), other.messages()), ([CAFE + b" 1!"], [b"plain text"]))

    def test_bad_text_beside_a_good_one(self) -> None:
        """A text that is not UTF-8 costs its own sender the connection, and nobody else."""
        house = self.busy_house()
        bad, good = WebSocketClient(house).enter(), WebSocketClient(house, "/ws/other").enter()
        good.wire.send(client_frame(0x01, CAFE[:-1]))
        bad.wire.send(client_frame(0x01, CAFE[:-1]))
        bad.wire.send(client_frame(0x80, b"x"))
        good.wire.send(client_frame(0x80, CAFE[-1:]))
        house.turn()
        bad.read()
        self.assertEqual(good.messages(), [CAFE])
        assert bad.goodbye is not None
        self.assertEqual(bad.goodbye[0], 1007)

    def test_close_codes(self) -> None:
        """Each way to end has its code, on one of several connections, and the others stay."""
        house = self.busy_house(max_message_bytes=100)
        stays = WebSocketClient(house).enter()
        for data, code in (
            (client_frame(0x81, b"\xff"), 1007),
            (client_frame(0x82, b"x" * 101), 1009),
            (client_frame(0xC1, b"reserved"), 1002),
            (client_frame(0x88, b"\x03\xe8"), 1000),
            (b"", 1012),
        ):
            visitor = WebSocketClient(house).enter()
            visitor.wire.send(data)
            if not data:
                visitor.wire.socket.close(Disconnect.RESTART)
            visitor.read()
            assert visitor.goodbye is not None
            self.assertEqual(visitor.goodbye[0], code)
            visitor.flush()
            self.assertTrue(visitor.wire.closed)
        house.publish(b"still here")
        self.assertEqual(stays.messages(), [b"still here"])

    def test_no_pong(self) -> None:
        """A connection that answers no ping is reset, and one that does is kept."""
        house = self.busy_house(ping_timeout_seconds=4)
        silent, alive = WebSocketClient(house).enter(), WebSocketClient(house).enter()
        for _ in range(60):
            house.pass_time(0.25)
            alive.read()
            alive.flush()
        self.assertTrue(silent.wire.transport.aborted)
        self.assertFalse(alive.wire.closed)

    def test_handshake_timeout(self) -> None:
        """A handshake for which no answer comes is ended, and nothing of it is left."""
        house = self.house(FakeBroker(), handshake_timeout_seconds=2)
        wire = ClientWire(house)
        wire.send(upgrade())
        house.pass_time(4.5)
        self.assertFalse(wire.closed)
        house.pass_time(1)
        self.assertIn(b" 503 ", wire.read())
        self.assertEqual(house.sockets.countConnections, 0)

    def test_left_without_a_word(self) -> None:
        """Who leaves without a word, before or after the handshake, leaves nothing."""
        house = self.busy_house()
        ClientWire(house).leave()
        waiting = ClientWire(house)
        waiting.send(upgrade("/ws/room#no"))
        self.assertEqual([answer.status for answer in answers(waiting.read())], [400])
        visitor = WebSocketClient(house).enter()
        self.live(visitor)
        visitor.wire.leave()
        self.assertEqual((house.sockets.countConnections, house.sockets.sockets), (0, {}))


class PlainLives(LeanLives):
    """The same lives under an Autobahn that gives connections something unknown that can change in place."""

    shares_attributes = False

    def setUp(self) -> None:
        """Let Autobahn grow."""
        Grown(self, list)

    def test_own_novelty(self) -> None:
        """Each connection has what Autobahn gave it."""
        house = self.busy_house()
        one, other = WebSocketClient(house).enter().wire.socket, WebSocketClient(house).enter().wire.socket
        self.assertIsNot(one.novelty, other.novelty)


class PlainHandshakeTests(test_websocket.HandshakeTests):
    """The handshake, made the plain way."""

    def setUp(self) -> None:
        """Let Autobahn grow."""
        Grown(self, list)


class PlainConversationTests(test_websocket.ConversationTests):
    """Conversations, made the plain way."""

    def setUp(self) -> None:
        """Let Autobahn grow."""
        Grown(self, list)


class PlainSlowClientTests(test_websocket.SlowClientTests):
    """Slow clients, made the plain way."""

    def setUp(self) -> None:
        """Let Autobahn grow."""
        Grown(self, list)


class SharingTests(LivesCase):
    """What is shared, and what is not."""

    def test_unknown_attribute(self) -> None:
        """Something unknown is shared if it cannot change in place, else nothing is shared at all."""
        for make, shares_attributes in ((lambda: 7, True), (lambda: "text", True), (dict, False), (object, False)):
            Grown(self, make)
            house = self.house()
            self.assertEqual(house.sockets.shares_attributes, shares_attributes)
            if shares_attributes:
                self.assertEqual(vars(house.sockets.protocol)["novelty"], make())

    def test_installed_autobahn(self) -> None:
        """The installed Autobahn holds nothing unknown: connections are lean."""
        house = self.house()
        self.assertTrue(house.sockets.shares_attributes)
        self.assertIsNotNone(shared_attributes(house.sockets.protocol, house.sockets))

    def test_no_stand_in_is_idle(self) -> None:
        """Everything on the list of stand-ins is still given by Autobahn, or could be taken from the list."""
        house = self.house()
        protocol: Any = house.sockets.protocol
        ordinary = object.__new__(protocol)
        ordinary.factory = house.sockets
        WebSocketProtocol.__init__(ordinary)
        WebSocketProtocol._connectionMade(ordinary)
        ordinary.openHandshakeTimeoutCall.cancel()
        given = {*vars(ordinary), "websocket_version", "_transport_details"}
        shared = {name for name in vars(protocol) if not name.startswith("__")}
        self.assertEqual(shared - given, set())

    def test_no_attribute_shows_elsewhere(self) -> None:
        """Through many busy lives no shared attribute changes, not even inside."""
        house = self.house(publish=("room",), ping_interval_seconds=10)
        protocol: Any = house.sockets.protocol

        def shared() -> dict[str, tuple[int, str]]:
            # Counters of all connections together are the one thing that may.
            names = [name for name in vars(protocol) if name != "trafficStats"]
            return {name: (id(vars(protocol)[name]), repr(vars(protocol)[name])) for name in names}

        before = shared()
        idle = WebSocketClient(house).enter()
        own = dict(vars(idle.wire.socket))
        visitors = [WebSocketClient(house).enter() for _ in range(20)]
        for visitor in visitors:
            self.live(visitor)
        house.turn()
        house.pass_time(11)
        for number, visitor in enumerate(visitors):
            visitor.read()
            visitor.flush()
            if number % 3 == 0:
                visitor.wire.send(client_frame(0x81, b"\xff"))
            elif number % 3 == 1:
                visitor.protocol.send_close(1000)
                visitor.flush()
            else:
                visitor.wire.socket.close(Disconnect.RESTART)
        house.turn()
        self.assertEqual(shared(), before)
        self.assertEqual({name for name in vars(idle.wire.socket) if name not in own} - self.of_a_ping(), set())
        self.assertEqual((idle.wire.socket.data, idle.wire.socket.state), (b"", idle.wire.socket.STATE_OPEN))

    @staticmethod
    def of_a_ping() -> set[str]:
        """What a ping that is under way adds to a connection."""
        names = ("Pending", "PendingCall", "PendingSeq", "PendingSent", "TimeoutCall")
        return {f"autoPing{name}" for name in names}

    def test_idle_connection(self) -> None:
        """An idle connection has few attributes of its own and nothing of its handshake, and no validator."""
        house = self.house()
        socket = WebSocketClient(house).enter().wire.socket
        own = vars(socket)
        self.assertLessEqual(len(own), MOST_ATTRIBUTES, sorted(own))
        self.assertEqual(HANDSHAKE_ATTRIBUTES & set(own), set())
        self.assertNotIn("utf8validator", own)
        self.assertIsInstance(socket, WebSocketConnection)
        self.assertFalse(hasattr(socket, "__slots__") and socket.__slots__)

    def test_handshake_is_forgotten(self) -> None:
        """Nothing of the request is held by an open connection."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade("/ws/hunter2"))
        self.assertIn("hunter2", repr(vars(wire.socket)))
        house.node.subscribed("hunter2")
        self.assertNotIn("hunter2", repr(vars(wire.socket)))

    def test_validator(self) -> None:
        """A connection gets its validator with its first text, and keeps it."""
        house = self.house(publish=("room",))
        visitor = WebSocketClient(house).enter()
        for _ in range(2):
            visitor.wire.send(client_frame(0x81, b"text"))
        first = vars(visitor.wire.socket)["utf8validator"]
        visitor.wire.send(client_frame(0x81, CAFE))
        self.assertIs(vars(visitor.wire.socket)["utf8validator"], first)
