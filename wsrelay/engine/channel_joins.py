"""The start of each client's subscription to a channel with history: joins without a hole and without a double.

The channel has one position in this process, which is how far its reader has come. What a client gets first ends there,
and what is broadcast afterwards is the rest. Most of those who come back are served from the reader's ring. For the
others Redis is asked (`wsrelay.engine.recovery_reads`), and what both brought is joined.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed

from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EmptyPosition, EntryPosition, Position, parse_position
from wsrelay.core.messaging.publications import GapReason
from wsrelay.core.messaging.subscription_start import SubscriptionStart
from wsrelay.core.outcomes.errors import PositionError
from wsrelay.engine.channel_output import RECOVERY_LIMIT
from wsrelay.engine.channel_reader import ChannelReader
from wsrelay.engine.recovery_reads import RecoveryReads

__all__ = ["ChannelJoins"]

MAX_ATTEMPTS = 3
"""How often a client's position is looked for again because the channel has moved on meanwhile."""


class ChannelJoins:
    """Finds the start of subscriptions to one channel.

    Args:
        reader: The reader of the channel.
    """

    def __init__(self, reader: ChannelReader) -> None:
        self._reader = reader
        self._reads = RecoveryReads(reader)

    def join(self, since: str | None = None, newest: int = 0) -> Deferred[SubscriptionStart]:
        """Find the start of a client's subscription.

        Args:
            since: The position to resume from, as the client sent it. If None, it does not resume.
            newest: How many of the newest publications it wants first.

        Returns:
            Fires with the start. In the same moment the caller adds the client to the hub: what is broadcast afterwards
            is what follows.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) The stream cannot be read now.
        """
        if self._reader.cursor is not None:
            ring = self._reader.ring
            entries = ring.since(since) if since is not None else ring.newest(newest)
            if entries is not None:
                return succeed(self._begin(entries, was_recovering=since is not None))
        if since is None and not newest:
            return Deferred.fromCoroutine(self._join(since, newest))
        return self._reader.in_turn(lambda: Deferred.fromCoroutine(self._join(since, newest)))

    async def _join(self, since: str | None, newest: int) -> SubscriptionStart:
        if since is None:
            if self._reader.cursor is None:
                await self._reader.read_now()
            entries = await self._newest(min(newest, RECOVERY_LIMIT)) if newest else []
            return self._begin(entries, was_recovering=False)
        try:
            position = parse_position(since)
        except PositionError:
            return await self._begin_behind_gap(GapReason.UNKNOWN_POSITION, None)
        for attempt in range(MAX_ATTEMPTS):
            in_ring = self._reader.ring.since(since)
            if in_ring is not None or self._is_still_empty(position):
                return self._begin(in_ring or [], was_recovering=True)
            if self._is_ahead(position):
                # From a process that reads faster than this one. Both are asked again.
                await self._reader.read_now()
                if self._reader.ring.since(since) is not None:
                    continue
            recovery = await self._reads.behind(position)
            if recovery is None:
                continue
            if recovery.gap is not None:
                return await self._begin_behind_gap(recovery.gap, position)
            merged = self._merge(list(recovery.entries), position)
            if not merged and attempt == 0 and self._is_ahead(position):
                # The read of the channel's own may have been under way from before the client's entry.
                continue
            if merged is not None:
                if merged:
                    self._reader.keep_older(since, merged)
                elif self._is_behind(position):
                    # The newest entries were deleted before this process read them. The client keeps its place behind
                    # them: another process that has them in its ring would send them again.
                    return self._begin(merged, was_recovering=True, position=since)
                return self._begin(merged, was_recovering=True)
        return await self._begin_behind_gap(GapReason.UNKNOWN_POSITION, position)

    async def _newest(self, count: int) -> list[Entry]:
        """Return the newest entries up to the channel's position, with a payload."""
        for _ in range(MAX_ATTEMPTS):
            newest = await self._reads.newest(count)
            merged = None if newest is None else self._merge(list(newest), None)
            if merged is not None:
                return [entry for entry in merged if entry.data is not None][-count:]
        return [entry for entry in self._reader.ring.entries if entry.data is not None][-count:]

    async def _begin_behind_gap(self, gap: GapReason, position: Position | None) -> SubscriptionStart:
        """Return a start with a gap, and with the newest of what the stream still holds behind it."""
        entries = await self._newest(RECOVERY_LIMIT)
        if gap in (GapReason.TRIMMED, GapReason.TOO_MANY) and isinstance(position, EntryPosition):
            entries = [entry for entry in entries if entry.id > position.id]
        return self._begin(entries, was_recovering=True, gap=gap)

    def _begin(
        self,
        entries: Sequence[Entry],
        *,
        was_recovering: bool,
        gap: GapReason | None = None,
        position: str | None = None,
    ) -> SubscriptionStart:
        reader = self._reader
        if was_recovering:
            reader.recovered(gap)
        publications = tuple(reader.publications(entries))
        return SubscriptionStart(position or reader.ring.end, was_recovering and gap is None, gap, publications)

    def _merge(self, entries: list[Entry], position: Position | None) -> list[Entry] | None:
        """Make entries that were read by themselves end where this process has come to.

        Returns:
            The entries. None if they do not reach that far, so that some in between may be missing.
        """
        end = self._reader.ring.end
        for at in reversed(range(len(entries))):
            if entries[at].position_text == end:
                return entries[: at + 1]
        if entries:
            rest = self._reader.ring.since(entries[-1].position_text)
            return None if rest is None else entries + rest
        cursor = self._reader.cursor
        if cursor is None:
            return None
        # Nothing is behind the client's position. Its entry may be gone, and this process stand at an older one, or at
        # none.
        stands_behind = (
            isinstance(position, EntryPosition)
            and isinstance(cursor.position, EntryPosition)
            and cursor.position.id > position.id
        ) or (isinstance(position, EmptyPosition) and isinstance(cursor.position, EntryPosition))
        return None if stands_behind else []

    def _is_ahead(self, position: Position) -> bool:
        """Return whether a client may have had entries that this process has not read."""
        cursor = self._reader.cursor
        is_empty = cursor is not None and isinstance(cursor.position, EmptyPosition)
        return isinstance(position, EntryPosition) and (is_empty or self._is_behind(position))

    def _is_behind(self, position: Position) -> bool:
        """Return whether this process stands at an entry from before that of a position."""
        cursor = self._reader.cursor
        return (
            cursor is not None
            and isinstance(position, EntryPosition)
            and isinstance(cursor.position, EntryPosition)
            and cursor.position.id < position.id
        )

    def _is_still_empty(self, position: Position) -> bool:
        """Return whether the channel had no entry when a client was told so, and none since."""
        cursor = self._reader.cursor
        return (
            cursor is not None
            and cursor.is_unbroken
            and isinstance(position, EmptyPosition)
            and isinstance(cursor.position, EmptyPosition)
            and position.ms >= cursor.position.ms
            and position.entries_added == cursor.position.entries_added
        )
