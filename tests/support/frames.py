"""What the relay puts on the wire, read by somebody else's parser."""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

__all__ = ["read_frames"]


def read_frames(data: bytes, *, torn: bool = False) -> list[Frame]:
    """The frames in what a client received, as the sans-IO core of `websockets` reads them.

    Args:
        data: What came.
        torn: The connection broke, and the last frame need not be complete.

    Raises:
        AssertionError: They break RFC 6455, something follows a close frame, or the last one is not complete.
    """
    client = ClientProtocol(parse_uri("ws://relay.test/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    if client.parser_exc is not None:
        raise AssertionError("the frames break RFC 6455") from client.parser_exc
    read = sum(len(frame.serialize(mask=False)) for frame in frames)
    if read != len(data) and not (torn and client.close_rcvd is None):
        raise AssertionError(f"{len(data) - read} bytes are left behind the last complete frame")
    return frames
