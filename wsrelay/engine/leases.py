"""Carries out the leases of this process: what its book says is due is done in the store that all processes share.

Rounds of work follow one another, so that the steps of one name are carried out in their order. What fails is not
tried again by itself: a lease that was not renewed is with the next renewal, or when the broker is back; one that was
not released runs out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.lease_book import LeaseBook
from wsrelay.core.presence.tables import Table
from wsrelay.engine.rate_limited_log import RateLimitedLog
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.interfaces import IPresence
from wsrelay.metrics.counters import Counters

__all__ = ["LeaseListener", "Leases"]


class LeaseListener(Protocol):
    """Is told what comes of leases."""

    def names_added(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """Take names that are new in a table. No other process is told.

        Returns:
            Fires with None when everybody has been told, or cannot be.
        """

    def names_ended(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """Take names that were removed from a table because their leases had run out. No other process is told.

        Returns:
            Fires with None when everybody has been told, or cannot be.
        """

    def names_released(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """Take names whose leases this process has cut short: the others that hold them are to be told.

        Returns:
            Fires with None when they have been told, or cannot be.
        """


class Leases:
    """The leases of one process.

    Args:
        store: The store.
        listener: Is told what comes of them.
        clock: Time.
        timers: Coarse timers.
        jitter: At least 0 and below 1: what keeps processes from working in step.
        counters: Where failures are counted.
    """

    log = Logger()

    def __init__(
        self,
        store: IPresence,
        listener: LeaseListener,
        clock: IReactorTime,
        timers: TimerWheel,
        jitter: float,
        counters: Counters,
    ) -> None:
        self._store = store
        self._listener = listener
        self._clock = clock
        self._timers = timers
        self._counters = counters
        self._book = LeaseBook(jitter)
        self._limited_log = RateLimitedLog(self.log, clock.seconds)
        self._turn: IDelayedCall | None = None
        self._timer: WheelTimer | None = None
        self._is_working = False
        self._is_stopped = False
        self._waiting: list[Deferred[None]] = []

    def watch(self, table: Table) -> None:
        """Take the ended names of a table from now on, even while no name of it is held."""
        self._book.watch(table, self._clock.seconds())
        self._schedule()

    def hold(self, table: Table, name: str) -> None:
        """Hold a name."""
        self._book.hold(table, name, self._clock.seconds())
        self._schedule()

    def release(self, table: Table, name: str) -> None:
        """Hold a name no more."""
        self._book.release(table, name, self._clock.seconds())
        self._schedule()

    def released_elsewhere(self, table: Table, names: Iterable[str]) -> None:
        """Take that another process holds these names no more, and has cut their leases short."""
        self._book.released_elsewhere(table, names, self._clock.seconds())
        self._schedule()

    def ended_elsewhere(self, table: Table, names: Iterable[str]) -> None:
        """Take that these names were removed from a table: those that are held here are added again, and new."""
        self._book.ended_elsewhere(table, names, self._clock.seconds())
        self._schedule()

    def renew(self, table: Table) -> None:
        """Renew the leases of a table now: what others said of it may not have arrived here."""
        self._book.renew(table)
        self._schedule()

    def renew_all(self) -> None:
        """Renew every lease now: they may have run out while the broker was away."""
        self._book.renew_all(self._clock.seconds())
        self._schedule()

    def stop(self) -> Deferred[None]:
        """Do what is due, and nothing more.

        Returns:
            Fires with None when it is done or has failed, as soon as the store has answered.
        """
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self._is_stopped = True
        self._cancel_timers()
        if not self._is_working:
            self._work()
        return done

    def _schedule(self) -> None:
        if self._is_working or self._is_stopped or self._turn is not None:
            return
        due = self._book.due_in(self._clock.seconds())
        self._cancel_timers()
        if due == 0.0:
            # What clients do in one turn of the reactor is done together.
            self._turn = self._clock.callLater(0, self._work)
        elif due is not None:
            self._timer = self._timers.call_later(due, self._work)

    def _cancel_timers(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._turn = self._timer = None

    def _work(self) -> None:
        self._turn = self._timer = None
        self._is_working = True
        working = Deferred.fromCoroutine(self._work_until_done())
        working.addErrback(lambda failure: self.log.failure("work on leases failed", failure))
        working.addBoth(self._worked)

    def _worked(self, _result: object) -> None:
        self._is_working = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        self._schedule()

    async def _work_until_done(self) -> None:
        while work := self._book.take(self._clock.seconds()):
            steps = [
                *(self._release(table, names) for table, names in work.release.items()),
                *(self._hold(table, names) for table, names in work.hold.items()),
                *(self._collect(table) for table in work.collect),
            ]
            await gatherResults([Deferred.fromCoroutine(step) for step in steps], consumeErrors=True)

    async def _release(self, table: Table, names: Sequence[str]) -> None:
        try:
            await self._store.release(table, names)
        except BrokerUnavailable as error:
            self._failed(error)
        else:
            if table.leave_seconds:
                await self._listener.names_released(table, names)

    async def _hold(self, table: Table, names: Sequence[str]) -> None:
        try:
            added = await self._store.hold(table, names)
        except BrokerUnavailable as error:
            self._failed(error)
        else:
            if new := self._book.confirm(table, names, added, self._clock.seconds()):
                await self._listener.names_added(table, new)

    async def _collect(self, table: Table) -> None:
        try:
            ended = await self._store.take_ended(table)
        except BrokerUnavailable as error:
            self._failed(error)
        else:
            if ended:
                await self._listener.names_ended(table, ended)

    def _failed(self, error: BrokerUnavailable) -> None:
        self._counters.presence_failures += 1
        self._limited_log.write(
            "presence", f"presence cannot be kept up now: {error.code or error}", level=LogLevel.warn
        )
