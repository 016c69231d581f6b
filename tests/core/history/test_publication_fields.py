"""Tests of `wsrelay.core.history.publication_fields`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.history.publication_fields import (
    MAX_FIELD_BYTES,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    read_publisher,
    read_tags,
    write_tags,
)
from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.presence.member import Member

TEXTS = st.text(max_size=20)


class TagsTests(SynchronousTestCase):
    """`write_tags` and `read_tags`."""

    @given(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=MAX_TAGS))
    def test_tags_come_back_as_they_were(self, tags: dict[str, str]) -> None:
        self.assertEqual(read_tags(write_tags(tags)), tags)

    def test_no_tags_have_no_text(self) -> None:
        self.assertEqual(write_tags({}), b"")

    def test_longest_and_most_tags_are_those_of_the_bounds(self) -> None:
        longest = {"x" * MAX_TAG_CHARACTERS: "y" * MAX_TAG_CHARACTERS}
        most = {str(number): "" for number in range(MAX_TAGS)}
        self.assertEqual([read_tags(write_tags(each)) for each in (longest, most)], [longest, most])

    def test_what_are_no_tags_or_too_many_is_rejected(self) -> None:
        wrongs: tuple[Any, ...] = (
            None,
            [],
            "x",
            {"a": 1},
            {"a": None},
            {"x" * (MAX_TAG_CHARACTERS + 1): ""},
            {"": "x" * (MAX_TAG_CHARACTERS + 1)},
            {str(number): "" for number in range(MAX_TAGS + 1)},
            {str(number): "\u20ac" * MAX_TAG_CHARACTERS for number in range(MAX_TAGS)},
        )
        for tags in wrongs:
            self.assertRaises(ClaimError, write_tags, tags)

    def test_field_of_another_form_counts_as_absent(self) -> None:
        for text in (None, b"", b"x", b"\xff", b"[]", b"{}", b"null", b'{"a": 1}', b"[" * 5000, b'{"a":NaN}'):
            self.assertIsNone(read_tags(text), text)

    def test_field_that_is_too_long_counts_as_absent(self) -> None:
        self.assertEqual(read_tags(b'{"a":"b"}'.ljust(MAX_FIELD_BYTES)), {"a": "b"})
        self.assertIsNone(read_tags(b'{"a":"b"}'.ljust(MAX_FIELD_BYTES + 1)))


class PublisherTests(SynchronousTestCase):
    """`read_publisher`."""

    def test_client_and_user_are_read_and_the_rest_is_left_out(self) -> None:
        found = read_publisher(b'{"client": "5f0c", "user": "42", "x": 1}')
        self.assertEqual(found, Member("5f0c", "42"))
        self.assertEqual(read_publisher(b'{"user": "42", "conn_info": [1]}'), Member("", "42", b"[1]"))

    def test_what_names_no_client_counts_as_absent(self) -> None:
        for text in (None, b"", b"x", b"[]", b'{"user": 5}', b'{"client": null}', b"\xff", b"{}".ljust(20000)):
            self.assertIsNone(read_publisher(text), text)
