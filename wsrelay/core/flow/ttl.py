"""Bounded tables whose entries expire."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["ExpiringCache", "ExpiringStore"]

K = TypeVar("K")
V = TypeVar("V")


class _Table(Generic[K, V]):
    """The entries of a cache or a store. Times are seconds on a monotonic clock.

    Args:
        max_entries: The largest number of entries.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        # Each value with the time of its end. Not a plain dict, where finding the first entry means to step over all
        # that were removed in front of it.
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of entries in memory, expired ones included."""
        return len(self._entries)

    def get(self, key: K, now: float) -> V | None:
        """Return the value of a key. None if there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is None or entry[0] <= now:
            return None
        return entry[1]


class ExpiringCache(_Table[K, V]):
    """A cache in which every entry lives for the same number of seconds.

    Args:
        max_entries: The largest number of entries. When it is exceeded the oldest one is removed.
        ttl_seconds: The lifetime of each entry. If 0, nothing is kept.
    """

    def __init__(self, max_entries: int, ttl_seconds: float) -> None:
        super().__init__(max_entries)
        self._ttl_seconds = ttl_seconds

    def clear(self) -> None:
        """Remove every entry."""
        self._entries.clear()

    def put(self, key: K, value: V, now: float) -> None:
        """Keep a value from now on, in place of an earlier one of the key. Removes expired entries."""
        self._entries.pop(key, None)
        self._entries[key] = (now + self._ttl_seconds, value)
        # All live equally long: the order of insertion is that of expiry.
        while self._entries and (len(self._entries) > self._max_entries or self._first_end <= now):
            self._entries.popitem(last=False)

    @property
    def _first_end(self) -> float:
        return next(iter(self._entries.values()))[0]


class ExpiringStore(_Table[K, V]):
    """A table in which every entry has a lifetime of its own, and none is removed before its end.

    Args:
        max_entries: The largest number of entries. When it is reached no further key is taken.
    """

    def put(self, key: K, value: V, seconds: float, now: float) -> bool:
        """Keep a value, in place of an earlier one of the key.

        Returns:
            True, or False if the table is full: then nothing is kept. Expired entries are removed before that.
        """
        if len(self._entries) >= self._max_entries and key not in self._entries:
            for expired in [key for key, (end, _) in self._entries.items() if end <= now]:
                del self._entries[expired]
            if len(self._entries) >= self._max_entries:
                return False
        self._entries[key] = (now + seconds, value)
        return True

    def take(self, key: K, now: float) -> V | None:
        """Remove a key and return its value. None if there is none or it has expired."""
        value = self.get(key, now)
        self._entries.pop(key, None)
        return value
