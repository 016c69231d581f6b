"""The numbers of one process as plain values, and those of several processes together.

Workers send them to their parent, which adds up what belongs to one service. Counters of workers that have ended stay
in the sum, so that none ever falls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["Family", "Merge", "Snapshot", "counters_of", "merged"]

Merge = Literal["sum", "max", "min", "earliest"]
"""How the values of several processes become one. "earliest" is the smallest that is not 0, which means none."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples.

    Attributes:
        name: The metric, without the suffix of counters.
        kind: "counter" or "gauge".
        help: Its help text.
        label: Its label. If None, there is one sample at most, whose key is an empty str.
        merge: How the values of several processes become one.
        samples: The values by that of the label.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    label: str | None
    merge: Merge
    samples: Mapping[str, float]

    def to_json(self) -> list[Any]:
        """Return it as JSON can hold it."""
        return [self.name, self.kind, self.help, self.label, self.merge, dict(self.samples)]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Family:
        """Return the family that `to_json` has written.

        Raises:
            ValueError: It is none.
        """
        name, kind, text, label, merge, samples = value
        return cls(name, kind, text, label, merge, samples)


Snapshot = Sequence[Family]
"""The numbers of one process, or of several together."""


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the numbers of several processes together, in the order in which their names were first seen."""
    found: dict[str, Family] = {}
    for snapshot in snapshots:
        for family in snapshot:
            known = found.get(family.name)
            found[family.name] = family if known is None else _added(known, family)
    return tuple(found.values())


def counters_of(snapshot: Snapshot) -> Snapshot:
    """Return the counters alone: what stays of a process that has ended."""
    return tuple(family for family in snapshot if family.kind == "counter")


def _added(known: Family, more: Family) -> Family:
    samples = dict(known.samples)
    for key, value in more.samples.items():
        samples[key] = _together(known.merge, samples[key], value) if key in samples else value
    return replace(known, samples=samples)


def _together(merge: Merge, one: float, other: float) -> float:
    if merge == "sum":
        return one + other
    if merge == "earliest":
        return min(one or other, other or one)
    return max(one, other) if merge == "max" else min(one, other)
