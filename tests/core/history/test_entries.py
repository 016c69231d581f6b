"""Tests of `wsrelay.core.history.entries`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.history.looks import entry
from wsrelay.core.history.entries import Entry, entry_fields
from wsrelay.core.history.positions import ANY_FINGERPRINT, EntryPosition, fingerprint


class EntryTests(SynchronousTestCase):
    """One entry of a stream."""

    def test_payload_is_the_value_of_the_field_data(self) -> None:
        self.assertEqual(Entry(b"1-0", (b"data", b"hello")).data, b"hello")

    def test_payload_is_found_behind_other_fields(self) -> None:
        self.assertEqual(Entry(b"1-0", (b"info", b"data", b"tags", b"x", b"data", b"hello")).data, b"hello")

    def test_value_that_reads_data_is_not_a_field(self) -> None:
        self.assertIsNone(Entry(b"1-0", (b"info", b"data")).data)

    def test_first_of_two_payloads_counts(self) -> None:
        self.assertEqual(Entry(b"1-0", (b"x", b"", b"data", b"a", b"data", b"b")).data, b"a")

    def test_empty_payload_is_one(self) -> None:
        self.assertEqual(Entry(b"1-0", (b"data", b"")).data, b"")

    def test_position_is_that_behind_the_entry(self) -> None:
        found = entry(7)
        self.assertEqual(found.position, EntryPosition((7, 0), fingerprint(found.fields)))
        self.assertEqual(found.position_text, str(found.position))

    def test_fields_of_what_a_client_published_name_the_client(self) -> None:
        self.assertEqual(entry_fields(b"x"), (b"data", b"x"))
        found = Entry(b"1-0", entry_fields(b"x", b"{}"))
        self.assertEqual((found.data, found.field(b"info"), found.field(b"other")), (b"x", b"{}", None))

    def test_position_without_a_fingerprint_is_behind_any_entry_by_its_id(self) -> None:
        found = entry(5)
        for position, is_at in (
            (found.position, True),
            (EntryPosition((5, 0), ANY_FINGERPRINT), True),
            (EntryPosition((5, 0), "00000000"), False),
            (EntryPosition((6, 0), ANY_FINGERPRINT), False),
        ):
            self.assertEqual(found.is_at(position), is_at, position)

    def test_id_is_read_from_its_text(self) -> None:
        found = Entry(b"1764256000123-7", (b"data", b""))
        self.assertEqual((found.id, found.id), ((1764256000123, 7),) * 2)

    def test_entry_by_an_id_has_its_text(self) -> None:
        found = Entry.of((5, 1), (b"data", b"x"))
        self.assertEqual((found.name, found.id), (b"5-1", (5, 1)))

    def test_entries_with_the_same_id_and_fields_are_the_same_whoever_made_them(self) -> None:
        self.assertEqual(Entry(b"5-0", [b"data", b"x"]), Entry.of((5, 0), (b"data", b"x")))
        self.assertEqual({Entry(b"5-0", [b"data", b"x"]), Entry.of((5, 0), (b"data", b"x"))}, {entry(5, "x")})
        for other in (entry(6, "x"), entry(5, "y"), "5-0"):
            self.assertNotEqual(entry(5, "x"), other)

    def test_entry_names_itself_in_the_output_of_a_test(self) -> None:
        self.assertEqual(repr(entry(5, "x")), "Entry(b'5-0', (b'data', b'x'))")

    def test_relay_adds_the_payload_first_and_what_else_there_is_behind_it(self) -> None:
        for arguments, fields in (
            ((), (b"data", b"x")),
            ((b"i",), (b"data", b"x", b"info", b"i")),
            ((b"", b"t"), (b"data", b"x", b"tags", b"t")),
            ((b"i", b"t"), (b"data", b"x", b"info", b"i", b"tags", b"t")),
        ):
            self.assertEqual(entry_fields(b"x", *arguments), fields)
