"""The readers of the streams of this process: when each reads, and what they share.

A stream is read when the broker says that it may have changed, after each reconnect, and in a sweep now and then
whatever the broker says: notifications can be lost without a sign. Under pressure nothing is read; Redis keeps it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from wsrelay.core.history.entries import Entry
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import Gap, GapReason, Positioned, Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_output import ChannelOutput
from wsrelay.engine.channel_reader import LIVE_PAGE_SIZE, ChannelReader
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, RateLimitedLog
from wsrelay.interfaces import IHistory
from wsrelay.metrics.counters import Counters

__all__ = ["MAX_READS_IN_FLIGHT", "MAX_RINGS_BYTES", "SWEEP_SECONDS", "StreamReaders"]

SWEEP_SECONDS = 35.0
"""The time in which every watched stream is read once, whatever has been reported."""

SWEEP_JITTER = 0.15
"""Each sweep takes up to this part longer or shorter, so that processes do not sweep in step."""

_SWEEP_TICK_SECONDS = 0.25

MAX_READS_IN_FLIGHT = 256
"""The number of streams that are read at the same time: after a reconnect all of them are due at once."""

MAX_RECOVERIES = 32
"""The number of clients for which streams are read at the same time. What each of them gets may be a megabyte."""

MAX_RINGS_BYTES = 16 * 1024 * 1024
"""The size of all rings together, in bytes. Beyond it the ones that are written to give way."""


T = TypeVar("T")


class StreamReaders:
    """The readers of one process. Implements `wsrelay.engine.channel_reader.ReaderServices`.

    Args:
        history: Reads streams, and reports their changes.
        hub: The registry of subscribers.
        gaps: Tells subscribers whose dialect has no event for a gap.
        namespaces: The rules about channels.
        clock: Time.
        rng: Randomness for the sweep.
        counters: Where what happens is counted.

    Attributes:
        history: See above.
        is_connected: Whether changes are reported, and streams can be read.
        is_paused: Whether nothing is to be read, because subscribers are behind.
    """

    log = Logger()

    def __init__(
        self,
        history: IHistory,
        hub: Hub,
        gaps: GapNotifier,
        namespaces: Namespaces,
        clock: IReactorTime,
        rng: Random,
        counters: Counters,
    ) -> None:
        self.history = history
        self.is_connected = False
        self._hub = hub
        self._gaps = gaps
        self._namespaces = namespaces
        self._clock = clock
        self._rng = rng
        self._counters = counters
        self._lines = RateLimitedLog(self.log, clock.seconds)
        self._readers: dict[str, ChannelReader] = {}
        # Readers that wait for their turn to read, in order.
        self._due: OrderedDict[ChannelReader, None] = OrderedDict()
        self._in_flight = 0
        self.is_paused = False
        self._is_starting = False
        self._is_taking = False
        self._held: list[Publication] = []
        self._rings_bytes = 0
        self._turns = DeferredSemaphore(MAX_RECOVERIES)
        self._sweeping: list[ChannelReader] = []
        self._per_tick = 0.0
        self._sweep_credit = 0.0
        self._sweep: IDelayedCall | None = None

    def __len__(self) -> int:
        """Return the number of streams that are watched."""
        return len(self._readers)

    def open(self, channel: str) -> ChannelReader:
        """Return the reader of a channel, which is watched from now on."""
        reader = self._readers.get(channel)
        if reader is None:
            namespace = self._namespaces.rule(channel)
            assert namespace is not None, "it has history"  # noqa: S101 -- the caller has asked
            reader = self._readers[channel] = ChannelReader(channel, namespace.retention, self)
            self.history.watch([channel])
            reader.changed()
            self._schedule_sweep()
        return reader

    def close(self, channels: Iterable[str]) -> None:
        """Watch channels no more; one that is not watched is ignored."""
        closed = [self._readers.pop(channel) for channel in channels if channel in self._readers]
        for reader in closed:
            self._due.pop(reader, None)
            reader.close()
        if closed:
            self.history.unwatch(reader.channel for reader in closed)
        if not self._readers and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def stop(self) -> None:
        """Stop the sweep, and read no more."""
        self.close(list(self._readers))

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self.is_paused = True

    def resume(self) -> None:
        """Read again."""
        self.is_paused = False
        self._start_due()

    # What the broker reports: see `IBrokerSink`

    def changed(self, channels: Iterable[str], *, is_certain: bool = False) -> None:
        """Take that streams may have changed; see `IBrokerSink.streams_changed`."""
        readers, due = self._readers, self._due
        for channel in channels:
            reader = readers.get(channel)
            if reader is None:
                continue
            if is_certain and reader.cursor is not None:
                reader.cursor.changed()
            if reader.becomes_due():
                due[reader] = None
        self._start_due()

    def connected(self) -> None:
        """Take that changes are reported from now on."""
        self.is_connected = True
        self.changed(list(self._readers))
        self._start_due()

    def disconnected(self) -> None:
        """Take that changes are not reported until `connected`."""
        self.is_connected = False
        for reader in self._readers.values():
            reader.disconnected()

    def sort_out(self, publications: Sequence[Publication]) -> Sequence[Publication]:
        """Take messages that were published on channels with history, past their streams.

        An empty one is a bell: something was added. Anything else is delivered, and not kept.

        Args:
            publications: Messages that arrived together, of any channels.

        Returns:
            Those to deliver.
        """
        readers = self._readers
        if not readers:
            return publications
        delivered = []
        for publication in publications:
            reader = readers.get(publication.channel)
            if reader is None:
                delivered.append(publication)
            elif publication.data:
                delivered.append(publication)
                self._counters.publications_not_kept += 1
                self._lines.write(
                    "not kept",
                    "a message was published with PUBLISH on a channel with history: it is delivered and not kept; add "
                    "it with XADD to keep it",
                    details={"channel": publication.channel},
                )
            else:
                reader.changed()
        return delivered

    # What a reader uses: see `ReaderServices`

    def read_when_possible(self, reader: ChannelReader) -> None:
        """See `ReaderServices.read_when_possible`."""
        self._due[reader] = None
        self._start_due()

    def read_finished(self) -> None:
        """See `ReaderServices.read_finished`."""
        self._in_flight -= 1
        if self._due and not self._is_taking:
            self._start_due()

    def broadcast(self, publications: Sequence[Publication]) -> None:
        """See `ReaderServices.broadcast`."""
        self._counters.broker_messages += len(publications)
        if self._is_taking:
            # What came together is sent together, as messages are that are published.
            self._held += publications
        else:
            self._hub.broadcast(publications)

    def broadcast_held(self) -> None:
        """See `ReaderServices.broadcast_held`."""
        if self._held:
            held, self._held = self._held, []
            self._hub.broadcast(held)

    def broadcast_position(self, channel: str, position: str) -> None:
        """See `ReaderServices.broadcast_position`."""
        self.broadcast_held()
        self._hub.broadcast((Positioned(channel, position),))

    def report_gap(self, channel: str, reason: GapReason) -> None:
        """See `ReaderServices.report_gap`."""
        self._counters.history_gaps[reason.value] += 1
        self._lines.write(
            "gap",
            f"entries of a stream are gone that were not read ({reason.value})",
            LINES_PER_KIND,
            {"channel": channel},
            {"reason": reason.value},
            level=LogLevel.warn,
        )
        namespace = self._namespaces.rule(channel)
        if namespace is not None and namespace.notify_gaps:
            self.broadcast_held()
            self._hub.broadcast((Gap(channel, reason),))
            self._gaps.notify(channel, self._hub.subscribers_without_gap_event(channel))
            # They are told one after the other. A publication from behind the gap would take their position with it:
            # resuming from there, they would have recovered.
            self._hub.take_off(channel, lambda encoding: encoding.has_positions and not encoding.has_gap_event)

    def entries_without_data(self, channel: str, count: int) -> None:
        """See `ReaderServices.entries_without_data`."""
        self._counters.entries_without_data += count
        text = "an entry has no field named data and is skipped"
        self._lines.write("no data", text, details={"channel": channel})

    def read_failed(self, channel: str, error: BrokerUnavailable) -> None:
        """See `ReaderServices.read_failed`."""
        if self.is_connected:
            text = f"a stream cannot be read: {error.code}"
            self._lines.write(
                "read", text, LINES_PER_KIND, {"channel": channel}, {"code": error.code}, level=LogLevel.warn
            )

    def recovered(self, gap: GapReason | None) -> None:
        """See `ReaderServices.recovered`."""
        self._counters.recoveries["recovered" if gap is None else gap.value] += 1

    def in_turn(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """See `ReaderServices.in_turn`.

        Returns:
            Fires as the Deferred that is called for does.
        """

        def finished(result: T | Failure) -> T | Failure:
            # Not at once: the next one may read and broadcast, and this client is yet to be added to the hub.
            self._clock.callLater(0, self._turns.release)
            return result

        return self._turns.acquire().addCallback(lambda _: maybeDeferred(call).addBoth(finished))

    def ring_changed(self, reader: ChannelOutput, size: int) -> None:
        """See `ReaderServices.ring_changed`."""
        self._rings_bytes += size
        if size > 0 and self._rings_bytes > MAX_RINGS_BYTES:
            reader.drop_ring()

    # Private

    def _start_due(self) -> None:
        if self._is_starting:
            # A read that was done at once: the loop below goes on by itself.
            return
        self._is_starting = True
        while self._due and self.is_connected and not self.is_paused and self._in_flight < MAX_READS_IN_FLIGHT:
            self._start_some(min(len(self._due), MAX_READS_IN_FLIGHT - self._in_flight))
        self._is_starting = False

    def _start_some(self, count: int) -> None:
        together: list[ChannelReader] = []
        anchors: list[tuple[str, Entry]] = []
        alone: list[ChannelReader] = []
        for _ in range(count):
            reader, _ = self._due.popitem(last=False)
            anchor = reader.begin()
            if anchor is None:
                alone.append(reader)
            else:
                together.append(reader)
                anchors.append((reader.channel, anchor))
        self._in_flight += count
        if together:
            self.history.read_behind(anchors, LIVE_PAGE_SIZE, partial(self._came, together))
        for reader in alone:
            reader.read_alone()

    def _came(
        self, readers: Sequence[ChannelReader], results: Sequence[Sequence[Entry] | BrokerUnavailable | None]
    ) -> None:
        # Those that wait for a place are read together when all of these are done, and not one by one.
        self._is_taking = True
        for reader, result in zip(readers, results, strict=True):
            reader.came(result)
        self._is_taking = False
        self.broadcast_held()
        self._start_due()

    def _schedule_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = self._clock.callLater(_SWEEP_TICK_SECONDS, self._sweep_some)

    def _sweep_some(self) -> None:
        self._sweep = None
        if not self._sweeping:
            self._sweeping = list(self._readers.values())
            seconds = SWEEP_SECONDS * self._rng.uniform(1 - SWEEP_JITTER, 1 + SWEEP_JITTER)
            self._per_tick = len(self._sweeping) * _SWEEP_TICK_SECONDS / seconds
        self._sweep_credit += self._per_tick
        while self._sweep_credit >= 1 and self._sweeping:
            self._sweep_credit -= 1
            reader = self._sweeping.pop()
            if self._readers.get(reader.channel) is reader:
                self.history.maintain(reader.channel, reader.retention, is_idle=True)
                reader.upkeep_is_due = True
                reader.changed()
        self._schedule_sweep()
