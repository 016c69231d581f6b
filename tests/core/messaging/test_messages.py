"""Tests of `wsrelay.core.messaging.messages`."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.messages import Farewell, Message, is_text

# What decoders have been fooled with, whole and cut off.
NOT_UTF8 = {
    "lone continuation": b"\x80",
    "truncated two": b"\xc3",
    "truncated three": b"\xe2\x82",
    "truncated four": b"\xf0\x9f\x98",
    "overlong slash": b"\xc0\xaf",
    "overlong slash in three": b"\xe0\x80\xaf",
    "overlong NUL": b"\xc0\x80",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "surrogate pair (CESU-8)": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "never a byte": b"\xff",
}
# RFC 3629 section 4, letter by letter.
RFC3629 = re.compile(
    rb"(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})*"
)
UTF8 = (
    b"",
    b"a",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    "\u00fc\u20ac\U0001f600".encode(),
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
)


class IsTextTests(SynchronousTestCase):
    """Data that may be sent as a text message (RFC 6455 section 5.6)."""

    def test_valid_utf8_is_text_the_empty_message_included(self) -> None:
        for data in UTF8:
            self.assertTrue(is_text(data), data)

    def test_what_only_looks_like_utf8_is_not_text(self) -> None:
        """A client must fail the connection on such a text message."""
        for name, bad in NOT_UTF8.items():
            for data in (bad, b"text " + bad, bad + b" text", b"x" * 200 + bad):
                self.assertFalse(is_text(data), name)

    @given(st.text().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary())
    @example("\ud83d\ude00".encode("utf-8", "surrogatepass"))
    def test_data_is_text_exactly_where_the_grammar_of_utf8_says_so(self, data: bytes) -> None:
        self.assertEqual(is_text(data), RFC3629.fullmatch(data) is not None)


class ValueTests(SynchronousTestCase):
    """Messages and farewells are values."""

    def test_message_is_text_unless_it_says_otherwise(self) -> None:
        self.assertEqual(Message(b"x"), (b"x", False))

    def test_farewell_has_no_messages_unless_it_says_otherwise(self) -> None:
        self.assertEqual(Farewell(1012, "service restart"), (1012, "service restart", ()))
