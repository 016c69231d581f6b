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
from typing import NamedTuple

from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EmptyPosition, EntryID, EntryPosition, Position
from wsrelay.core.history.recovery import empty_position, judge_look
from wsrelay.core.messaging.publications import GapReason

__all__ = ["Progress", "StreamCursor"]


class Progress(NamedTuple):
    """The outcome of one look.

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
        anchor: The last entry that was read, behind which a read brings what is new. If None, no read can prove that
            nothing is missing, and the next one has to be a look.
    """

    __slots__ = (
        "_empty",
        "_end",
        "_entries_added",
        "_has_changed",
        "_history_seconds",
        "_last_id",
        "_looks_first",
        "anchor",
    )

    anchor: Entry | None
    # The last entry that was read. None if the channel had none, at the time of `_empty`.
    _end: Entry | None
    _empty: EmptyPosition
    # How many entries the stream had been given when the position was its end. None if that is not known, or the
    # connection was interrupted since.
    _entries_added: int | None
    # The last ID that the stream had given then. None if it is that of `_end`.
    _last_id: EntryID | None
    # The last read did not have the entry of the position, and the next one will not have it either.
    _looks_first: bool
    _has_changed: bool

    def __init__(self, look: StreamLook, history_seconds: int) -> None:
        self._history_seconds = history_seconds
        self.restart(look)

    @property
    def position(self) -> Position:
        """The position behind everything that was read.

        That of a channel without entries moves on with the server's clock at each look, because it is good for a
        limited time only.
        """
        return self._empty if self._end is None else self._end.position

    @property
    def start(self) -> EntryID | None:
        """The ID with which the next look begins. None for the oldest entry."""
        return None if self._end is None else self._end.id

    @property
    def is_unbroken(self) -> bool:
        """True if every change since the position has been reported, and the entries that were added are counted."""
        return self._entries_added is not None

    def changed(self) -> None:
        """Take that the server has reported a change of this very stream.

        It is optional, and not meant for reports that cover all streams, nor for those that may be made up. If the
        channel has no stream then, and had none before, one has come and gone.
        """
        self._has_changed = True

    def disconnected(self) -> None:
        """Take that changes of the stream may not be reported from now on."""
        self._entries_added = None
        self._has_changed = False
        self._find_anchor()

    def take(self, entries: Sequence[Entry]) -> None:
        """Take entries that were read behind `anchor`, which was still there. At least one."""
        # Little is done here: this is called for every message.
        self._end = entries[-1]
        self._last_id = None
        if self._entries_added is not None:
            self._entries_added += len(entries)
            self.anchor = self._end

    def take_look(self, look: StreamLook, count: int) -> Progress:
        """Take a look from `start` on.

        Args:
            look: The entries and the stream.
            count: How many entries were asked for; two at least.
        """
        progress = self._take_look(look, has_more=len(look.entries) >= count)
        self._find_anchor()
        return progress

    def _take_look(self, look: StreamLook, *, has_more: bool) -> Progress:
        has_changed, self._has_changed = self._has_changed, False
        entries, info, end, position = tuple(look.entries), look.info, self._end, self.position
        if end is not None and entries and entries[0].name == end.name:
            if entries[0] != end:
                return Progress(gap=GapReason.OTHER_ENTRY, restarts=True)
            if len(entries) > 1:
                self._looks_first = False
            return self._advance(entries[1:], None, has_more=has_more, info=info)
        if info is None:
            return self._take_missing(look, has_changed=has_changed)
        # Where each new entry pushes out the one before it, another read would be in vain.
        self._looks_first = True
        gap = None
        if not self._is_still_empty(info) and not self._has_counted(info, entries, has_more=has_more):
            gap = judge_look(position, look, len(entries), self._history_seconds).gap
        if isinstance(position, EmptyPosition):
            has_older = info.first_id is not None and info.first_id < (position.ms, 0)
            if gap is not None and has_older and not self.is_unbroken:
                # Entries that were gone are back: another server has taken over, and they are old news.
                return Progress(gap=gap, restarts=True)
            self._empty = empty_position(look)
        elif gap in (GapReason.UNKNOWN_POSITION, GapReason.OTHER_ENTRY) or (gap is not None and not entries):
            # Nothing is behind a position that is none of this stream, or the same gap would be found again and again.
            return Progress(gap=gap, restarts=True)
        return self._advance(entries, gap, has_more=has_more, info=info)

    def restart(self, look: StreamLook) -> None:
        """Take the newest entries as the end of what was read: the position before was none of this stream."""
        self._end = look.entries[-1] if look.entries else None
        self._empty = empty_position(look)
        self._entries_added = 0 if look.info is None else look.info.entries_added
        self._last_id = (0, 0) if look.info is None else look.info.last_id
        self._looks_first = False
        self._has_changed = False
        self._find_anchor()

    def _find_anchor(self) -> None:
        self.anchor = None if self._entries_added is None or self._looks_first else self._end

    def _take_missing(self, look: StreamLook, *, has_changed: bool) -> Progress:
        position = self.position
        # A key that is watched does not expire (`IHistory.maintain`): it was removed, with whatever it held.
        gap: GapReason | None = GapReason.EXPIRED
        if isinstance(position, EmptyPosition) and not has_changed:
            counted = self._entries_added is not None and position.entries_added is None
            gap = None if counted else judge_look(position, look, 0, self._history_seconds).gap
        self.restart(look)
        return Progress(gap=gap)

    def _is_still_empty(self, info: StreamInfo) -> bool:
        """Return whether nothing was added to a stream without entries. It needs no count, which old servers lack."""
        return isinstance(self.position, EmptyPosition) and not info.length and info.last_id == self._known_last_id

    @property
    def _known_last_id(self) -> EntryID:
        if self._last_id is not None:
            return self._last_id
        return (0, 0) if self._end is None else self._end.id

    def _has_counted(self, info: StreamInfo, entries: tuple[Entry, ...], *, has_more: bool) -> bool:
        """Return whether the entries are all that the stream was given since, by their number."""
        if self._entries_added is None or info.entries_added is None:
            return False
        position = self.position
        behind = info.length if has_more else len(entries)
        if isinstance(position, EntryPosition):
            if info.last_id < position.id:
                return False
            has_older = info.first_id is not None and info.first_id < position.id
            # Its entry is gone and older ones are not: XDEL took it, or the stream is another one.
            if has_older and (has_more or info.max_deleted_id is None or info.max_deleted_id < position.id):
                return False
        last_id = entries[-1].id if entries else self._known_last_id
        return info.entries_added - self._entries_added == behind and (has_more or info.last_id == last_id)

    def _advance(
        self, entries: tuple[Entry, ...], gap: GapReason | None, *, has_more: bool, info: StreamInfo | None = None
    ) -> Progress:
        if entries:
            self._end = entries[-1]
            self._last_id = None
        if info is not None and not has_more:
            self._entries_added, self._last_id = info.entries_added, info.last_id
        elif gap is not None:
            # The number of those that are missing stays open until all is read.
            self._entries_added = None
        elif self._entries_added is not None:
            self._entries_added += len(entries)
        return Progress(entries, gap, has_more)
