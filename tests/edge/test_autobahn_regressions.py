"""What was measured to be missing or wrong in Autobahn 26.10, one test for each: mended here, or switched off.

Each test fails if our mending is taken out, or if a new Autobahn no longer passes where the mending is.
"""

from __future__ import annotations

from random import Random
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State

from devtools.harness.http import Answer, answers, client_frame, head, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import message_frame
from wsrelay.engine.timers import TimerWheel
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.websocket.protocol import WebSocketConnection, WebSocketConnectionFactory

_SMUGGLED = b"X-Forwarded-For: 6.6.6.6"


class HandshakeTraps(EdgeCase):
    """Before the connection is open."""

    def test_nagle_is_off(self) -> None:
        """`tcpNoDelay` has no effect on Twisted, as it is read before it exists: we tell the transport ourselves."""
        visitor = WebSocketClient(self.house()).enter()
        self.assertTrue(visitor.wire.transport.no_delay)

    def test_second_request_while_waiting(self) -> None:
        """A second head while the first waits for its answer would run `onConnect` again: it never gets that far."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade("/ws/room"))
        wire.send(upgrade("/ws/other"))
        self.assertEqual(house.broker.wanted, {"room"})
        house.node.subscribed("room")
        (answer, *_) = wire.read().split(b"\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))

    def test_second_request_in_one_piece(self) -> None:
        """The same where both heads come at once: the second one is taken for frames, and is none."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade("/ws/room") + upgrade("/ws/other"))
        house.node.subscribed("room")
        output = wire.read()
        self.assertEqual(output.count(b"HTTP/1.1 101 "), 1)
        self.assertEqual(house.broker.wanted, {"room"})
        self.assertIn(b"\x03\xea", output)

    def test_left_while_waiting(self) -> None:
        """`onOpen` would run for a client that has left while it waited, and register it for ever."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade())
        wire.leave()
        socket = wire.socket
        socket.accept()
        self.assertEqual(house.sockets.sockets, {})
        self.assertEqual(socket.state, socket.STATE_CLOSED)
        self.assertEqual(wire.read(), b"")

    def test_timed_out_while_waiting(self) -> None:
        """The same for a client whose handshake timed out while it waited."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade())
        # By hand, for the answer has a deadline of its own that comes before.
        wire.socket.onOpenHandshakeTimeout()
        self.assertTrue(wire.transport.aborted)
        house.node.subscribed("room")
        self.assertEqual(house.sockets.sockets, {})
        self.assertEqual(house.node._hub.listeners("room"), 0)

    def test_bytes_while_waiting(self) -> None:
        """What comes before the handshake is answered would be kept without limit: `max_head_bytes` is the limit."""
        house = self.house(FakeBroker(), max_head_bytes=1024)
        wire = ClientWire(house)
        wire.send(upgrade())
        wire.send(b"x" * 1024)
        self.assertFalse(wire.closed)
        self.assertEqual(len(wire.socket.data), 1024)
        wire.send(b"x")
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(house.node._interests["room"].count, 0)

    def test_smuggled_fields(self) -> None:
        """Each byte that Autobahn takes for the end of a line is refused at the door."""
        for byte in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\r", b"\n"):
            wire = ClientWire(self.house())
            wire.send(upgrade("/ws/room", b"User-Agent: M" + byte + _SMUGGLED))
            self.assertEqual([answer.status for answer in answers(wire.read())], [400], byte)

    def test_smuggled_by_0x85(self) -> None:
        """0x85 ends a line for Autobahn and is legal in a field: refused in the handshake's, never shown elsewhere."""
        for name, status in (("Sec-WebSocket-Protocol", 400), ("User-Agent", 101)):
            house = self.house(FakeBroker())
            wire = ClientWire(house)
            wire.send(upgrade("/ws/room", name.encode() + b": M\x85" + _SMUGGLED))
            if status == 101:
                # Before it is open: then the handshake is forgotten.
                handshake: Any = wire.socket._handshake
                self.assertEqual(handshake.peer, "192.168.1.1")
                self.assertNotIn("x-forwarded-for", wire.socket.http_headers)
                house.node.subscribed("room")
            self.assertEqual([answer.status for answer in answers(wire.read())], [status])

    def test_status_page(self) -> None:
        """Autobahn's status page, its version and its open redirect are off, and out of reach."""
        self.assertIs(self.house().sockets.webStatus, False)
        for path in ("/?redirect=https://evil.example", "/ws/room?redirect=https://evil.example&after=1"):
            for fields in ((), ("Upgrade: websocket",), ("Connection: Upgrade",)):
                wire = ClientWire(self.house())
                wire.send(head(f"GET {path} HTTP/1.1", "Host: x", *fields))
                output = wire.read()
                self.assertIn(output[:13], (b"HTTP/1.1 200 ", b"HTTP/1.1 404 ", b"HTTP/1.1 426 ", b"HTTP/1.1 400 "))
                for word in (b"evil", b"Location", b"http-equiv", b"utobahn"):
                    self.assertNotIn(word, output)

    def failed(self, data: bytes) -> Answer:
        """The answer to a handshake that Autobahn itself does not like."""
        house = self.house()
        wire = ClientWire(house)
        wire.send(data)
        (answer,) = answers(wire.read())
        self.assertTrue(wire.closed)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.headers["content-length"], str(len(answer.body)))
        self.assertNotIn("server", answer.headers)
        return answer

    def test_failed_handshakes(self) -> None:
        """A failed handshake is answered completely, and without what the client sent in it."""
        for data, status in (
            (upgrade(key="mirror"), 400),
            (upgrade(key="mirror" * 4), 400),
            (upgrade().replace(b"Connection: Upgrade", b"Connection: mirror"), 400),
            (upgrade().replace(b"Upgrade: websocket", b"Upgrade: websocket-mirror"), 400),
            (upgrade().replace(b"Host: relay.example", b"Host: relay.example:mirror"), 400),
            (upgrade().replace(b"Host: relay.example", b"Mirror: mirror"), 400),
            (upgrade("/ws/room#mirror"), 400),
            (upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
            (upgrade().replace(b"HTTP/1.1", b"mirror"), 505),
        ):
            answer = self.failed(data)
            self.assertEqual(answer.status, status, data)
            self.assertNotIn(b"mirror", answer.body)

    def test_other_versions(self) -> None:
        """A version we do not speak gets 426 and the version that we do, as RFC 6455 section 4.4 says."""
        for version in ("8", "12", "0", "mirror", "13, 8"):
            answer = self.failed(upgrade(version=version))
            self.assertEqual((answer.status, answer.headers["sec-websocket-version"]), (426, "13"))
            self.assertNotIn(b"mirror", answer.body)

    def test_no_version(self) -> None:
        """A handshake without a version is just malformed."""
        self.assertEqual(self.failed(upgrade().replace(b"Sec-WebSocket-Version: 13\r\n", b"")).status, 400)

    def test_subprotocols(self) -> None:
        """Subprotocols that are offered are not answered, and a client that can do without is let in."""
        visitor = WebSocketClient(self.house(), subprotocols=["chat", "superchat"]).enter()
        self.assertIsNone(visitor.protocol.subprotocol)

    def test_compression(self) -> None:
        """Compression that is offered is not negotiated: it would cost 100 KB for each client."""
        visitor = WebSocketClient(self.house(), extensions=[ClientPerMessageDeflateFactory()]).enter()
        self.assertEqual(visitor.protocol.extensions, [])
        visitor.wire.send(client_frame(0xC1, b"compressed"))
        visitor.read()
        self.assertEqual(visitor.goodbye, (1002, "RSV = 4 and no extension negotiated"))

    def test_extensions_in_two_lines(self) -> None:
        """Extensions may be offered in two lines (RFC 6455 section 9.1), and nonsense be offered; Autobahn refuses."""
        wire = ClientWire(self.house())
        lines = ("Sec-WebSocket-Extensions: permessage-deflate; x=y", "Sec-WebSocket-Extensions: permessage-bzip2")
        wire.send(upgrade("/ws/room", *lines))
        self.assertEqual([answer.status for answer in answers(wire.read())], [101])

    def test_origins(self) -> None:
        """Autobahn's idea of origins, which refuses `null` after any call of `setProtocolOptions`, is not asked."""
        for origin in ("null", "https://other.example", "https://other.example:8443", "file://", "nonsense"):
            wire = ClientWire(self.house(origins=("*",)))
            wire.send(upgrade("/ws/room", f"Origin: {origin}"))
            self.assertEqual([answer.status for answer in answers(wire.read())], [101], origin)

    def test_options(self) -> None:
        """Every option that Autobahn reads is there without its copying them: a whole life raises no AttributeError."""
        house = self.house(publish=("room",))
        configured: Any = house.sockets.protocol
        ours = configured.__mro__[: configured.__mro__.index(WebSocketConnection) + 1]
        names = [*WebSocketServerProtocol.CONFIG_ATTRS_COMMON, *WebSocketServerProtocol.CONFIG_ATTRS_SERVER]
        self.assertEqual(list(WebSocketServerProtocol.CONFIG_ATTRS), names)
        self.assertEqual(configured.CONFIG_ATTRS, ())
        for name in names:
            if name not in vars(WebSocketConnection):
                self.assertIs(getattr(configured, name), getattr(house.sockets, name), name)
            self.assertTrue(any(name in vars(each) for each in ours), name)
        visitor = WebSocketClient(house).enter()
        visitor.protocol.send_text(b"text")
        visitor.protocol.send_binary(b"\xff")
        visitor.protocol.send_ping(b"ping")
        visitor.flush()
        house.pass_time(30)
        visitor.read()
        visitor.protocol.send_close(1000)
        visitor.flush()
        visitor.read()
        self.assertTrue(visitor.wire.closed)
        self.assertEqual(
            [frame.opcode for frame in visitor.frames],
            [FrameOpcode.PONG, FrameOpcode.TEXT, FrameOpcode.BINARY, FrameOpcode.PING, FrameOpcode.CLOSE],
        )


class FrameTraps(EdgeCase):
    """While it is open."""

    def broken(self, *data: bytes, house: InMemoryRelay | None = None) -> tuple[WebSocketClient, int]:
        """A client that sends this, and the code it is closed with; nothing of it was published."""
        house = house or self.house(publish=("room",), max_message_bytes=1000)
        witness = WebSocketClient(house).enter()
        visitor = WebSocketClient(house).enter()
        for piece in data:
            visitor.wire.send(piece)
        house.turn()
        visitor.read()
        assert visitor.goodbye is not None
        self.assertEqual(witness.messages(), [])
        return visitor, visitor.goodbye[0]

    def test_protocol_errors(self) -> None:
        """A client that breaks the protocol is told 1002, not reset in silence."""
        for data in (
            client_frame(0x81, b"unmasked", masked=False),
            client_frame(0xC1, b"reserved bit"),
            client_frame(0xA1, b"reserved bit"),
            client_frame(0x91, b"reserved bit"),
            client_frame(0x83, b"reserved opcode"),
            client_frame(0x8B, b"reserved control opcode"),
            client_frame(0x09, b"fragmented ping"),
            client_frame(0x89, b"x" * 126),
            client_frame(0x80, b"continues nothing"),
            client_frame(0x01, b"a") + client_frame(0x81, b"b"),
            client_frame(0x88, b"\x03", length=1)[:-1],
            b"\x82\xfe\x00\x01\x00\x00\x00\x00a",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00a",
            b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
        ):
            self.assertEqual(self.broken(data)[1], 1002, data)

    def test_invalid_utf8(self) -> None:
        """A text that is not UTF-8 is told 1007, also where the broken character spans fragments."""
        for data in (
            [client_frame(0x81, b"\xff")],
            [client_frame(0x81, b"caf\xc3")],
            [client_frame(0x01, b"caf\xc3"), client_frame(0x80, b"x")],
            [client_frame(0x81, b"\xed\xa0\x80")],
        ):
            self.assertEqual(self.broken(*data)[1], 1007, data)

    def test_broken_close(self) -> None:
        """A close frame that is itself wrong would be answered with a reset: its sender is told why, and it ends."""
        for payload, code in (
            (b"\x03\xec", 1002),
            (b"\x00\x00", 1002),
            (b"\x13\x88", 1002),
            (b"\x03\xe8\xff", 1007),
            (b"\x03", 1002),
        ):
            visitor = WebSocketClient(self.house()).enter()
            visitor.wire.send(client_frame(0x88, payload))
            visitor.read()
            assert visitor.goodbye is not None
            self.assertEqual(visitor.goodbye[0], code, payload)
            self.assertTrue(visitor.wire.closed)
            self.assertFalse(visitor.wire.transport.aborted)

    def test_too_big(self) -> None:
        """A message that is too big is told 1009 at its head: in one frame, in many, and if it never comes."""
        for data in (
            [client_frame(0x82, b"x" * 1001)],
            [client_frame(0x02, b"x" * 600), client_frame(0x80, b"x" * 401)],
            [client_frame(0x82, b"", length=2**40)],
            [client_frame(0x02, b"x" * 1000), client_frame(0x00, b"x")],
        ):
            self.assertEqual(self.broken(*data)[1], 1009, data)

    def test_largest(self) -> None:
        """A message of exactly the limit is published."""
        house = self.house(publish=("room",), max_message_bytes=1000)
        visitor = WebSocketClient(house).enter()
        visitor.wire.send(client_frame(0x02, b"x" * 600) + client_frame(0x80, b"x" * 400))
        house.turn()
        self.assertEqual(visitor.messages(), [b"x" * 1000])

    def test_failed_connections_keep_nothing(self) -> None:
        """Behind a failure Autobahn reads on, and would keep an endless control frame: it is dropped as it comes."""
        for start in (
            client_frame(0x89, length=2**40),
            client_frame(0x82, length=2**40),
            client_frame(0x89, b"", length=126),
        ):
            visitor, _ = self.broken(start)
            socket = visitor.wire.socket
            for _ in range(50):
                visitor.wire.send(b"x" * 65536)
            held = [socket.data]
            for name in ("control_frame_data", "frame_data", "message_data"):
                held += getattr(socket, name, None) or ()
            # What came in the read that ended it is the most there can be.
            self.assertLess(sum(map(len, held)), 65536)

    def test_failed_connections_end(self) -> None:
        """A client that answers the failure is let go at once, one that does not after the close timeout."""
        visitor, _ = self.broken(client_frame(0xC1, b"reserved bit"))
        visitor.flush()
        self.assertTrue(visitor.wire.closed)
        house = self.house(publish=("room",), close_timeout_seconds=2)
        visitor, _ = self.broken(client_frame(0xC1, b"reserved bit"), house=house)
        house.pass_time(2.5)
        self.assertTrue(visitor.wire.transport.aborted)

    def test_empty_fragments(self) -> None:
        """A message of endless empty fragments is never too big, and each would be kept: none is."""
        visitor = WebSocketClient(self.house(publish=("room",))).enter()
        visitor.wire.send(client_frame(0x02, b"ab"))
        visitor.wire.send(client_frame(0x00) * 1000)
        self.assertEqual(visitor.wire.socket.message_data, [b"ab"])

    def test_messages_behind_our_close(self) -> None:
        """What a client sends after we have said goodbye is not processed."""
        house = self.house(publish=("room",))
        witness, visitor = WebSocketClient(house).enter(), WebSocketClient(house).enter()
        visitor.wire.socket.close(Disconnect.RESTART)
        visitor.wire.send(client_frame(0x81, b"late"))
        visitor.wire.send(client_frame(0x89, b"late"))
        house.turn()
        self.assertEqual(witness.messages(), [])
        self.assertEqual([frame.opcode for frame in visitor.read()], [FrameOpcode.CLOSE])

    def test_messages_behind_their_close(self) -> None:
        """Nor is what a client sends behind its own goodbye; over TLS it is not kept either."""
        house = self.house(publish=("room",))
        witness, visitor = WebSocketClient(house).enter(), WebSocketClient(house).enter()
        visitor.wire.send(client_frame(0x88, b"\x03\xe8") + client_frame(0x81, b"late"))
        socket = visitor.wire.socket
        kept = len(socket.data)
        for _ in range(10):
            visitor.wire.send(b"x" * 65536)
        self.assertEqual(len(socket.data), kept)
        house.turn()
        self.assertEqual(witness.messages(), [])

    def test_sends_behind_our_close(self) -> None:
        """No data frame follows a close frame, whoever still sends."""
        for paused in (False, True):
            visitor = WebSocketClient(self.house()).enter()
            socket, outlet = visitor.wire.socket, visitor.wire.socket.subscriber
            if paused:
                outlet.on_blocked()
                outlet.send(message_frame(b"waits"))
            socket.close(Disconnect.RESTART)
            outlet.send(message_frame(b"late"))
            outlet.on_blocked()
            outlet.on_drained()
            self.assertEqual(visitor.wire.read(), b"\x88\x11\x03\xf4service restart")

    def test_close_without_reading(self) -> None:
        """A client that says goodbye and reads nothing would be kept for ever: it is reset after the close timeout."""
        house = self.house(close_timeout_seconds=3)
        visitor = WebSocketClient(house).enter()
        house.publish(*[b"x" * 60000] * 3)
        visitor.protocol.send_close(1000)
        visitor.flush()
        house.pass_time(2.75)
        self.assertFalse(visitor.wire.closed)
        house.pass_time(0.75)
        self.assertTrue(visitor.wire.transport.aborted)
        self.assertEqual(house.sockets.sockets, {})

    @given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=140), st.booleans()), max_size=8), st.binary())
    def test_hostile_frames(self, frames: list[tuple[int, bytes, bool]], noise: bytes) -> None:
        """Whatever frames come, no exception escapes, what is sent is valid, and nothing is left."""
        house = InMemoryRelay(publish=("room",), max_message_bytes=200)
        visitor = WebSocketClient(house).enter()
        for first, payload, masked in frames:
            visitor.wire.send(client_frame(first, payload, masked=masked))
            house.turn()
            visitor.read()
        visitor.wire.send(noise)
        house.turn()
        visitor.read()
        self.assertIn(type(visitor.protocol.parser_exc), (type(None), EOFError))
        self.assertEqual(house.leftovers(), [])


