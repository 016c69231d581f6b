"""A short way for the reads that nearly all are: a pong, or a few complete messages that are short.

Autobahn parses frames in any cut, with an object for the header, one for the mask and a validator, in a dozen calls:
20 to 30 us for a pong or a message. Here a read that begins between two frames is looked at as a whole, and of the
frames that stand in it complete, those are taken that nobody can read in two ways: final, masked, no reserved bit, the
shortest form of the length, and text that is valid. At the first frame that is anything else the rest goes the ordinary
way, so that each error, its code and its text are Autobahn's; what is taken here has the same effects in either way
(tests/transports/websocket/test_fast_reads.py compares them).

It depends on four of Autobahn's attributes, `state`, `data`, `current_frame` and `inside_message`. If a version of it
keeps its state in any other form, `has_known_state` returns False, and every read goes the ordinary way.
"""

from __future__ import annotations

from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.xormasker import create_xor_masker

from wsrelay.core.messaging.messages import is_text
from wsrelay.core.wire.frames import Opcode

__all__ = ["FrameReceiver", "has_known_state", "read_frames", "unmask"]

_FIN = 0x80
_TEXT = _FIN | Opcode.TEXT
_BINARY = _FIN | Opcode.BINARY
_PING = _FIN | Opcode.PING
_PONG = _FIN | Opcode.PONG

_MESSAGES = (_TEXT, _BINARY)
_SHORT_CONTROLS = (_PONG, _PING)

_MASKED = 0x80
_LONGEST_SHORT = 125
_TWO_BYTES = 126
_MIN_FRAME_BYTES = 6

_MAX_NUMBER_BYTES = 1000
"""Up to this length the unmasking of a payload as one number takes less time than an object for it (measured)."""

_OPEN = WebSocketProtocol.STATE_OPEN


class FrameReceiver(Protocol):
    """The parts of a connection that a read needs; those with names like Autobahn's are its own.

    Attributes:
        state: The state of the connection.
        inside_message: Whether a message has begun whose last fragment has not come.
        maxMessagePayloadSize: How long a message may be, in bytes.
    """

    state: int
    inside_message: bool
    maxMessagePayloadSize: int  # noqa: N815 -- Autobahn's name

    def answers_ping(self, payload: bytes) -> bool:
        """Return whether a pong is the one that is waited for; it is then taken as that."""

    def is_within_rate(self, frames: int, size: int) -> bool:
        """Count frames and bytes; return False if they are too many, and the connection is being closed."""

    def onPing(self, payload: bytes) -> None:
        """Take a ping."""

    def message_received(self, payload: bytes, is_binary: bool) -> bool:
        """Take a message that came in one frame, and return whether the connection takes more of them."""


def unmask(data: bytes, start: int, end: int) -> bytes:
    """Return the payload of a masked frame (RFC 6455 section 5.3).

    Args:
        data: What contains the frame.
        start: Where the payload begins, behind its mask.
        end: Where it ends.
    """
    size = end - start
    mask = data[start - 4 : start]
    if size > _MAX_NUMBER_BYTES:
        unmasked: bytes = create_xor_masker(mask, size).process(data[start:end])
        return unmasked
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data[start:end], "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def read_frames(connection: FrameReceiver, data: bytes, *, is_counted: bool = False) -> int:
    """Take the frames at the beginning of a read that are simple.

    Args:
        connection: The connection, open and between two frames.
        data: All that was read.
        is_counted: Whether its bytes have been counted already.

    Returns:
        The number of bytes taken. If it is 0, nothing has been counted either; if not, all bytes of the read have.
    """
    position, length = 0, len(data)
    uncounted = 0 if is_counted else length
    while length - position >= _MIN_FRAME_BYTES:
        first, size, start = data[position], data[position + 1] - _MASKED, position + _MIN_FRAME_BYTES
        if size > _LONGEST_SHORT:
            if size > _TWO_BYTES or first >= _PING:
                break
            size = data[position + 2] << 8 | data[position + 3]
            start += 2
            if size <= _LONGEST_SHORT:
                break
        end = start + size
        if size < 0 or end > length:
            break
        if first in _MESSAGES:
            if connection.inside_message or size > connection.maxMessagePayloadSize:
                break
        elif first not in _SHORT_CONTROLS:
            break
        payload = unmask(data, start, end) if size else b""
        if first == _TEXT and not is_text(payload):
            break
        if first == _PONG and connection.answers_ping(payload) and size + _MIN_FRAME_BYTES == length:
            # There is one for each ping of ours: it needs no other bound.
            return length
        # The bytes of a read count when it comes, and each frame as it is reached.
        if not connection.is_within_rate(1, uncounted):
            return length
        uncounted = 0
        position = end
        if first == _PING:
            connection.onPing(payload)
            if connection.state != _OPEN:
                # It does not read, and its outbox is full.
                break
        elif first != _PONG and not connection.message_received(payload, first == _BINARY):
            break
    return position


def has_known_state(factory: object) -> bool:
    """Return whether this version of Autobahn keeps its state in the form that is read here.

    Args:
        factory: A factory of the kind that connections get.
    """
    sample: Any = WebSocketServerProtocol()
    sample.factory = factory
    # No timer for a connection that is none.
    sample.openHandshakeTimeout = 0
    try:
        WebSocketProtocol._connectionMade(sample)  # noqa: SLF001 -- no public way
        # As the end of the handshake leaves them.
        sample.state, sample.current_frame, sample.inside_message = _OPEN, None, False
        return all(_feed(sample, part) == state for part, state in _KNOWN_STATES)
    except Exception:  # noqa: BLE001 -- of a version that we do not know, anything can be expected
        return False


def _feed(sample: Any, data: bytes) -> tuple[object, ...]:
    sample.data += data
    sample.processData()
    return sample.state, sample.data, sample.current_frame is None, sample.inside_message


_KNOWN_STATES = (
    (b"", (_OPEN, b"", True, False)),
    # One byte of a fragment, and the rest of its head.
    (b"\x01", (_OPEN, b"\x01", True, False)),
    (b"\x82\0\0\0\0", (_OPEN, b"", False, True)),
)
"""Parts of what a client sends, and the state behind each: whether a frame, and whether a message has begun."""
