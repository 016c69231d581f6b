"""Tests of wsrelay.transports.websocket.closing: how connections end, with the raw dialect."""

from __future__ import annotations

from websockets.frames import Opcode as FrameOpcode

from devtools.harness.http import answers, client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.dialects.raw import RawDialect
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.lingering_close import MAX_DISCARDED_BYTES, REJECTED_CLIENT_LINGER_SECONDS
from wsrelay.transports.websocket.closing import UNANSWERED_CLOSE_SECONDS


class RejectionTests(EdgeCase):
    """Ends before the connection is open."""

    def test_rejected_client_that_does_not_read_is_reset_after_the_close_timeout(self) -> None:
        relay = self.relay(close_timeout_seconds=2)
        wire = ClientWire(relay)
        wire.send(upgrade("/ws/a/b"))
        relay.pass_time(1.75)
        self.assertFalse(wire.closed)
        relay.pass_time(0.75)
        self.assertTrue(wire.transport.aborted)

    def test_rejecting_twice_sends_one_answer(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker)
        wire = ClientWire(relay)
        wire.send(upgrade())
        connection = wire.connection
        connection.close(Disconnect.INTERNAL_ERROR)
        connection.close(Disconnect.RESTART)
        self.assertEqual([answer.status for answer in answers(wire.read())], [500])

    def test_rejected_client_that_has_ended_its_direction_gets_the_response(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.half_close()
        relay.node.subscribe_failed("room")
        self.assertTrue(wire.read().startswith(b"HTTP/1.1 503 "))
        self.assertEqual((wire.closed, wire.transport.aborted), (True, False))

    def test_rejected_client_gives_up_its_place_before_it_leaves(self) -> None:
        relay = self.relay(FakeBroker(), max_connections=1, max_connections_per_address=1)
        wire = ClientWire(relay)
        wire.transport.ends_with_relay = False
        wire.send(upgrade())
        relay.node.subscribe_failed("room")
        self.assertEqual(relay.websockets.admission.count, 0)
        self.assertEqual(len(relay.router.http_connections), 1)
        relay.pass_time(REJECTED_CLIENT_LINGER_SECONDS + 0.5)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (0, 0))

    def test_client_that_leaves_during_its_handshake_gives_up_its_place_at_once(self) -> None:
        """As a page does that is loaded again; what it is to be answered may take seconds."""
        relay = self.relay(FakeBroker(), max_connections=1)
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.half_close()
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (0, 1))
        relay.node.subscribed("room")
        wire.read()
        self.assertTrue(wire.closed)
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (0, 0))


