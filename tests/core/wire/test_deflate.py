"""Tests of `wsrelay.core.wire.deflate`, with a decompressor that knows nothing of any other message."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.deflate import LEAST_BYTES, WINDOW_BITS, Deflater


class DeflaterTests(SynchronousTestCase):
    """One compressor for all messages and all subscribers."""

    def test_message_that_can_be_compressed_comes_out_shorter(self) -> None:
        compressed = Deflater().compress(b"status: all is well; " * 50)
        assert compressed is not None
        self.assertLess(len(compressed), 100)
        self.assertEqual(_inflate(compressed), b"status: all is well; " * 50)

    def test_message_that_is_short_or_would_not_get_shorter_is_not_compressed(self) -> None:
        dense = zlib.compress(b"".join(b"%d" % number for number in range(1000)), 9)
        for data in (b"", b"x" * (LEAST_BYTES - 1), dense):
            self.assertIsNone(Deflater().compress(data))
        self.assertIsNotNone(Deflater().compress(b"x" * LEAST_BYTES))

    @given(st.lists(st.integers(0, 6000).flatmap(lambda size: st.binary(min_size=1, max_size=40).map(
        lambda seed: (seed * (size // len(seed) + 1))[:size])), max_size=8), st.sets(st.integers(0, 7)))  # fmt: skip
    def test_subscriber_that_gets_only_some_of_the_messages_reads_all_of_those(
        self, messages: list[bytes], missed: set[int]
    ) -> None:
        deflater = Deflater()
        compressed = [deflater.compress(data) for data in messages]
        received = [number for number in range(len(messages)) if number not in missed]
        inflated = [messages[number] if (data := compressed[number]) is None else _inflate(data) for number in received]
        self.assertEqual(inflated, [messages[number] for number in received])


def _inflate(compressed: bytes) -> bytes:
    """Return one message."""
    return zlib.decompressobj(-WINDOW_BITS).decompress(compressed + b"\x00\x00\xff\xff")
