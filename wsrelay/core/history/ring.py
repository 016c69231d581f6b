"""The newest publications of one channel in this process, so that a returning crowd costs Redis one read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wsrelay.core.messaging.publications import Publication

__all__ = ["ITEM_OVERHEAD_BYTES", "PublicationRing", "RingItem"]

ITEM_OVERHEAD_BYTES = 300
"""The cost of an item beside its data, in bytes."""


class RingItem(NamedTuple):
    """One entry that was read.

    Attributes:
        position: The text of the position behind it.
        publication: What clients get of it. None if it has no payload.
    """

    position: str
    publication: Publication | None

    @property
    def size(self) -> int:
        """Its cost, in bytes."""
        return ITEM_OVERHEAD_BYTES + (0 if self.publication is None else len(self.publication.data))


class PublicationRing:
    """The newest entries of a channel without any in between missing, up to where this process has read.

    Args:
        position: The text of the position of this process.
        max_items: The largest number of entries.
        max_bytes: Their largest size, in bytes.

    Attributes:
        start: The text of the position before the oldest of them.
        size: Their size, in bytes.
    """

    __slots__ = ("_items", "_max_bytes", "_max_items", "size", "start")

    def __init__(self, position: str, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.restart(position)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._items)

    @property
    def items(self) -> Sequence[RingItem]:
        """The entries, oldest first."""
        return tuple(self._items)

    @property
    def end(self) -> str:
        """The text of the position behind the newest of them: that of this process."""
        return self._items[-1].position if self._items else self.start

    def restart(self, position: str) -> None:
        """Drop everything: there is a gap, and this position is behind it."""
        self.start = position
        self.size = 0
        self._items: deque[RingItem] = deque()

    def extend(self, items: Iterable[RingItem]) -> None:
        """Add entries that were read behind all others."""
        size = self.size
        for item in items:
            self._items.append(item)
            # As `RingItem.size`, without its call: this is done for every message.
            publication = item.publication
            size += ITEM_OVERHEAD_BYTES if publication is None else ITEM_OVERHEAD_BYTES + len(publication.data)
        self.size = size
        while len(self._items) > self._max_items or self.size > self._max_bytes:
            self._drop_oldest()

    def drop(self) -> None:
        """Keep nothing but the end, to make room."""
        self.restart(self.end)

    def prepend(self, start: str, items: Sequence[RingItem]) -> None:
        """Add older entries, which were read from `start` to the ring's own start, if there is room for all of them."""
        size = sum(item.size for item in items)
        if len(self._items) + len(items) <= self._max_items and self.size + size <= self._max_bytes:
            self._items.extendleft(reversed(items))
            self.size += size
            self.start = start

    def since(self, position: str) -> list[RingItem] | None:
        """Return the entries behind a position, oldest first. None if the position is not in the ring."""
        if position == self.end:
            return []
        if position == self.start:
            return list(self._items)
        # From the end, because most of those who come back were away for a moment only.
        found: list[RingItem] = []
        for item in reversed(self._items):
            if item.position == position:
                return found[::-1]
            found.append(item)
        return None

    def newest(self, count: int) -> list[RingItem] | None:
        """Return the newest entries with a payload, oldest first. None if the ring has not as many."""
        found: list[RingItem] = []
        for item in reversed(self._items):
            if len(found) == count:
                break
            if item.publication is not None:
                found.append(item)
        return found[::-1] if len(found) == count else None

    def _drop_oldest(self) -> None:
        item = self._items.popleft()
        self.start = item.position
        self.size -= item.size
