"""permessage-deflate (RFC 7692) for messages that many connections share.

A server that keeps a compression context for each connection compresses every message anew for each of them, and pays
for it with some hundred kilobytes of memory a connection. Without context takeover (section 7.1.1.1) a message's
compressed form depends on nothing but the message: it is made once and sent to everybody.
"""

from __future__ import annotations

import zlib

__all__ = ["Deflater"]

WINDOW_BITS = 12
"""A window of 4 KiB: messages are shorter than that, and a client's memory for it is small."""

LEVEL = 6
MEMORY_LEVEL = 5

LEAST_BYTES = 128
"""Shorter messages stay as they are, which section 6 allows for each: compressing them gains nothing."""

_TAIL = b"\x00\x00\xff\xff"


class Deflater:
    """Compresses messages, each independent of all others.

    One compressor serves all messages: after Z_FULL_FLUSH it refers to nothing before (zlib manual, deflate), which is
    what a new one would do, without its allocation for every message.
    """

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)

    def compress(self, data: bytes) -> bytes | None:
        """Return the compressed form of a message, or None if it would not be shorter."""
        if len(data) < LEAST_BYTES:
            return None
        compressed = self._compressor.compress(data) + self._compressor.flush(zlib.Z_FULL_FLUSH)
        # Section 7.2.1: the empty block that a flush ends with is not sent.
        compressed = compressed.removesuffix(_TAIL)
        return compressed if len(compressed) < len(data) else None
