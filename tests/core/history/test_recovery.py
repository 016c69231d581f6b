"""Tests of `wsrelay.core.history.recovery`: each rule. The properties are in test_recovery_properties.py."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.history.looks import NOW_MS, entry, gone, look
from wsrelay.core.history.positions import EmptyPosition, EntryPosition
from wsrelay.core.history.recovery import (
    Recovery,
    empty_position,
    judge_look,
    judge_read,
    read_size,
    read_start,
)
from wsrelay.core.messaging.publications import GapReason

SECONDS = 300
MS = SECONDS * 1000
LIMIT = 2


def gap(reason: GapReason) -> Recovery:
    """Return a recovery that failed."""
    return Recovery((), reason)


class ReadTests(SynchronousTestCase):
    """Rule 1: the first read begins at the position."""

    position = entry(5).position

    def test_read_begins_at_the_entry_of_the_position(self) -> None:
        self.assertEqual(read_start(self.position), (5, 0))

    def test_all_behind_the_entry_was_missed(self) -> None:
        self.assertEqual(
            judge_read(self.position, [entry(5), entry(6), entry(7)], LIMIT), Recovery((entry(6), entry(7)))
        )

    def test_nothing_behind_the_entry_means_that_nothing_was_missed(self) -> None:
        self.assertEqual(judge_read(self.position, [entry(5)], LIMIT), Recovery())

    def test_one_more_than_the_limit_is_too_many(self) -> None:
        entries = [entry(number) for number in range(5, 5 + read_size(LIMIT))]
        self.assertEqual(judge_read(self.position, entries, LIMIT), gap(GapReason.TOO_MANY))

    def test_another_entry_by_the_same_id_is_a_gap(self) -> None:
        self.assertEqual(judge_read(self.position, [entry(5, "another"), entry(6)], LIMIT), gap(GapReason.OTHER_ENTRY))

    def test_without_the_entry_a_look_is_needed(self) -> None:
        self.assertIsNone(judge_read(self.position, [entry(6)], LIMIT))
        self.assertIsNone(judge_read(self.position, [], LIMIT))


class LookTests(SynchronousTestCase):
    """Rules 1 to 4, where the read could not decide."""

    position = entry(5).position

    def test_entry_that_is_there_again_is_judged_as_in_a_read(self) -> None:
        self.assertEqual(
            judge_look(self.position, look([entry(5), entry(6)], added=2), LIMIT, SECONDS), Recovery((entry(6),))
        )

    def test_stream_that_was_emptied_with_nothing_behind_the_position_has_lost_nothing(self) -> None:
        self.assertEqual(judge_look(self.position, look(added=5, last=5), LIMIT, SECONDS), Recovery())

    def test_deletion_of_the_newest_entry_loses_nothing(self) -> None:
        found = look(added=5, length=4, first=1, last=5, deleted=5)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), Recovery())

    def test_deletion_of_the_entry_with_older_ones_there_leaves_no_doubt(self) -> None:
        found = look([entry(6)], added=6, length=2, first=1, deleted=5)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), Recovery((entry(6),)))

    def test_recovery_behind_a_deleted_entry_has_the_limit_too(self) -> None:
        found = look([entry(6), entry(7), entry(8)], added=8, length=5, first=1, deleted=5)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), gap(GapReason.TOO_MANY))

    def test_deletion_of_the_entry_with_all_older_ones_trimmed_is_a_gap(self) -> None:
        found = look([entry(7)], added=7, deleted=5)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_deletion_of_another_entry_proves_nothing(self) -> None:
        found = look([entry(7)], added=7, length=2, first=1, deleted=6)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_server_that_does_not_tell_of_deletions_is_not_trusted(self) -> None:
        found = look([entry(7)], added=None, length=2, first=1, deleted=None)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_trimmed_entry_is_a_gap_even_if_all_behind_it_is_there(self) -> None:
        self.assertEqual(judge_look(self.position, look([entry(6)], added=6), LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_stream_that_was_emptied_with_entries_behind_the_position_is_a_gap(self) -> None:
        self.assertEqual(judge_look(self.position, look(added=6, last=6), LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_missing_stream_is_a_gap(self) -> None:
        self.assertEqual(judge_look(self.position, gone(), LIMIT, SECONDS), gap(GapReason.EXPIRED))

    def test_position_beyond_the_end_is_of_another_stream(self) -> None:
        found = look(added=4, last=4, length=4, first=1)
        self.assertEqual(judge_look(self.position, found, LIMIT, SECONDS), gap(GapReason.UNKNOWN_POSITION))


class EmptyPositionTests(SynchronousTestCase):
    """Rule 5: a position from a time at which the channel had no entry."""

    without_stream = EmptyPosition(NOW_MS - 1000)
    without_entry = EmptyPosition(NOW_MS - 1000, 7)

    def new(self, number: int) -> int:
        return NOW_MS - 500 + number

    def test_it_is_judged_by_a_look_from_the_oldest_entry_on(self) -> None:
        self.assertIsNone(read_start(self.without_stream))

    def test_position_of_a_channel_names_its_count_if_it_has_a_stream(self) -> None:
        self.assertEqual(empty_position(gone()), EmptyPosition(NOW_MS))
        self.assertEqual(empty_position(look(added=7)), EmptyPosition(NOW_MS, 7))

    def test_channel_that_has_still_no_stream_has_lost_nothing(self) -> None:
        self.assertEqual(judge_look(self.without_stream, gone(), LIMIT, SECONDS), Recovery())

    def test_stream_with_all_that_it_was_ever_given_has_lost_nothing(self) -> None:
        entries = (entry(self.new(0)), entry(self.new(1)))
        self.assertEqual(judge_look(self.without_stream, look(entries, added=2), LIMIT, SECONDS), Recovery(entries))

    def test_new_stream_without_an_entry_has_lost_nothing(self) -> None:
        self.assertEqual(judge_look(self.without_stream, look(added=0), LIMIT, SECONDS), Recovery())

    def test_new_stream_that_was_trimmed_is_a_gap(self) -> None:
        found = look([entry(self.new(1))], added=2)
        self.assertEqual(judge_look(self.without_stream, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_new_stream_with_a_deletion_is_a_gap(self) -> None:
        found = look([entry(self.new(1))], added=1, deleted=self.new(0))
        self.assertEqual(judge_look(self.without_stream, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_stream_with_an_entry_from_before_is_another_one(self) -> None:
        for position, added in ((self.without_stream, 1), (self.without_entry, 8)):
            found = look([entry(NOW_MS - 1001)], added=added)
            self.assertEqual(judge_look(position, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_entry_of_the_very_millisecond_counts_as_new(self) -> None:
        found = look([entry(NOW_MS - 1000)], added=1)
        self.assertEqual(judge_look(self.without_stream, found, LIMIT, SECONDS), Recovery((entry(NOW_MS - 1000),)))

    def test_empty_stream_that_was_given_just_what_it_holds_has_lost_nothing(self) -> None:
        found = look([entry(self.new(0))], added=8, deleted=1)
        self.assertEqual(judge_look(self.without_entry, found, LIMIT, SECONDS), Recovery((entry(self.new(0)),)))

    def test_empty_stream_that_was_given_more_than_it_holds_is_a_gap(self) -> None:
        found = look([entry(self.new(0))], added=9)
        self.assertEqual(judge_look(self.without_entry, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_empty_stream_that_is_gone_is_a_gap(self) -> None:
        self.assertEqual(judge_look(self.without_entry, gone(), LIMIT, SECONDS), gap(GapReason.EXPIRED))

    def test_server_that_does_not_count_is_not_trusted(self) -> None:
        found = look([entry(self.new(0))], added=None)
        self.assertEqual(judge_look(self.without_stream, found, LIMIT, SECONDS), gap(GapReason.TRIMMED))

    def test_position_is_good_for_as_long_as_an_entry_is_kept(self) -> None:
        for age_ms, expected in ((MS - 1, None), (MS, GapReason.EXPIRED)):
            found = judge_look(EmptyPosition(NOW_MS - age_ms), gone(), LIMIT, SECONDS)
            self.assertEqual(found.gap, expected)

    def test_position_from_the_future_is_of_another_server(self) -> None:
        found = judge_look(EmptyPosition(NOW_MS + 1), gone(), LIMIT, SECONDS)
        self.assertEqual(found, gap(GapReason.EXPIRED))

    def test_limit_holds_here_too(self) -> None:
        entries = tuple(entry(self.new(number)) for number in range(3))
        found = judge_look(self.without_stream, look(entries, added=3), LIMIT, SECONDS)
        self.assertEqual(found, gap(GapReason.TOO_MANY))


class HostilePositionTests(SynchronousTestCase):
    """Positions that were made up."""

    def test_zero_id_is_not_taken_for_a_deleted_entry(self) -> None:
        found = look([entry(1)], added=1)
        self.assertEqual(judge_look(EntryPosition((0, 0), "00000000"), found, LIMIT, SECONDS).gap, GapReason.TRIMMED)
