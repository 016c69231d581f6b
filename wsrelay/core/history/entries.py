"""Entries of a stream, and the state of one, as a broker reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wsrelay.core.history.positions import EntryID, EntryPosition, fingerprint

__all__ = ["DATA_FIELD", "Entry", "StreamInfo", "StreamLook"]

DATA_FIELD = b"data"
"""The field of an entry that holds the payload."""


@dataclass(slots=True, unsafe_hash=True)
class Entry:
    """One entry of a stream. It does not change, and is not frozen because one is made for every message.

    Attributes:
        id: Its ID.
        fields: Names and values of its fields, in turn, as in Redis.
    """

    id: EntryID
    fields: tuple[bytes, ...]
    _position: EntryPosition | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def position(self) -> EntryPosition:
        """The position behind this entry, made once."""
        position = self._position
        if position is None:
            position = self._position = EntryPosition(self.id, fingerprint(self.fields))
        return position

    def is_at(self, position: EntryPosition) -> bool:
        """Return whether this is the position behind this entry, without making one."""
        return self.id == position.id and fingerprint(self.fields) == position.fingerprint

    @property
    def position_text(self) -> str:
        """The text of `position`."""
        return str(self.position)

    @property
    def data(self) -> bytes | None:
        """The payload. None if the entry has none."""
        fields = self.fields
        if fields[0] == DATA_FIELD:
            return fields[1]
        return next((fields[at + 1] for at in range(0, len(fields), 2) if fields[at] == DATA_FIELD), None)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The state of a stream that exists: XINFO STREAM.

    Attributes:
        length: The number of its entries.
        last_id: The largest ID that it was ever given (``last-generated-id``).
        first_id: The ID of its oldest entry. If None, it has none.
        entries_added: The number of entries that it was ever given. If None, the server does not count (before 7.0).
        max_deleted_id: The largest ID that XDEL took out, (0, 0) if none. If None, the server does not say.
        groups: The number of its consumer groups.
    """

    length: int
    last_id: EntryID
    first_id: EntryID | None = None
    entries_added: int | None = None
    max_deleted_id: EntryID | None = None
    groups: int = 0


@dataclass(frozen=True, slots=True)
class StreamLook:
    """The outcome of one atomic look at a channel.

    Attributes:
        entries: The entries that were asked for, oldest first.
        info: The state of its stream. If None, the channel has no stream.
        now_ms: The server's clock, in milliseconds since the epoch.
    """

    entries: Sequence[Entry]
    info: StreamInfo | None
    now_ms: int
