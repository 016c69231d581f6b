"""Entries of a stream, and the state of one, as a broker reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsrelay.core.history.positions import ANY_FINGERPRINT, EntryID, EntryPosition, fingerprint

__all__ = ["DATA_FIELD", "INFO_FIELD", "TAGS_FIELD", "Entry", "StreamInfo", "StreamLook", "entry_fields"]

DATA_FIELD = b"data"
"""The field of an entry that holds the payload."""

INFO_FIELD = b"info"
"""The field that says which client published an entry: the JSON of a `wsrelay.core.presence.member.Member`. The relay
adds it to what clients publish by a command."""

TAGS_FIELD = b"tags"
"""The field with an entry's tags: a JSON object of texts by their names, for those who receive it."""


def entry_fields(data: bytes, info: bytes = b"", tags: bytes = b"") -> tuple[bytes, ...]:
    """Return the fields of an entry that the relay adds.

    Args:
        data: The payload.
        info: The client that published it. If empty, none did.
        tags: Its tags. If empty, it has none.
    """
    fields = (DATA_FIELD, data, INFO_FIELD, info) if info else (DATA_FIELD, data)
    return (*fields, TAGS_FIELD, tags) if tags else fields


class Entry:
    """One entry of a stream. It does not change.

    One is made for every message, and not a dataclass, for the same reason: what most messages do not need is made when
    it is first asked for.

    Args:
        name: Its ID, as Redis writes it.
        fields: Names and values of its fields, in turn, as in Redis.

    Attributes:
        name: See above.
        fields: See above.
    """

    __slots__ = ("_id", "_position", "fields", "name")

    # Missing until they are first asked for.
    _id: EntryID
    _position: EntryPosition

    def __init__(self, name: bytes, fields: Sequence[bytes]) -> None:
        self.name = name
        self.fields = fields

    @classmethod
    def of(cls, entry_id: EntryID, fields: Sequence[bytes]) -> Entry:
        """Return the entry by an ID."""
        entry = cls(b"%d-%d" % entry_id, fields)
        entry._id = entry_id
        return entry

    def __eq__(self, other: object) -> bool:
        """Return whether the other one has the same ID and the same fields in the same order."""
        if not isinstance(other, Entry):
            return NotImplemented
        return self.name == other.name and tuple(self.fields) == tuple(other.fields)

    def __hash__(self) -> int:
        """Return a number that equal entries share."""
        return hash((self.name, tuple(self.fields)))

    def __repr__(self) -> str:
        """Return what tells entries apart in the output of a test."""
        return f"Entry({self.name!r}, {self.fields!r})"

    @property
    def id(self) -> EntryID:
        """Its ID."""
        try:
            return self._id
        except AttributeError:
            ms, _, number = self.name.partition(b"-")
            self._id = int(ms), int(number)
            return self._id

    @property
    def position(self) -> EntryPosition:
        """The position behind this entry."""
        try:
            return self._position
        except AttributeError:
            self._position = EntryPosition(self.id, fingerprint(self.fields))
            return self._position

    @property
    def position_text(self) -> str:
        """The text of `position`."""
        return str(self.position)

    def is_at(self, position: EntryPosition) -> bool:
        """Return whether a position is the one behind this entry, as far as it says."""
        return self.id == position.id and position.fingerprint in (ANY_FINGERPRINT, self.position.fingerprint)

    def field(self, name: bytes) -> bytes | None:
        """Return the value of a field, the first one by this name. None if the entry has none."""
        fields = self.fields
        return next((fields[at + 1] for at in range(0, len(fields), 2) if fields[at] == name), None)

    @property
    def data(self) -> bytes | None:
        """The payload. None if the entry has none."""
        fields = self.fields
        return fields[1] if fields[0] == DATA_FIELD else self.field(DATA_FIELD)


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
