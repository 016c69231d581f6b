"""Tests of `wsrelay.engine.channel_reader`: the reads of one stream for everybody."""

from __future__ import annotations

from tests.engine.history_harness import HistoryCase
from wsrelay.engine.channel_reader import LIVE_PAGE_SIZE


class ReadingTests(HistoryCase):
    """The reads of a process for everybody."""

    def test_long_burst_is_read_in_pages_and_in_order(self) -> None:
        subscriber, _ = self.subscribe()
        payloads = [b"%d" % number for number in range(LIVE_PAGE_SIZE * 2 + 7)]
        self.add(*payloads)
        self.assertEqual(self.lines(subscriber), payloads)

    def test_trimmed_entries_are_a_gap_that_a_dialect_with_an_event_for_it_is_told_of(self) -> None:
        teller, _ = self.subscribe(dialect=self.events)
        raw, _ = self.subscribe()
        self.add(b"1")
        self.node._on_pressure(True)
        self.add(b"2", b"3")
        self.history._streams["kept"].trim(1)
        self.node._on_pressure(False)
        self.turn()
        self.assertEqual(self.lines(teller), [b"1", b"gap trimmed", b"3"])
        self.assertEqual(self.lines(raw), [b"1", b"3"])
        self.clock.pump([0.05] * 40)
        self.assertEqual((raw.gaps, teller.gaps), (["kept"], []))
        self.assertEqual(self.counters.history_gaps, {"trimmed": 1})

    def test_cleared_stream_is_no_gap(self) -> None:
        subscriber, _ = self.subscribe()
        self.add(b"1")
        self.history.clear("kept")
        self.add(b"2")
        self.assertEqual((self.lines(subscriber), self.counters.history_gaps), ([b"1", b"2"], {}))
