"""Tests of `wsrelay.core.history.offsets`."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.history.offsets import BASE_MS, MAX_OFFSET, empty_offset, entry_offset, read_offset
from wsrelay.core.history.positions import EmptyPosition

LAST_MS = BASE_MS + MAX_OFFSET // 4096
MILLISECONDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(BASE_MS - 2, BASE_MS + 2), st.integers(0, LAST_MS + 2))
NUMBERS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 5000), st.integers(4090, 4100))
IDS = st.tuples(MILLISECONDS, NUMBERS)


class EntryOffsetTests(SynchronousTestCase):
    """`entry_offset` and `empty_offset`."""

    def test_offset_holds_milliseconds_and_number(self) -> None:
        self.assertEqual(entry_offset((BASE_MS, 1)), 1)
        self.assertEqual(entry_offset((BASE_MS + 3, 7)), 3 * 4096 + 7)

    def test_numbers_from_4094_on_count_as_4095(self) -> None:
        self.assertEqual([entry_offset((BASE_MS, number)) for number in (4093, 4094, 4095, 6000)], [4093] + [4095] * 3)

    def test_channel_without_entries_has_4094_between_the_two(self) -> None:
        self.assertEqual(empty_offset(BASE_MS + 1), 4096 + 4094)

    def test_entry_from_before_the_base_has_none(self) -> None:
        self.assertEqual((entry_offset((BASE_MS - 1, 5)), empty_offset(BASE_MS - 1)), (0, 0))

    def test_offset_that_is_too_large_holds_the_maximum_until_which_there_are_decades(self) -> None:
        self.assertEqual((entry_offset((2**64 - 1, 0)), empty_offset(LAST_MS + 1)), (MAX_OFFSET, MAX_OFFSET))
        self.assertGreater(LAST_MS, datetime(2095, 1, 1, tzinfo=UTC).timestamp() * 1000)

    @given(IDS, IDS)
    def test_order_of_ids_is_kept(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        least, most = sorted((one, other))
        self.assertLessEqual(entry_offset(least), entry_offset(most))

    @given(IDS)
    def test_offset_is_below_2_to_the_53(self, entry_id: tuple[int, int]) -> None:
        self.assertTrue(0 <= entry_offset(entry_id) < 2**53)

    @given(st.integers(BASE_MS, LAST_MS - 1), st.integers(0, 4093), st.integers(4094, 2**64 - 1))
    def test_virtual_position_is_behind_what_it_can_be_told_from(self, ms: int, below: int, above: int) -> None:
        self.assertLess(entry_offset((ms, below)), empty_offset(ms))
        self.assertLess(empty_offset(ms), entry_offset((ms, above)))


class ReadOffsetTests(SynchronousTestCase):
    """`read_offset`."""

    @given(IDS)
    def test_offset_stands_for_the_entry_that_it_was_made_of_or_for_nothing(self, entry_id: tuple[int, int]) -> None:
        found = read_offset(entry_offset(entry_id))
        is_exact = BASE_MS <= entry_id[0] <= LAST_MS and entry_id[1] < 4094 and entry_id != (BASE_MS, 0)
        self.assertEqual(found, entry_id if is_exact else None)

    @given(st.integers(BASE_MS, LAST_MS))
    def test_virtual_position_is_read_back(self, ms: int) -> None:
        self.assertEqual(read_offset(empty_offset(ms)), EmptyPosition(ms))

    @given(st.one_of(st.integers(), st.integers(-2, 2), st.integers(MAX_OFFSET - 2, MAX_OFFSET + 2)))
    def test_any_number_gives_itself_back_or_stands_for_nothing(self, offset: int) -> None:
        match read_offset(offset):
            case EmptyPosition(ms):
                self.assertEqual(empty_offset(ms), offset)
            case (ms, number):
                self.assertEqual(entry_offset((ms, number)), offset)
            case _:
                self.assertTrue(offset <= 0 or offset >= MAX_OFFSET or offset % 4096 == 4095)
