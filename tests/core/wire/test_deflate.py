"""Tests of `wsrelay.core.wire.deflate`, judged by the extension of an independent client."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.frames import read_frames
from wsrelay.core.wire.deflate import LEAST_BYTES, Deflater


class DeflaterTests(SynchronousTestCase):
    """One compressor for all messages and all listeners."""

    def test_shorter(self) -> None:
        """What can be compressed comes out shorter, and is marked as compressed (RSV1)."""
        frame = Deflater().message_frame(b"status: all is well; " * 50)
        self.assertLess(len(frame), 100)
        self.assertEqual(frame[0], 0b1100_0001)

    def test_short_or_dense(self) -> None:
        """Short messages and those that would not get shorter stay as they are."""
        dense = zlib.compress(b"".join(b"%d" % number for number in range(1000)), 9)
        for payload in (b"", b"x" * (LEAST_BYTES - 1), dense):
            self.assertEqual(Deflater().message_frame(payload)[0] & 0x40, 0)
            self.assertEqual(read_frames(Deflater().message_frame(payload))[0].data, payload)

    @given(st.lists(st.integers(0, 6000).flatmap(lambda size: st.binary(min_size=1, max_size=40).map(
        lambda seed: (seed * (size // len(seed) + 1))[:size])), max_size=8), st.sets(st.integers(0, 7)))  # fmt: skip
    def test_any_stretch_can_be_read(self, payloads: list[bytes], missed: set[int]) -> None:
        """A listener that came late, or was sent only some of the messages, reads all it was sent."""
        deflater = Deflater()
        frames = [deflater.message_frame(payload) for payload in payloads]
        heard = [number for number in range(len(payloads)) if number not in missed]
        inflated = [_inflate(frames[number]) for number in heard]
        self.assertEqual(inflated, [payloads[number] for number in heard])


def _inflate(frame: bytes) -> bytes:
    """One frame's payload, by a decompressor that knows nothing of any other."""
    size = frame[1]
    start = 2 if size < 126 else 4
    payload = frame[start:]
    if not frame[0] & 0x40:
        return payload
    return zlib.decompressobj(-12).decompress(payload + b"\x00\x00\xff\xff")
