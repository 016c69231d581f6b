"""Reads what the relay puts on the wire, with an independent parser."""

from __future__ import annotations

from dataclasses import replace

from websockets.client import ClientProtocol
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from wsrelay.core.wire.deflate import WINDOW_BITS

__all__ = ["read_frames"]


class _FrameSizes(Extension):
    """Counts the bytes of the frames that were read, as they were on the wire."""

    def __init__(self) -> None:
        self.read = 0

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Count a frame and pass it on."""
        # The bit that marks a compressed frame takes no place, and only an extension may set it.
        self.read += len(replace(frame, rsv1=False).serialize(mask=False))
        return frame

    def encode(self, frame: Frame) -> Frame:
        """Leave what the client sends as it is."""
        return frame


def read_frames(data: bytes, *, torn: bool = False, is_deflated: bool = False) -> list[Frame]:
    """Return the frames in what a client received, as the sans-IO core of `websockets` reads them.

    Args:
        data: What came.
        torn: The connection broke, and the last frame need not be complete.
        is_deflated: The client agreed on permessage-deflate without context takeover, with the relay's window: frames
            may be compressed, and are returned inflated.

    Raises:
        AssertionError: They break RFC 6455 or RFC 7692, something follows a close frame, or the last one is not
            complete.
    """
    client = ClientProtocol(parse_uri("ws://relay.test/"), state=State.OPEN, max_size=None)
    sizes = _FrameSizes()
    # The last one decodes first.
    client.extensions = [*([PerMessageDeflate(True, True, WINDOW_BITS, WINDOW_BITS)] if is_deflated else []), sizes]
    client.receive_data(data)
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    if client.parser_exc is not None:
        raise AssertionError("the frames break RFC 6455") from client.parser_exc
    if sizes.read != len(data) and not (torn and client.close_rcvd is None):
        raise AssertionError(f"{len(data) - sizes.read} bytes are left behind the last complete frame")
    return frames
