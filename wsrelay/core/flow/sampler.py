"""Samples of what repeats: the first few of each kind in an interval."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["INTERVAL_SECONDS", "MAX_KINDS", "Sampler", "left_out_text"]

INTERVAL_SECONDS = 60.0

MAX_KINDS = 1000
"""The largest number of kinds. The one that was seen first is forgotten for another, with what was left out of it."""


class Sampler:
    """Decides which ones of many alike are taken, and counts the others."""

    def __init__(self) -> None:
        # When the interval of a kind began, how many were taken since, and how many left out since the last one.
        self._kinds: dict[Hashable, tuple[float, int, int]] = {}

    def __len__(self) -> int:
        """Return the number of kinds."""
        return len(self._kinds)

    def take(self, kind: Hashable, limit: int, now: float) -> int | None:
        """Decide about one.

        Args:
            kind: The kind that it is counted by.
            limit: The number of this kind that is taken in an interval.
            now: The time of a monotonic clock, in seconds.

        Returns:
            How many of its kind were left out since the last one that was taken; None if it is to be left out.
        """
        since, taken, left_out = self._kinds.get(kind, (now, 0, 0))
        if now - since >= INTERVAL_SECONDS:
            since, taken = now, 0
        if taken >= limit:
            self._kinds[kind] = since, taken, left_out + 1
            return None
        if len(self._kinds) >= MAX_KINDS and kind not in self._kinds:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[kind] = since, taken + 1, 0
        return left_out


def left_out_text(count: int) -> str:
    """Return the end of a line that says how many like it were left out; empty for none."""
    return f" ({count} more like it since the last such line)" if count else ""
