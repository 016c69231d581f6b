"""Tests of wsrelay.transports.websocket.frame_parsing; those of its mendings are in tests/edge."""

from __future__ import annotations

from devtools.harness.http import client_frame
from tests.support.edge import EdgeCase
from tests.support.websocket_client import WebSocketClient


class FrameTests(EdgeCase):
    """Frames that a client sends."""

    def test_fragmented_message_is_published_as_one(self) -> None:
        relay = self.relay(publish=("room",))
        one, two = WebSocketClient(relay).connect(), WebSocketClient(relay).connect()
        one.protocol.send_text(b"hel", fin=False)
        one.protocol.send_continuation(b"lo", fin=True)
        one.flush()
        relay.turn()
        self.assertEqual(one.messages(), [b"hello"])
        self.assertEqual(two.messages(), [b"hello"])

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
