"""Faults measured in Autobahn 26.10, one test for each: mended here, or switched off.

Each test fails if our mending is taken out, or if a new Autobahn no longer passes where the mending is.
"""

from __future__ import annotations

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
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.transports.websocket.shared_attributes import OWN

_SMUGGLED = b"X-Forwarded-For: 6.6.6.6"


class HandshakeTraps(EdgeCase):
    """Before the connection is open."""

    def test_nagle_is_switched_off_on_the_transport(self) -> None:
        """`tcpNoDelay` has no effect on Twisted, as it is read before the transport exists."""
        client = WebSocketClient(self.relay()).connect()
        self.assertTrue(client.wire.transport.no_delay)

    def test_second_request_head_does_not_run_on_connect_again(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade("/ws/room"))
        wire.send(upgrade("/ws/other"))
        self.assertEqual(relay.broker.wanted, {"room"})
        relay.node.subscribed("room")
        (answer, *_) = wire.read().split(b"\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))

    def test_second_request_head_in_the_same_read_is_a_protocol_error(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade("/ws/room") + upgrade("/ws/other"))
        relay.node.subscribed("room")
        output = wire.read()
        self.assertEqual(output.count(b"HTTP/1.1 101 "), 1)
        self.assertEqual(relay.broker.wanted, {"room"})
        self.assertIn(b"\x03\xea", output)

    def test_client_that_left_during_its_handshake_is_not_registered(self) -> None:
        """`onOpen` would run for it and register it for ever."""
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.hang_up()
        connection = wire.connection
        connection.accept(None)
        self.assertEqual(relay.connections.open_connections(), ())
        self.assertEqual(connection.state, connection.STATE_CLOSED)
        self.assertEqual(wire.read(), b"")

    def test_client_whose_handshake_timed_out_is_not_registered(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        # By hand, for the answer has a deadline of its own that comes before.
        wire.connection.onOpenHandshakeTimeout()
        self.assertTrue(wire.transport.aborted)
        relay.node.subscribed("room")
        self.assertEqual(relay.connections.open_connections(), ())
        self.assertEqual(relay.node._hub.subscribers("room"), [])

    def test_bytes_before_the_answer_are_bounded_by_max_head_bytes(self) -> None:
        relay = self.relay(FakeBroker(), max_head_bytes=1024)
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.send(b"x" * 1024)
        self.assertFalse(wire.closed)
        self.assertEqual(len(wire.connection.data), 1024)
        wire.send(b"x")
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(relay.node.subscriptions._channels["room"].count, 0)

    def test_every_byte_that_autobahn_takes_for_a_line_end_is_rejected_with_400(self) -> None:
        for byte in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\r", b"\n"):
            wire = ClientWire(self.relay())
            wire.send(upgrade("/ws/room", b"User-Agent: M" + byte + _SMUGGLED))
            self.assertEqual([answer.status for answer in answers(wire.read())], [400], byte)

    def test_0x85_is_rejected_in_a_handshake_field_and_harmless_elsewhere(self) -> None:
        """It ends a line for Autobahn and is legal in a field value."""
        for name, status in (("Sec-WebSocket-Protocol", 400), ("User-Agent", 101)):
            relay = self.relay(FakeBroker())
            relay.websockets.opens_usual_handshakes = False
            wire = ClientWire(relay)
            wire.send(upgrade("/ws/room", name.encode() + b": M\x85" + _SMUGGLED))
            if status == 101:
                # Before it is open: then the handshake is forgotten.
                handshake: Any = wire.connection._handshake
                self.assertEqual(handshake.peer, "192.168.1.1")
                self.assertNotIn("x-forwarded-for", wire.connection.http_headers)
                relay.node.subscribed("room")
            self.assertEqual([answer.status for answer in answers(wire.read())], [status])

    def test_autobahns_status_page_version_and_redirect_are_out_of_reach(self) -> None:
        self.assertIs(self.relay().websockets.webStatus, False)
        for path in ("/?redirect=https://evil.example", "/ws/room?redirect=https://evil.example&after=1"):
            for fields in ((), ("Upgrade: websocket",), ("Connection: Upgrade",)):
                wire = ClientWire(self.relay())
                wire.send(head(f"GET {path} HTTP/1.1", "Host: x", *fields))
                output = wire.read()
                self.assertIn(output[:13], (b"HTTP/1.1 200 ", b"HTTP/1.1 404 ", b"HTTP/1.1 426 ", b"HTTP/1.1 400 "))
                for word in (b"evil", b"Location", b"http-equiv", b"utobahn"):
                    self.assertNotIn(word, output)

    def failed(self, data: bytes) -> Answer:
        """The answer to a handshake that Autobahn itself does not like."""
        relay = self.relay()
        wire = ClientWire(relay)
        wire.send(data)
        (answer,) = answers(wire.read())
        self.assertTrue(wire.closed)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.headers["content-length"], str(len(answer.body)))
        self.assertNotIn("server", answer.headers)
        return answer

    def test_failed_handshake_is_answered_completely_and_repeats_no_input(self) -> None:
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

    def test_other_versions_get_426_and_the_version_that_is_spoken(self) -> None:
        """See RFC 6455 section 4.4."""
        for version in ("8", "12", "0", "mirror", "13, 8"):
            answer = self.failed(upgrade(version=version))
            self.assertEqual((answer.status, answer.headers["sec-websocket-version"]), (426, "13"))
            self.assertNotIn(b"mirror", answer.body)

    def test_missing_version_is_rejected_with_400(self) -> None:
        self.assertEqual(self.failed(upgrade().replace(b"Sec-WebSocket-Version: 13\r\n", b"")).status, 400)

    def test_unknown_subprotocols_are_not_answered_and_do_not_prevent_the_connection(self) -> None:
        client = WebSocketClient(self.relay(), subprotocols=["chat", "superchat"]).connect()
        self.assertIsNone(client.protocol.subprotocol)

    def test_compression_is_not_negotiated_by_default(self) -> None:
        """It would cost 100 KB for each client."""
        client = WebSocketClient(self.relay(), extensions=[ClientPerMessageDeflateFactory()]).connect()
        self.assertEqual(client.protocol.extensions, [])
        client.wire.send(client_frame(0xC1, b"compressed"))
        client.read()
        self.assertEqual(client.close_received, (1002, "RSV = 4 and no extension negotiated"))

    def test_invalid_extensions_in_two_header_lines_are_ignored(self) -> None:
        """Two lines are legal (RFC 6455 section 9.1); Autobahn rejects them."""
        wire = ClientWire(self.relay())
        lines = ("Sec-WebSocket-Extensions: permessage-deflate; x=y", "Sec-WebSocket-Extensions: permessage-bzip2")
        wire.send(upgrade("/ws/room", *lines))
        self.assertEqual([answer.status for answer in answers(wire.read())], [101])

    def test_autobahns_own_check_of_origins_is_not_used(self) -> None:
        """It rejects `null` after any call of `setProtocolOptions`."""
        for origin in ("null", "https://other.example", "https://other.example:8443", "file://", "nonsense"):
            wire = ClientWire(self.relay(origins=("*",)))
            wire.send(upgrade("/ws/room", f"Origin: {origin}"))
            self.assertEqual([answer.status for answer in answers(wire.read())], [101], origin)

    def test_every_option_of_autobahn_is_an_attribute_of_the_class(self) -> None:
        """They are not copied into each connection: a whole life raises no AttributeError."""
        relay = self.relay(publish=("room",))
        configured: Any = relay.websockets.protocol
        ours = configured.__mro__[: configured.__mro__.index(WebSocketServerProtocol)]
        written = ours[ours.index(WebSocketConnection) :]
        names = [*WebSocketServerProtocol.CONFIG_ATTRS_COMMON, *WebSocketServerProtocol.CONFIG_ATTRS_SERVER]
        self.assertEqual(list(WebSocketServerProtocol.CONFIG_ATTRS), names)
        self.assertEqual(configured.CONFIG_ATTRS, ())
        for name in names:
            if name not in OWN and not any(name in vars(each) for each in written):
                self.assertIs(getattr(configured, name), getattr(relay.websockets, name), name)
            self.assertTrue(any(name in vars(each) for each in ours), name)
        client = WebSocketClient(relay).connect()
        client.protocol.send_text(b"text")
        client.protocol.send_binary(b"\xff")
        client.protocol.send_ping(b"ping")
        client.flush()
        relay.pass_time(30)
        client.read()
        client.protocol.send_close(1000)
        client.flush()
        client.read()
        self.assertTrue(client.wire.closed)
        self.assertEqual(
            [frame.opcode for frame in client.frames],
            [FrameOpcode.PONG, FrameOpcode.TEXT, FrameOpcode.BINARY, FrameOpcode.PING, FrameOpcode.CLOSE],
        )


class FrameTraps(EdgeCase):
    """While it is open."""

    def broken(self, *data: bytes, relay: InMemoryRelay | None = None) -> tuple[WebSocketClient, int]:
        """A client that sends this, and the code it is closed with; nothing of it was published."""
        relay = relay or self.relay(publish=("room",), max_message_bytes=1000)
        witness = WebSocketClient(relay).connect()
        client = WebSocketClient(relay).connect()
        for piece in data:
            client.wire.send(piece)
        relay.turn()
        client.read()
        assert client.close_received is not None
        self.assertEqual(witness.messages(), [])
        return client, client.close_received[0]

    def test_protocol_error_closes_with_1002(self) -> None:
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

    def test_invalid_utf8_closes_with_1007_across_fragments_too(self) -> None:
        for data in (
            [client_frame(0x81, b"\xff")],
            [client_frame(0x81, b"caf\xc3")],
            [client_frame(0x01, b"caf\xc3"), client_frame(0x80, b"x")],
            [client_frame(0x81, b"\xed\xa0\x80")],
        ):
            self.assertEqual(self.broken(*data)[1], 1007, data)

    def test_invalid_close_frame_is_answered_and_ends_the_connection_without_a_reset(self) -> None:
        for payload, code in (
            (b"\x03\xec", 1002),
            (b"\x00\x00", 1002),
            (b"\x13\x88", 1002),
            (b"\x03\xe8\xff", 1007),
            (b"\x03", 1002),
        ):
            client = WebSocketClient(self.relay()).connect()
            client.wire.send(client_frame(0x88, payload))
            client.read()
            assert client.close_received is not None
            self.assertEqual(client.close_received[0], code, payload)
            self.assertTrue(client.wire.closed)
            self.assertFalse(client.wire.transport.aborted)

    def test_message_too_big_closes_with_1009_at_its_head(self) -> None:
        """In one frame, in many, and if it is announced and never sent."""
        for data in (
            [client_frame(0x82, b"x" * 1001)],
            [client_frame(0x02, b"x" * 600), client_frame(0x80, b"x" * 401)],
            [client_frame(0x82, b"", length=2**40)],
            [client_frame(0x02, b"x" * 1000), client_frame(0x00, b"x")],
        ):
            self.assertEqual(self.broken(*data)[1], 1009, data)

    def test_message_of_exactly_the_limit_is_published(self) -> None:
        relay = self.relay(publish=("room",), max_message_bytes=1000)
        client = WebSocketClient(relay).connect()
        client.wire.send(client_frame(0x02, b"x" * 600) + client_frame(0x80, b"x" * 400))
        relay.turn()
        self.assertEqual(client.messages(), [b"x" * 1000])

    def test_failed_connection_keeps_nothing_of_what_it_still_receives(self) -> None:
        """Autobahn reads on after a failure, and would keep an endless control frame."""
        for start in (
            client_frame(0x89, length=2**40),
            client_frame(0x82, length=2**40),
            client_frame(0x89, b"", length=126),
        ):
            client, _ = self.broken(start)
            connection = client.wire.connection
            for _ in range(50):
                client.wire.send(b"x" * 65536)
            held = [connection.data]
            for name in ("control_frame_data", "frame_data", "message_data"):
                held += getattr(connection, name, None) or ()
            # What came in the read that ended it is the most there can be.
            self.assertLess(sum(map(len, held)), 65536)

    def test_failed_connection_ends_with_the_clients_close_or_after_the_close_timeout(self) -> None:
        client, _ = self.broken(client_frame(0xC1, b"reserved bit"))
        client.flush()
        self.assertTrue(client.wire.closed)
        relay = self.relay(publish=("room",), close_timeout_seconds=2)
        client, _ = self.broken(client_frame(0xC1, b"reserved bit"), relay=relay)
        relay.pass_time(2.5)
        self.assertTrue(client.wire.transport.aborted)

    def test_empty_fragments_are_not_kept(self) -> None:
        """A message of endless empty fragments is never too big."""
        client = WebSocketClient(self.relay(publish=("room",))).connect()
        client.wire.send(client_frame(0x02, b"ab"))
        client.wire.send(client_frame(0x00) * 1000)
        self.assertEqual(client.wire.connection.message_data, [b"ab"])

    def test_messages_after_the_relays_close_frame_are_ignored(self) -> None:
        relay = self.relay(publish=("room",))
        witness, client = WebSocketClient(relay).connect(), WebSocketClient(relay).connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.wire.send(client_frame(0x81, b"late"))
        client.wire.send(client_frame(0x89, b"late"))
        relay.turn()
        self.assertEqual(witness.messages(), [])
        self.assertEqual([frame.opcode for frame in client.read()], [FrameOpcode.CLOSE])

    def test_messages_after_the_clients_close_frame_are_neither_published_nor_kept(self) -> None:
        relay = self.relay(publish=("room",))
        witness, client = WebSocketClient(relay).connect(), WebSocketClient(relay).connect()
        client.wire.send(client_frame(0x88, b"\x03\xe8") + client_frame(0x81, b"late"))
        connection = client.wire.connection
        kept = len(connection.data)
        for _ in range(10):
            client.wire.send(b"x" * 65536)
        self.assertEqual(len(connection.data), kept)
        relay.turn()
        self.assertEqual(witness.messages(), [])

    def test_no_data_frame_follows_the_relays_close_frame(self) -> None:
        for paused in (False, True):
            client = WebSocketClient(self.relay()).connect()
            connection, writer = client.wire.connection, client.wire.connection.writer
            if paused:
                writer.on_blocked()
                writer.send(message_frame(b"waits"))
            connection.close(Disconnect.RESTART)
            writer.send(message_frame(b"late"))
            writer.on_blocked()
            writer.on_drained()
            self.assertEqual(client.wire.read(), b"\x88\x11\x03\xf4service restart")

    def test_client_that_closes_without_reading_is_reset_after_the_close_timeout(self) -> None:
        relay = self.relay(close_timeout_seconds=3)
        client = WebSocketClient(relay).connect()
        relay.publish(*[b"x" * 60000] * 3)
        client.protocol.send_close(1000)
        client.flush()
        relay.pass_time(2.75)
        self.assertFalse(client.wire.closed)
        relay.pass_time(0.75)
        self.assertTrue(client.wire.transport.aborted)
        self.assertEqual(relay.connections.open_connections(), ())

    @given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=140), st.booleans()), max_size=8), st.binary())
    def test_any_frames_are_survived(self, frames: list[tuple[int, bytes, bool]], noise: bytes) -> None:
        relay = InMemoryRelay(publish=("room",), max_message_bytes=200)
        client = WebSocketClient(relay).connect()
        for first, payload, masked in frames:
            client.wire.send(client_frame(first, payload, masked=masked))
            relay.turn()
            client.read()
        client.wire.send(noise)
        relay.turn()
        client.read()
        self.assertIn(type(client.protocol.parser_exc), (type(None), EOFError))
        self.assertEqual(relay.leftovers(), [])


