"""Reads the stream of one channel for everybody in this process who is subscribed to it.

Each entry is read once, and goes to the output (`channel_output`). The position of the channel is how far the reader
has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.core.history.cursor import Progress, StreamCursor
from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EmptyPosition, EntryPosition
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.publications import GapReason
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_output import RECOVERY_LIMIT, ChannelOutput, OutputServices

__all__ = ["LIVE_PAGE_SIZE", "ChannelReader", "ReaderServices"]

LIVE_PAGE_SIZE = 400
"""The number of entries in one read for all subscribers. Each read is a fan-out of its own, so that a burst of messages
which fits into one costs half of what it costs in two; this many of 160 bytes make a batch (64 KiB)."""

T = TypeVar("T")
P = ParamSpec("P")


class ReaderServices(OutputServices, Protocol):
    """The parts of the registry of readers that one of them uses."""

    @property
    def is_connected(self) -> bool:
        """True if streams can be read now."""

    @property
    def is_paused(self) -> bool:
        """True if nothing is to be read now, because subscribers are behind."""

    def read_when_possible(self, reader: ChannelReader) -> None:
        """Call `ChannelReader.read` as soon as reading is possible, once."""

    def read_finished(self) -> None:
        """Take that a read of a reader has ended."""

    def broadcast_held(self) -> None:
        """Send at once the publications of other channels, too, that are held to be sent together."""

    def read_failed(self, channel: str, error: BrokerUnavailable) -> None:
        """Log that a stream cannot be read."""

    def recovered(self, gap: GapReason | None) -> None:
        """Count a client that came back: recovered, or with a gap."""

    def in_turn(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Begin something for a client that comes back, a bounded number at a time.

        Returns:
            Fires as the Deferred that is called for does.
        """


