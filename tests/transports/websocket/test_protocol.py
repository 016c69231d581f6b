"""Tests of wsrelay.transports.websocket.protocol: conversations and slow clients of the raw dialect."""

from __future__ import annotations

from typing import Any

from websockets.frames import Opcode as FrameOpcode

from devtools.harness.http import answers, client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.core.messaging.payload_type import PayloadType
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import Opcode, frame, message_frame
from wsrelay.core.wire.http_response import ErrorResponse


class ConversationTests(EdgeCase):
    """While it is open."""

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

    def test_publishing_without_permission_closes_with_4503(self) -> None:
        client = WebSocketClient(self.relay()).connect()
        client.protocol.send_text(b"hello")
        client.flush()
        client.read()
        self.assertEqual(client.close_received, (4503, "publishing not permitted"))

    def test_gap_of_a_connection_without_client_has_no_effect(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(upgrade(version="8"))
        wire.connection.report_gap("room")
        self.assertEqual([answer.status for answer in answers(wire.read())], [426])

    def test_no_ping_follows_the_close_frame(self) -> None:
        relay = self.relay(close_timeout_seconds=60)
        client = WebSocketClient(relay).connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        relay.pass_time(50)
        self.assertEqual(client.read(), [])

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
