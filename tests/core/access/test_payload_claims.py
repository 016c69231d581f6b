"""Tests of `wsrelay.core.access.payload_claims`."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.payload_claims import MAX_PAYLOAD_BYTES, read_payload
from wsrelay.core.outcomes.errors import ClaimError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)


def base64(data: bytes) -> str:
    """Return data in base64."""
    return b64encode(data).decode("ascii")


def error_text(**claims: object) -> str:
    """Return the error for claims; empty if they are valid."""
    try:
        read_payload(claims, "info")
    except ClaimError as error:
        return str(error)
    return ""


class ReadPayloadTests(SynchronousTestCase):
    """`read_payload`."""

    def test_any_json_is_kept_as_compact_json(self) -> None:
        for document, data in (
            ({"name": "J\u00fc", "age": [1, 2.5]}, '{"name":"J\u00fc","age":[1,2.5]}'),
            ("a\nb", '"a\\nb"'),
            (0, "0"),
            (False, "false"),
            ("", '""'),
            ({}, "{}"),
        ):
            self.assertEqual(read_payload({"info": document}, "info"), data.encode())

    def test_missing_null_and_empty_claims_are_no_data(self) -> None:
        for claims in ({}, {"info": None}, {"b64info": None}, {"b64info": ""}, {"data": 1, "b64data": "!"}):
            self.assertEqual(read_payload(claims, "info"), b"")

    def test_base64_goes_before_json_and_is_kept_as_json_on_one_line(self) -> None:
        for data, kept in (
            (b'{"a": 1}', b'{"a": 1}'),
            (b'{"a":\n1\r}', b'{"a": 1 }'),
            (b"two words", b'"two words"'),
            (b"\xff\x00", b'"\xef\xbf\xbd\\u0000"'),
        ):
            self.assertEqual(read_payload({"info": 7, "b64info": base64(data)}, "info"), kept)
            self.assertEqual(read_payload({"b64data": base64(data)}, "data"), kept)

    def test_what_is_not_base64_is_rejected(self) -> None:
        for encoded in ("!", "YQ", "YQ=", "Y Q==", "YQ==\n", "\u00fc", "\ud800", 7, True, ["YQ=="], {"a": 1}):
            self.assertEqual(error_text(info=1, b64info=encoded), "b64info must be a text in base64", repr(encoded))

    def test_number_that_json_has_no_form_for_is_rejected(self) -> None:
        self.assertEqual(error_text(info=json.loads('{"a": [1e999]}')), "info must be JSON")

    def test_data_is_bounded(self) -> None:
        longest = "x" * (MAX_PAYLOAD_BYTES - 2)
        for claims in ({"info": longest}, {"b64info": base64(longest.encode())}):
            self.assertEqual(len(read_payload(claims, "info")), MAX_PAYLOAD_BYTES)
        for claims in (
            {"info": longest + "x"},
            {"b64info": base64(longest.encode() + b"x")},
            {"info": "\u00fc" * 2048},
        ):
            self.assertEqual(error_text(**claims), "info must have at most 4096 bytes as JSON")

    @given(JSON)
    def test_any_json_is_read_back_as_it_was(self, document: Any) -> None:
        data = read_payload({"info": document}, "info")
        self.assertEqual(json.loads(data) if data else None, document)
        self.assertNotIn(b"\n", data)

    @given(st.binary(max_size=400))
    def test_any_bytes_become_one_line_of_json(self, data: bytes) -> None:
        kept = read_payload({"b64info": base64(data)}, "info")
        self.assertNotRegex(kept, rb"[\r\n]")
        if data:
            json.loads(kept)
