"""Tests of `wsrelay.core.history.entries`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.history.looks import entry
from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EntryPosition, fingerprint


class EntryTests(SynchronousTestCase):
    """One entry of a stream."""

    def test_payload_is_the_value_of_the_field_data(self) -> None:
        self.assertEqual(Entry((1, 0), (b"data", b"hello")).data, b"hello")

    def test_payload_is_found_behind_other_fields(self) -> None:
        self.assertEqual(Entry((1, 0), (b"info", b"data", b"tags", b"x", b"data", b"hello")).data, b"hello")

    def test_value_that_reads_data_is_not_a_field(self) -> None:
        self.assertIsNone(Entry((1, 0), (b"info", b"data")).data)

    def test_first_of_two_payloads_counts(self) -> None:
        self.assertEqual(Entry((1, 0), (b"x", b"", b"data", b"a", b"data", b"b")).data, b"a")

    def test_empty_payload_is_one(self) -> None:
        self.assertEqual(Entry((1, 0), (b"data", b"")).data, b"")

    def test_position_is_that_behind_the_entry(self) -> None:
        found = entry(7)
        self.assertEqual(found.position, EntryPosition((7, 0), fingerprint(found.fields)))
        self.assertEqual(found.position_text, str(found.position))
