"""Raw clients that ask for the newest messages first, the whole relay in memory."""

from __future__ import annotations

from tests.support.edge import EdgeCase
from tests.support.websocket_client import WebSocketClient


class RawHistoryTests(EdgeCase):
    """`?history=N`."""

    def test_newest_messages_come_first_whether_or_not_this_process_has_read_them(self) -> None:
        """It has them in the moment in which the client connects, before the 101."""
        relay = self.relay(publish=("room",), history_size=10)
        writer = WebSocketClient(relay, "/ws/room?subscribe=false").connect()
        for text in (b"1", b"2", b"3"):
            writer.protocol.send_text(text)
        writer.flush()
        relay.turn()
        for _ in range(2):
            client = WebSocketClient(relay, "/ws/room?history=2").connect()
            relay.turn()
            self.assertEqual(client.messages() or [bytes(each.data) for each in client.frames], [b"2", b"3"])
        writer.protocol.send_text(b"4")
        writer.flush()
        relay.turn()
        self.assertEqual(client.messages(), [b"4"])
