"""The newest entries of one channel in this process, so that a returning crowd costs Redis one read."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import ANY_FINGERPRINT

__all__ = ["ENTRY_OVERHEAD_BYTES", "EntryRing"]

ENTRY_OVERHEAD_BYTES = 300
"""The cost of an entry beside its fields, in bytes."""


class EntryRing:
    """The newest entries of a channel without any in between missing, up to where this process has read.

    Args:
        position: The text of the position of this process.
        max_entries: The largest number of entries.
        max_bytes: Their largest size, in bytes.

    Attributes:
        size: Their size, in bytes.
    """

    __slots__ = ("_before", "_entries", "_max_bytes", "_max_entries", "size")

    # The position before the oldest entry, or the entry that it is behind.
    _before: str | Entry

    def __init__(self, position: str, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.restart(position)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries, oldest first."""
        return tuple(self._entries)

    @property
    def start(self) -> str:
        """The text of the position before the oldest of them."""
        before = self._before
        return before if isinstance(before, str) else before.position_text

    @property
    def end(self) -> str:
        """The text of the position behind the newest of them: that of this process."""
        return self._entries[-1].position_text if self._entries else self.start

    def restart(self, position: str | Entry) -> None:
        """Drop everything: there is a gap, and this position, or that of this entry, is behind it."""
        self._before = position
        self.size = 0
        self._entries: deque[Entry] = deque()

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add entries that were read behind all others."""
        size = self.size
        for entry in entries:
            fields = entry.fields
            # As `_size`, without its call: this is done for every message.
            size += ENTRY_OVERHEAD_BYTES + (len(fields[1]) if len(fields) == 2 else sum(map(len, fields)))
        self.size = size
        self._entries.extend(entries)
        while size > self._max_bytes or len(self._entries) > self._max_entries:
            self._before = self._entries.popleft()
            size = self.size = size - _size(self._before)

    def drop(self) -> None:
        """Keep nothing but the end, to make room."""
        self.restart(self._entries[-1] if self._entries else self._before)

    def prepend(self, start: str, entries: Sequence[Entry]) -> None:
        """Add older entries, which were read from `start` to the ring's own start, if there is room for all of them."""
        size = sum(map(_size, entries))
        if len(self._entries) + len(entries) <= self._max_entries and self.size + size <= self._max_bytes:
            self._entries.extendleft(reversed(entries))
            self.size += size
            self._before = start

    def since(self, position: str) -> list[Entry] | None:
        """Return the entries behind a position, oldest first. None if the position is not in the ring."""
        # From the end, because most of those who come back were away for a moment only.
        name = position.rpartition(".")[0].encode()
        found: list[Entry] = []
        for entry in reversed(self._entries):
            # Its fingerprint is made where its ID is that of the position, and not for each entry on the way.
            if entry.name == name and _is_same(position, entry.position_text):
                return found[::-1]
            found.append(entry)
        return found[::-1] if _is_same(position, self.start) else None

    def newest(self, count: int) -> list[Entry] | None:
        """Return the newest entries with a payload, oldest first. None if the ring has not as many."""
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if len(found) == count:
                break
            if entry.data is not None:
                found.append(entry)
        return found[::-1] if len(found) == count else None


def _is_same(position: str, other: str) -> bool:
    """Return whether a client's position is one of the ring's, as far as the client says.

    A ring may begin behind the position of a client that named the ID alone. That proves nothing to one that names a
    fingerprint.
    """
    if position[-1:] == ANY_FINGERPRINT:
        return position.rpartition(".")[0] == other.rpartition(".")[0]
    return position == other


def _size(entry: Entry) -> int:
    fields = entry.fields
    return ENTRY_OVERHEAD_BYTES + (len(fields[1]) if len(fields) == 2 else sum(map(len, fields)))
