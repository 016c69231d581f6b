"""Tests of wsrelay.transports.websocket.opening: it differs from Autobahn's way in its price alone."""

from __future__ import annotations

import re
from random import Random
from typing import Any
from unittest.mock import patch

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.error import ConnectionLost

from devtools.harness.http import KEY, client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.frames import read_frames
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.transports.websocket.test_shared_attributes import Grown
from wsrelay.core.wire.frames import Opcode
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client import Client
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.listening.connection_ids import ConnectionIDs
from wsrelay.transports.websocket import closing
from wsrelay.transports.websocket.shared_attributes import HANDSHAKE_ATTRIBUTES, OWN

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

HEADS = {
    "plain": upgrade(),
    "of a browser": upgrade("/ws/room?x=1", "Origin: http://relay.example", "Pragma: no-cache", DEFLATE),
    "with keep-alive": upgrade().replace(b": Upgrade", b": keep-alive, Upgrade"),
    "with a subprotocol": upgrade("/ws/room", "Sec-WebSocket-Protocol: x, wsrelay, centrifuge-json"),
    "with another window": upgrade("/ws/room", f"{DEFLATE}; server_max_window_bits=15; server_no_context_takeover"),
    "with an unknown extension": upgrade("/ws/room", "Sec-WebSocket-Extensions: foo, permessage-deflate; a"),
    "of Centrifugo": upgrade("/connection/websocket", "Sec-WebSocket-Protocol: centrifuge-protobuf"),
}

# What stands for an object of which each connection has one of its own.
_OBJECTS = (
    "factory",
    "dialect",
    "writer",
    "transport",
    "_client",
    "ping_group",
    "_handshake",
    "_opening",
    "_closing",
)


def state(connection: Any, names: set[str]) -> dict[str, object]:
    """Return what attributes are; of those that are objects, what they are made of."""
    found: dict[str, object] = {}
    for name in names:
        value = getattr(connection, name)
        if name in _OBJECTS:
            value = type(value).__name__
        elif name == "_perMessageCompress" and value is not None:
            value = type(value).__name__, vars(value)
        found[name] = value
    return found


class OpeningCase(EdgeCase):
    """Relays that open usual handshakes in our way, and in Autobahn's."""

    def setUp(self) -> None:
        """Give every connection the same id."""
        self.patch(ConnectionIDs, "next", lambda _ids: "0" * 16)

    def pair(self, *, with_broker: bool = False, **settings: Any) -> tuple[InMemoryRelay, InMemoryRelay]:
        """Build one relay of each kind."""
        ours, theirs = (
            self.relay(FakeBroker() if with_broker else None, centrifugo=True, **settings) for _ in range(2)
        )
        self.assertTrue(ours.websockets.opens_usual_handshakes)
        theirs.websockets.opens_usual_handshakes = False
        return ours, theirs

    def open(self, relay: InMemoryRelay, *data: bytes) -> ClientWire:
        """Connect a client that sends these bytes."""
        wire = ClientWire(relay)
        for each in data:
            wire.send(each)
        return wire


class StateTests(OpeningCase):
    """The state of a connection that is open."""

    def test_responses_and_every_attribute_are_those_of_autobahns_way(self) -> None:
        for compress in (False, True):
            for name, data in HEADS.items():
                for is_waiting in (False, True):
                    ours, theirs = self.pair(with_broker=is_waiting, compress=compress)
                    one, other = self.open(ours, data), self.open(theirs, data)
                    if is_waiting:
                        for relay in (ours, theirs):
                            relay.node.subscribed("room")
                    self.assertEqual(self.response(one), self.response(other), name)
                    names = {*OWN, *vars(one.connection), *vars(other.connection)}
                    self.assertEqual(set(vars(one.connection)), set(vars(other.connection)), name)
                    self.assertEqual(state(one.connection, names), state(other.connection, names), name)
                    self.assertEqual(one.connection.state, one.connection.STATE_OPEN)

    def test_every_attribute_is_that_of_a_connection_that_shares_none(self) -> None:
        """A version of Autobahn that sets one more in a handshake is found out."""
        # Times, and what stands in for objects that nothing uses.
        unlike = {"is_open", "is_closed", "trafficStats", "send_queue", "_results", "_transport_details", "peer"}
        # Set as long as a message is under way.
        unlike |= {"utf8validator", "utf8validateLast", "utf8validateIncomingCurrentMessage"}
        for compress in (False, True):
            for name, data in HEADS.items():
                one = self.open(self.relay(centrifugo=True, compress=compress), data)
                with_own = Grown(self, list)
                other = self.open(self.relay(centrifugo=True, compress=compress), data)
                with_own.undo()
                self.assertEqual(self.response(one), self.response(other), name)
                self.assertFalse(other.connection.factory.shares_attributes)
                names = set(vars(other.connection)) - HANDSHAKE_ATTRIBUTES - unlike - {"novelty"}
                self.assertGreater(len(names), 30)
                self.assertEqual(state(one.connection, names), state(other.connection, names), name)

    def test_usual_handshake_is_not_read_by_autobahn(self) -> None:
        def fail(_connection: object) -> None:
            self.fail("Autobahn was asked")

        self.patch(WebSocketServerProtocol, "processHandshake", fail)
        for name, data in HEADS.items():
            self.assertIn(b" 101 ", self.open(self.relay(centrifugo=True, compress=True), data).read(), name)

    def response(self, wire: ClientWire) -> bytes:
        """Return what the client has received."""
        data = wire.read()
        self.assertIn(b" 101 ", data)
        return data


