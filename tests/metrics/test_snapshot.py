"""Tests of `wsrelay.metrics.snapshot`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.metrics.snapshot import Family, counters_of, merged


def family(merge: Any = "sum", kind: Any = "gauge", name: str = "a", **samples: float) -> Family:
    """Return a family with these samples."""
    return Family(name, kind, "Help.", "code", merge, samples)


class SnapshotTests(SynchronousTestCase):
    """The numbers of several processes together."""

    def test_each_family_is_merged_by_its_rule(self) -> None:
        for merge, values, expected in (
            ("sum", (1, 2, 4), 7),
            ("max", (1, 4, 2), 4),
            ("min", (1, 0, 1), 0),
            ("earliest", (0, 9, 5), 5),
            ("earliest", (0, 0, 0), 0),
        ):
            found = merged([[family(merge, x=value)] for value in values])
            self.assertEqual(found, (family(merge, x=expected),), merge)

    def test_samples_that_one_process_has_alone_stay(self) -> None:
        self.assertEqual(merged([[family(x=1)], [family(y=2)]]), (family(x=1, y=2),))

    def test_families_are_kept_apart_and_in_order(self) -> None:
        one, two = family(name="one", x=1), family(name="two", x=2)
        self.assertEqual(merged([[one], [two], [one]]), (family(name="one", x=2), two))

    def test_counters_stay_of_a_process_that_has_ended(self) -> None:
        counter = family(kind="counter", x=1)
        self.assertEqual(counters_of([family(x=2), counter]), (counter,))

    def test_json_brings_back_what_it_was(self) -> None:
        one = family(x=1.5)
        self.assertEqual(Family.from_json(json.loads(json.dumps(one.to_json()))), one)
