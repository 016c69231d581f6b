"""The stream of the embedded broker, for walks."""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.brokers.memory.streams import MemoryStream
from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EntryID

__all__ = ["MemoryServer"]


class MemoryServer:
    """`devtools.model.server.StreamServer` has its operations. It gives every ID itself.

    Args:
        now_ms: The clock's beginning.

    Attributes:
        now_ms: The clock, in milliseconds since the epoch.
        has_replicas: See `devtools.model.server.StreamServer`.
    """

    has_replicas = False

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._stream = MemoryStream(now_ms)

    def add(self, fields: tuple[bytes, ...], entry_id: EntryID | None = None, maxlen: int | None = None) -> EntryID:
        """See `StreamServer.add`."""
        if entry_id is not None:
            raise ValueError("the broker gives every ID itself")
        added = self._stream.add(self.now_ms, fields)
        if maxlen is not None:
            self._stream.trim(maxlen)
        return added

    def trim(self, length: int, *, approximately: bool = False) -> None:
        """See `StreamServer.trim`."""
        self._stream.trim(length)

    def trim_older(self, than: EntryID, *, approximately: bool = False) -> None:
        """See `StreamServer.trim_older`. The newest entry stays."""
        self._stream.trim(1_000_000, than[0])

    def delete(self, entry_id: EntryID) -> None:
        """See `StreamServer.delete`."""
        self._stream.delete(entry_id)

    def remove(self) -> None:
        """See `StreamServer.remove`: as the broker drops a stream when it has no memory left."""
        self._stream = MemoryStream(max(self.now_ms, self._stream.info.last_id[0]) + 1)

    def read(self, since: EntryID | None, count: int) -> Sequence[Entry]:
        """See `StreamServer.read`."""
        return self._stream.read(since, count)

    def look(self, since: EntryID | None, count: int) -> StreamLook:
        """See `StreamServer.look`."""
        return StreamLook(self._stream.read(since, count), self._stream.info, self.now_ms)

    def look_at_newest(self, count: int) -> StreamLook:
        """See `StreamServer.look_at_newest`."""
        return StreamLook(self._stream.newest(count), self._stream.info, self.now_ms)

    def save(self) -> object:
        """See `StreamServer.save`. There is no replica."""
        return None

    def fail_over(self, saved: object, now_ms: int) -> None:
        """See `StreamServer.fail_over`: a restart of the process, whose clock goes on."""
        self.remove()
