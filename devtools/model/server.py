"""A server with one stream, under a clock of its own, that can fail in the ways of real ones."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol

from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EntryID

__all__ = ["ModelServer", "StreamServer"]


class StreamServer(Protocol):
    """The operations of a walk on one stream.

    Attributes:
        now_ms: The server's clock, in milliseconds since the epoch.
        has_replicas: Whether another server can take over with older data. If not, it can only lose all of it.
    """

    now_ms: int
    has_replicas: bool

    def add(self, fields: tuple[bytes, ...], entry_id: EntryID | None = None, maxlen: int | None = None) -> EntryID:
        """Add an entry, and trim the stream to a length if one is given: XADD.

        Raises:
            ValueError: The ID is not above the last one.
        """

    def trim(self, length: int, *, approximately: bool = False) -> None:
        """Remove the oldest entries beyond a number: XTRIM MAXLEN."""

    def trim_older(self, than: EntryID, *, approximately: bool = False) -> None:
        """Remove the entries below an ID: XTRIM MINID."""

    def delete(self, entry_id: EntryID) -> None:
        """Take out one entry: XDEL."""

    def remove(self) -> None:
        """Remove the stream: DEL, expiry, eviction and FLUSHALL."""

    def read(self, since: EntryID | None, count: int) -> Sequence[Entry]:
        """Return the oldest entries from an ID on: XRANGE."""

    def look(self, since: EntryID | None, count: int) -> StreamLook:
        """Return the oldest entries from an ID on, and the state of the stream."""

    def look_at_newest(self, count: int) -> StreamLook:
        """Return the newest entries, oldest first, and the state of the stream."""

    def save(self) -> object:
        """Return the state of the stream, as a replica has it."""

    def fail_over(self, saved: object, now_ms: int) -> None:
        """Go on with a state that was saved, or None for no data, and with another clock."""


@dataclass(slots=True)
class _Node:
    """A part of the stream, which approximate trimming removes as a whole.

    Attributes:
        entries: Its entries.
        deleted: The number of those that were taken out, which count towards its size.
        last_id: The ID of its last entry, taken out or not.
    """

    entries: list[Entry]
    deleted: int = 0
    last_id: EntryID = (0, 0)

    def remove_oldest(self, count: int) -> None:
        """Take out entries, and keep the node even if none is left."""
        del self.entries[:count]
        self.deleted += count


@dataclass(slots=True)
class _Stream:
    """The state that Redis keeps of one stream (t_stream.c)."""

    nodes: list[_Node]
    last_id: EntryID = (0, 0)
    entries_added: int = 0
    max_deleted_id: EntryID = (0, 0)

    def entries(self) -> list[Entry]:
        return [entry for node in self.nodes for entry in node.entries]


class ModelServer:
    """The model. `StreamServer` has its operations.

    Args:
        now_ms: The clock's beginning.
        node_size: How many entries are trimmed at once where that is approximate: stream-node-max-entries.

    Attributes:
        now_ms: The server's clock, in milliseconds since the epoch.
        has_replicas: See `StreamServer`.
    """

    has_replicas = True

    def __init__(self, now_ms: int, node_size: int = 4) -> None:
        self.now_ms = now_ms
        self._node_size = node_size
        self._stream: _Stream | None = None

    def add(self, fields: tuple[bytes, ...], entry_id: EntryID | None = None, maxlen: int | None = None) -> EntryID:
        """See `StreamServer.add`."""
        stream = self._stream
        last_id = stream.last_id if stream is not None else (0, 0)
        if entry_id is None:
            entry_id = (self.now_ms, 0) if self.now_ms > last_id[0] else (last_id[0], last_id[1] + 1)
        if entry_id <= last_id:
            raise ValueError("the ID is not above the last one")
        if stream is None:
            stream = self._stream = _Stream([])
        stream.last_id = entry_id
        stream.entries_added += 1
        last = stream.nodes[-1] if stream.nodes else None
        if last is None or len(last.entries) + last.deleted >= self._node_size:
            stream.nodes.append(last := _Node([]))
        last.entries.append(Entry.of(entry_id, fields))
        last.last_id = entry_id
        if maxlen is not None:
            self.trim(maxlen)
        return entry_id

    def trim(self, length: int, *, approximately: bool = False) -> None:
        """See `StreamServer.trim`."""
        nodes = [] if self._stream is None else self._stream.nodes
        count = len(self._entries()) - length
        while nodes and count >= len(nodes[0].entries):
            count -= len(nodes.pop(0).entries)
        if nodes and not approximately:
            nodes[0].remove_oldest(max(count, 0))

    def trim_older(self, than: EntryID, *, approximately: bool = False) -> None:
        """See `StreamServer.trim_older`."""
        nodes = [] if self._stream is None else self._stream.nodes
        while nodes and nodes[0].last_id < than:
            del nodes[0]
        if nodes and not approximately:
            nodes[0].remove_oldest(sum(entry.id < than for entry in nodes[0].entries))

    def delete(self, entry_id: EntryID) -> None:
        """See `StreamServer.delete`."""
        stream = self._stream
        if stream is None:
            return
        for node in stream.nodes:
            for at, entry in enumerate(node.entries):
                if entry.id == entry_id:
                    del node.entries[at]
                    node.deleted += 1
                    stream.max_deleted_id = max(stream.max_deleted_id, entry_id)
                    if not node.entries:
                        stream.nodes.remove(node)
                    return

    def remove(self) -> None:
        """See `StreamServer.remove`."""
        self._stream = None

    def read(self, since: EntryID | None, count: int) -> Sequence[Entry]:
        """See `StreamServer.read`."""
        entries = self._entries()
        start = 0 if since is None else bisect_left(entries, since, key=lambda each: each.id)
        return entries[start : start + count]

    def look(self, since: EntryID | None, count: int) -> StreamLook:
        """See `StreamServer.look`."""
        return StreamLook(self.read(since, count), self._info(), self.now_ms)

    def look_at_newest(self, count: int) -> StreamLook:
        """See `StreamServer.look_at_newest`."""
        return StreamLook(self._entries()[-count:], self._info(), self.now_ms)

    def save(self) -> object:
        """See `StreamServer.save`."""
        return deepcopy(self._stream)

    def fail_over(self, saved: object, now_ms: int) -> None:
        """See `StreamServer.fail_over`."""
        assert saved is None or isinstance(saved, _Stream), "one of save()"  # noqa: S101 -- kept opaque for walks
        self._stream = deepcopy(saved)
        self.now_ms = now_ms

    def _entries(self) -> list[Entry]:
        return [] if self._stream is None else self._stream.entries()

    def _info(self) -> StreamInfo | None:
        stream = self._stream
        if stream is None:
            return None
        entries = stream.entries()
        first_id = entries[0].id if entries else None
        return StreamInfo(len(entries), stream.last_id, first_id, stream.entries_added, stream.max_deleted_id)
