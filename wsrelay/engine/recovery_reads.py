"""Reads of the stream of one channel for clients that come back: in pages, bounded, and shared by a crowd.

Each stands behind a read of the channel's own in Redis' order, so that what both brought can be joined.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults

from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EntryID, EntryPosition, Position
from wsrelay.core.history.recovery import Recovery, judge_look, judge_read, read_start
from wsrelay.core.messaging.publications import GapReason
from wsrelay.engine.channel_output import RECOVERY_LIMIT
from wsrelay.engine.channel_reader import ChannelReader
from wsrelay.engine.shared_reads import SharedReads

__all__ = ["PAGE_SIZE", "RECOVERY_BYTES", "RecoveryReads"]

PAGE_SIZE = 200
"""The number of entries in one read for a client."""

RECOVERY_BYTES = 1024 * 1024
"""The largest size of what one client recovers, in bytes: as much as may wait for a slow one (`max_outbox_bytes`)."""

T = TypeVar("T")


class _Before(NamedTuple):
    """How far the channel's reader had come when a read was sent.

    Attributes:
        gaps: How many gaps it had found.
        end: The text of its position.
    """

    gaps: int
    end: str


class RecoveryReads:
    """Reads for the clients of one channel.

    Args:
        reader: The reader of the channel.
    """

    def __init__(self, reader: ChannelReader) -> None:
        self._reader = reader
        self._history = reader.history
        self._shared = SharedReads()

    async def behind(self, position: Position) -> Recovery | None:
        """Read what is behind a client's position.

        Returns:
            What was found; nothing where there is a gap. None if the stream has changed while it was read, so that it
            has to be read again.

        Raises:
            BrokerUnavailable: The stream cannot be read now.
        """
        start, count = read_start(position), PAGE_SIZE
        found: Recovery | None = None
        is_full = False
        before = _Before(0, "")
        if isinstance(position, EntryPosition):
            before, entries = await self._read(start)
            found, is_full = judge_read(position, entries, count), len(entries) == count
        if found is None:
            before, look = await self._look(start)
            found, is_full = (
                judge_look(position, look, count, self._reader.retention.seconds),
                len(look.entries) == count,
            )
        if found.gap is not None:
            return found
        if before.gaps != self._reader.gaps:
            # The channel's own read may have been later, and its gap is missing between what both brought.
            return None
        pages = list(found.entries)
        while is_full and pages and not _is_too_much(pages):
            _, more = await self._read(pages[-1].id)
            if not more or more[0] != pages[-1]:
                return None
            pages += more[1:]
            is_full = len(more) == count
        return Recovery((), GapReason.TOO_MANY) if _is_too_much(pages) else Recovery(tuple(pages))

    async def newest(self, count: int) -> Sequence[Entry] | None:
        """Read the newest entries, as many of `count` as a client may get at once, oldest first.

        Returns:
            The entries. None if there were none, and the channel's reader has read on since, so that there may be some.

        Raises:
            BrokerUnavailable: The stream cannot be read now.
        """
        before, look = await self._look_at_newest(min(count, PAGE_SIZE))
        entries = look.entries
        if not entries and before.end != self._reader.ring.end:
            return None
        if len(entries) == PAGE_SIZE < count:
            # How large they are is known now: no more is read than may be sent.
            fitting = min(count, PAGE_SIZE * RECOVERY_BYTES // max(1, _size(entries)))
            if fitting > PAGE_SIZE:
                entries = (await self._look_at_newest(fitting))[1].entries
        first, size = len(entries), 0
        while first and size <= RECOVERY_BYTES:
            first -= 1
            size += _size(entries[first : first + 1])
        return entries[first + (size > RECOVERY_BYTES and len(entries) - first > 1) :]

    def _read(self, start: EntryID | None) -> Deferred[tuple[_Before, Sequence[Entry]]]:
        return self._behind_own(("read", start), lambda: self._history.read(self._reader.channel, start, PAGE_SIZE))

    def _look(self, start: EntryID | None) -> Deferred[tuple[_Before, StreamLook]]:
        return self._behind_own(("look", start), lambda: self._history.look(self._reader.channel, start, PAGE_SIZE))

    def _look_at_newest(self, count: int) -> Deferred[tuple[_Before, StreamLook]]:
        return self._behind_own(("newest", count), lambda: self._history.look_at_newest(self._reader.channel, count))

    def _behind_own(self, key: Hashable, read: Callable[[], Deferred[T]]) -> Deferred[tuple[_Before, T]]:
        return Deferred.fromCoroutine(self._both(key, read))

    async def _both(self, key: Hashable, read: Callable[[], Deferred[T]]) -> tuple[_Before, T]:
        """Return the result of a read, or of an identical one that is under way, when the channel's own is done too.

        Returns:
            How far the channel's reader had come when the read was sent, and the result.
        """

        def send() -> Deferred[tuple[_Before, T]]:
            before = _Before(self._reader.gaps, self._reader.ring.end)
            return read().addCallback(lambda result: (before, result))

        own = self._reader.read_now()
        if not self._reader.is_connected:
            # Anything else would fail now, and this waits for the connection.
            await own
            own = self._reader.read_now()
        both: Deferred[list[object]] = gatherResults(
            cast("list[Deferred[object]]", [own, self._shared.get(key, send)]), consumeErrors=True
        )
        try:
            results = await both
        except FirstError as error:
            error.subFailure.raiseException()
        return cast(tuple[_Before, T], results[1])


def _is_too_much(entries: Sequence[Entry]) -> bool:
    return len(entries) > RECOVERY_LIMIT or (len(entries) > 1 and _size(entries) > RECOVERY_BYTES)


def _size(entries: Sequence[Entry]) -> int:
    return sum(len(field) for entry in entries for field in entry.fields)
