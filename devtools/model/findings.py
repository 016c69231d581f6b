"""The findings of a walk."""

from __future__ import annotations

from collections import Counter

__all__ = ["Findings", "WalkFailure"]


class WalkFailure(AssertionError):  # noqa: N818 -- it is what a walk looks for
    """A rule was broken: a hole, a double, or a gap without need."""


class Findings:
    """Counts, by name.

    Attributes:
        counts: How often each thing was seen. Names with a colon are kinds of one thing.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, name: str, number: int = 1) -> None:
        """Count something that is as it should be, or that no rule can see."""
        self.counts[name] += number

    def fail(self, kind: str, text: str) -> None:
        """Count a broken rule, and end the walk.

        Raises:
            WalkFailure: Always.
        """
        self.counts[f"FAILED: {kind}"] += 1
        raise WalkFailure(f"{kind}: {text}")