class PingTraps(EdgeCase):
    """Timers, pings and pongs."""

    def test_wheel(self) -> None:
        """Autobahn's batched timers fire up to a second early and lose cancels: all its timers are the wheel's."""
        house = self.house()
        self.assertIsInstance(house.sockets._batched_timer, TimerWheel)
        wire = ClientWire(house)
        wire.send(upgrade())
        wire.socket.close(Disconnect.RESTART)
        self.assertEqual(sum(map(len, house.sockets.wheel._buckets.values())), 2)

    def test_ping_is_answered(self) -> None:
        """A client's ping is answered with its payload."""
        visitor = WebSocketClient(self.house()).enter()
        for payload in (b"", b"hello", b"\xff" * 125):
            visitor.wire.send(client_frame(0x89, payload))
            (pong,) = visitor.read()
            self.assertEqual((pong.opcode, bytes(pong.data)), (FrameOpcode.PONG, payload))

    def pinged(self, house: InMemoryRelay, visitor: WebSocketClient, seconds: float) -> float:
        """Wait for a ping; gives how long that took."""
        start = house.clock.seconds()
        while not any(frame.opcode is FrameOpcode.PING for frame in visitor.read()):
            house.clock.advance(0.25)
            self.assertLessEqual(house.clock.seconds() - start, seconds)
        took: float = house.clock.seconds() - start
        return took

    def test_pings(self) -> None:
        """A connection is pinged at its own interval, after each pong again, and never lost while it answers."""
        house = self.house(ping_interval_seconds=10, ping_timeout_seconds=4, rng=Random(3))
        interval = 10 * (1 - 0.2 * Random(3).random())
        visitor = WebSocketClient(house).enter()
        for _ in range(5):
            took = self.pinged(house, visitor, 12)
            self.assertGreaterEqual(took, interval)
            self.assertLessEqual(took, interval + 0.5)
            visitor.flush()
        self.assertFalse(visitor.wire.closed)

    def test_no_pong(self) -> None:
        """A client that does not answer a ping is reset after the timeout and the second look, not before."""
        house = self.house(ping_interval_seconds=10, ping_timeout_seconds=4)
        visitor = WebSocketClient(house).enter()
        self.pinged(house, visitor, 11)
        house.pass_time(4.75)
        self.assertFalse(visitor.wire.closed)
        house.pass_time(1.25)
        self.assertTrue(visitor.wire.transport.aborted)
        self.assertEqual(house.sockets.sockets, {})

    def test_pong_waits_during_a_stall(self) -> None:
        """After a stall timers run before reads: a pong that waits in the socket saves its connection."""
        house = self.house(ping_interval_seconds=10, ping_timeout_seconds=4)
        visitor = WebSocketClient(house).enter()
        self.pinged(house, visitor, 11)
        house.clock.advance(60)
        visitor.flush()
        house.pass_time(5)
        self.assertFalse(visitor.wire.closed)
        self.pinged(house, visitor, 11)

    def test_data_counts_as_pong(self) -> None:
        """A message that comes during the second look saves its connection, too."""
        house = self.house(publish=("room",), ping_interval_seconds=10, ping_timeout_seconds=4)
        visitor = WebSocketClient(house).enter()
        self.pinged(house, visitor, 11)
        house.pass_time(4.25)
        visitor.wire.send(client_frame(0x81, b"alive"))
        house.pass_time(5)
        self.assertFalse(visitor.wire.closed)

    def test_pings_stop_at_the_end(self) -> None:
        """A connection that is closing is not pinged, and its missing pong changes nothing."""
        house = self.house(ping_interval_seconds=5, ping_timeout_seconds=2, close_timeout_seconds=30)
        visitor = WebSocketClient(house).enter()
        visitor.protocol.send_close(1000)
        house.publish(b"x" * 100_000)
        visitor.flush()
        house.pass_time(20)
        self.assertFalse(visitor.wire.closed)
        self.assertNotIn(FrameOpcode.PING, [frame.opcode for frame in visitor.read()])
        self.assertIs(visitor.protocol.state, State.CLOSED)


