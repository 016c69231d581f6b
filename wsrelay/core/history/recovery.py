"""Recovery of a client from its position: what it missed, or why that cannot be said.

It fails closed: where a rule does not prove that nothing is missing, the client is told of a gap. The rules were found
by random model checking against real servers (trims, deletions, streams made anew, fail-overs that lose writes), and
tests/core/history/test_recovery_properties.py checks them so.

1. The first read begins at the position. If its first entry is the one of the position, fingerprint included, all that
   follows was missed, and nothing else. If that entry has another fingerprint, the stream was made anew.
2. Otherwise the client's entry is not there, and a second look decides, which reads the state of the stream at the same
   moment: nothing has been added since if its last ID is the position's and nothing is behind it. An entry that XDEL
   took out, with older ones still there, leaves no doubt either. In any other case what followed may be trimmed.
3. Without a stream there is nothing to compare.
4. A position beyond the last ID of the stream is of a server that lost writes, or of another stream.
5. A position without an entry is good for as long as an entry is kept, if the stream has been given just the entries
   that it holds.

What no rule can see is in docs/reliability.md: RENAME onto the key, DEL and the like on a channel in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EmptyPosition, EntryID, EntryPosition, Position
from wsrelay.core.messaging.publications import GapReason

__all__ = ["Recovery", "empty_position", "judge_look", "judge_read", "read_size", "read_start"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """The outcome of a recovery.

    Attributes:
        entries: All entries behind the position, oldest first. None where there is a gap: the oldest of those that are
            left would open another gap behind themselves, so the caller takes the newest instead.
        gap: Why something may be missing. If None, nothing is.
    """

    entries: tuple[Entry, ...] = ()
    gap: GapReason | None = None


def read_size(limit: int) -> int:
    """Return how many entries have to be read to recover at most `limit`: the one of the position, and one too many."""
    return limit + 2


def read_start(position: Position) -> EntryID | None:
    """Return the ID with which to begin the read for a position; None for the oldest entry."""
    return position.id if isinstance(position, EntryPosition) else None


def judge_read(position: EntryPosition, entries: Sequence[Entry], limit: int) -> Recovery | None:
    """Judge the first read: rule 1.

    Args:
        position: The position.
        entries: The entries from its ID on, `read_size(limit)` of them at most.
        limit: How many entries are recovered at most.

    Returns:
        What was found. None if a look is needed.
    """
    if not entries or entries[0].id != position.id:
        return None
    if not entries[0].is_at(position):
        return Recovery((), GapReason.OTHER_ENTRY)
    return _limited(tuple(entries[1:]), limit)


def judge_look(position: Position, look: StreamLook, limit: int, history_seconds: int) -> Recovery:
    """Judge the second look: rules 2 to 5.

    Args:
        position: The position.
        look: The entries from its ID on, `read_size(limit)` of them at most, and the stream at the same moment.
        limit: How many entries are recovered at most.
        history_seconds: For how long an entry is kept, in seconds.
    """
    if isinstance(position, EmptyPosition):
        return _judge_empty(position, look, limit, history_seconds)
    found = judge_read(position, look.entries, limit)
    if found is not None:
        return found
    info = look.info
    if info is None:
        return Recovery((), GapReason.EXPIRED)
    if position.id > info.last_id:
        return Recovery((), GapReason.UNKNOWN_POSITION)
    entries = tuple(look.entries)
    if not entries and info.last_id == position.id:
        return Recovery()
    if info.max_deleted_id == position.id and info.first_id is not None and info.first_id < position.id:
        return _limited(entries, limit)
    return Recovery((), GapReason.TRIMMED)


def empty_position(look: StreamLook) -> EmptyPosition:
    """Return the position of a channel that has no entries at a look."""
    return EmptyPosition(look.now_ms, None if look.info is None else look.info.entries_added)


def _judge_empty(position: EmptyPosition, look: StreamLook, limit: int, history_seconds: int) -> Recovery:
    if not 0 <= look.now_ms - position.ms < history_seconds * 1000:
        # What was added in between may have been, and be gone.
        return Recovery((), GapReason.EXPIRED)
    info = look.info
    if info is None:
        # A stream that was there is not trimmed to nothing: somebody has removed it, with whatever it held.
        return Recovery((), None if position.entries_added is None else GapReason.EXPIRED)
    if _holds_all_since(info, position):
        return _limited(tuple(look.entries), limit)
    return Recovery((), GapReason.TRIMMED)


def _holds_all_since(info: StreamInfo, position: EmptyPosition) -> bool:
    """Return whether a stream holds each entry that it was given since it had none."""
    if info.entries_added is None or (info.first_id is not None and info.first_id < (position.ms, 0)):
        return False
    if position.entries_added is None:
        return info.entries_added == info.length and info.max_deleted_id == (0, 0)
    return info.entries_added - position.entries_added == info.length


def _limited(entries: tuple[Entry, ...], limit: int) -> Recovery:
    return Recovery(entries) if len(entries) <= limit else Recovery((), GapReason.TOO_MANY)
