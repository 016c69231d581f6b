"""Tests of `wsrelay.metrics.counters`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.metrics.counters import Counters, counter_table


class CounterTableTests(SynchronousTestCase):
    """The table of counters."""

    def test_every_counter_begins_at_zero_as_a_plain_number_or_by_its_label(self) -> None:
        counters = Counters()
        for row in counter_table():
            value = getattr(counters, row.name)
            self.assertEqual(value, 0 if row.label is None else Counter(), row.name)
            self.assertIs(type(value), int if row.label is None else Counter, row.name)

    def test_counters_of_two_processes_are_independent(self) -> None:
        Counters().connections_closed[4008] += 1
        self.assertEqual(Counters().connections_closed, Counter())

    def test_every_counter_is_explained_in_a_sentence(self) -> None:
        for row in counter_table():
            self.assertTrue(row.help.endswith("."), row.name)
