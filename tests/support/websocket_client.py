"""The relay's whole edge without a port, and visitors that knock at it.

The client half of every WebSocket here is the sans-IO `websockets.client.ClientProtocol`: neither Autobahn's parser nor
ours judges what Autobahn and we have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.base import ClientExtensionFactory
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.support.in_memory_relay import ClientWire, InMemoryRelay

__all__ = ["WebSocketClient"]


class WebSocketClient:
    """A WebSocket client on a wire. It answers pings and closes only when `flush` is called.

    Args:
        house: Where it knocks.
        path: At which door.
        extensions: What it offers.
        subprotocols: What it offers.
        transport: What the relay writes to, or None for a transport in memory.

    Attributes:
        frames: The frames it was sent.
    """

    def __init__(
        self,
        house: InMemoryRelay,
        path: str = "/ws/room",
        *,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        transport: Any = None,
    ) -> None:
        self.wire = ClientWire(house, transport)
        offered = [Subprotocol(name) for name in subprotocols] if subprotocols is not None else None
        uri = parse_uri(f"ws://relay.example{path}")
        self.protocol = ClientProtocol(uri, extensions=extensions, subprotocols=offered, max_size=None)
        self.frames: list[Frame] = []

    def knock(self) -> None:
        """Send the handshake."""
        self.protocol.send_request(self.protocol.connect())
        self.flush()

    def enter(self) -> WebSocketClient:
        """Knock and be let in."""
        self.knock()
        self.read()
        assert self.protocol.state is State.OPEN, self.protocol.handshake_exc
        return self

    def flush(self) -> None:
        """Let what the client has to say arrive."""
        for data in self.protocol.data_to_send():
            self.wire.send(data)

    def read(self) -> list[Frame]:
        """What the client gets to read now."""
        data = self.wire.read()
        if data:
            self.protocol.receive_data(data)
        if self.wire.closed:
            self.protocol.receive_eof()
        frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        self.frames += frames
        return frames

    def messages(self) -> list[bytes]:
        """The payloads of the messages that can be read now."""
        data_frames = (FrameOpcode.TEXT, FrameOpcode.BINARY)
        return [bytes(frame.data) for frame in self.read() if frame.opcode in data_frames]

    @property
    def goodbye(self) -> tuple[int, str] | None:
        """Code and reason of the close frame that came."""
        close = self.protocol.close_rcvd
        return None if close is None else (close.code, close.reason)
