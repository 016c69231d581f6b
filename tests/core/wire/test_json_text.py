"""Tests of `wsrelay.core.wire.json_text`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire import json_text
from wsrelay.core.wire.json_text import dump_json, embed_json, parse_json

DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=20,
)
DEEP = b"[" * 200_000


class JSONTextTests(SynchronousTestCase):
    """Reading, writing and embedding."""

    @given(DOCUMENTS)
    def test_document_comes_back_and_is_on_one_line(self, document: Any) -> None:
        text = dump_json(document)
        self.assertEqual((parse_json(text), b"\n" in text), (document, False))

    @given(st.text(" \t\n\r", max_size=2), DOCUMENTS, st.text(" \t\n\r", max_size=2))
    def test_white_space_around_a_document_is_of_no_account(self, before: str, document: Any, behind: str) -> None:
        text = dump_json(document).decode()
        self.assertEqual(parse_json(f"{before}{text}{behind}"), document)
        self.assertRaises(ValueError, parse_json, f"{before}{text}{behind}]")
        self.assertRaises(ValueError, parse_json, f"\ufeff{text}")

    def test_what_only_python_takes_for_json_is_none(self) -> None:
        for text in (
            b"NaN",
            b"[Infinity]",
            b"-Infinity",
            b"\xff\xfe5\0",
            b"\xef\xbb\xbf5",
            b"",
            b"{",
            DEEP,
            b"9" * 5000,
        ):
            self.assertRaises(ValueError, parse_json, text)

    def test_document_that_json_has_no_form_for_is_refused(self) -> None:
        deep: list[Any] = []
        for _ in range(200_000):
            deep = [deep]
        for document in (float("inf"), [float("nan")], {"a": parse_json(b"1e999")}, deep):
            self.assertRaises(ValueError, dump_json, document)
        while deep:
            deep = deep[0]

    @given(DOCUMENTS)
    def test_document_is_written_as_the_standard_library_writes_it(self, document: Any) -> None:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self.assertEqual(json_text._encode(document), text)

    def test_encoder_in_c_is_not_needed(self) -> None:
        for make in (None, lambda _markers: None):
            encode = json_text._bind_encoder(json_text._ENCODER, make)
            self.assertEqual(encode({"a": [1, "\u00e9"]}), '{"a":[1,"\u00e9"]}')

    def test_half_of_a_surrogate_pair_stays_what_it_is(self) -> None:
        self.assertEqual(dump_json(parse_json(b'"\\ud800x"')), b'"\\ud800x"')

    @given(st.one_of(st.binary(), st.text().map(str.encode), DOCUMENTS.map(lambda each: json.dumps(each).encode())))
    def test_whatever_is_embedded_is_json_on_one_line(self, data: bytes) -> None:
        text = embed_json(data)
        parse_json(text)
        self.assertFalse({10, 13} & set(text))

    def test_json_is_embedded_as_it_is_and_anything_else_as_a_text(self) -> None:
        for data, expected in (
            (b'{"a": 1.10}', b'{"a": 1.10}'),
            (b"[1,\r\n2]", b"[1,  2]"),
            (b"hello", b'"hello"'),
            (b"\xff", '"\ufffd"'.encode()),
            (b"NaN", b'"NaN"'),
            (b"", b'""'),
        ):
            self.assertEqual(embed_json(data), expected)
