"""Tests of `wsrelay.core.history.positions`."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.history.positions import (
    MAX_POSITION_CHARACTERS,
    NO_HISTORY_POSITION,
    EmptyPosition,
    EntryPosition,
    Position,
    fingerprint,
    format_id,
    parse_id,
    parse_position,
)
from wsrelay.core.outcomes.errors import PositionError

numbers = st.integers(0, 2**64 - 1)
entry_positions = st.builds(
    EntryPosition, st.tuples(numbers, numbers), st.text("0123456789abcdef", min_size=8, max_size=8)
)
empty_positions = st.builds(EmptyPosition, numbers, st.none() | numbers)
positions: st.SearchStrategy[Position] = st.one_of(entry_positions, empty_positions)

HOSTILE_IDS = [
    "",
    "-",
    "1",
    "1-",
    "-1",
    "1-2-3",
    "+1-2",
    "1-+2",
    "-1-2",
    "1--2",
    " 1-2",
    "1-2 ",
    "1-2\n",
    "1-2\x00",
    "1_0-2",
    "1.0-2",
    "0x1-2",
    "1e3-2",
    "*",
    "1-*",
    "$",
    "(1-2",
    "١-٢",  # noqa: RUF001 -- Arabic digits, which \d and int() take
    "１-２",  # noqa: RUF001 -- digits of full width
    "²-1",
    f"{2**64}-0",
    f"0-{2**64}",
    "9" * 20 + "-0",
    "9" * 21 + "-0",
    "0" * 21 + "-0",
    "1" * 1_000_000 + "-0",
    "1-2\r\nFLUSHALL\r\n",
]

HOSTILE_POSITIONS = [
    *HOSTILE_IDS,
    *(f"{text}.00000000" for text in HOSTILE_IDS),
    "1-2",
    "1-2.",
    "1-2.0000000",
    "1-2.000000000",
    "1-2.ABCDEF01",
    "1-2.0000000g",
    "1-2.00000000\n",
    "1-2.٠٠٠٠٠٠٠٠",  # noqa: RUF001 -- Arabic digits
    "~",
    "~~1",
    "~-1",
    "~+1",
    "~1.",
    "~1.-1",
    "~1.2.3",
    "~1\n",
    "~1.2\n",
    "~١",  # noqa: RUF001 -- an Arabic digit
    f"~{2**64}",
    f"~1.{2**64}",
    "~" + "1" * 21,
    NO_HISTORY_POSITION,
    "\ud800",
]


class PositionTests(SynchronousTestCase):
    """The text of positions, which clients send."""

    def test_position_of_an_entry_is_its_id_and_a_fingerprint(self) -> None:
        self.assertEqual(str(EntryPosition((1764, 3), "5f3a9c01")), "1764-3.5f3a9c01")

    def test_position_of_a_channel_without_a_stream_is_a_time(self) -> None:
        self.assertEqual(str(EmptyPosition(1764)), "~1764")

    def test_position_of_an_empty_stream_is_a_time_and_a_count(self) -> None:
        self.assertEqual(str(EmptyPosition(1764, 0)), "~1764.0")

    @given(positions)
    @example(EntryPosition((2**64 - 1, 2**64 - 1), "ffffffff"))
    @example(EmptyPosition(2**64 - 1, 2**64 - 1))
    def test_position_is_parsed_from_its_own_text(self, position: Position) -> None:
        text = str(position)
        self.assertEqual(parse_position(text), position)
        self.assertLessEqual(len(text), MAX_POSITION_CHARACTERS)
        self.assertTrue(text.isascii())

    def test_hostile_text_is_no_position(self) -> None:
        for text in HOSTILE_POSITIONS:
            with self.subTest(text[:80]), self.assertRaises(PositionError) as caught:
                parse_position(text)
            self.assertLess(len(str(caught.exception)), 80, "repeats nothing of the text")

    @given(st.text())
    def test_any_text_is_a_position_or_an_error(self, text: str) -> None:
        try:
            position = parse_position(text)
        except PositionError:
            return
        self.assertEqual(parse_position(str(position)), position)

    def test_leading_zeros_do_not_make_another_position(self) -> None:
        self.assertEqual(parse_position("007-00.00000000"), EntryPosition((7, 0), "00000000"))


class IDTests(SynchronousTestCase):
    """The IDs of entries, which a server sends."""

    @given(st.tuples(numbers, numbers))
    def test_id_is_parsed_from_its_own_text(self, entry_id: tuple[int, int]) -> None:
        self.assertEqual(parse_id(format_id(entry_id)), entry_id)

    def test_hostile_text_is_no_id(self) -> None:
        for text in HOSTILE_IDS:
            with self.subTest(text[:80]), self.assertRaises(PositionError):
                parse_id(text)

    def test_ids_compare_as_numbers_and_not_as_text(self) -> None:
        self.assertLess(parse_id("9-10"), parse_id("10-9"))
        self.assertLess(parse_id("10-9"), parse_id("10-10"))


class FingerprintTests(SynchronousTestCase):
    """The fingerprint of an entry."""

    def test_fingerprint_is_the_same_in_every_version_because_clients_keep_it(self) -> None:
        self.assertEqual(fingerprint((b"data", b"hello")), "f60458f3")

    def test_fingerprint_is_eight_digits_even_if_they_are_zeros(self) -> None:
        self.assertEqual(fingerprint(()), "00000000")

    def test_same_bytes_cut_otherwise_have_another_fingerprint(self) -> None:
        self.assertNotEqual(fingerprint((b"ab", b"c")), fingerprint((b"a", b"bc")))
        self.assertNotEqual(fingerprint((b"a", b"b")), fingerprint((b"b", b"a")))

    @given(st.lists(st.binary()))
    def test_every_fingerprint_is_one_of_a_position(self, fields: list[bytes]) -> None:
        position = EntryPosition((1, 2), fingerprint(tuple(fields)))
        self.assertEqual(parse_position(str(position)), position)