class ChannelReader(ChannelOutput):
    """Reads one stream.

    Args:
        channel: The channel's name.
        retention: The bounds of its stream.
        services: What it needs of its registry.

    Attributes:
        cursor: How far it has read. If None, the stream has not been looked at yet.
    """

    log = Logger()

    _services: ReaderServices

    def __init__(self, channel: str, retention: Retention, services: ReaderServices) -> None:
        super().__init__(channel, retention, services)
        self.cursor: StreamCursor | None = None
        self._is_reading = False
        self._is_due = False
        self._is_closed = False
        self._interruptions = 0
        self._interruptions_before = 0
        # Who waits for the end of the read that is under way, and for that of the next one.
        self._waiting: list[Deferred[None]] = []
        self._waiting_for_next: list[Deferred[None]] = []

    @property
    def is_connected(self) -> bool:
        """True if streams can be read now."""
        return self._services.is_connected

    def recovered(self, gap: GapReason | None) -> None:
        """Count a client that came back, recovered or with a gap."""
        self._services.recovered(gap)

    def in_turn(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """See `ReaderServices.in_turn`.

        Returns:
            Fires as the Deferred that is called for does.
        """
        return self._services.in_turn(call)

    def changed(self) -> None:
        """Take that the stream may have changed."""
        if self.becomes_due():
            self._services.read_when_possible(self)

    def becomes_due(self) -> bool:
        """Take that the stream may have changed; return whether the reader waits for its turn from now on."""
        if self._is_due or self._is_closed:
            return False
        self._is_due = True
        return not self._is_reading

    def disconnected(self) -> None:
        """Take that changes are not reported from now on."""
        self._interruptions += 1
        if self.cursor is not None:
            self.cursor.disconnected()

    def close(self) -> None:
        """Read no more: the channel is not wanted."""
        self._is_closed = True
        # Another reader may have begun when the reply arrives: it has no business with its subscribers.
        self._interruptions += 1
        self.drop_ring()
        self._end_waits(BrokerUnavailable("the channel is no longer subscribed"))

    # Reading

    def begin(self) -> Entry | None:
        """Begin to read what is new. Called by the registry, which is told when it is done.

        Returns:
            The entry behind which the registry reads, and gives the result to `came`. If None, no read can tell enough:
            it calls `read_alone`.
        """
        self._is_due, self._is_reading = False, True
        self._interruptions_before = self._interruptions
        if self._waiting_for_next:
            self._waiting, self._waiting_for_next = self._waiting_for_next, []
        return None if self.cursor is None else self.cursor.anchor

    def read_alone(self) -> None:
        """Read as it takes; see `begin`."""
        self._read_page()

    def came(self, result: Sequence[Entry] | BrokerUnavailable | None) -> None:
        """Take the result of the read that the registry made; see `IHistory.read_behind`."""
        try:
            cursor = self.cursor
            if self._interruptions_before != self._interruptions or cursor is None:
                self._read_failed(Failure(_interrupted()))
            elif result is None:
                self._look(cursor)
            elif isinstance(result, BrokerUnavailable):
                self._read_failed(Failure(result))
            else:
                self._take(result, cursor)
        except Exception:  # noqa: BLE001 -- a mistake of ours, of which the readers behind this one know nothing
            self._read_failed(Failure())

    def _read_page(self) -> None:
        cursor = self.cursor
        if cursor is None:
            self._ask(self.history.look_at_newest(self.channel, 1), self._start)
        elif cursor.anchor is None:
            self._look(cursor)
        else:
            self._interruptions_before = self._interruptions
            self.history.read_behind([(self.channel, cursor.anchor)], LIVE_PAGE_SIZE, lambda each: self.came(each[0]))

    def _ask(
        self, asked: Deferred[T], take: Callable[Concatenate[T, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        asked.addCallback(self._check_connection, self._interruptions)
        asked.addCallback(take, *args, **kwargs).addErrback(self._read_failed)

    def _check_connection(self, result: T, interruptions: int) -> T:
        """Return the result of a read, unless the reader was closed or changes are not reported since it was asked."""
        if interruptions != self._interruptions:
            raise _interrupted()
        return result

    def _start(self, look: StreamLook) -> None:
        self.cursor = StreamCursor(look, self.retention.seconds)
        self.ring.restart(str(self.cursor.position))
        if isinstance(self.cursor.position, EmptyPosition):
            self._known_empty_ms = self.cursor.position.ms
        # The state that was looked at is that of this moment, and the look asks to be told of every change since.
        self._finish()

    def _look(self, cursor: StreamCursor) -> None:
        self._ask(self.history.look(self.channel, cursor.start, LIVE_PAGE_SIZE), self._take_look, cursor)

    def _take(self, entries: Sequence[Entry], cursor: StreamCursor) -> None:
        # Little is done here: this is called for every message.
        if entries:
            cursor.take(entries)
            before = self.ring.size
            self.ring.extend(entries)
            self._services.ring_changed(self, self.ring.size - before)
            self._broadcast(entries)
        if len(entries) < LIVE_PAGE_SIZE:
            self._finish()
        else:
            self._go_on(has_more=True)

    def _take_look(self, look: StreamLook, cursor: StreamCursor) -> None:
        progress = cursor.take_look(look, LIVE_PAGE_SIZE)
        if progress.restarts:
            newest = self.history.look_at_newest(self.channel, RECOVERY_LIMIT)
            self._ask(newest, self._restart, cursor, progress.gap)
        else:
            self._take_progress(progress, cursor)

    def _restart(self, look: StreamLook, cursor: StreamCursor, gap: GapReason | None) -> None:
        """Go on with the newest entries of a stream that is another one, or has lost its end."""
        entries, position = look.entries, cursor.position
        if gap is GapReason.TRIMMED and isinstance(position, EntryPosition):
            # The stream is the same. What stands before the position was broadcast, though the ring may not have it.
            entries = [entry for entry in entries if entry.id > position.id]
        known = {self.ring.start, *(entry.position_text for entry in self.ring.entries)}
        # What is there still, and was broadcast before, is not broadcast again.
        behind = next((at + 1 for at in reversed(range(len(entries))) if entries[at].position_text in known), 0)
        cursor.restart(look)
        self._emit(entries[behind:], gap, str(cursor.position))
        self._finish()

    def _take_progress(self, progress: Progress, cursor: StreamCursor) -> None:
        entries, gap, has_more, _restarts = progress
        position = str(cursor.position)
        if entries or gap is not None or self.ring.end != position:
            self._emit(entries, gap, position)
            if not entries and gap is None and isinstance(cursor.position, EmptyPosition):
                self._renew(cursor.position)
        self._go_on(has_more=has_more)

    def _go_on(self, *, has_more: bool) -> None:
        """Read the next page, if there is one: now, or when subscribers have caught up."""
        if has_more and not self._is_closed and not self._services.is_paused:
            self._read_page()
        else:
            self._is_due = self._is_due or has_more
            self._finish()

    def _read_failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, BrokerUnavailable):
            # A mistake of ours: those who wait here are not left waiting, and other channels go on.
            self.log.failure("reading a stream failed", failure)
            error = BrokerUnavailable("the stream cannot be read")
        elif not self._is_closed:
            self._services.read_failed(self.channel, error)
        # The registry reads again after a reconnect, and in its sweep.
        self._finish(error)

    def _finish(self, error: BrokerUnavailable | None = None) -> None:
        self._is_reading = False
        if self._waiting:
            # They subscribe behind what has been read.
            self._services.broadcast_held()
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                _fire(deferred, error)
        self._services.read_finished()
        if self._is_due and not self._is_reading and not self._is_closed:
            self._services.read_when_possible(self)

    def _end_waits(self, error: BrokerUnavailable) -> None:
        waiting, self._waiting, self._waiting_for_next = [*self._waiting, *self._waiting_for_next], [], []
        for deferred in waiting:
            _fire(deferred, error)

    def read_now(self) -> Deferred[None]:
        """Read what is new, unless a read is under way.

        Whoever sends Redis a command now has it carried out behind that read.

        Returns:
            Fires with None when the read is done.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) The stream cannot be read now.
        """
        done: Deferred[None] = Deferred()
        if self._is_closed:
            # Nothing would end the wait.
            _fire(done, BrokerUnavailable("the channel is no longer subscribed"))
        elif self._is_reading:
            self._waiting.append(done)
        else:
            self._waiting_for_next.append(done)
            self.changed()
        return done


def _interrupted() -> BrokerUnavailable:
    return BrokerUnavailable("the connection was lost, or the reader closed")


def _fire(deferred: Deferred[None], error: BrokerUnavailable | None) -> None:
    if not deferred.called:
        if error is None:
            deferred.callback(None)
        else:
            deferred.errback(error)
