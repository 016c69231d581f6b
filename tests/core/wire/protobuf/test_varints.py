"""Tests of `wsrelay.core.wire.protobuf.varints`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.protobuf.varints import MAX_SHORT_BYTES, read_varint, signed, write_varint


class VarintTests(SynchronousTestCase):
    """Numbers of one to ten bytes."""

    def test_number_has_seven_bits_a_byte_the_lowest_first(self) -> None:
        for number, data in (
            (0, b"\0"),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (2**64 - 1, b"\xff" * 9 + b"\x01"),
        ):
            self.assertEqual(write_varint(number), data)
            self.assertEqual(read_varint(data, 0, len(data)), (number, len(data)))

    @given(st.integers(0, 2**64 - 1), st.binary(max_size=3), st.binary(max_size=3))
    def test_number_comes_back_from_the_middle_of_other_bytes(self, number: int, before: bytes, behind: bytes) -> None:
        data = before + write_varint(number)
        self.assertEqual(read_varint(data + behind, len(before), len(data + behind)), (number, len(data)))

    def test_number_may_be_longer_than_it_need_be(self) -> None:
        self.assertEqual(read_varint(b"\x81" + b"\x80" * 8 + b"\0", 0, 10), (1, 10))

    def test_bits_beyond_the_64th_are_dropped(self) -> None:
        self.assertEqual(read_varint(b"\x85" + b"\x80" * 8 + b"\x7e", 0, 10), (5, 10))

    def test_number_that_is_cut_short_is_refused(self) -> None:
        for data, end in ((b"", 0), (b"\x05", 0), (b"\x80", 1), (b"\x80\x80\x01", 2)):
            self.assertRaises(ValueError, read_varint, data, 0, end)

    def test_number_that_is_too_long_is_refused(self) -> None:
        self.assertRaises(ValueError, read_varint, b"\x80" * 10 + b"\x01", 0, 11)
        self.assertRaises(ValueError, read_varint, b"\x80" * 5 + b"\x01", 0, 6, MAX_SHORT_BYTES)

    @given(st.integers(-(2**31), 2**31 - 1))
    def test_signed_number_comes_back_from_its_complement(self, number: int) -> None:
        self.assertEqual(signed(number & 2**64 - 1, 32), number)