class PingTraps(EdgeCase):
    """Timers, pings and pongs."""

    def test_all_timers_of_autobahn_are_the_timer_wheels(self) -> None:
        """Its own batched timers fire up to a second early and lose cancels."""
        relay = self.relay()
        self.assertIsInstance(relay.websockets._batched_timer, TimerWheel)
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.connection.close(Disconnect.RESTART)
        self.assertEqual(sum(map(len, relay.node.timers._buckets.values())), 2)

    def test_ping_is_answered_with_its_payload(self) -> None:
        client = WebSocketClient(self.relay()).connect()
        for payload in (b"", b"hello", b"\xff" * 125):
            client.wire.send(client_frame(0x89, payload))
            (pong,) = client.read()
            self.assertEqual((pong.opcode, bytes(pong.data)), (FrameOpcode.PONG, payload))

    def pinged(self, relay: InMemoryRelay, client: WebSocketClient, seconds: float) -> float:
        """Wait for a ping; gives how long that took."""
        start = relay.clock.seconds()
        while not any(frame.opcode is FrameOpcode.PING for frame in client.read()):
            relay.clock.advance(0.25)
            self.assertLessEqual(relay.clock.seconds() - start, seconds)
        took: float = relay.clock.seconds() - start
        return took

    def test_connection_is_pinged_up_to_a_fifth_early_and_kept_while_it_answers(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = WebSocketClient(relay).connect()
        for _ in range(5):
            took = self.pinged(relay, client, 12)
            self.assertGreaterEqual(took, 8)
            self.assertLessEqual(took, 10.5)
            client.flush()
        self.assertFalse(client.wire.closed)

    def test_missing_pong_resets_the_connection_after_timeout_and_grace(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = WebSocketClient(relay).connect()
        self.pinged(relay, client, 11)
        relay.pass_time(4.75)
        self.assertFalse(client.wire.closed)
        relay.pass_time(1.25)
        self.assertTrue(client.wire.transport.aborted)
        self.assertEqual(relay.connections.open_connections(), ())

    def test_pong_that_waits_in_the_socket_during_a_stall_is_counted(self) -> None:
        """After a stall timers run before reads."""
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = WebSocketClient(relay).connect()
        self.pinged(relay, client, 11)
        relay.clock.advance(60)
        client.flush()
        relay.pass_time(5)
        self.assertFalse(client.wire.closed)
        self.pinged(relay, client, 11)

    def test_message_during_the_grace_counts_as_pong(self) -> None:
        relay = self.relay(publish=("room",), ping_interval_seconds=10, ping_timeout_seconds=4)
        client = WebSocketClient(relay).connect()
        self.pinged(relay, client, 11)
        relay.pass_time(4.25)
        client.wire.send(client_frame(0x81, b"alive"))
        relay.pass_time(5)
        self.assertFalse(client.wire.closed)

    def test_closing_connection_is_not_pinged(self) -> None:
        relay = self.relay(ping_interval_seconds=5, ping_timeout_seconds=2, close_timeout_seconds=30)
        client = WebSocketClient(relay).connect()
        client.protocol.send_close(1000)
        relay.publish(b"x" * 100_000)
        client.flush()
        relay.pass_time(20)
        self.assertFalse(client.wire.closed)
        self.assertNotIn(FrameOpcode.PING, [frame.opcode for frame in client.read()])
        self.assertIs(client.protocol.state, State.CLOSED)


class StockAutobahn(EdgeCase):
    """Some traps as they are in Autobahn itself: where one of these fails, a mending may have become needless."""

    def stock(self) -> tuple[Any, MemoryTransport]:
        """A connection of Autobahn's own protocol class."""
        relay = self.relay()
        protocol: Any = WebSocketServerProtocol()
        protocol.factory = relay.websockets
        transport = MemoryTransport(protocol)
        protocol.makeConnection(transport)
        self.addCleanup(relay.node.timers.stop)
        return protocol, transport

    def test_autobahn_does_not_reach_the_transport_with_tcp_no_delay(self) -> None:
        protocol, transport = self.stock()
        self.assertTrue(protocol.tcpNoDelay)
        self.assertFalse(transport.no_delay)

    def test_autobahn_makes_two_fields_of_one_that_holds_0x85(self) -> None:
        protocol, _ = self.stock()
        protocol.dataReceived(upgrade("/", b"User-Agent: M\x85" + _SMUGGLED))
        self.assertEqual(protocol.http_headers["x-forwarded-for"], "6.6.6.6")

    def test_autobahn_repeats_input_in_rejections_without_a_length(self) -> None:
        protocol, transport = self.stock()
        protocol.dataReceived(upgrade(key="mirror"))
        self.assertIn(b"mirror", transport.value())
        self.assertNotIn(b"Content-Length", transport.value())
