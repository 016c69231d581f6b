"""Tests of wsrelay.transports.websocket.protocol: handshakes, conversations and slow clients of the raw dialect."""

from __future__ import annotations

from typing import Any

from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State

from devtools.harness.http import answers, client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.core.messaging.payload_type import PayloadType
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import Opcode, frame, message_frame
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.raw import RawDialect
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.lingering_close import MAX_DISCARDED_BYTES, REJECTED_CLIENT_LINGER_SECONDS
from wsrelay.transports.websocket.protocol import UNANSWERED_CLOSE_SECONDS


class HandshakeTests(EdgeCase):
    """From the head to the open connection."""

    def test_text_is_received_as_text_and_other_bytes_as_binary(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay).connect()
        relay.publish(b"hello", b"\xff")
        frames = client.read()
        self.assertEqual([frame.opcode for frame in frames], [FrameOpcode.TEXT, FrameOpcode.BINARY])
        self.assertEqual([bytes(frame.data) for frame in frames], [b"hello", b"\xff"])

    def test_namespace_decides_the_type_of_frame(self) -> None:
        messages = (b"\x08\x01", b"\x08\x96\x01", b"")
        for frames, opcodes in (
            (FrameType.AUTO, [FrameOpcode.TEXT, FrameOpcode.BINARY, FrameOpcode.TEXT]),
            (FrameType.TEXT, [FrameOpcode.TEXT, FrameOpcode.TEXT]),
            (FrameType.BINARY, [FrameOpcode.BINARY] * 3),
        ):
            relay = self.relay(frames=frames)
            client = WebSocketClient(relay).connect()
            relay.publish(*messages)
            self.assertEqual([frame.opcode for frame in client.read()], opcodes)
            self.assertEqual(relay.node.counters.publications_not_text, int(frames is FrameType.TEXT))

    def test_namespace_that_asks_for_json_sends_nothing_else_to_anybody(self) -> None:
        relay = self.relay(namespaces=(Namespace("room", ("room",), payload=PayloadType.JSON),), publish=())
        client = WebSocketClient(relay).connect()
        relay.publish(b"[1]", b"text", b"\xff", b"{}")
        self.assertEqual([bytes(frame.data) for frame in client.read()], [b"[1]", b"{}"])
        self.assertEqual(relay.node.counters.publications_not_json, 2)

    def test_binary_message_of_a_client_stays_binary_where_frames_are(self) -> None:
        relay = self.relay(frames=FrameType.BINARY, publish=("room",))
        client = WebSocketClient(relay).connect()
        client.protocol.send_binary(b"\x08\x01")
        client.flush()
        relay.turn()
        self.assertEqual([frame.opcode for frame in client.read()], [FrameOpcode.BINARY])

    def test_101_names_no_server_no_extension_and_no_subprotocol(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual(answer.status, 101)
        self.assertEqual(
            answer.headers,
            {
                "upgrade": "WebSocket",
                "connection": "Upgrade",
                "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            },
        )

    def test_handshake_is_completed_when_the_broker_has_confirmed_the_channel(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker)
        client = WebSocketClient(relay)
        client.send_handshake()
        client.read()
        self.assertIs(client.protocol.state, State.CONNECTING)
        self.assertEqual(relay.connections.open_connections(), ())
        relay.node.subscribed("room")
        client.read()
        self.assertIs(client.protocol.state, State.OPEN)

    def test_unconfirmed_channel_is_rejected_with_503_and_retry_after(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        relay.pass_time(5.5)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertTrue(wire.closed)

    def test_malformed_channel_is_rejected_with_400_and_unknown_one_with_404(self) -> None:
        relay = self.relay(channels=("room",))
        for path, status in (("/ws/", 400), ("/ws/a/b", 400), ("/ws/%ff", 400), ("/ws/other", 404)):
            wire = ClientWire(relay)
            wire.send(upgrade(path))
            self.assertEqual([answer.status for answer in answers(wire.read())], [status])
            self.assertTrue(wire.closed)

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

    def test_drain_rejects_a_pending_handshake_with_503_and_retry_after_1(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.connection.close(Disconnect.RESTART)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))

    def test_handshake_confirmed_after_the_drain_began_is_rejected_with_503(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        relay.connections.start_draining()
        relay.node.subscribed("room")
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertEqual(len(relay.connections), 0)

    def test_exception_in_a_handshake_is_logged_and_answered_with_500_without_its_text(self) -> None:
        class _Broken(FakeBroker):
            def subscribe(self, channels: object) -> None:
                raise ValueError("secret")

        wire = ClientWire(InMemoryRelay(_Broken()))
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.body), (500, b"The relay failed; its log has the traceback.\n"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_factory_builds_no_protocol_for_a_port(self) -> None:
        self.assertIsNone(self.relay().websockets.buildProtocol(None))  # type: ignore[arg-type, func-returns-value]


class ConversationTests(EdgeCase):
    """While it is open, and how it ends."""

    def test_fragmented_message_is_published_as_one(self) -> None:
        relay = self.relay(publish=("room",))
        one, two = WebSocketClient(relay).connect(), WebSocketClient(relay).connect()
        one.protocol.send_text(b"hel", fin=False)
        one.protocol.send_continuation(b"lo", fin=True)
        one.flush()
        relay.turn()
        self.assertEqual(one.messages(), [b"hello"])
        self.assertEqual(two.messages(), [b"hello"])

    def test_publishing_without_permission_closes_with_4503(self) -> None:
        client = WebSocketClient(self.relay()).connect()
        client.protocol.send_text(b"hello")
        client.flush()
        client.read()
        self.assertEqual(client.close_received, (4503, "publishing not permitted"))

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

    def test_gap_of_a_connection_without_client_has_no_effect(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(upgrade(version="8"))
        wire.connection.report_gap("room")
        self.assertEqual([answer.status for answer in answers(wire.read())], [426])

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

    def test_client_that_ends_its_direction_during_its_handshake_is_answered_and_closed(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.half_close()
        self.assertFalse(wire.closed)
        relay.node.subscribed("room")
        self.assertTrue(wire.read().startswith(b"HTTP/1.1 101 "))
        self.assertEqual((wire.closed, wire.transport.aborted), (True, False))

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

    def test_no_ping_follows_the_close_frame(self) -> None:
        relay = self.relay(close_timeout_seconds=60)
        client = WebSocketClient(relay).connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        relay.pass_time(50)
        self.assertEqual(client.read(), [])

    def test_open_client_that_ends_its_direction_is_closed(self) -> None:
        """It can answer no ping."""
        client = WebSocketClient(self.relay()).connect()
        client.wire.half_close()
        self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))

    def test_calls_after_the_end_have_no_effect(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay).connect()
        connection, writer = client.wire.connection, client.wire.connection.writer
        client.wire.hang_up()
        writer.send(message_frame(b"late"))
        writer.close(Disconnect.RESTART)
        connection.close(Disconnect.RESTART)
        connection.accept(None)
        connection.reject(ErrorResponse(400, "late"))
        writer.on_blocked()
        writer.send(message_frame(b"late"))
        writer.on_drained()
        connection.dataReceived(client_frame(0x81, b"late"))
        self.assertEqual(client.wire.read(), b"")


class SlowClientTests(EdgeCase):
    """Clients that do not read."""

    def test_messages_for_a_full_transport_wait_and_keep_their_order(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay).connect()
        messages = [bytes((65 + number,)) * 30000 for number in range(10)]
        relay.publish(*messages[:3])
        for message in messages[3:]:
            relay.publish(message)
        received = []
        while got := client.messages():
            received += got
        self.assertEqual(received, messages)

    def test_full_outbox_closes_with_4008_and_drops_what_waits(self) -> None:
        relay = self.relay(max_outbox_bytes=100_000)
        client = WebSocketClient(relay).connect()
        messages = [bytes((65 + number,)) * 40000 for number in range(8)]
        for message in messages:
            relay.publish(message)
        outbox: Any = client.wire.connection.writer._outbox
        close_frame = frame(Opcode.CLOSE, b"\x0f\xa8slow consumer, reconnect")
        self.assertEqual(outbox.size, len(close_frame))
        self.assertEqual(client.messages(), messages[:2])
        self.assertEqual(client.messages(), [])
        self.assertEqual(client.close_received, (4008, "slow consumer, reconnect"))

    def test_policy_drop_counts_dropped_batches_and_keeps_the_connection(self) -> None:
        namespaces = (Namespace("room", ("room",), slow_consumer_policy=SlowPolicy.DROP),)
        relay = self.relay(namespaces=namespaces, max_outbox_bytes=100_000)
        client = WebSocketClient(relay).connect()
        messages = [bytes((65 + number,)) * 40_000 for number in range(8)]
        for message in messages:
            relay.publish(message)
        received = []
        while got := client.messages():
            received += got
        # The transport took two, and two more fitted into the outbox.
        self.assertEqual(received, messages[:4])
        self.assertEqual((relay.node.counters.batches_dropped, client.close_received), (4, None))

    def test_pongs_count_against_the_outbox_of_a_client_that_does_not_read(self) -> None:
        relay = self.relay(max_outbox_bytes=10_000, max_frames_per_second=10_000)
        client = WebSocketClient(relay).connect()
        ping = client_frame(0x89, b"x" * 125)
        for _ in range(2000):
            client.wire.send(ping)
        waiting = len(client.wire.transport.value())
        self.assertLess(waiting, client.wire.transport.high_water + 1000)
        client.read()
        self.assertIsNone(client.close_received)
        client.read()
        self.assertEqual(client.close_received, (4008, "slow consumer, reconnect"))