class CloseTests(EdgeCase):
    """Ends of open connections."""

    def test_close_that_the_client_answers_ends_the_connection(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay).connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.wire.connection.close(Disconnect.SLOW)
        client.read()
        self.assertEqual(client.close_received, (1012, "service restart"))
        self.assertFalse(client.wire.closed)
        client.flush()
        self.assertTrue(client.wire.closed)
        self.assertEqual(relay.connections.open_connections(), ())

    def test_messages_of_a_farewell_come_before_the_close_frame(self) -> None:
        def close(_dialect: object, disconnect: Disconnect) -> Farewell:
            return Farewell(disconnect.code, disconnect.reason, (Message(b"bye"), Message(b"\xff", is_binary=True)))

        self.patch(RawDialect, "close", close)
        client = WebSocketClient(self.relay()).connect()
        client.wire.connection.close(Disconnect.RESTART)
        frames = [(frame.opcode, bytes(frame.data)) for frame in client.read()]
        self.assertEqual(frames[:2], [(FrameOpcode.TEXT, b"bye"), (FrameOpcode.BINARY, b"\xff")])
        self.assertEqual((len(frames), client.close_received), (3, (1012, "service restart")))

    def test_no_close_timer_outlives_its_connection(self) -> None:
        for ours in (False, True):
            relay = self.relay()
            client = WebSocketClient(relay).connect()
            if ours:
                client.wire.connection.close(Disconnect.RESTART)
            else:
                client.protocol.send_close(1000)
                client.flush()
            self.assertTrue(any(relay.node.timers._buckets.values()))
            client.wire.hang_up()
            self.assertFalse(any(relay.node.timers._buckets.values()))

    def test_unanswered_close_is_followed_by_a_reset_after_the_close_timeout(self) -> None:
        relay = self.relay(close_timeout_seconds=3)
        client = WebSocketClient(relay).connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        relay.pass_time(2.75)
        self.assertFalse(client.wire.closed)
        relay.pass_time(0.75)
        self.assertTrue(client.wire.transport.aborted)

    def test_close_of_the_client_is_answered_and_ends_the_connection(self) -> None:
        client = WebSocketClient(self.relay()).connect()
        client.protocol.send_close(1000, "bye")
        client.flush()
        client.read()
        self.assertEqual(client.close_received, (1000, "bye"))
        self.assertTrue(client.wire.closed)
        self.assertFalse(client.wire.transport.aborted)

    def test_every_close_of_the_relay_is_counted_by_its_code_and_a_clients_is_not(self) -> None:
        relay = self.relay(max_message_bytes=1000)
        for frames in (client_frame(0x81, b"\xff"), client_frame(0x82, b"x" * 1001), client_frame(0x83, b"")):
            WebSocketClient(relay).connect().wire.send(frames)
        WebSocketClient(relay).connect().wire.connection.close(Disconnect.RESTART)
        client = WebSocketClient(relay).connect()
        client.protocol.send_close(4001)
        client.flush()
        self.assertEqual(relay.node.counters.connections_closed, {1007: 1, 1009: 1, 1002: 1, 1012: 1})

    def test_close_code_and_reason_of_the_client_are_echoed(self) -> None:
        """Its page is told what comes back (RFC 6455 section 7.1.5)."""
        for code, reason in ((1000, ""), (1001, ""), (1011, ""), (3000, ""), (4001, "bye"), (4999, "x" * 123)):
            client = WebSocketClient(self.relay()).connect()
            client.protocol.send_close(code, reason)
            client.flush()
            client.read()
            self.assertEqual(client.close_received, (code, reason))

    def test_close_without_a_code_is_answered_without_one(self) -> None:
        client = WebSocketClient(self.relay()).connect()
        client.wire.send(client_frame(0x88, b""))
        self.assertEqual(client.wire.read(), b"\x88\x00")

    def test_answered_close_is_followed_by_the_end_and_not_by_a_reset(self) -> None:
        for disconnect in (Disconnect.RESTART, Disconnect.GAP, Disconnect.NOT_AVAILABLE):
            client = WebSocketClient(self.relay()).connect()
            client.wire.connection.close(disconnect)
            client.read()
            client.flush()
            self.assertTrue(client.wire.transport.half_closed)
            client.read()
            self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))

    def test_flood_behind_the_close_frame_is_dropped_until_the_client_ends(self) -> None:
        for flood in (client_frame(0x81, b"too fast") * 400, client_frame(0x82, b"x" * 200_000)):
            relay = self.relay(publish=("room",))
            client = WebSocketClient(relay).connect()
            client.wire.transport.ends_with_relay = False
            for _ in range(100):
                client.wire.send(flood)
            self.assertEqual((client.wire.closed, client.wire.transport.half_closed), (False, False))
            # It is read only so far in a turn.
            relay.turn()
            client.read()
            self.assertIsNotNone(client.close_received)
            relay.pass_time(UNANSWERED_CLOSE_SECONDS + 0.5)
            client.wire.send(flood)
            self.assertEqual((client.wire.closed, client.wire.transport.half_closed), (False, True))
            client.wire.half_close()
            self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))

    def test_flood_without_end_is_reset(self) -> None:
        client = WebSocketClient(self.relay()).connect()
        client.wire.transport.ends_with_relay = False
        megabyte = b"\x00" * 1024 * 1024
        for _ in range(MAX_DISCARDED_BYTES // len(megabyte) + 4):
            client.wire.send(megabyte)
        self.assertTrue(client.wire.transport.aborted)

    def test_open_client_that_ends_its_direction_is_closed(self) -> None:
        """It can answer no ping."""
        client = WebSocketClient(self.relay()).connect()
        client.wire.half_close()
        self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))
