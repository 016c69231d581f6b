"""Raw clients that only publish, the whole relay in memory."""

from __future__ import annotations

from tests.support.edge import EdgeCase
from tests.support.event_source import StreamClient
from tests.support.websocket_client import WebSocketClient


class OnlyPublishingTests(EdgeCase):
    """A WebSocket beside an event stream."""

    def test_message_reaches_the_stream_and_not_the_socket_that_sent_it(self) -> None:
        relay = self.relay(publish=("room",))
        stream = StreamClient(relay, "/sse/room")
        client = WebSocketClient(relay, "/ws/room?subscribe=false").connect()
        client.protocol.send_text(b"hello")
        client.flush()
        relay.turn()
        self.assertEqual(stream.events(), ["hello"])
        self.assertEqual((client.messages(), client.close_received), ([], None))

    def test_socket_subscribes_this_process_to_nothing(self) -> None:
        relay = self.relay(publish=("room",))
        client = WebSocketClient(relay, "/ws/room?subscribe=false").connect()
        self.assertEqual(len(relay.node.subscriptions), 0)
        client.wire.hang_up()
        self.assertEqual(len(relay.node.subscriptions), 0)

    def test_message_that_is_not_permitted_closes_it(self) -> None:
        relay = self.relay(channels=("room",))
        client = WebSocketClient(relay, "/ws/room?subscribe=false").connect()
        client.protocol.send_text(b"hello")
        client.flush()
        client.read()
        self.assertEqual(client.close_received, (4503, "publishing not permitted"))
