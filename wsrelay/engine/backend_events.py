"""Tells the application what happens: written in the background, in batches, and never at the price of a client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from wsrelay.engine.rate_limited_log import RateLimitedLog
from wsrelay.interfaces import IEventLog
from wsrelay.metrics.counters import Counters

__all__ = ["EVENTS_PER_BATCH", "MAX_QUEUED_EVENTS", "RETRY_SECONDS", "BackendEvents"]

MAX_QUEUED_EVENTS = 10_000
"""How many events may wait. It is what the stream holds: older ones would be trimmed as soon as they are written."""

EVENTS_PER_BATCH = 200

RETRY_SECONDS = 1.0
"""How long to wait before the broker is looked at again while it is away."""


class BackendEvents:
    """The events of one process, on their way to the broker.

    Events wait while the broker is away. Those that it may or may not have taken are not written again: an event comes
    once at most.

    Args:
        event_log: Where they are written.
        node_id: The name of this process, which every event has.
        is_ready: Returns whether the broker works now.
        clock: Time.
        counters: Where events are counted.
    """

    log = Logger()

    def __init__(
        self,
        event_log: IEventLog,
        node_id: str,
        is_ready: Callable[[], bool],
        clock: IReactorTime,
        counters: Counters,
    ) -> None:
        self._event_log = event_log
        self._node_id = node_id
        self._is_ready = is_ready
        self._clock = clock
        self._counters = counters
        self._limited_log = RateLimitedLog(self.log, clock.seconds)
        self._queue: deque[Mapping[str, str]] = deque()
        self._timer: IDelayedCall | None = None
        self._is_writing = False
        self._is_stopped = False
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._queue)

    def add(self, event: Mapping[str, str]) -> None:
        """Have an event written. Where too many wait, it is lost, and counted."""
        if len(self._queue) >= MAX_QUEUED_EVENTS:
            self._lost(1)
            return
        self._queue.append({**event, "node": self._node_id})
        if not self._is_writing and self._timer is None and not self._is_stopped:
            self._timer = self._clock.callLater(0, self._write)

    def stop(self) -> Deferred[None]:
        """Write what waits, and nothing more.

        Returns:
            Fires with None when it is written or lost, as soon as the broker has answered.
        """
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_writing:
            self._write()
        return done

    def _write(self) -> None:
        self._timer = None
        self._is_writing = True
        writing = Deferred.fromCoroutine(self._write_all())
        writing.addErrback(lambda failure: self.log.failure("writing events failed", failure))
        writing.addBoth(self._written)

    async def _write_all(self) -> None:
        while self._queue and self._is_ready():
            batch = [self._queue.popleft() for _ in range(min(EVENTS_PER_BATCH, len(self._queue)))]
            added = await self._event_log.append(batch)
            self._counters.events_written += added
            if added < len(batch):
                self._lost(len(batch) - added)

    def _written(self, _result: object) -> None:
        self._is_writing = False
        if self._is_stopped:
            if self._queue:
                self._lost(len(self._queue))
                self._queue.clear()
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
        elif self._queue:
            self._timer = self._clock.callLater(RETRY_SECONDS, self._write)

    def _lost(self, count: int) -> None:
        self._counters.events_lost += count
        text = "events for the application were lost: Redis is away, or did not take them"
        self._limited_log.write("events", text, level=LogLevel.warn)
