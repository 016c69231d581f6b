"""Tests of `wsrelay.core.history.ring`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.history.ring import ITEM_OVERHEAD_BYTES, PublicationRing, RingItem
from wsrelay.core.messaging.publications import Publication


def item(number: int, data: bytes | None = b"") -> RingItem:
    """Return the item of an entry."""
    position = f"{number}-0.00000000"
    return RingItem(position, None if data is None else Publication("news", data, position))


def items(*numbers: int) -> list[RingItem]:
    """Return the items of several entries."""
    return [item(number) for number in numbers]


def ring_of(*numbers: int, max_items: int = 10, max_bytes: int = 1_000_000) -> PublicationRing:
    """Return a ring to which entries were added."""
    ring = PublicationRing("start", max_items, max_bytes)
    ring.extend(items(*numbers))
    return ring


class PublicationRingTests(SynchronousTestCase):
    """The newest publications of a channel."""

    def test_empty_ring_ends_where_it_starts(self) -> None:
        ring = ring_of()
        self.assertEqual((ring.start, ring.end, len(ring), ring.size), ("start", "start", 0, 0))

    def test_ring_ends_behind_its_newest_entry(self) -> None:
        self.assertEqual(ring_of(1, 2).end, item(2).position)

    def test_entries_behind_a_position_are_returned(self) -> None:
        self.assertEqual(ring_of(1, 2, 3).since(item(1).position), items(2, 3))

    def test_everything_is_behind_the_start(self) -> None:
        self.assertEqual(ring_of(1, 2).since("start"), items(1, 2))

    def test_nothing_is_behind_the_end(self) -> None:
        self.assertEqual(ring_of(1, 2).since(item(2).position), [])
        self.assertEqual(ring_of().since("start"), [])

    def test_unknown_position_is_not_found(self) -> None:
        self.assertIsNone(ring_of(1, 2).since(item(3).position))

    def test_oldest_entries_give_way_and_the_start_moves_behind_them(self) -> None:
        ring = ring_of(1, 2, 3, 4, max_items=2)
        self.assertEqual((ring.start, ring.items), (item(2).position, tuple(items(3, 4))))
        self.assertIsNone(ring.since("start"))
        self.assertEqual(ring.since(item(2).position), items(3, 4))

    def test_bytes_are_bounded_too(self) -> None:
        ring = PublicationRing("start", 10, 2 * ITEM_OVERHEAD_BYTES + 10)
        ring.extend([item(1, b"12345"), item(2, b"12345"), item(3, b"123456")])
        self.assertEqual(ring.items, (item(3, b"123456"),))
        self.assertEqual(ring.size, ITEM_OVERHEAD_BYTES + 6)

    def test_entry_beyond_the_bound_is_only_the_position(self) -> None:
        ring = PublicationRing("start", 10, 100)
        ring.extend([item(1)])
        self.assertEqual((len(ring), ring.start, ring.end, ring.size), (0, item(1).position, item(1).position, 0))
        self.assertIsNone(ring.since("start"))

    def test_drop_keeps_the_end(self) -> None:
        ring = ring_of(1, 2)
        ring.drop()
        self.assertEqual((len(ring), ring.start, ring.end, ring.size), (0, item(2).position, item(2).position, 0))

    def test_restart_forgets_what_is_before_a_gap(self) -> None:
        ring = ring_of(1, 2)
        ring.restart("behind")
        self.assertIsNone(ring.since(item(2).position))
        self.assertEqual(ring.since("behind"), [])

    def test_older_entries_go_before_the_others(self) -> None:
        ring = ring_of(3, 4)
        ring.start = item(2).position
        ring.prepend("older", items(1, 2))
        self.assertEqual((ring.start, ring.items), ("older", tuple(items(1, 2, 3, 4))))
        self.assertEqual(ring.size, 4 * ITEM_OVERHEAD_BYTES)

    def test_older_entries_without_room_are_left_out(self) -> None:
        for bounds in ({"max_items": 3}, {"max_bytes": 4 * ITEM_OVERHEAD_BYTES - 1}):
            ring = ring_of(3, 4, **bounds)
            ring.prepend("older", items(1, 2))
            self.assertEqual((ring.start, ring.items), ("start", tuple(items(3, 4))))

    def test_newest_are_those_with_a_payload(self) -> None:
        ring = PublicationRing("start", 10, 1_000_000)
        ring.extend([item(1), item(2), item(3, None), item(4)])
        self.assertEqual(ring.newest(2), items(2, 4))
        self.assertEqual(ring.newest(0), [])

    def test_fewer_than_asked_for_is_no_answer_because_the_stream_may_have_more(self) -> None:
        self.assertIsNone(ring_of(1, 2).newest(3))

    @given(
        st.lists(st.lists(st.binary(max_size=20) | st.none(), max_size=5), max_size=20),
        st.integers(0, 6),
        st.integers(0, 2500),
    )
    def test_ring_is_the_end_of_all_that_was_added_within_its_bounds(
        self, batches: list[list[bytes | None]], max_items: int, max_bytes: int
    ) -> None:
        ring = PublicationRing("start", max_items, max_bytes)
        added: list[RingItem] = []
        for batch in batches:
            new = [item(len(added) + at, data) for at, data in enumerate(batch)]
            added += new
            ring.extend(new)
            positions = ["start", *(each.position for each in added)]
            kept = len(ring)
            self.assertEqual(list(ring.items), added[len(added) - kept :])
            self.assertEqual(ring.end, positions[-1])
            self.assertEqual(ring.size, sum(each.size for each in ring.items))
            self.assertTrue(kept <= max_items and ring.size <= max_bytes)
            for at, position in enumerate(positions):
                self.assertEqual(ring.since(position), added[at:] if len(added) - at <= kept else None)
