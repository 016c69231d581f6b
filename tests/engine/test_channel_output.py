"""Tests of `wsrelay.engine.channel_output`: what subscribers get of a stream, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.engine.history_harness import RETENTION, HistoryCase
from wsrelay.core.messaging.publications import ChannelEvent, GapReason, Positioned, Publication
from wsrelay.engine import stream_readers
from wsrelay.engine.channel_output import RENEWALS
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS
from wsrelay.engine.stream_readers import SWEEP_SECONDS
from wsrelay.testing.dialects import LineDialect


class PositionDialect(LineDialect):
    """A dialect of lines that tells of positions alone."""

    def encode(self, events: Sequence[ChannelEvent], *_options: object) -> Any:
        """Make a line of each position and each publication."""
        return [
            (each.position.encode() if isinstance(each, Positioned) else b"message", False)
            for each in events
            if isinstance(each, (Positioned, Publication))
        ]


class BroadcastTests(HistoryCase):
    """Entries that are read."""

    def test_entry_without_data_is_skipped_and_counted_and_moves_the_position(self) -> None:
        subscriber, _ = self.subscribe()
        self.history.add("kept", (b"other", b"x"), RETENTION)
        self.add(b"1")
        self.assertEqual((self.lines(subscriber), self.counters.entries_without_data), ([b"1"], 1))


class UnusedChannelTests(HistoryCase):
    """Channels on which nothing is published."""

    def wait(self, seconds: float) -> None:
        """Let time pass, with its sweeps."""
        self.clock.pump([1.0] * round(seconds))

    def test_subscriber_gets_a_newer_position_before_its_own_is_too_old_to_be_judged(self) -> None:
        subscriber, start = self.subscribe(dialect=PositionDialect("positions"))
        self.wait(RETENTION.seconds / RENEWALS - SWEEP_SECONDS)
        self.assertEqual(self.lines(subscriber), [])
        self.wait(RETENTION.seconds)
        positions = [each.decode() for each in self.lines(subscriber)]
        self.assertEqual(len(positions), RENEWALS)
        self.node.subscriptions.unsubscribe(subscriber, "kept")
        self.wait(CHANNEL_LINGER_SECONDS)
        self.history.add("kept", (b"data", b"1"), RETENTION)
        for position, found in ((positions[-1], None), (start.position, GapReason.EXPIRED)):
            _, returned = self.subscribe(since=position)
            self.assertEqual((returned.gap, [each.data for each in returned.publications]), (found, [b"1"]))

    def test_subscriber_gets_none_once_something_was_published(self) -> None:
        subscriber, _ = self.subscribe(dialect=PositionDialect("positions"))
        self.add(b"1")
        self.wait(RETENTION.seconds)
        self.assertEqual(self.lines(subscriber), [b"message"])


class RingTests(HistoryCase):
    """The memory for those who come back."""

    def test_rings_together_are_bounded(self) -> None:
        self.subscribe("kept1")
        self.subscribe("kept2")
        self.patch(stream_readers, "MAX_RINGS_BYTES", 2000)
        for _ in range(20):
            self.add(b"x" * 100, channel="kept1")
            self.add(b"x" * 100, channel="kept2")
            readers = self.node._readers
            assert readers is not None
            sizes = [reader.ring.size for reader in readers._readers.values()]
            self.assertLessEqual(sum(sizes), 2000)
            self.assertEqual(sum(sizes), readers._rings_bytes)

    def test_client_is_served_from_redis_where_the_ring_was_dropped(self) -> None:
        _, start = self.subscribe()
        self.patch(stream_readers, "MAX_RINGS_BYTES", 0)
        self.add(b"1", b"2")
        _, again = self.subscribe(since=start.position)
        self.assertEqual((self.data_of(again), again.recovered), ([b"1", b"2"], True))
