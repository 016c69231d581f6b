"""Channels with history at one Redis server: reads their streams, and learns of entries in the best way that works.

The way is proved as the connections are: an entry that is added to a stream of the process's own has to be noticed by
it. If it is not, the way is deaf, and the next one is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.commands import Commands
from wsrelay.brokers.redis.probe import NOT_BACK
from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, reply_problem
from wsrelay.brokers.redis.streams.appending import Appender
from wsrelay.brokers.redis.streams.blocking import BlockingReads
from wsrelay.brokers.redis.streams.stream_connection import StreamConnection
from wsrelay.brokers.redis.streams.stream_probe import StreamProbe
from wsrelay.brokers.redis.streams.stream_reads import StreamReads
from wsrelay.brokers.redis.streams.upkeep import StreamUpkeep
from wsrelay.brokers.redis.streams.ways import MAX_BLOCKING_STREAMS, POLL_SECONDS, Way
from wsrelay.core.history.entries import StreamLook
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBrokerSink, IHistory

__all__ = ["KeyspaceEvents", "RedisHistory"]


class KeyspaceEvents(Protocol):
    """Subscribes to what the server publishes about keys, on the connection that subscribes."""

    def watch_keys(self, channels: Iterable[str], database: int) -> None:
        """Subscribe to the events of the channels' streams."""

    def unwatch_keys(self, channels: Iterable[str]) -> None:
        """Unsubscribe from them; a channel that is not watched is ignored."""


