"""Tests of `wsrelay.core.history.ring`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.history.entries import DATA_FIELD, Entry
from wsrelay.core.history.ring import ENTRY_OVERHEAD_BYTES, EntryRing


def entry(number: int, data: bytes | None = b"") -> Entry:
    """Return an entry, with a payload or without."""
    return Entry.of((number, 0), (b"other", b"") if data is None else (DATA_FIELD, data))


def entries(*numbers: int) -> list[Entry]:
    """Return several entries."""
    return [entry(number) for number in numbers]


def ring_of(*numbers: int, max_entries: int = 10, max_bytes: int = 1_000_000) -> EntryRing:
    """Return a ring to which entries were added."""
    ring = EntryRing("start", max_entries, max_bytes)
    ring.extend(entries(*numbers))
    return ring


class EntryRingTests(SynchronousTestCase):
    """The newest publications of a channel."""

    def test_empty_ring_ends_where_it_starts(self) -> None:
        ring = ring_of()
        self.assertEqual((ring.start, ring.end, len(ring), ring.size), ("start", "start", 0, 0))

    def test_ring_ends_behind_its_newest_entry(self) -> None:
        self.assertEqual(ring_of(1, 2).end, entry(2).position_text)

    def test_entries_behind_a_position_are_returned(self) -> None:
        self.assertEqual(ring_of(1, 2, 3).since(entry(1).position_text), entries(2, 3))

    def test_everything_is_behind_the_start(self) -> None:
        self.assertEqual(ring_of(1, 2).since("start"), entries(1, 2))

    def test_nothing_is_behind_the_end(self) -> None:
        self.assertEqual(ring_of(1, 2).since(entry(2).position_text), [])
        self.assertEqual(ring_of().since("start"), [])

    def test_position_without_a_fingerprint_is_found_by_its_id(self) -> None:
        ring = ring_of(1, 2, 3)
        self.assertEqual(ring.since("1-0.*"), entries(2, 3))
        self.assertEqual(ring.since("3-0.*"), [])
        self.assertIsNone(ring.since("4-0.*"))
        ring.drop()
        self.assertEqual(ring.since("3-0.*"), [])

    def test_start_without_a_fingerprint_is_not_that_of_a_position_with_one(self) -> None:
        """The ring may begin behind another entry of that ID."""
        ring = ring_of(3)
        ring.prepend("1-0.*", entries(2))
        self.assertEqual(ring.since("1-0.*"), entries(2, 3))
        self.assertIsNone(ring.since(entry(1).position_text))

    def test_unknown_position_is_not_found(self) -> None:
        self.assertIsNone(ring_of(1, 2).since(entry(3).position_text))

    def test_oldest_entries_give_way_and_the_start_moves_behind_them(self) -> None:
        ring = ring_of(1, 2, 3, 4, max_entries=2)
        self.assertEqual((ring.start, ring.entries), (entry(2).position_text, tuple(entries(3, 4))))
        self.assertIsNone(ring.since("start"))
        self.assertEqual(ring.since(entry(2).position_text), entries(3, 4))

    def test_bytes_are_bounded_too(self) -> None:
        ring = EntryRing("start", 10, 2 * ENTRY_OVERHEAD_BYTES + 10)
        ring.extend([entry(1, b"12345"), entry(2, b"12345"), entry(3, b"123456")])
        self.assertEqual(ring.entries, (entry(3, b"123456"),))
        self.assertEqual(ring.size, ENTRY_OVERHEAD_BYTES + 6)

    def test_entry_beyond_the_bound_is_only_the_position(self) -> None:
        ring = EntryRing("start", 10, 100)
        ring.extend([entry(1)])
        self.assertEqual((ring.start, ring.end), (entry(1).position_text,) * 2)
        self.assertEqual((len(ring), ring.size), (0, 0))
        self.assertIsNone(ring.since("start"))

    def test_drop_keeps_the_end(self) -> None:
        ring = ring_of(1, 2)
        ring.drop()
        self.assertEqual((ring.start, ring.end), (entry(2).position_text,) * 2)
        self.assertEqual((len(ring), ring.size), (0, 0))

    def test_restart_forgets_what_is_before_a_gap(self) -> None:
        ring = ring_of(1, 2)
        ring.restart("behind")
        self.assertIsNone(ring.since(entry(2).position_text))
        self.assertEqual(ring.since("behind"), [])

    def test_older_entries_go_before_the_others(self) -> None:
        ring = ring_of(3, 4)
        ring.prepend("older", entries(1, 2))
        self.assertEqual((ring.start, ring.entries), ("older", tuple(entries(1, 2, 3, 4))))
        self.assertEqual(ring.size, 4 * ENTRY_OVERHEAD_BYTES)

    def test_older_entries_without_room_are_left_out(self) -> None:
        for bounds in ({"max_entries": 3}, {"max_bytes": 4 * ENTRY_OVERHEAD_BYTES - 1}):
            ring = ring_of(3, 4, **bounds)
            ring.prepend("older", entries(1, 2))
            self.assertEqual((ring.start, ring.entries), ("start", tuple(entries(3, 4))))

    def test_newest_are_those_with_a_payload(self) -> None:
        ring = EntryRing("start", 10, 1_000_000)
        ring.extend([entry(1), entry(2), entry(3, None), entry(4)])
        self.assertEqual(ring.newest(2), entries(2, 4))
        self.assertEqual(ring.newest(0), [])

    def test_fewer_than_asked_for_is_no_answer_because_the_stream_may_have_more(self) -> None:
        self.assertIsNone(ring_of(1, 2).newest(3))

    @given(
        st.lists(st.lists(st.binary(max_size=20) | st.none(), max_size=5), max_size=20),
        st.integers(0, 6),
        st.integers(0, 2500),
    )
    def test_ring_is_the_end_of_all_that_was_added_within_its_bounds(
        self, batches: list[list[bytes | None]], max_entries: int, max_bytes: int
    ) -> None:
        ring = EntryRing("start", max_entries, max_bytes)
        added: list[Entry] = []
        for batch in batches:
            new = [entry(len(added) + at, data) for at, data in enumerate(batch)]
            added += new
            ring.extend(new)
            positions = ["start", *(each.position_text for each in added)]
            kept = len(ring)
            self.assertEqual(list(ring.entries), added[len(added) - kept :])
            self.assertEqual(ring.end, positions[-1])
            self.assertEqual(ring.size, sum(ENTRY_OVERHEAD_BYTES + len(each.fields[1]) for each in ring.entries))
            self.assertTrue(kept <= max_entries and ring.size <= max_bytes)
            for at, position in enumerate(positions):
                self.assertEqual(ring.since(position), added[at:] if len(added) - at <= kept else None)