class OrderTests(OpeningCase):
    """Events before, in and behind the answer."""

    def test_message_sent_ahead_of_the_answer_is_received_behind_it(self) -> None:
        for relay in self.pair(with_broker=True, publish=("room",)):
            wire = self.open(relay, upgrade() + client_frame(0x81, b"one"), client_frame(0x81, b"two"))
            self.assertEqual(relay.broker.published, [])
            relay.node.subscribed("room")
            self.assertEqual([each.data for each in relay.broker.published], [b"one", b"two"])
            self.assertIn(b" 101 ", wire.read())

    def test_too_much_ahead_of_the_answer_ends_the_connection(self) -> None:
        for relay in self.pair(with_broker=True, max_head_bytes=1024):
            wire = self.open(relay, upgrade(), b"x" * 1024)
            self.assertFalse(wire.closed)
            wire.send(b"x")
            self.assertTrue(wire.transport.aborted)

    def test_answer_that_does_not_come_is_a_503_and_no_timer_is_left(self) -> None:
        for relay in self.pair(with_broker=True):
            wire = self.open(relay, upgrade())
            self.assertEqual(len(relay.handshaking_websockets), 1)
            relay.pass_time(6)
            self.assertIn(b" 503 ", wire.read())

    def test_client_that_has_ended_its_direction_is_answered_and_closed(self) -> None:
        for relay in self.pair(with_broker=True):
            wire = self.open(relay, upgrade())
            wire.half_close()
            relay.node.subscribed("room")
            self.assertIn(b" 101 ", wire.read())
            self.assertNotEqual(wire.connection.state, wire.connection.STATE_OPEN)

    def test_handshake_that_waits_while_a_drain_begins_is_rejected(self) -> None:
        for relay in self.pair(with_broker=True):
            wire = self.open(relay, upgrade())
            relay.connections.start_draining()
            relay.node.subscribed("room")
            self.assertIn(b" 503 ", wire.read())

    def test_exception_of_the_client_is_a_500(self) -> None:
        for relay in self.pair():

            def fail(_handshake: object) -> None:
                raise ZeroDivisionError

            self.patch(type(relay.node.authenticator), "find", lambda _self, handshake: fail(handshake))
            self.assertIn(b" 500 ", self.open(relay, upgrade()).read())
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_exception_behind_the_101_closes_the_connection_as_an_internal_error_and_leaves_nothing(self) -> None:
        """As of a client that the handshake accepts, and which is then to be served."""
        for relay in self.pair():
            open_client = Client.open

            def fail(client: Client, handshake: Handshake, open_client: Any = open_client) -> None:
                open_client(client, handshake)
                raise ZeroDivisionError

            with patch.object(Client, "open", fail):
                wire = self.open(relay, upgrade("/connection/websocket"))
            answer, _, rest = wire.read().partition(b"\r\n\r\n")
            self.assertIn(b" 101 ", answer)
            (close,) = read_frames(rest)
            self.assertEqual((close.opcode, bytes(close.data[:2])), (Opcode.CLOSE, (3004).to_bytes(2)))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            wire.send(client_frame(0x88, (3004).to_bytes(2)))
            self.assertTrue(wire.closed)
            self.assertEqual((relay.leftovers(), relay.websockets.admission.count), ([], 0))
            self.assertEqual((len(relay.node.registry), relay.websockets.countConnections), (0, 0))


class EndTests(OpeningCase):
    """The end of a connection."""

    def test_lost_connection_has_every_attribute_as_autobahn_leaves_it(self) -> None:
        # The text of a line that is not logged, and what is random or a time.
        unlike = {"wasNotCleanReason", "autoPingPending", "autoPingPendingSent"}
        ordinary = closing._ORDINARY_ENDS

        def lose(wire: ClientWire, step: str) -> Any:
            connection = wire.connection
            if step == "a ping is not answered":
                relays[-1].pass_time(10.5)
            if step == "closed by the client":
                wire.send(client_frame(0x88, b"\x03\xe8"))
            elif step == "reset":
                wire.transport._end(ConnectionLost())
            # One that waits for its answer has not read the client's frame.
            wire.hang_up()
            return connection

        for step in ("hung up", "reset", "closed by the client", "a ping is not answered"):
            for is_open in (True, False):
                relays: list[InMemoryRelay] = []
                found: list[Any] = []
                for ends in (ordinary, ()):
                    self.patch(closing, "_ORDINARY_ENDS", ends)
                    relays.append(self.relay(None if is_open else FakeBroker(), ping_interval_seconds=10))
                    found.append(lose(self.open(relays[-1], upgrade()), step))
                    self.assertEqual(relays[-1].websockets.countConnections, 0)
                ours, theirs = found
                names = {*OWN, *vars(ours), *vars(theirs)} - unlike
                self.assertEqual(ours.state, ours.STATE_CLOSED)
                self.assertEqual(state(ours, names), state(theirs, names), (step, is_open))