@implementer(IHistory)
class RedisHistory(StreamReads):
    """The streams of one server.

    Args:
        address: How Redis is reached, and how to sign in.
        prefix: The beginning of every key.
        commands: Sends what is not about reading.
        events: Subscribes to keyspace events.
        clock: Time.
        rng: Randomness for the back-off.
        now: The wall clock, in seconds since the epoch.
        ways: The ways to learn of entries that may be used.
    """

    log = Logger()

    def __init__(
        self,
        address: RedisAddress,
        prefix: bytes,
        commands: Commands,
        events: KeyspaceEvents,
        *,
        clock: IReactorTime,
        rng: Random,
        now: Callable[[], float],
        ways: Collection[Way] = tuple(Way),
    ) -> None:
        connection = StreamConnection(
            address,
            on_up=self._came_up,
            on_down=self._went_down,
            on_change=self._keys_changed,
            on_read_finished=self._report_changes,
            clock=clock,
            rng=rng,
            ways=ways,
        )
        super().__init__(connection, prefix, clock.seconds)
        self._commands = commands
        self._events = events
        self._sink: IBrokerSink | None = None
        # The keys that the server has named in what is being read.
        self._changed: list[bytes] = []
        self._has_reported_up = False
        # Whether the connection is ended in order to use another way.
        self._is_switching = False
        self._logged_way = ""
        self._probe = StreamProbe(commands, prefix, self._proved, self._probe_failed, clock, rng)
        self._blocking = BlockingReads(address, prefix, lambda: self._newest, self._channels_changed, clock, rng)
        self._appender = Appender(commands, prefix, lambda: self._connection.way is not Way.TRACKING)
        self._upkeep = StreamUpkeep(commands, prefix, clock.seconds, now)

    @property
    def way(self) -> str:
        """See `IHistory.way`."""
        way = self._connection.way
        if way is None or not self._connection.link.is_up:
            return ""
        if way is Way.BLOCKING_READS and len(self._newest) > MAX_BLOCKING_STREAMS:
            return f"a read of each every {POLL_SECONDS:g} seconds"
        return way.value

    @property
    def is_healthy(self) -> bool:
        """True if entries that are added are noticed at this moment."""
        return self._connection.link.is_up and self._probe.is_healthy

    @property
    def problem(self) -> Problem:
        """Why not; `NO_PROBLEM` when healthy."""
        if self._connection.link.problem.summary:
            return self._connection.link.problem
        return NO_PROBLEM if self.is_healthy else self._probe.problem

    def attach(self, sink: IBrokerSink) -> None:
        """Name the receiver of changes."""
        self._sink = sink

    def start(self) -> None:
        """Begin to connect."""
        self._connection.link.start()

    def stop(self) -> None:
        """Disconnect for good."""
        self._probe.stop()
        self._blocking.stop()
        self._connection.stop()

    def peer_up(self) -> None:
        """Take that the connections of the broker are up, one of which is new."""
        self._start_when_up()

    def peer_down(self) -> None:
        """Take that a connection of the broker was lost."""
        self._probe.stop()
        if self._connection.way is Way.KEYSPACE_EVENTS:
            self._report_down()

    def pause(self) -> None:
        """Take that nothing is read from the connection that keyspace events come on."""
        self._probe.pause()

    def resume(self) -> None:
        """Take that it is read again."""
        self._probe.resume()

    def key_event(self, channel: str) -> None:
        """Take an event of the stream of a channel."""
        self._report((channel,), is_certain=True)

    def key_subscribed(self, channel: str | None) -> None:
        """Take that the events of a channel's stream are reported from now on. If None, that none are."""
        if channel is None:
            self._try_another_way(Way.KEYSPACE_EVENTS, "is not permitted")
        elif channel == self._probe.channel:
            self._probe.start()
        else:
            # What was added before is not reported.
            self._channels_changed((channel,))

    # IHistory

    def watch(self, channels: Iterable[str]) -> None:
        """See `IHistory.watch`."""
        names = list(channels)
        self._watched.update(dict.fromkeys(names))
        if self._connection.way is Way.KEYSPACE_EVENTS:
            self._events.watch_keys(names, self._connection.database)

    def unwatch(self, channels: Iterable[str]) -> None:
        """See `IHistory.unwatch`."""
        names = list(channels)
        self._reported.difference_update(names)
        for name in names:
            self._watched.pop(name, None)
            self._newest.pop(name, None)
            self._upkeep.forget(name)
        self._events.unwatch_keys(names)

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
        return self._appender.append(channel, data, retention, idempotency_key, info, tags)

    def clear(self, channel: str) -> Deferred[None]:
        """See `IHistory.clear`."""
        # Not DEL: what the stream was given stays known.
        trimmed = self._commands.send(b"XTRIM", self._prefix + channel.encode(), b"MAXLEN", b"0")
        return trimmed.addCallback(lambda _count: None)

    def maintain(self, channel: str, retention: Retention, *, is_idle: bool = False) -> None:
        """See `IHistory.maintain`."""
        self._upkeep.maintain(channel, retention, is_idle=is_idle)

    # Changes

    def _keys_changed(self, keys: list[bytes] | None) -> None:
        if keys is None:
            # FLUSHALL, or the table of the server was emptied.
            self._channels_changed([*self._watched, self._probe.channel])
            return
        self._changed += keys

    def _report_changes(self) -> None:
        if self._changed:
            keys, self._changed = self._changed, []
            start = len(self._prefix)
            changed = dict.fromkeys([key[start:].decode("latin-1") for key in keys])
            # Not those that nobody watches any more, whose keys expire one by one: no read takes them out again.
            self._reported.update(changed.keys() & self._watched.keys())
            self._report(changed, is_certain=True)

    def _channels_changed(self, channels: Iterable[str]) -> None:
        self._report(channels, is_certain=False)

    def _report(self, channels: Iterable[str], *, is_certain: bool) -> None:
        changed = channels if isinstance(channels, dict) else dict.fromkeys(channels)
        if self._probe.channel in changed:
            del changed[self._probe.channel]
            self._read_probe()
        if changed and self._sink is not None:
            self._sink.streams_changed(changed, is_certain=is_certain)

    # The connection

    def _came_up(self) -> None:
        self._start_when_up()

    def _start_when_up(self) -> None:
        way, names = self._connection.way, [*self._watched, self._probe.channel]
        if not (self._connection.link.is_up and self._commands.link.is_up) or way is None:
            return
        if way is Way.KEYSPACE_EVENTS:
            # The probe's anew each time: its confirmation starts the probe.
            self._events.unwatch_keys([self._probe.channel])
            self._events.watch_keys(names, self._connection.database)
        else:
            self._events.unwatch_keys(names)
        if way is Way.BLOCKING_READS:
            self._blocking.start()
        else:
            self._blocking.stop()
        if not self._has_reported_up and self._sink is not None:
            self._has_reported_up = True
            self._sink.streams_connected()
        if way is Way.KEYSPACE_EVENTS:
            return
        self._newest.setdefault(self._probe.channel, (0, 0))
        # The reply asks for news of the next change, and only then an entry is added: one that was there already would
        # prove nothing.
        self.look_at_newest(self._probe.channel, 1).addCallbacks(
            lambda _look: self._probe.start(), self._probe_not_begun
        )

    def _probe_not_begun(self, failure: Failure) -> None:
        failure.trap(BrokerUnavailable)
        # Nothing else would begin it. A connection that is lost is made again in any case.
        if self._connection.link.is_up:
            self._connection.link.restart(reply_problem(str(failure.value)))

    def _went_down(self) -> None:
        self._probe.stop()
        self._changed.clear()
        self._reported.clear()
        if not self._is_switching:
            # The server behind the next connection may be another one, or have learnt something.
            self._connection.failed.clear()
        self._is_switching = False
        self._report_down()

    def _report_down(self) -> None:
        if self._has_reported_up and self._sink is not None:
            self._has_reported_up = False
            self._sink.streams_disconnected()

    # The probe

    def _read_probe(self) -> None:
        # Its reply asks the server to report the next change.
        self.look_at_newest(self._probe.channel, 1).addCallbacks(self._probe_read, lambda _failure: None)

    def _probe_read(self, look: StreamLook) -> None:
        if look.entries and (payload := look.entries[-1].data) is not None:
            self._newest[self._probe.channel] = look.entries[-1].id
            self._probe.reply_received(payload)

    def _proved(self) -> None:
        self._connection.link.mark_healthy()
        if self.way != self._logged_way:
            self._logged_way = self.way
            self.log.info("entries that any program adds with XADD are seen by {way}", way=self.way)

    def _probe_failed(self, problem: Problem) -> None:
        way = self._connection.way
        if problem.summary != NOT_BACK or way is None:
            self._connection.link.restart(problem)
            return
        self._try_another_way(way, "does not notice added entries")

    def _reports_too_much(self) -> None:
        self._try_another_way(Way.TRACKING, "reports changes where nothing has changed (tracking-table-max-keys)")

    def _try_another_way(self, way: Way, reason: str) -> None:
        if self._is_switching:
            return
        self._is_switching = True
        self.log.warn("{way} {reason}; trying another way to see added entries", way=way.value, reason=reason)
        failed = self._connection.failed
        failed.add(way)
        if failed.issuperset(self._connection.ways) or way is Way.BLOCKING_READS:
            # None of them works: begin anew.
            failed.clear()
        self._connection.link.restart(Problem(f"{way.value} {reason}"))
