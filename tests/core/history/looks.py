"""Entries and looks at streams, in few words."""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EntryID

__all__ = ["NOW_MS", "entry", "gone", "look"]

NOW_MS = 1_764_256_000_000
"""The time of every look that names none."""


def entry(number: int, text: str = "") -> Entry:
    """Return an entry by the ID ``number-0``, with a payload that names it."""
    return Entry.of((number, 0), (b"data", (text or f"entry {number}").encode()))


def look(
    entries: Sequence[Entry] = (),
    *,
    added: int | None,
    length: int | None = None,
    last: int | EntryID | None = None,
    first: int | None = None,
    deleted: int | None = 0,
    now_ms: int = NOW_MS,
) -> StreamLook:
    """Return a look at a stream: by default one that holds just the entries of the read."""
    if last is None:
        last = entries[-1].id if entries else (0, 0)
    return StreamLook(
        entries,
        StreamInfo(
            length=len(entries) if length is None else length,
            last_id=(last, 0) if isinstance(last, int) else last,
            first_id=(first, 0) if first is not None else entries[0].id if entries else None,
            entries_added=added,
            max_deleted_id=None if deleted is None else (deleted, 0),
        ),
        now_ms,
    )


def gone(now_ms: int = NOW_MS) -> StreamLook:
    """Return a look at a channel without a stream."""
    return StreamLook((), None, now_ms)
