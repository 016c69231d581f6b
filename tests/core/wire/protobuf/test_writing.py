"""Tests of `wsrelay.core.wire.protobuf.writing`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.wire.protobuf.everything import EVERYTHING, GOOGLE
from tests.support.google_protobuf import known_fields
from wsrelay.core.wire.protobuf import Document, decode, encode, read_block, write_block


class WritingTests(SynchronousTestCase):
    """Messages of every kind of field."""

    def test_document_becomes_a_message(self) -> None:
        for document, data in (
            ({}, b""),
            ({"flag": True}, b"\x08\x01"),
            ({"small": -1}, b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            ({"count": 300}, b"\x20\xac\x02"),
            ({"text": "hé"}, b"\x32\x03h\xc3\xa9"),
            ({"data": b"\xff\0"}, b"\x3a\x02\xff\x00"),
            ({"texts": ["a", ""]}, b"\x4a\x01a\x4a\x00"),
            ({"branches": [{}, {"note": "n"}]}, b"\x52\x00\x52\x03\x12\x01n"),
            ({"branch": {"leaf": {"name": "a"}}}, b"\x82\x01\x05\x0a\x03\x0a\x01a"),
            ({"far": True}, b"\x80\x7d\x01"),
        ):
            self.assertEqual(encode(EVERYTHING, document), data)

    def test_fields_are_in_the_order_of_their_numbers(self) -> None:
        self.assertEqual(encode(EVERYTHING, {"text": "a", "branch": {}, "count": 5}), b"\x20\x05\x32\x01a\x82\x01\x00")

    def test_zeros_are_left_out(self) -> None:
        zeros: Document = {"flag": False, "count": 0, "text": "", "data": b"", "texts": [], "tags": {}}
        self.assertEqual(encode(EVERYTHING, zeros), b"")

    def test_empty_message_is_written(self) -> None:
        self.assertEqual(encode(EVERYTHING, {"empty": {}}), b"\x7a\x00")

    def test_entry_of_a_map_has_its_key_and_value_even_if_they_are_zero(self) -> None:
        for document, data in (
            ({"tags": {"k": "v"}}, b"\x5a\x06\x0a\x01k\x12\x01v"),
            ({"tags": {"": ""}}, b"\x5a\x04\x0a\x00\x12\x00"),
            ({"counts": {"k": 0}}, b"\x6a\x05\x0a\x01k\x10\x00"),
            ({"leaves": {"k": {}}}, b"\x72\x05\x0a\x01k\x12\x00"),
        ):
            self.assertEqual(encode(EVERYTHING, document), data)

    def test_half_of_a_surrogate_pair_becomes_a_question_mark(self) -> None:
        self.assertEqual(encode(EVERYTHING, {"text": "a\ud800b"}), b"\x32\x03a?b")

    def test_number_that_its_field_cannot_hold_is_refused(self) -> None:
        for name, value in (
            ("count", -1),
            ("count", 2**32),
            ("offset", -1),
            ("offset", 2**64),
            ("small", 2**31),
            ("small", -(2**31) - 1),
            ("large", 2**63),
            ("flag", 2),
        ):
            error = self.assertRaises(ValueError, encode, EVERYTHING, {name: value})
            self.assertEqual(str(error), f"{name} cannot be {value}")

    def test_field_that_the_schema_has_not_is_refused(self) -> None:
        error = self.assertRaises(ValueError, encode, EVERYTHING, {"flag": True, "y": 1, "x": 0})
        self.assertEqual(str(error), "Everything has no field x, y")
        self.assertRaises(ValueError, encode, EVERYTHING, {"branch": {"leaf": {"x": 1}}})

    @given(GOOGLE.documents())
    def test_another_reader_finds_the_document(self, document: Document) -> None:
        found = GOOGLE.read(encode(EVERYTHING, document))
        self.assertEqual(found and known_fields(EVERYTHING, found), known_fields(EVERYTHING, document))

    @given(GOOGLE.documents())
    def test_document_comes_back(self, document: Document) -> None:
        self.assertEqual(
            known_fields(EVERYTHING, decode(EVERYTHING, encode(EVERYTHING, document))),
            known_fields(EVERYTHING, document),
        )

    @given(st.binary(max_size=300))
    def test_block_comes_back(self, data: bytes) -> None:
        block = write_block(data)
        self.assertEqual(read_block(block, 0), (data, len(block)))
