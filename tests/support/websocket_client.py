"""WebSocket clients of a relay without a port.

Their protocol is the sans-IO `websockets.client.ClientProtocol`: neither Autobahn's parser nor the relay's own code
judges what the two have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

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
        relay: The relay.
        path: The path of its request.
        extensions: The extensions that it offers.
        subprotocols: The subprotocols that it offers.
        transport: What the relay writes to. If None, a transport in memory.

    Attributes:
        frames: The frames that it has received.
    """

    def __init__(
        self,
        relay: InMemoryRelay,
        path: str = "/ws/room",
        *,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        transport: Any = None,
    ) -> None:
        self.wire = ClientWire(relay, transport)
        offered = [Subprotocol(name) for name in subprotocols] if subprotocols is not None else None
        uri = parse_uri(f"ws://relay.example{path}")
        self.protocol = ClientProtocol(uri, extensions=extensions, subprotocols=offered, max_size=None)
        self.frames: list[Frame] = []

    def send_handshake(self) -> None:
        """Send the handshake."""
        self.protocol.send_request(self.protocol.connect())
        self.flush()

    def connect(self) -> Self:
        """Send the handshake and read the 101.

        Raises:
            AssertionError: The relay did not accept it.
        """
        self.send_handshake()
        self.read()
        assert self.protocol.state is State.OPEN, self.protocol.handshake_exc
        return self

    def flush(self) -> None:
        """Send the relay what the protocol has made: frames, pongs, the answer to a close frame."""
        for data in self.protocol.data_to_send():
            self.wire.send(data)

    def read(self) -> list[Frame]:
        """Return the frames that the relay has sent since the last call."""
        data = self.wire.read()
        if data:
            self.protocol.receive_data(data)
        if self.wire.closed:
            self.protocol.receive_eof()
        frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        self.frames += frames
        return frames

    def messages(self) -> list[bytes]:
        """Return the payloads of the messages that the relay has sent since the last call."""
        data_frames = (FrameOpcode.TEXT, FrameOpcode.BINARY)
        return [bytes(frame.data) for frame in self.read() if frame.opcode in data_frames]

    @property
    def close_received(self) -> tuple[int, str] | None:
        """Code and reason of the close frame that it has received, or None."""
        close = self.protocol.close_rcvd
        return None if close is None else (close.code, close.reason)
