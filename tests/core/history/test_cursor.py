"""Tests of `wsrelay.core.history.cursor`: each rule. The properties are in test_cursor_properties.py."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.history.looks import NOW_MS, entry, gone, look
from wsrelay.core.history.cursor import Progress, StreamCursor
from wsrelay.core.history.positions import EmptyPosition
from wsrelay.core.messaging.publications import GapReason

SECONDS = 300
COUNT = 4
LATER_MS = NOW_MS + 1000
TOO_LATE_MS = NOW_MS + SECONDS * 1000

NOTHING = Progress()


def gap(reason: GapReason) -> Progress:
    """Return a read that brought nothing and has a gap."""
    return Progress(gap=reason)


def restarts(reason: GapReason) -> Progress:
    """Return a read after which the cursor has to be restarted."""
    return Progress(gap=reason, restarts=True)


def cursor_at(number: int) -> StreamCursor:
    """Return a cursor at the newest entry of a stream that holds all of its entries, 1 to `number`."""
    return StreamCursor(look([entry(number)], added=number, length=number, first=1), SECONDS)


class ReadingTests(SynchronousTestCase):
    """Reads that begin with the last entry that was read."""

    def test_cursor_begins_behind_the_newest_entry(self) -> None:
        cursor = cursor_at(5)
        self.assertEqual((cursor.position, cursor.start), (entry(5).position, (5, 0)))
        self.assertIsNotNone(cursor.anchor)

    def test_next_read_is_behind_what_was_read(self) -> None:
        cursor = cursor_at(5)
        self.assertEqual(cursor.anchor, entry(5))
        cursor.take([entry(6), entry(7)])
        self.assertEqual((cursor.anchor, cursor.position), (entry(7), entry(7).position))

    def test_look_that_has_the_last_entry_is_as_good_as_a_read(self) -> None:
        cursor = cursor_at(5)
        self.assertEqual(cursor.take_look(look([entry(5), entry(6)], added=6), COUNT), Progress((entry(6),)))


class CountingTests(SynchronousTestCase):
    """The last entry is gone, and each change has been reported."""

    def test_publisher_that_keeps_one_entry_makes_no_gap(self) -> None:
        cursor = cursor_at(5)
        for number in (6, 7, 8):
            self.assertEqual(cursor.take_look(look([entry(number)], added=number), COUNT), Progress((entry(number),)))

    def test_where_a_look_was_needed_the_next_read_is_one_at_once(self) -> None:
        cursor = cursor_at(5)
        cursor.take_look(look([entry(6)], added=6), COUNT)
        self.assertIsNone(cursor.anchor)
        cursor.take_look(look([entry(6)], added=6), COUNT)
        self.assertIsNone(cursor.anchor, "nothing new: that the entry stays is not shown by it")
        cursor.take_look(look([entry(6), entry(7)], added=7), COUNT)
        self.assertIsNotNone(cursor.anchor)

    def test_entries_that_were_pushed_out_unread_are_a_gap(self) -> None:
        cursor = cursor_at(5)
        self.assertEqual(cursor.take_look(look([entry(7)], added=7), COUNT), Progress((entry(7),), GapReason.TRIMMED))
        self.assertEqual(cursor.take_look(look([entry(8)], added=8), COUNT), Progress((entry(8),)), "and only once")

    def test_deletion_of_the_newest_entry_makes_no_gap(self) -> None:
        cursor = cursor_at(5)
        emptied = look(added=5, length=4, first=1, last=5, deleted=5)
        self.assertEqual(cursor.take_look(emptied, COUNT), NOTHING)
        added = look([entry(6)], added=6, length=5, first=1, deleted=5)
        self.assertEqual(cursor.take_look(added, COUNT), Progress((entry(6),)))

    def test_trimming_to_nothing_makes_no_gap(self) -> None:
        cursor = cursor_at(5)
        self.assertEqual(cursor.take_look(look(added=5, last=5), COUNT), NOTHING)
        self.assertEqual(cursor.take_look(look([entry(6)], added=6), COUNT), Progress((entry(6),)))

    def test_deletion_of_the_newest_entries_one_after_the_other_makes_no_gap(self) -> None:
        cursor = cursor_at(5)
        cursor.take_look(look([entry(5)], added=6, length=5, first=1, last=6, deleted=6), COUNT)
        emptied = look(added=6, length=4, first=1, last=6, deleted=6)
        self.assertEqual(cursor.take_look(emptied, COUNT), NOTHING)

    def test_reads_are_counted_too(self) -> None:
        cursor = cursor_at(5)
        cursor.take([entry(6), entry(7)])
        self.assertEqual(cursor.take_look(look([entry(8)], added=8), COUNT), Progress((entry(8),)))

    def test_pages_are_counted_to_their_end(self) -> None:
        cursor = cursor_at(5)
        page = [entry(number) for number in range(6, 6 + COUNT)]
        first = look(page, added=11, length=6, last=11)
        self.assertEqual(cursor.take_look(first, COUNT), Progress(tuple(page), has_more=True))
        rest = look([entry(9), entry(10), entry(11)], added=11, length=6, first=6)
        self.assertEqual(cursor.take_look(rest, COUNT), Progress((entry(10), entry(11))))
        self.assertEqual(cursor.take_look(look([entry(12)], added=12), COUNT), Progress((entry(12),)))

    def test_page_with_the_last_entry_is_counted_as_it_is_read(self) -> None:
        cursor = cursor_at(5)
        page = [entry(number) for number in range(5, 5 + COUNT)]
        cursor.take_look(look(page, added=20, length=20, first=1, last=20), COUNT)
        rest = look([entry(9)], added=9)
        self.assertEqual(cursor.take_look(rest, COUNT), Progress((entry(9),)), "three of the page, and this one")

    def test_after_a_gap_in_a_full_page_the_count_begins_at_the_end(self) -> None:
        cursor = cursor_at(5)
        page = [entry(number) for number in range(8, 8 + COUNT)]
        self.assertEqual(
            cursor.take_look(look(page, added=13, length=6, last=13), COUNT),
            Progress(tuple(page), GapReason.TRIMMED, has_more=True),
        )
        self.assertIsNone(cursor.anchor)
        rest = look([entry(11), entry(12), entry(13)], added=13, length=6, first=8)
        self.assertEqual(cursor.take_look(rest, COUNT), Progress((entry(12), entry(13))))
        self.assertTrue(cursor.is_unbroken)

    def test_older_entries_without_a_deletion_are_of_another_stream(self) -> None:
        """The numbers match by chance: DEL, and three entries by earlier IDs, of which one is below the position."""
        cursor = StreamCursor(look([entry(5)], added=1), SECONDS)
        found = look([entry(6), entry(7)], added=3, length=3, first=4)
        self.assertEqual(cursor.take_look(found, COUNT), Progress((entry(6), entry(7)), GapReason.TRIMMED))

    def test_stream_that_was_given_nothing_has_the_same_last_id_or_is_another_one(self) -> None:
        """The numbers match by chance: DEL, and as many entries as before, all of which are taken out."""
        cursor = StreamCursor(look([entry(2)], added=2), SECONDS)
        self.assertEqual(cursor.take_look(look(added=2, last=4, deleted=4), COUNT), restarts(GapReason.TRIMMED))

    def test_full_page_behind_a_deleted_entry_cannot_be_counted(self) -> None:
        page = [entry(number) for number in range(6, 6 + COUNT)]
        for deleted, expected in ((5, None), (6, GapReason.TRIMMED)):
            cursor = cursor_at(5)
            found = look(page, added=10, length=9, first=1, last=10, deleted=deleted)
            self.assertEqual(cursor.take_look(found, COUNT), Progress(tuple(page), expected, has_more=True))

    def test_stream_that_is_gone_is_a_gap(self) -> None:
        cursor = cursor_at(5)
        self.assertEqual(cursor.take_look(gone(), COUNT), gap(GapReason.EXPIRED))
        self.assertEqual(cursor.position, EmptyPosition(NOW_MS))
        self.assertEqual(cursor.take_look(look([entry(9)], added=1), COUNT), Progress((entry(9),)), "a new life")

    def test_another_entry_by_the_same_id_is_a_gap_and_the_cursor_restarts(self) -> None:
        cursor = cursor_at(5)
        again = [entry(5, "another"), entry(6)]
        self.assertEqual(cursor.take_look(look(again, added=2), COUNT), restarts(GapReason.OTHER_ENTRY))
        cursor.restart(look([entry(6)], added=2, length=2, first=5))
        self.assertEqual(cursor.anchor, entry(6))

    def test_stream_that_ends_before_the_position_is_a_gap_and_the_cursor_restarts(self) -> None:
        cursor = cursor_at(5)
        found = look(added=4, length=4, first=1, last=4)
        self.assertEqual(cursor.take_look(found, COUNT), restarts(GapReason.UNKNOWN_POSITION))

    def test_gap_with_nothing_behind_it_is_not_found_again(self) -> None:
        cursor = cursor_at(5)
        cursor.disconnected()
        found = look(added=7, length=4, first=1, last=7, deleted=7)
        self.assertEqual(cursor.take_look(found, COUNT), restarts(GapReason.TRIMMED))
        cursor.restart(look([entry(4)], added=7, length=4, first=1, last=7, deleted=7))
        cursor.disconnected()
        again = look([entry(4)], added=7, length=4, first=1, last=7, deleted=7)
        self.assertEqual(cursor.take_look(again, COUNT), NOTHING)


class DisconnectedTests(SynchronousTestCase):
    """After an interruption, numbers prove nothing."""

    def test_next_read_is_a_look(self) -> None:
        cursor = cursor_at(5)
        cursor.disconnected()
        self.assertIsNone(cursor.anchor)
        self.assertFalse(cursor.is_unbroken)

    def test_last_entry_that_is_there_joins_the_two_sides(self) -> None:
        cursor = cursor_at(5)
        cursor.disconnected()
        self.assertEqual(
            cursor.take_look(look([entry(5), entry(6)], added=6, length=6, first=1), COUNT), Progress((entry(6),))
        )
        self.assertTrue(cursor.is_unbroken)
        self.assertIsNotNone(cursor.anchor)

    def test_number_that_matches_by_chance_is_a_gap(self) -> None:
        cursor = cursor_at(5)
        cursor.disconnected()
        self.assertEqual(cursor.take_look(look([entry(9)], added=6), COUNT), Progress((entry(9),), GapReason.TRIMMED))

    def test_emptied_stream_with_nothing_behind_the_position_has_lost_nothing(self) -> None:
        cursor = cursor_at(5)
        cursor.disconnected()
        self.assertEqual(cursor.take_look(look(added=5, last=5), COUNT), NOTHING)

    def test_read_whose_reply_comes_late_moves_the_position_and_tells_nothing_about_the_count(self) -> None:
        cursor = cursor_at(5)
        cursor.disconnected()
        cursor.take([entry(6)])
        self.assertEqual((cursor.position, cursor.anchor), (entry(6).position, None))

    def test_interruption_between_two_pages_is_one(self) -> None:
        cursor = cursor_at(5)
        cursor.take([entry(number) for number in range(6, 5 + COUNT)])
        cursor.disconnected()
        page = [entry(number) for number in range(8, 8 + COUNT)]
        cursor.take_look(look(page, added=20, length=20, first=1, last=20), COUNT)
        self.assertIsNone(cursor.anchor, "the end was not reached, so the number at it is not known")


class QuietChannelTests(SynchronousTestCase):
    """Channels without entries."""

    def test_channel_without_a_stream_is_looked_at_because_no_read_proves_anything(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        self.assertEqual((cursor.position, cursor.start), (EmptyPosition(NOW_MS), None))
        self.assertIsNone(cursor.anchor)
        self.assertTrue(cursor.is_unbroken)

    def test_position_moves_on_with_each_look(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        self.assertEqual(cursor.take_look(gone(LATER_MS), COUNT), NOTHING)
        self.assertEqual(cursor.position, EmptyPosition(LATER_MS))

    def test_quiet_time_longer_than_the_retention_is_no_gap(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        self.assertEqual(cursor.take_look(gone(TOO_LATE_MS), COUNT), NOTHING)

    def test_first_entries_are_new(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        self.assertEqual(cursor.take_look(look([entry(1), entry(2)], added=2), COUNT), Progress((entry(1), entry(2))))

    def test_first_entries_come_in_pages(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        page = [entry(number) for number in range(1, 1 + COUNT)]
        found = look(page, added=6, length=6, last=6)
        self.assertEqual(cursor.take_look(found, COUNT), Progress(tuple(page), has_more=True))
        rest = look([entry(4), entry(5), entry(6)], added=6, length=6, first=1)
        self.assertEqual(cursor.take_look(rest, COUNT), Progress((entry(5), entry(6))))

    def test_first_entries_that_were_pushed_out_unread_are_a_gap(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        self.assertEqual(cursor.take_look(look([entry(2)], added=2), COUNT), Progress((entry(2),), GapReason.TRIMMED))

    def test_first_entries_that_are_gone_already_are_a_gap_at_once(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        self.assertEqual(cursor.take_look(look(added=2, last=2), COUNT), gap(GapReason.TRIMMED))
        self.assertEqual(cursor.take_look(look(added=2, last=2), COUNT), NOTHING, "and only once")
        self.assertEqual(cursor.position, EmptyPosition(NOW_MS, 2))

    def test_emptied_stream_goes_on_counting(self) -> None:
        cursor = StreamCursor(look(added=7, last=7), SECONDS)
        self.assertEqual(cursor.position, EmptyPosition(NOW_MS, 7))
        self.assertEqual(cursor.take_look(look([entry(8)], added=8), COUNT), Progress((entry(8),)))

    def test_emptied_stream_that_is_removed_is_a_gap(self) -> None:
        cursor = StreamCursor(look(added=7, last=7), SECONDS)
        self.assertEqual(cursor.take_look(gone(), COUNT), gap(GapReason.EXPIRED))
        self.assertEqual(cursor.take_look(gone(), COUNT), NOTHING, "and only once")

    def test_stream_that_has_come_and_gone_is_a_gap_if_that_was_reported(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        cursor.changed()
        self.assertEqual(cursor.take_look(gone(LATER_MS), COUNT), gap(GapReason.EXPIRED))
        self.assertEqual(cursor.take_look(gone(LATER_MS), COUNT), NOTHING, "and only once")

    def test_report_of_a_change_is_done_with_when_the_change_is_read(self) -> None:
        cursor = cursor_at(5)
        cursor.changed()
        cursor.take([entry(6)])
        cursor.take_look(gone(), COUNT)
        self.assertEqual(cursor.take_look(gone(), COUNT), NOTHING)

    def test_report_from_before_an_interruption_does_not_count(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        cursor.changed()
        cursor.disconnected()
        self.assertEqual(cursor.take_look(gone(LATER_MS), COUNT), NOTHING)

    def test_after_an_interruption_only_the_time_since_the_last_look_counts(self) -> None:
        cursor = StreamCursor(gone(), SECONDS)
        cursor.take_look(gone(TOO_LATE_MS), COUNT)
        cursor.disconnected()
        self.assertEqual(cursor.take_look(gone(TOO_LATE_MS + 1), COUNT), NOTHING)
        cursor.disconnected()
        self.assertEqual(cursor.take_look(gone(2 * TOO_LATE_MS), COUNT), gap(GapReason.EXPIRED))

    def test_entries_from_before_the_position_are_another_stream_and_the_cursor_restarts(self) -> None:
        cursor = StreamCursor(look(added=7, last=7), SECONDS)
        cursor.disconnected()
        found = look([entry(1), entry(2)], added=5)
        self.assertEqual(cursor.take_look(found, COUNT), restarts(GapReason.TRIMMED))

    def test_after_an_interruption_an_empty_stream_with_the_same_last_id_has_lost_nothing(self) -> None:
        cursor = StreamCursor(look(added=7, last=7), SECONDS)
        cursor.disconnected()
        self.assertEqual(cursor.take_look(look(added=7, last=7, now_ms=TOO_LATE_MS), COUNT), NOTHING)


class OldServerTests(SynchronousTestCase):
    """Servers before Redis 7, which count nothing."""

    def test_every_read_is_a_look(self) -> None:
        cursor = StreamCursor(look([entry(5)], added=None, deleted=None), SECONDS)
        self.assertIsNone(cursor.anchor)
        self.assertEqual(
            cursor.take_look(look([entry(5), entry(6)], added=None, deleted=None), COUNT), Progress((entry(6),))
        )
        self.assertIsNone(cursor.anchor)

    def test_page_is_taken_without_a_number(self) -> None:
        cursor = StreamCursor(look([entry(5)], added=None, deleted=None), SECONDS)
        page = [entry(number) for number in range(5, 5 + COUNT)]
        progress = cursor.take_look(look(page, added=None, deleted=None), COUNT)
        self.assertEqual(progress, Progress(tuple(page[1:]), has_more=True))

    def test_entry_that_is_gone_is_a_gap_because_nothing_proves_the_contrary(self) -> None:
        cursor = StreamCursor(look([entry(5)], added=None, deleted=None), SECONDS)
        found = look([entry(6)], added=None, deleted=None)
        self.assertEqual(cursor.take_look(found, COUNT), Progress((entry(6),), GapReason.TRIMMED))

    def test_emptied_stream_is_no_gap_again_and_again(self) -> None:
        cursor = StreamCursor(look(added=None, last=7, deleted=None), SECONDS)
        self.assertEqual(cursor.take_look(look(added=None, last=7, deleted=None), COUNT), NOTHING)
        self.assertEqual(cursor.take_look(look(added=None, last=8, deleted=None), COUNT), gap(GapReason.TRIMMED))
        self.assertEqual(cursor.take_look(look(added=None, last=8, deleted=None), COUNT), NOTHING)
