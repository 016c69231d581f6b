"""Tests of `wsrelay.core.wire.protobuf.reading`."""

from __future__ import annotations

from typing import Any, SupportsIndex

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.protobuf.everything import EVERYTHING, GOOGLE
from tests.support.google_protobuf import damaged, known_fields
from wsrelay.core.wire.protobuf import Document, decode, read_block, write_block

MESSAGES = GOOGLE.documents().map(GOOGLE.write)
HOSTILE = st.one_of(damaged(MESSAGES), damaged(st.lists(MESSAGES, max_size=3).map(b"".join)), st.binary(max_size=40))


def read(data: bytes) -> Document | str:
    """Return the document of a message without zeros, or the text of the error."""
    try:
        return known_fields(EVERYTHING, decode(EVERYTHING, data))
    except ValueError as error:
        return str(error)


class MeteredBytes(bytes):
    """Bytes that count how many of them are looked at.

    Attributes:
        looks: How many so far.
    """

    looks = 0

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found: Any = super().__getitem__(index)
        self.looks += len(found) if isinstance(index, slice) else 1
        return found


class ReadingTests(SynchronousTestCase):
    """Messages of every kind of field."""

    def test_message_becomes_a_document(self) -> None:
        for data, document in (
            (b"", {}),
            (b"\x08\x01", {"flag": True}),
            (b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", {"small": -1}),
            (b"\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", {"large": -(2**63)}),
            (b"\x20\xac\x02", {"count": 300}),
            (b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", {"offset": 2**64 - 1}),
            (b"\x32\x03h\xc3\xa9", {"text": "hé"}),
            (b"\x3a\x02\xff\x00", {"data": b"\xff\0"}),
            (b"\x4a\x01a\x4a\x00", {"texts": ["a", ""]}),
            (b"\x52\x00\x52\x03\x12\x01n", {"branches": [{}, {"note": "n"}]}),
            (b"\x7a\x00", {"empty": {}}),
            (b"\x82\x01\x07\x0a\x05\x0a\x01a\x10\x05", {"branch": {"leaf": {"name": "a", "number": 5}}}),
            (b"\x80\x7d\x01", {"far": True}),
        ):
            self.assertEqual(decode(EVERYTHING, data), document)

    def test_last_value_of_a_field_counts(self) -> None:
        self.assertEqual(decode(EVERYTHING, b"\x20\x05\x32\x01a\x20\x00\x32\x00"), {"count": 0, "text": ""})

    def test_messages_of_a_field_are_merged(self) -> None:
        data = b"\x82\x01\x04\x0a\x02\x10\x05\x82\x01\x05\x0a\x03\x0a\x01a"
        self.assertEqual(decode(EVERYTHING, data), {"branch": {"leaf": {"name": "a", "number": 5}}})

    def test_numbers_of_a_list_come_one_by_one_or_packed(self) -> None:
        self.assertEqual(
            decode(EVERYTHING, b"\x40\x01\x42\x03\x02\xac\x02\x42\x00\x40\x03"), {"numbers": [1, 2, 300, 3]}
        )

    def test_map_has_the_last_value_of_a_key(self) -> None:
        data = b"\x5a\x06\x0a\x01k\x12\x01a\x5a\x06\x0a\x01k\x12\x01b\x5a\x06\x12\x01d\x0a\x01c"
        self.assertEqual(decode(EVERYTHING, data), {"tags": {"k": "b", "c": "d"}})

    def test_messages_of_a_map_are_not_merged_between_entries(self) -> None:
        data = b"\x72\x07\x0a\x01k\x12\x02\x10\x05\x72\x08\x0a\x01k\x12\x03\x0a\x01n"
        self.assertEqual(decode(EVERYTHING, data), {"leaves": {"k": {"name": "n"}}})

    def test_entry_without_key_or_value_has_their_zeros(self) -> None:
        for data, document in (
            (b"\x5a\x00", {"tags": {"": ""}}),
            (b"\x62\x03\x0a\x01k", {"blobs": {"k": b""}}),
            (b"\x6a\x03\x0a\x01k", {"counts": {"k": 0}}),
            (b"\x72\x03\x0a\x01k", {"leaves": {"k": {}}}),
            (b"\x92\x7d\x03\x0a\x01k", {"flags": {"k": False}}),
        ):
            self.assertEqual(decode(EVERYTHING, data), document)

    def test_entries_without_a_value_share_no_message(self) -> None:
        leaves = decode(EVERYTHING, b"\x72\x03\x0a\x01a\x72\x03\x0a\x01b")["leaves"]
        self.assertIsNot(leaves["a"], leaves["b"])

    def test_bits_that_a_kind_has_no_room_for_are_dropped(self) -> None:
        data = b"\x08\x80\x02\x10\xff\xff\xff\xff\x0f\x20\x85\x80\x80\x80\x10"
        self.assertEqual(decode(EVERYTHING, data), {"flag": True, "small": -1, "count": 5})

    def test_unknown_field_is_skipped(self) -> None:
        for unknown in (b"\xa0\x06\xac\x02", b"\xa1\x0612345678", b"\xa2\x06\x02\xff\xff", b"\xa5\x061234"):
            self.assertEqual(decode(EVERYTHING, unknown + b"\x20\x05" + unknown), {"count": 5})

    def test_field_of_another_wire_type_is_skipped(self) -> None:
        self.assertEqual(decode(EVERYTHING, b"\x22\x01\x05\x30\x05\x3d1234\x80\x01\x05\x20\x07"), {"count": 7})

    def test_malformed_message_is_refused(self) -> None:
        for data in (
            b"\x08",  # no value
            b"\x08" + b"\x80" * 10 + b"\x01",  # a number that is too long
            b"\x88\x80\x80\x80\x80\x00\x01",  # a tag that is too long
            b"\xf8\xff\xff\xff\x7f\x01",  # a tag beyond 32 bits
            b"\x00\x01",  # field number 0
            b"\x32\x02a",  # a text that is cut short
            b"\x32\x81\x80\x80\x80\x80\x00a",  # a length that is too long
            b"\x32\xff\xff\xff\xff\x7f",
            b"\x32\x01\xff",  # no UTF-8
            b"\x32\x03\xed\xa0\x80",  # half of a surrogate pair
            b"\x5a\x03\x0a\x01\xff",
            b"\x82\x01\x02\x0a\x01",  # a message that is longer than the one around it
            b"\x82\x01\x01\x0a\x20\x05",
            b"\x42\x01\x80\x01",  # a number that is longer than its block
            b"\xa1\x061234567",  # unknown fields that are cut short
            b"\xa5\x06123",
            b"\xa2\x06\x02a",
            b"\xa0\x06\x80",
            b"\x0b\x0c",  # a group
            b"\x0c",
            b"\x0e",  # no wire type
            b"\x0f",
        ):
            self.assertRaises(ValueError, decode, EVERYTHING, data)

    @given(GOOGLE.documents())
    def test_message_of_another_writer_becomes_its_document(self, document: Document) -> None:
        self.assertEqual(read(GOOGLE.write(document)), known_fields(EVERYTHING, document))

    @given(HOSTILE)
    def test_hostile_bytes_are_what_they_are_for_another_reader(self, data: bytes) -> None:
        found, expected = read(data), GOOGLE.read(data)
        if isinstance(found, dict):
            self.assertEqual(found, expected and known_fields(EVERYTHING, expected))
        elif "group" not in found:
            self.assertIsNone(expected, found)

    @given(st.lists(HOSTILE, max_size=5).map(b"".join).map(MeteredBytes))
    def test_every_byte_is_looked_at_a_few_times_at_most(self, data: MeteredBytes) -> None:
        read(data)
        self.assertLessEqual(data.looks, 8 * len(data))

    def test_large_hostile_message_is_looked_at_a_few_times(self) -> None:
        for data in (
            b"\x82\x01\x00" * 2_000,
            b"\x82\x01" + write_block(b"\x0a" + write_block(b"\x0a\x00" * 2_000)),
            b"\x52\x00" * 2_000,
            b"\x72\x04\x12\x02\x10\x05" * 2_000,
            b"\x42" + write_block(b"\x80\x00" * 2_000),
            b"\x3a" + write_block(bytes(2_000)),
            b"\xa0\x06" + b"\x80" * 2_000,
            b"\x80" * 2_000,
        ):
            metered = MeteredBytes(data)
            read(metered)
            self.assertLessEqual(metered.looks, 8 * len(data))


class BlockTests(SynchronousTestCase):
    """Bytes behind their length."""

    def test_blocks_follow_each_other(self) -> None:
        data = b"\x02ab\x00\x01c"
        self.assertEqual(read_block(data, 0), (b"ab", 3))
        self.assertEqual(read_block(data, 3), (b"", 4))
        self.assertEqual(read_block(data, 4), (b"c", 6))

    def test_block_that_is_cut_short_is_refused(self) -> None:
        for data in (b"", b"\x01", b"\x80", b"\x05abcd", b"\xff\xff\xff\xff\x0fabc", b"\x81\x80\x80\x80\x80\x00a"):
            self.assertRaises(ValueError, read_block, data, 0)
