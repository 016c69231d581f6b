"""The output of the reader of one channel: entries go to its subscribers, and are kept for those who come back.

Each entry is broadcast once. The newest entries stay in a ring, from which a returning crowd is served
(`wsrelay.engine.channel_joins`); its end is the position of this process on the channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EmptyPosition
from wsrelay.core.history.retention import Retention
from wsrelay.core.history.ring import EntryRing
from wsrelay.core.messaging.publications import GapReason, Publication
from wsrelay.interfaces import IHistory

__all__ = ["RECOVERY_LIMIT", "RENEWALS", "RING_BYTES", "ChannelOutput", "OutputServices"]

RECOVERY_LIMIT = 1000
"""The largest number of publications that a client recovers. One that missed more is told of a gap, and gets these."""

RING_BYTES = 256 * 1024
"""The largest size of one channel's ring, in bytes."""

RENEWALS = 3
"""How often subscribers get a newer position on a channel without entries, in the time for which one is good."""


class OutputServices(Protocol):
    """The parts of the registry of readers that the output of one of them uses."""

    @property
    def history(self) -> IHistory:
        """Reads streams."""

    def broadcast(self, publications: Sequence[Publication]) -> None:
        """Send publications to everyone who is subscribed to their channel."""

    def broadcast_position(self, channel: str, position: str) -> None:
        """Move everyone who is subscribed to a channel to a position, without a publication."""

    def report_gap(self, channel: str, reason: GapReason) -> None:
        """Tell everyone who is subscribed to a channel that publications may be missing."""

    def entries_without_data(self, channel: str, count: int) -> None:
        """Count entries that have no payload."""

    def ring_changed(self, reader: ChannelOutput, size: int) -> None:
        """Take that the ring of a reader has grown or shrunk by a number of bytes."""


class ChannelOutput:
    """Broadcasts the entries of one stream. A base of its reader and not a part: a message costs one call less.

    The reader gives it what was read, in order and each entry once.

    Args:
        channel: The channel's name.
        retention: The bounds of its stream.
        services: What it needs of its registry.

    Attributes:
        channel: The channel's name.
        retention: The bounds of its stream.
        history: Reads streams.
        ring: The newest of what has been read. Its end is the position of this process on the channel.
        gaps: How many gaps have been found.
        upkeep_is_due: Whether the stream's bounds are to be looked after when the next entry comes.
    """

    def __init__(self, channel: str, retention: Retention, services: OutputServices) -> None:
        self.channel = channel
        self.retention = retention
        self._services = services
        self.history = services.history
        self.ring = EntryRing("", RECOVERY_LIMIT, RING_BYTES)
        self.gaps = 0
        self.upkeep_is_due = True
        # Until when those who are subscribed know that the channel had no entries, in milliseconds since the epoch.
        self._known_empty_ms = 0

    def drop_ring(self) -> None:
        """Keep no publications, to make room."""
        size = self.ring.size
        self.ring.drop()
        self._services.ring_changed(self, -size)

    def keep_older(self, since: str, entries: list[Entry]) -> None:
        """Keep what one client recovered for those who come behind it from the same time.

        Args:
            since: The text of the position before the entries.
            entries: The entries from there up to the position of this process.
        """
        ring, before = self.ring, self.ring.size
        start = ring.start
        at = next((at for at, entry in enumerate(entries) if entry.position_text == start), None)
        if not len(ring):
            ring.prepend(since, entries)
        elif at is not None:
            ring.prepend(since, entries[: at + 1])
        self._services.ring_changed(self, ring.size - before)

    def publications(self, entries: Iterable[Entry]) -> list[Publication]:
        """Return what clients get of entries: nothing of those without a payload."""
        channel = self.channel
        return [Publication(channel, data, entry) for entry in entries if (data := entry.data) is not None]

    def _renew(self, position: EmptyPosition) -> None:
        """Give subscribers of a channel without entries a newer position before theirs is too old to be judged."""
        if position.ms - self._known_empty_ms >= self.retention.seconds * 1000 / RENEWALS:
            self._known_empty_ms = position.ms
            self._services.broadcast_position(self.channel, str(position))

    def _emit(self, entries: Sequence[Entry], gap: GapReason | None, position: str) -> None:
        """Broadcast, and keep in the ring, what has been read up to a position."""
        ring = self.ring
        before = ring.size
        if gap is not None:
            self.gaps += 1
            ring.restart(entries[0] if entries else position)
            ring.extend(entries[1:])
            self._services.report_gap(self.channel, gap)
        elif entries:
            ring.extend(entries)
        else:
            ring.restart(position)
        self._services.ring_changed(self, ring.size - before)
        if entries:
            self._broadcast(entries)

    def _broadcast(self, entries: Sequence[Entry]) -> None:
        channel = self.channel
        # As `publications`, without its call: this is done for every message.
        publications = [Publication(channel, data, entry) for entry in entries if (data := entry.data) is not None]
        if len(publications) != len(entries):
            self._services.entries_without_data(channel, len(entries) - len(publications))
        if publications:
            self._services.broadcast(publications)
        if self.upkeep_is_due:
            self.upkeep_is_due = False
            self.history.maintain(channel, self.retention)
