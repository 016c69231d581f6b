"""Channels with history in the memory of one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from wsrelay.brokers.memory.streams import MemoryStream
from wsrelay.core.flow.ttl import ExpiringStore
from wsrelay.core.history.entries import Entry, StreamLook, entry_fields
from wsrelay.core.history.positions import EntryID, format_id
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable, IdempotencyUnavailable
from wsrelay.interfaces import IBrokerSink, IHistory

__all__ = ["IDEMPOTENCY_SECONDS", "MAX_STREAMS", "MAX_STREAM_BYTES", "MemoryHistory"]

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""The size of all streams together, in bytes."""

MAX_STREAMS = 100_000
"""The number of streams. Beyond either bound the one that was written to longest ago is dropped."""

MAX_IDEMPOTENCY_KEYS = 10_000

IDEMPOTENCY_SECONDS = 300
"""The time for which a result is kept under its idempotency key. Centrifugo's, too."""


@implementer(IHistory)
class MemoryHistory:
    """The streams of one process.

    Args:
        clock: Time. What changes in one turn of the reactor is reported together at its end.
        now: The wall clock, in seconds since the epoch, by which entries are named.
        problem: Returns why nothing can be done now; an empty text if it can.
    """

    way = "memory"

    def __init__(self, clock: IReactorTime, now: Callable[[], float], problem: Callable[[], str]) -> None:
        self._clock = clock
        self._seconds = clock.seconds
        self._now = now
        self._problem = problem
        # The base of new streams, behind all IDs of streams that are gone.
        self._base_ms = self._now_ms
        self._streams: OrderedDict[str, MemoryStream] = OrderedDict()
        self._size = 0
        self._watched: set[str] = set()
        # Watched channels whose next change is to be reported.
        self._armed: set[str] = set()
        self._sink: IBrokerSink | None = None
        self._changed_channels: dict[str, None] = {}
        self._results: ExpiringStore[tuple[str, str], PublishResult] = ExpiringStore(MAX_IDEMPOTENCY_KEYS)

    def attach(self, sink: IBrokerSink) -> None:
        """Name the receiver of changes."""
        self._sink = sink

    def watch(self, channels: Iterable[str]) -> None:
        """See `IHistory.watch`."""
        self._watched.update(channels)

    def unwatch(self, channels: Iterable[str]) -> None:
        """See `IHistory.unwatch`."""
        names = list(channels)
        self._watched.difference_update(names)
        self._armed.difference_update(names)

    def read(self, channel: str, since: EntryID | None, count: int) -> Deferred[Sequence[Entry]]:
        """See `IHistory.read`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        return succeed(self._read(channel).read(since, count))

    def read_behind(
        self,
        anchors: Sequence[tuple[str, Entry]],
        count: int,
        came: Callable[[Sequence[Sequence[Entry] | BrokerUnavailable | None]], None],
    ) -> None:
        """See `IHistory.read_behind`."""
        if problem := self._problem():
            came([BrokerUnavailable(problem)] * len(anchors))
            return
        found: list[Sequence[Entry] | None] = []
        for channel, anchor in anchors:
            entries = self._read(channel).read(anchor.id, count + 1)
            found.append(entries[1:] if entries and entries[0] == anchor else None)
        came(found)

    def look(self, channel: str, since: EntryID | None, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        stream = self._read(channel)
        return succeed(StreamLook(stream.read(since, count), stream.info, self._now_ms))

    def look_at_newest(self, channel: str, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look_at_newest`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        stream = self._read(channel)
        return succeed(StreamLook(stream.newest(count), stream.info, self._now_ms))

    def append(
        self,
        channel: str,
        data: bytes,
        retention: Retention,
        idempotency_key: str = "",
        info: bytes = b"",
        tags: bytes = b"",
    ) -> Deferred[PublishResult]:
        """See `IHistory.append`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        key = channel, idempotency_key
        if idempotency_key:
            if (found := self._results.get(key, self._seconds())) is not None:
                return succeed(found)
            if not self._results.put(key, PublishResult(), IDEMPOTENCY_SECONDS, self._seconds()):
                return fail(IdempotencyUnavailable("too many idempotency keys are kept at the same time"))
        result = PublishResult(format_id(self.add(channel, entry_fields(data, info, tags), retention)))
        if idempotency_key:
            self._results.put(key, result, IDEMPOTENCY_SECONDS, self._seconds())
        return succeed(result)

    def add(self, channel: str, fields: tuple[bytes, ...], retention: Retention) -> EntryID:
        """Add an entry of any fields, and return its ID."""
        stream = self._streams.get(channel) or MemoryStream(self._base_ms)
        self._streams[channel] = stream
        self._streams.move_to_end(channel)
        before = stream.size
        now_ms = self._now_ms
        entry_id = stream.add(now_ms, fields)
        self._trim(stream, retention, retention.burst_size)
        stream.kept_until_ms = now_ms + retention.seconds * 1000
        self._size += stream.size - before
        self._drop_oldest_streams()
        self._changed(channel)
        return entry_id

    def clear(self, channel: str) -> Deferred[None]:
        """See `IHistory.clear`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        stream = self._streams.get(channel)
        if stream is not None:
            self._size -= stream.size
            stream.trim(0)
            self._changed(channel)
        return succeed(None)

    def maintain(self, channel: str, retention: Retention, *, is_idle: bool = False) -> None:
        """See `IHistory.maintain`."""
        stream = self._streams.get(channel)
        if stream is not None:
            before = stream.size
            # One more than is kept, for that one is the position of a client that missed all the others.
            self._trim(stream, retention, retention.size + 1)
            self._size += stream.size - before

    @property
    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    def _trim(self, stream: MemoryStream, retention: Retention, size: int) -> None:
        stream.trim(size, self._now_ms - retention.seconds * 1000)

    def _read(self, channel: str) -> MemoryStream:
        if channel in self._watched:
            self._armed.add(channel)
        # One without entries is made anew each time, lest a name that was only asked for take up memory.
        return self._streams.get(channel) or MemoryStream(self._base_ms)

    def _changed(self, channel: str) -> None:
        if channel in self._armed:
            self._armed.discard(channel)
            if not self._changed_channels:
                self._clock.callLater(0, self._report_changes)
            self._changed_channels[channel] = None

    def _report_changes(self) -> None:
        changed, self._changed_channels = self._changed_channels, {}
        if self._sink is not None:
            self._sink.streams_changed(changed)

    def _drop_oldest_streams(self) -> None:
        while len(self._streams) > 1 and (self._size > MAX_STREAM_BYTES or len(self._streams) > MAX_STREAMS):
            channel, stream = self._streams.popitem(last=False)
            self._size -= stream.size
            if self._now_ms < stream.kept_until_ms:
                # Lest the one that follows under its name is taken for it. It costs those a gap who are on channels
                # without entries; where nothing was dropped that was to be kept, none is due.
                self._base_ms = max(self._base_ms, stream.info.last_id[0]) + 1
            self._changed(channel)