class StockAutobahn(EdgeCase):
    """Some traps as they are in Autobahn itself: where one of these fails, a mending may have become needless."""

    def stock(self) -> tuple[Any, MemoryTransport]:
        """A connection of Autobahn's own protocol class."""
        house = self.house()
        factory: Any = WebSocketConnectionFactory(house.node, house.settings, house.clock, Random(1))
        protocol: Any = WebSocketServerProtocol()
        protocol.factory = factory
        transport = MemoryTransport(protocol)
        protocol.makeConnection(transport)
        self.addCleanup(factory.wheel.stop)
        return protocol, transport

    def test_nagle_stays_on(self) -> None:
        """Autobahn does not reach the transport with its `tcpNoDelay`."""
        protocol, transport = self.stock()
        self.assertTrue(protocol.tcpNoDelay)
        self.assertFalse(transport.no_delay)

    def test_fields_are_smuggled(self) -> None:
        """Autobahn's parser makes two fields of one that holds 0x85."""
        protocol, _ = self.stock()
        protocol.dataReceived(upgrade("/", b"User-Agent: M\x85" + _SMUGGLED))
        self.assertEqual(protocol.http_headers["x-forwarded-for"], "6.6.6.6")

    def test_answers_repeat_input(self) -> None:
        """Autobahn's refusals have no length and repeat what came."""
        protocol, transport = self.stock()
        protocol.dataReceived(upgrade(key="mirror"))
        self.assertIn(b"mirror", transport.value())
        self.assertNotIn(b"Content-Length", transport.value())
