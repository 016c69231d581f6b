"""RFC 6455 frames as a server sends them: never masked, never fragmented."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["SHORT_TEXT", "Opcode", "frame", "message_frame"]


class Opcode(IntEnum):
    """The frame types of RFC 6455 section 11.8 that the relay sends."""

    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_FIN = 0x80
_RSV1 = 0x40
SHORT_TEXT = tuple(bytes((_FIN | Opcode.TEXT, length)) for length in range(126))
"""The headers of short text frames, by the length of the message. Most messages are short: these are made once."""


def frame(opcode: Opcode, payload: bytes, *, compressed: bool = False) -> bytes:
    """Return one complete, unmasked frame (RFC 6455 section 5.2).

    Args:
        opcode: The frame's type.
        payload: The frame's content.
        compressed: Whether the payload is compressed: sets RSV1 (RFC 7692 section 6).
    """
    length = len(payload)
    first = _FIN | opcode | (_RSV1 if compressed else 0)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


def message_frame(data: bytes, is_binary: bool = False) -> bytes:
    """Return the frame of one message, not compressed (RFC 6455 section 5.6).

    Args:
        data: The message.
        is_binary: Whether it is binary. If False, it has to be valid UTF-8.
    """
    if len(data) < len(SHORT_TEXT) and not is_binary:
        return SHORT_TEXT[len(data)] + data
    return frame(Opcode.BINARY if is_binary else Opcode.TEXT, data)
