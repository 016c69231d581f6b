"""Bounded tables whose entries expire."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["MOST_VALUES", "ExpiringCache", "ExpiringStore"]

MOST_VALUES = 10_000

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


class ExpiringStore(Generic[V]):
    """A bounded table of values, each with its own end.

    Args:
        seconds: A monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._values: dict[str, tuple[float, V]] = {}

    def put(self, name: str, value: V, seconds: float) -> bool:
        """Keep a value for so long, in place of another; False, and nothing kept, if there is no room."""
        now = self._seconds()
        if len(self._values) >= MOST_VALUES and name not in self._values:
            self._values = {key: kept for key, kept in self._values.items() if kept[0] > now}
            if len(self._values) >= MOST_VALUES:
                return False
        self._values[name] = now + seconds, value
        return True

    def get(self, name: str) -> V | None:
        """The value of a name, or None."""
        end, value = self._values.get(name, (0.0, None))
        return value if value is not None and end > self._seconds() else None

    def take(self, name: str) -> V | None:
        """As `get`, and the value is there no more."""
        value = self.get(name)
        self._values.pop(name, None)
        return value
