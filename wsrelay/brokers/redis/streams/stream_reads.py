"""The reads of streams at one Redis server, and what they tell of the way in which changes are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from wsrelay.brokers.redis.streams.fruitless_reads import FruitlessReads
from wsrelay.brokers.redis.streams.looks import look
from wsrelay.brokers.redis.streams.replies import read_entries
from wsrelay.brokers.redis.streams.stream_connection import StreamConnection
from wsrelay.brokers.redis.streams.ways import Way
from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EntryID
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["StreamReads"]

_NOTHING: EntryID = (0, 0)


class StreamReads:
    """The reading half of `wsrelay.brokers.redis.streams.history.RedisHistory`.

    Args:
        connection: Reads streams.
        prefix: The beginning of every key.
        seconds: A monotonic clock.
    """

    def __init__(self, connection: StreamConnection, prefix: bytes, seconds: Callable[[], float]) -> None:
        self._connection = connection
        self._prefix = prefix
        self._seconds = seconds
        self._watched: dict[str, None] = {}
        # The newest ID that was read of each watched stream, which blocking reads begin with. Where there are none it
        # is that of the last look.
        self._newest: dict[str, EntryID] = {}
        self._fruitless_reads = FruitlessReads()
        # Channels that were reported as changed and have not been read since.
        self._reported: set[str] = set()

    def read(self, channel: str, since: EntryID | None, count: int) -> Deferred[Sequence[Entry]]:
        """See `IHistory.read`."""
        start = _start(since)
        reply = self._connection.send(b"XRANGE", self._prefix + channel.encode(), start, b"+", b"COUNT", b"%d" % count)
        return reply.addCallback(self._read, channel)

    def read_behind(
        self,
        anchors: Sequence[tuple[str, Entry]],
        count: int,
        came: Callable[[Sequence[Sequence[Entry] | BrokerUnavailable | None]], None],
    ) -> None:
        """See `IHistory.read_behind`."""
        prefix = self._prefix
        # Each read begins at its anchor, which is to be there as it was. Not by `pack_command`, which costs four times
        # as much: this is done for every message.
        end = b"$1\r\n+\r\n$5\r\nCOUNT\r\n$%d\r\n%d\r\n" % (len(str(count + 1)), count + 1)
        commands = []
        for channel, anchor in anchors:
            key, name = prefix + channel.encode(), anchor.name
            commands.append(
                b"*6\r\n$6\r\nXRANGE\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % (len(key), key, len(name), name, end)
            )

        def received(replies: list[Any]) -> None:
            try:
                found = self._read_replies(replies, anchors)
            except (TypeError, ValueError, IndexError):
                # Of a proxy, perhaps. A reader that is told nothing would wait for ever.
                found = [BrokerUnavailable("a reply to XRANGE is none")] * len(anchors)
            came(found)
            self._connection.entries_came(len(anchors))

        try:
            self._connection.send_each(commands, received)
        except BrokerUnavailable as error:
            came([error] * len(anchors))

    def _read_replies(
        self, replies: list[Any], anchors: Sequence[tuple[str, Entry]]
    ) -> list[Sequence[Entry] | BrokerUnavailable | None]:
        found: list[Sequence[Entry] | BrokerUnavailable | None] = []
        fruitful = 0
        for reply, (_, anchor) in zip(replies, anchors, strict=True):
            if isinstance(reply, Exception):
                found.append(BrokerUnavailable(str(reply)))
            elif not reply or reply[0] != [anchor.name, anchor.fields]:
                found.append(None)
                fruitful += 1
            else:
                # An entry that was deleted while it was read has no fields.
                entries = [Entry(name, fields) for name, fields in reply[1:] if fields]
                fruitful += bool(entries)
                found.append(entries)
        if self._connection.way is Way.BLOCKING_READS:
            # Which begin with what was read, and wait for no stream that was unwatched meanwhile.
            for (channel, anchor), result in zip(anchors, found, strict=True):
                if isinstance(result, list) and channel in self._watched:
                    self._newest[channel] = (result or [anchor])[-1].id
        self._count_reads([channel for channel, _ in anchors], fruitful=fruitful)
        return found

    def look(self, channel: str, since: EntryID | None, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look`."""
        key = self._prefix + channel.encode()
        words = (b"XRANGE", key, _start(since), b"+", b"COUNT", b"%d" % count)
        return look(self._connection, key, words).addCallback(self._looked, channel)

    def look_at_newest(self, channel: str, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look_at_newest`."""
        key = self._prefix + channel.encode()
        words = (b"XREVRANGE", key, b"+", b"-", b"COUNT", b"%d" % count)
        return look(self._connection, key, words, newest_first=True).addCallback(self._looked, channel)

    def _read(self, reply: Any, channel: str) -> Sequence[Entry]:
        entries = read_entries(reply)
        self._take_newest(channel, entries)
        return entries

    def _looked(self, look: StreamLook, channel: str) -> StreamLook:
        self._take_newest(channel, look.entries)
        return look

    def _take_newest(self, channel: str, entries: Sequence[Entry]) -> None:
        if channel in self._watched:
            before = self._newest.get(channel, _NOTHING)
            newest = self._newest[channel] = entries[-1].id if entries else before
            self._count_reads((channel,), fruitful=newest != before)

    def _count_reads(self, channels: Iterable[str], *, fruitful: int) -> None:
        """Count those reads that followed a report, for it may report too much."""
        reported = self._reported
        if not reported:
            return
        before = len(reported)
        reported.difference_update(channels)
        if self._fruitless_reads.count(self._seconds(), before - len(reported), fruitful=fruitful):
            self._reports_too_much()

    def _reports_too_much(self) -> None:
        """Take that most reports were of streams that had not changed."""
        raise NotImplementedError


def _start(since: EntryID | None) -> bytes:
    return b"-" if since is None else b"%d-%d" % since
