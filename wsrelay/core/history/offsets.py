"""Positions as whole numbers, for protocols that want an offset and an epoch: Centrifugo's.

An offset holds the milliseconds of an entry's ID, counted from `BASE_MS`, and in its twelve low bits the number behind
them. So offsets are in the order of the IDs, whichever process makes them, and stay below 2**53, which JavaScript and
other readers of JSON can hold, until 2095.

Twelve bits are enough for all but an odd stream: a server whose clock stands still in a transaction (6,000 entries in
one millisecond, measured), or IDs ahead of the clock. Numbers from 4094 on share the low bits 4095, and nothing can be
recovered from there. 4094 itself stands for the position of a channel that had no entry at that millisecond.

There is no room for the fingerprint of a position (`wsrelay.core.history.positions`): an ID that comes again for
another entry goes unnoticed here.
"""

from __future__ import annotations

from wsrelay.core.history.positions import (
    ANY_FINGERPRINT,
    EmptyPosition,
    EntryID,
    format_id,
    parse_position,
)

__all__ = [
    "BASE_MS",
    "EPOCH",
    "MAX_OFFSET",
    "empty_offset",
    "entry_offset",
    "position_of_offset",
    "position_offset",
    "read_offset",
]

BASE_MS = 1_767_225_600_000
"""The beginning of 2026, in milliseconds since the epoch of Unix."""

EPOCH = "wsrelay"
"""The one epoch: whether a position is still good is judged by the stream, and not by a text that a client keeps."""

MAX_OFFSET = 2**53 - 1
"""Stands for every position beyond. Its low bits are 4095: nothing can be recovered from it."""

_NUMBERS = 4096
_EMPTY = 4094
_UNRECOVERABLE = 4095


def entry_offset(entry_id: EntryID) -> int:
    """Return the offset of an entry: 0 if its ID is from before `BASE_MS`, so that it has none."""
    ms, number = entry_id
    return _offset(ms, number if number < _EMPTY else _UNRECOVERABLE)


def empty_offset(ms: int) -> int:
    """Return the offset of a channel that had no entry.

    Args:
        ms: The server's clock at that moment, in milliseconds since the epoch.
    """
    return _offset(ms, _EMPTY)


def read_offset(offset: int) -> EntryID | EmptyPosition | None:
    """Return what an offset stands for: an entry, or the moment in which a channel had none.

    Returns:
        The ID of the entry, or the position without an entry. None if nothing can be recovered from the offset.
    """
    ms, number = divmod(offset, _NUMBERS)
    if not 0 < offset < MAX_OFFSET or number == _UNRECOVERABLE:
        return None
    return EmptyPosition(BASE_MS + ms) if number == _EMPTY else (BASE_MS + ms, number)


def position_offset(position: str) -> int:
    """Return the offset of a position that this process has made: 0 if it has none."""
    found = parse_position(position)
    return empty_offset(found.ms) if isinstance(found, EmptyPosition) else entry_offset(found.id)


def position_of_offset(offset: int, epoch: str) -> str:
    """Return the text of the position that a client's offset stands for.

    Args:
        offset: The offset.
        epoch: The epoch that the client has it from. If empty, any.

    Returns:
        The text. Empty, which is no position, if nothing can be recovered from there.
    """
    found = read_offset(offset) if epoch in ("", EPOCH) else None
    if found is None:
        return ""
    return str(found) if isinstance(found, EmptyPosition) else f"{format_id(found)}.{ANY_FINGERPRINT}"


def _offset(ms: int, low: int) -> int:
    return min((ms - BASE_MS) * _NUMBERS + low, MAX_OFFSET) if ms >= BASE_MS else 0
