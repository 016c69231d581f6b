"""A stream in memory, which behaves as one of Redis does as far as the relay can see."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from wsrelay.core.history.entries import Entry, StreamInfo
from wsrelay.core.history.positions import EntryID

__all__ = ["ENTRY_OVERHEAD_BYTES", "MemoryStream"]

ENTRY_OVERHEAD_BYTES = 200
"""The cost of an entry beside its fields, in bytes."""


class MemoryStream:
    """The entries of one channel.

    Args:
        base_ms: A time behind everything that is lost, in milliseconds since the epoch. The stream counts as many
            entries as added before, and its last ID is of that time: a position from an earlier process, or from a
            stream that was dropped, matches neither.

    Attributes:
        size: The size of its entries, in bytes.
        kept_until_ms: The time until which its newest entry is kept, in milliseconds since the epoch.
    """

    def __init__(self, base_ms: int) -> None:
        self._entries: list[Entry] = []
        self._last_id: EntryID = (base_ms, 0)
        self._entries_added = base_ms
        self._max_deleted_id: EntryID = (0, 0)
        self.size = 0
        self.kept_until_ms = 0

    @property
    def info(self) -> StreamInfo:
        """The state of the stream."""
        entries = self._entries
        first_id = entries[0].id if entries else None
        return StreamInfo(len(entries), self._last_id, first_id, self._entries_added, self._max_deleted_id)

    def add(self, now_ms: int, fields: tuple[bytes, ...]) -> EntryID:
        """Add an entry, and return its ID (https://redis.io/docs/latest/commands/xadd/)."""
        ms, number = self._last_id
        self._last_id = (now_ms, 0) if now_ms > ms else (ms, number + 1)
        self._entries_added += 1
        entry = Entry.of(self._last_id, fields)
        self._entries.append(entry)
        self.size += _size(entry)
        return entry.id

    def read(self, since: EntryID | None, count: int) -> Sequence[Entry]:
        """Return the oldest entries from an ID on; see `IHistory.read`."""
        start = 0 if since is None else self._index(since)
        return self._entries[start : start + count]

    def newest(self, count: int) -> Sequence[Entry]:
        """Return the newest entries, oldest first."""
        return self._entries[-count:] if count else []

    def delete(self, entry_id: EntryID) -> bool:
        """Take out an entry as XDEL does, and return whether it was there."""
        at = self._index(entry_id)
        if at == len(self._entries) or self._entries[at].id != entry_id:
            return False
        self.size -= _size(self._entries.pop(at))
        self._max_deleted_id = max(self._max_deleted_id, entry_id)
        return True

    def trim(self, length: int, oldest_ms: int = 0) -> None:
        """Remove the oldest entries until there are no more than `length`, and none from before `oldest_ms`.

        The newest entry is removed for its age neither: it is everybody's position.
        """
        too_old = min(self._index((oldest_ms, 0)), max(len(self._entries) - 1, 0))
        for _ in range(max(len(self._entries) - length, too_old)):
            self.size -= _size(self._entries.pop(0))

    def _index(self, entry_id: EntryID) -> int:
        return bisect_left(self._entries, entry_id, key=lambda each: each.id)


def _size(entry: Entry) -> int:
    return ENTRY_OVERHEAD_BYTES + sum(map(len, entry.fields))
