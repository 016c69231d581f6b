"""What is remembered for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["ExpiringCache"]

K = TypeVar("K")
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """Remembers values for one and the same time each, and never more than so many.

    Args:
        most: How many values there may be; one more costs the oldest its place.
        seconds: How long a value is remembered, in seconds. 0: not at all.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        # All live equally long: the order in which they came is that in which they end. Not a plain dict, where
        # finding the first entry means to step over all that were removed in front of it.
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Keep nothing."""
        self._entries.clear()

    def get(self, key: K, now: float) -> V | None:
        """The value of a key, or None if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None or entry[0] <= now:
            return None
        return entry[1]

    def put(self, key: K, value: V, now: float) -> None:
        """Remember a value from now on; one that the key had is forgotten."""
        self._entries.pop(key, None)
        self._entries[key] = (now + self._seconds, value)
        while self._entries and (len(self._entries) > self._most or self._oldest_ends <= now):
            self._entries.popitem(last=False)

    @property
    def _oldest_ends(self) -> float:
        return next(iter(self._entries.values()))[0]
