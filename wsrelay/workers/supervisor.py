"""The parent: starts workers, starts them again when they end, replaces them, and ends with them.

It serves no client and has no connection to Redis, so that there is little that could go wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from wsrelay.core.flow.restarts import RestartSchedule
from wsrelay.workers.together import Together
from wsrelay.workers.worker import Worker

__all__ = ["HANG_SECONDS", "READY_SECONDS", "Supervisor"]

HANG_SECONDS = 20.0
"""A worker that reports nothing for so long stands still and is ended. It reports once a second; the longest turns of
a reactor that were measured, with ten thousand clients arriving at once, are below one."""

CORE_SECONDS = 2.0
"""The time between SIGABRT, at which a worker that stands still writes where, and SIGKILL."""

READY_SECONDS = 60.0
"""How long the successor of a worker may take to become ready, before its predecessor stays instead."""

END_SECONDS = 5.0
"""How long a worker may take to end, beyond the time for its drain, before it is killed."""

CHECK_SECONDS = 1.0

Spawn = Callable[[Worker], None]
"""Starts the process of a worker."""


class _Slot:
    """A place for a worker.

    Attributes:
        number: Its number, from 0.
        worker: The worker in it. If None, it has ended, and the next one is waited for.
        restart: The start of the next one. If None, none is planned.
        schedule: When the next one is started.
    """

    def __init__(self, number: int, rng: Random) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.restart: IDelayedCall | None = None
        self.schedule = RestartSchedule(rng)


class Supervisor(Service):
    """Supervises the workers of one relay.

    Args:
        workers: How many there are.
        spawn: Starts the process of a worker.
        clock: The reactor.
        rng: Randomness for jitter.
        drain_timeout_seconds: How long a worker may take to drain.
        max_memory_bytes: The resident memory above which a worker is replaced; 0 for any.
        gave_up: Called with the reason when no worker can be started.

    Attributes:
        together: What the workers are together.
    """

    log = Logger("wsrelay")

    def __init__(
        self,
        workers: int,
        spawn: Spawn,
        clock: IReactorTime,
        rng: Random,
        *,
        drain_timeout_seconds: float,
        max_memory_bytes: int = 0,
        gave_up: Callable[[str], None],
    ) -> None:
        self._spawn = spawn
        self._clock = clock
        self._drain_timeout_seconds = drain_timeout_seconds
        self._max_memory_bytes = max_memory_bytes
        self._gave_up = gave_up
        self._slots = [_Slot(number, rng) for number in range(workers)]
        self._living: dict[Worker, None] = {}
        self._is_stopping = False
        self._has_started = False
        self._to_replace: list[int] = []
        self._is_replacing = False
        self._checks = LoopingCall(self._check)
        self._checks.clock = clock
        self.together = Together(clock, lambda: self._living, lambda: [slot.worker for slot in self._slots])

    def startService(self) -> None:
        """Start the workers."""
        super().startService()
        self.log.info("starting {count} workers", count=len(self._slots))
        for slot in self._slots:
            self._start(slot)
        self._checks.start(CHECK_SECONDS, now=False)

    def stopService(self) -> Deferred[Any]:
        """Let all workers drain at the same time.

        Returns:
            Fires when all have ended, within the time for a drain and `END_SECONDS`.
        """
        super().stopService()
        self._is_stopping = self.together.is_stopping = True
        self._checks.stop()
        for slot in self._slots:
            if slot.restart is not None:
                slot.restart.cancel()
                slot.restart = None
        for worker in tuple(self._living):
            self._leave(worker)
        return DeferredList([worker.until_ended() for worker in self._living])

    def reload(self) -> None:
        """Let every worker read its settings and certificates again."""
        for worker in self._living:
            worker.signal("HUP")

    def replace_workers(self) -> None:
        """Replace the workers by new ones, one after the other; none of those that ask for a connection is refused.

        A replacement under way begins once more behind its end.
        """
        self.log.info("replacing {count} workers, one after the other", count=len(self._slots))
        self._replace_slots(slot.number for slot in self._slots)

    def _replace_slots(self, numbers: Any) -> None:
        self._to_replace += [number for number in numbers if number not in self._to_replace]
        if not self._is_replacing and not self._is_stopping:
            self._is_replacing = True
            replaced = Deferred.fromCoroutine(self._replace_all())
            replaced.addErrback(lambda failure: self.log.failure("a replacement has failed", failure))

    async def _replace_all(self) -> None:
        try:
            while self._to_replace and not self._is_stopping:
                slot = self._slots[self._to_replace.pop(0)]
                if not await self._replace(slot):
                    self._to_replace.clear()
        finally:
            self._is_replacing = False

    async def _replace(self, slot: _Slot) -> bool:
        """Replace one worker. Return whether that has succeeded; if not, the one that was there stays."""
        old, new = slot.worker, self._make(slot)
        if old is None:
            # It has ended by itself; this is the next one.
            self._take_place(slot, new)
            return True
        ready = new.until_ready()
        self._launch(new)
        is_ready = await ready.addTimeout(READY_SECONDS, self._clock, onTimeoutCancel=lambda _result, _seconds: False)
        if not is_ready:
            self.log.error(
                "{worker} did not become ready ({reason}): {old} stays, and no other worker is replaced",
                worker=new.name,
                old=old.name,
                reason=new.status or new.readiness[1],
            )
            self._leave(new)
            return False
        if self._is_stopping:
            return False
        # The old one may have ended by itself meanwhile, and another one may have been started for it.
        replaced = slot.worker
        self._put(slot, new)
        self.log.info("{new} replaces {old}", new=new.name, old=old.name)
        if replaced is not None:
            self._leave(replaced)
            # Its clients come back to all workers while it drains; those of the next one should not come with them.
            await replaced.until_ended()
        return True

    def _make(self, slot: _Slot) -> Worker:
        worker = Worker(slot.number, self._clock, self.together.answer, self._worker_ended)
        self._living[worker] = None
        return worker

    def _start(self, slot: _Slot) -> None:
        slot.restart = None
        self._take_place(slot, self._make(slot))

    def _take_place(self, slot: _Slot, worker: Worker) -> None:
        self._put(slot, worker)
        self._launch(worker)

    def _put(self, slot: _Slot, worker: Worker) -> None:
        """Make a worker that of a slot; no other is started for it."""
        if slot.restart is not None:
            slot.restart.cancel()
            slot.restart = None
        slot.worker = worker

    def _launch(self, worker: Worker) -> None:
        try:
            self._spawn(worker)
        except OSError as error:
            # Of processes or descriptors there are no more; later there may be.
            worker.could_not_start(error.strerror or str(error))

    def _worker_ended(self, worker: Worker) -> None:
        del self._living[worker]
        self.together.ended(worker)
        self._has_started = self._has_started or worker.has_started
        slot = self._slots[worker.slot]
        if self._is_stopping or slot.worker is not worker:
            self.log.info("{worker} {status}", worker=worker.name, status=worker.status)
            return
        slot.worker = None
        delay = slot.schedule.ended(self._clock.seconds() - worker.started_at, worker.has_started)
        if not self._has_started and slot.schedule.is_hopeless:
            self._gave_up(f"the workers cannot start: {worker.name} {worker.status}; the lines above say why")
            return
        self.together.restarts += 1
        self.log.error(
            "{worker} {status}; its clients have to reconnect. The next one starts in {delay:.1f} s",
            worker=worker.name,
            status=worker.status,
            delay=delay,
        )
        # In another turn in any case: a process that cannot be made ends at once.
        slot.restart = self._clock.callLater(delay, self._start, slot)

    def _leave(self, worker: Worker) -> None:
        """Let a worker drain, and kill it if it does not end."""
        if worker.is_leaving:
            return
        worker.leave()
        self._unless_ended(worker, self._drain_timeout_seconds + END_SECONDS, lambda: self._kill(worker))

    def _unless_ended(self, worker: Worker, seconds: float, call: Callable[[], None]) -> None:
        """Call a function after some time, unless a worker has ended by then."""
        timer = self._clock.callLater(seconds, call)

        def cancel(_: None) -> None:
            if timer.active():
                timer.cancel()

        worker.until_ended().addCallback(cancel)

    def _kill(self, worker: Worker) -> None:
        self.log.error("{worker} did not end in time, and is killed", worker=worker.name)
        worker.signal("KILL")

    def _check(self) -> None:
        """End workers that stand still, and replace those that have grown too much."""
        now = self._clock.seconds()
        for worker in tuple(self._living):
            if worker.has_started and not worker.is_leaving and now - worker.last_report_at > HANG_SECONDS:
                self.log.error(
                    "{worker} has stood still for {seconds:.0f} s, and is ended",
                    worker=worker.name,
                    seconds=HANG_SECONDS,
                )
                worker.is_leaving = True
                worker.signal("ABRT")
                self._unless_ended(worker, CORE_SECONDS, partial(worker.signal, "KILL"))
        for slot in self._slots:
            used = 0 if slot.worker is None else slot.worker.memory
            if 0 < self._max_memory_bytes < used and slot.number not in self._to_replace and not self._is_replacing:
                self.log.warn(
                    "worker {number} uses {used} bytes of memory, more than max_worker_memory_bytes; it is replaced",
                    number=slot.number + 1,
                    used=used,
                )
                self._replace_slots([slot.number])
