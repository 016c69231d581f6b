"""Positions in the stream of a channel, which clients send to resume.

The ID of an entry alone names none for certain: IDs come again, and then name another entry. DEL and XADD within one
millisecond do it (261 of 300 tries), a publisher with IDs of its own, a new primary whose clock is behind. So a
position is an ID and a fingerprint of that entry's fields: ``1764256000123-0.5f3a9c01``.

A channel without entries has a position, too: the time at which it had none, by the clock of the server:
``~1764256000123``, or with the number of entries that its empty stream had been given till then, ``~1764256000123.7``.

A protocol that has no room for a fingerprint (`wsrelay.core.history.offsets`) stands at ``1764256000123-0.*``: any
entry by that ID.

What clients send is compared and never passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zlib import crc32

from wsrelay.core.outcomes.errors import PositionError

__all__ = [
    "ANY_FINGERPRINT",
    "MAX_POSITION_CHARACTERS",
    "NO_HISTORY_POSITION",
    "EmptyPosition",
    "EntryID",
    "EntryPosition",
    "Position",
    "fingerprint",
    "format_id",
    "parse_id",
    "parse_position",
]

EntryID: TypeAlias = tuple[int, int]
"""The ID of an entry: milliseconds and a number. IDs compare as the pairs do."""

NO_HISTORY_POSITION = "-"
"""Stands for a position where a channel keeps no history and others on the same stream do."""

MAX_POSITION_CHARACTERS = 64
"""The longest text that can be a position."""

ANY_FINGERPRINT = "*"
"""Stands for the fingerprint of a position that names the ID alone."""

_LIMIT = 2**64

_DATA = b"data"


@lru_cache(maxsize=1024)
def _crc_before_data(size: int) -> int:
    """Return the CRC of all that stands before the payload of an entry without other fields. Payloads are alike."""
    return crc32(b"4:data%d:" % size)


# Not \d, which takes the digits of all scripts; and used with fullmatch, for $ takes a line feed.
_ID = re.compile("([0-9]{1,20})-([0-9]{1,20})")
_ENTRY = re.compile(r"([0-9]{1,20})-([0-9]{1,20})\.([0-9a-f]{8}|\*)")
_EMPTY = re.compile(r"~([0-9]{1,20})(?:\.([0-9]{1,20}))?")


class EntryPosition(NamedTuple):
    """The position behind an entry. Not a dataclass, which costs thrice as much: event streams need many.

    Attributes:
        id: The entry's ID.
        fingerprint: The CRC-32 of its fields, in eight hexadecimal digits; see `fingerprint`. `ANY_FINGERPRINT` if
            only the ID is known.
    """

    id: EntryID
    fingerprint: str

    def __str__(self) -> str:
        """Return the text of the position."""
        return f"{self.id[0]}-{self.id[1]}.{self.fingerprint}"


@dataclass(frozen=True, slots=True)
class EmptyPosition:
    """The position of a channel that had no entry.

    Attributes:
        ms: The server's clock at that moment, in milliseconds since the epoch.
        entries_added: The number of entries that its stream had been given. If None, it had no stream.
    """

    ms: int
    entries_added: int | None = None

    def __str__(self) -> str:
        """Return the text of the position."""
        return f"~{self.ms}" if self.entries_added is None else f"~{self.ms}.{self.entries_added}"


Position: TypeAlias = EntryPosition | EmptyPosition


def fingerprint(fields: Sequence[bytes]) -> str:
    """Return the fingerprint of an entry's fields: the CRC-32 of names and values, each behind its length."""
    if len(fields) == 2 and fields[0] == _DATA:
        # Nearly every entry.
        data = fields[1]
        return f"{crc32(data, _crc_before_data(len(data))):08x}"
    crc = 0
    for each in fields:
        # In two steps, so that no large payload is copied.
        crc = crc32(each, crc32(b"%d:" % len(each), crc))
    return f"{crc:08x}"


def format_id(entry_id: EntryID) -> str:
    """Return the text of an ID, as Redis writes it."""
    return f"{entry_id[0]}-{entry_id[1]}"


def parse_id(text: str) -> EntryID:
    """Return an ID from its text.

    Raises:
        PositionError: The text is not an ID.
    """
    found = _ID.fullmatch(text)
    if found is None:
        raise PositionError("not the ID of an entry")
    return _in_range(found[1]), _in_range(found[2])


def parse_position(text: str) -> Position:
    """Return a position from its text, as a client sent it.

    Raises:
        PositionError: The text is not a position.
    """
    if len(text) <= MAX_POSITION_CHARACTERS:
        if (found := _ENTRY.fullmatch(text)) is not None:
            return EntryPosition((_in_range(found[1]), _in_range(found[2])), found[3])
        if (found := _EMPTY.fullmatch(text)) is not None:
            return EmptyPosition(_in_range(found[1]), None if found[2] is None else _in_range(found[2]))
    raise PositionError("not a position")


def _in_range(digits: str) -> int:
    number = int(digits)
    if number >= _LIMIT:
        raise PositionError("a number of 64 bits is too large")
    return number