class DifferentialTests(OpeningCase):
    """Odd heads have the same outcome in both ways."""

    def outcome(self, relay: InMemoryRelay, data: bytes) -> tuple[bytes, bool]:
        """Return what a client receives that sends this head, and whether its connection is open."""
        before = len(relay.connections)
        wire = self.open(relay, data)
        is_open = len(relay.connections) > before
        wire.hang_up()
        return re.sub(rb"\r\nDate: [^\r]*", b"", wire.read()), is_open

    def test_thousands_of_altered_heads(self) -> None:
        ours, theirs = self.pair(compress=True)
        opened = 0
        rng = Random(1)
        for _ in range(3000):
            data = _altered(rng)
            found = self.outcome(ours, data)
            self.assertEqual(found, self.outcome(theirs, data), data)
            opened += found[1]
        # Of both kinds there are many.
        self.assertGreater(opened, 500)
        self.assertLess(opened, 2500)

    def test_each_line_left_out_doubled_or_with_an_odd_value(self) -> None:
        ours, theirs = self.pair(compress=True)
        request_line, *lines = upgrade("/ws/room", DEFLATE, "Sec-WebSocket-Protocol: wsrelay")[:-4].split(b"\r\n")
        for number, line in enumerate(lines):
            name = line.partition(b":")[0]
            for changed in (
                [],
                [line, line],
                [line, name.upper() + b": x"],
                [name + b": x", line],
                *([name + b":" + value] for value in _VALUES),
                *([line + value] for value in _VALUES),
                *([name + b":" + value + line.partition(b":")[2]] for value in _VALUES),
            ):
                data = b"\r\n".join([request_line, *lines[:number], *changed, *lines[number + 1 :], b"", b""])
                self.assertEqual(self.outcome(ours, data), self.outcome(theirs, data), data)

    def test_odd_request_lines(self) -> None:
        ours, theirs = self.pair()
        rest = upgrade().partition(b"\r\n")[1] + upgrade().partition(b"\r\n")[2]
        for method in (b"GET", b"get", b"POST", b"HEAD"):
            for target in (
                b"/ws/room",
                b"//ws/room",
                b"/ws/ro\tom",
                b"/ws/a;b",
                b"http://x:1/ws/a",
                b"http://x:y/ws/a",
            ):
                for version in (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.10", b"HTTP/2", b"http/1.1", b"", b"\tHTTP/1.1"):
                    data = b" ".join((method, target, version)) + rest
                    self.assertEqual(self.outcome(ours, data), self.outcome(theirs, data), data)


_VALUES = (
    b"",
    b" ",
    b"\t",
    b",",
    b" 13",
    b"13 ",
    b"+13",
    b"1_3",
    b"013",
    b"8",
    b" websocket",
    b"Upgrade, WebSocket",
    b"upgrade",
    b"close",
    b"relay.example:",
    b":",
    b":80",
    b":8_0",
    b":99999999",
    b"[::1]",
    b"[::1]:80",
    b"::1",
    b"a b",
    b"\xa0",
    b"\xe9",
    b"\x85",
    KEY.encode()[:-1],
    KEY.encode() + b"=",
    KEY.replace("==", "A=").encode(),
    KEY.replace("d", "-").encode(),
    b"permessage-deflate; server_max_window_bits=8",
    b'permessage-deflate; server_max_window_bits="15"',
    b"permessage-deflate, permessage-deflate",
)

_PIECES = (*_VALUES, b"\r\n", b": ", b"HTTP/1.1", b"GET", b"/", b"?", b"#", b";", b"=", b'"', b"\x00", b"-", b"_")


def _altered(rng: Random) -> bytes:
    """Return a head that was valid, with a few things changed."""
    data = rng.choice(list(HEADS.values()))
    lines = data[:-4].split(b"\r\n")
    for _ in range(rng.randrange(3)):
        number = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                lines.insert(rng.randrange(1, len(lines) + 1), lines[number])
            case 1 if number:
                del lines[number]
            case 2:
                lines[number] = lines[number].swapcase()
            case 3:
                name, colon, _ = lines[number].partition(b":")
                lines[number] = name + colon + rng.choice(_VALUES)
            case 4:
                place = rng.randrange(len(lines[number]) + 1)
                lines[number] = lines[number][:place] + rng.choice(_PIECES) + lines[number][place + rng.randrange(3) :]
            case _:
                lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(lines[1:]).replace(b" ", rng.choice(_PIECES)))
    return b"\r\n".join([*lines, b"", b""])
