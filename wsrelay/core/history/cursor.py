"""How far this process has read the stream of one channel.

Each read begins at the last entry that was read, which proves that nothing was trimmed in between: as long as that
entry is the first of the result, all that follows is new. Where it is not there, a look at the stream decides. As long
as the connection has reported every change, entries are counted: a stream that was given just as many as were read has
lost none, whatever was trimmed. By the rules for clients (`wsrelay.core.history.recovery`) everybody would be told of a
gap at each message of a publisher with MAXLEN = 1, and at each deletion of the newest entry. After a reconnect those
rules are what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EmptyPosition, EntryID, EntryPosition, Position
from wsrelay.core.history.recovery import empty_position, judge_look, read_start
from wsrelay.core.messaging.publications import GapReason

__all__ = ["Progress", "StreamCursor"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The outcome of one read.

    Attributes:
        entries: New entries, oldest first.
        gap: Why entries before them may be missing. If None, none are.
        has_more: Whether there may be more to read at once.
        restarts: Whether the position is none of this stream: the caller looks at its newest entries and calls
            `StreamCursor.restart`.
    """

    entries: tuple[Entry, ...] = ()
    gap: GapReason | None = None
    has_more: bool = False
    restarts: bool = False


class StreamCursor:
    """The position of this process on one channel.

    Args:
        look: A look at the newest entry of the channel.
        history_seconds: For how long an entry is kept, in seconds.

    Attributes:
        position: The position behind everything that was read.
    """

    __slots__ = ("_entries_added", "_history_seconds", "position")

    def __init__(self, look: StreamLook, history_seconds: int) -> None:
        self._history_seconds = history_seconds
        self.position: Position = look.entries[-1].position if look.entries else empty_position(look)
        # How many entries the stream had been given when the position was its end. None if that is not known, or the
        # connection was interrupted since.
        self._entries_added = _entries_added(look)

    @property
    def start(self) -> EntryID | None:
        """The ID with which the next read begins. None for the oldest entry."""
        return read_start(self.position)

    @property
    def needs_look(self) -> bool:
        """True if the next read has to be a look, because the number of entries that were added is not known."""
        return self._entries_added is None

    def disconnected(self) -> None:
        """Take that changes of the stream may not be reported from now on."""
        self._entries_added = None

    def take(self, entries: Sequence[Entry], count: int) -> Progress | None:
        """Take a read from `start` on.

        Args:
            entries: The entries.
            count: How many were asked for.

        Returns:
            What it brought. None if a look is needed.
        """
        position = self.position
        if isinstance(position, EmptyPosition):
            return None if entries else Progress()
        if not entries or entries[0].id != position.id or entries[0].position != position:
            return None
        return self._advance(tuple(entries[1:]), None, has_more=len(entries) >= count)

    def take_look(self, look: StreamLook, count: int) -> Progress:
        """Take a look from `start` on.

        Args:
            look: The entries and the stream.
            count: How many entries were asked for.
        """
        entries, info, position = tuple(look.entries), look.info, self.position
        has_more = len(entries) >= count
        if isinstance(position, EntryPosition) and entries and entries[0].id == position.id:
            if entries[0].position != position:
                return Progress(gap=GapReason.OTHER_ENTRY, restarts=True)
            return self._advance(entries[1:], None, has_more=has_more, info=info)
        if info is None:
            return self._take_missing(look)
        if isinstance(position, EmptyPosition) and not entries and position.entries_added != info.entries_added:
            # A stream has come into being, or was given entries that are gone.
            self.position = empty_position(look)
        if self._has_counted(info, entries, has_more=has_more):
            return self._advance(entries, None, has_more=has_more, info=info)
        judged = judge_look(position, look, len(entries), self._history_seconds)
        if judged.gap in (GapReason.UNKNOWN_POSITION, GapReason.OTHER_ENTRY):
            return Progress(gap=judged.gap, restarts=True)
        return self._advance(entries, judged.gap, has_more=has_more, info=info)

    def restart(self, look: StreamLook) -> None:
        """Take the newest entries as the end of what was read: the position before was none of this stream."""
        self.position = look.entries[-1].position if look.entries else empty_position(look)
        self._entries_added = _entries_added(look)

    def _take_missing(self, look: StreamLook) -> Progress:
        position = self.position
        # A key that is watched does not expire (`IHistory.maintain`): it was removed, with whatever it held.
        gap = GapReason.EXPIRED
        if isinstance(position, EmptyPosition):
            counted = self._entries_added is not None and position.entries_added is None
            gap_or_none = None if counted else judge_look(position, look, 0, self._history_seconds).gap
            if gap_or_none is None:
                self._entries_added = 0
                return Progress()
            gap = gap_or_none
        self.restart(look)
        return Progress(gap=gap)

    def _has_counted(self, info: StreamInfo, entries: tuple[Entry, ...], *, has_more: bool) -> bool:
        """Return whether the entries are all that the stream was given since, by their number."""
        if self._entries_added is None or info.entries_added is None:
            return False
        position = self.position
        behind = len(entries)
        if isinstance(position, EntryPosition):
            if info.last_id < position.id:
                return False
            if has_more:
                if info.first_id is None or info.first_id < position.id:
                    return False
                behind = info.length
        elif has_more:
            behind = info.length
        return info.entries_added - self._entries_added == behind

    def _advance(
        self, entries: tuple[Entry, ...], gap: GapReason | None, *, has_more: bool, info: StreamInfo | None = None
    ) -> Progress:
        if entries:
            self.position = entries[-1].position
        if info is not None and not has_more:
            self._entries_added = info.entries_added
        elif self._entries_added is not None:
            self._entries_added += len(entries)
        if gap is not None and has_more:
            # What the number of those that are missing is stays open until all is read.
            self._entries_added = None
        return Progress(entries, gap, has_more)


def _entries_added(look: StreamLook) -> int | None:
    return 0 if look.info is None else look.info.entries_added
