"""Reports to systemd, or another service manager with its protocol: ready, reloading, stopping, alive, and the status.

The process is ready (READY=1) as soon as it listens, with or without Redis. Without Redis it answers, and goes on
trying for ever; a service manager that waited for Redis would end it at the start timeout, and let nothing start that
is ordered behind it. `STATUS=` says what /readyz says.

The watchdog is fed by a timer of the reactor: a reactor that stands still feeds nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from wsrelay.process.notify import Notifier

__all__ = ["ServiceManager"]

STATUS_SECONDS = 2.0
"""The interval at which a change of the status is looked for."""

MAX_STATUS_CHARACTERS = 200

STOP_RESERVE_SECONDS = 5.0
"""Time for the end of the process behind the drain, before the service manager may kill it."""


class ServiceManager:
    """The program that has started the process and watches over it. Where there is none, each method has no effect.

    Args:
        notifier: Sends to it.
        clock: The reactor.
        watchdog_seconds: The time after which it ends a process that feeds no watchdog. 0: it has none.
        watchdog_pid: The process that is to feed it. If empty, each one may.
    """

    log = Logger("wsrelay")

    def __init__(
        self, notifier: Notifier, clock: IReactorTime, watchdog_seconds: float = 0.0, watchdog_pid: str = ""
    ) -> None:
        self._notifier = notifier
        self._clock = clock
        self._watchdog_seconds = watchdog_seconds
        self._watchdog_pid = watchdog_pid
        self._readiness: Callable[[], tuple[int, str]] | None = None
        self._is_reported = False
        self._is_stopping = False
        self._status = ""
        self._fed_at = 0.0
        self._loops: list[LoopingCall] = []

    @classmethod
    def take(cls, environ: MutableMapping[str, str], clock: IReactorTime) -> ServiceManager:
        """Return the service manager that an environment names.

        Args:
            environ: The environment of the process. Its variables are removed, for they are not for child processes.
            clock: The reactor.
        """
        interval, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        seconds = int(interval) / 1e6 if interval.isascii() and interval.isdigit() and len(interval) < 16 else 0.0
        return cls(Notifier.take(environ), clock, seconds, pid)

    def start(self, readiness: Callable[[], tuple[int, str]]) -> None:
        """Report that the process is ready, and feed the watchdog from now on. Call it when the reactor runs.

        Args:
            readiness: Returns the status and the text of /readyz.
        """
        if not self._notifier.is_connected:
            return
        self._readiness = readiness
        self._repeat(self._report, STATUS_SECONDS)
        # A process that has become a daemon has another ID than the one that was started.
        if self._watchdog_seconds and self._watchdog_pid in ("", str(os.getpid())):
            self._fed_at = self._clock.seconds()
            self._repeat(self._feed, self._watchdog_seconds / 3)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the process reads its configuration again while the body of the `with` statement runs."""
        if self._readiness is None or self._is_stopping:
            yield
            return
        # Type=notify-reload takes only a READY=1 behind a time that is later than its signal (sd_notify(3)).
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            # Repeated until it is sent.
            self._is_reported = False
            self._report()

    def stopping(self, seconds: float) -> None:
        """Report that the process stops.

        Args:
            seconds: The time that this takes at most. The service manager waits for as long, whatever its own timeout.
        """
        self._is_stopping = True
        extension = int((seconds + STOP_RESERVE_SECONDS) * 1e6)
        self._notifier.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={extension}")
        if self._readiness is not None:
            self._report()

    def stop(self) -> None:
        """Report nothing more."""
        for loop in self._loops:
            loop.stop()
        self._loops.clear()
        self._notifier.close()

    def _repeat(self, call: Callable[[], None], seconds: float) -> None:
        loop = LoopingCall(call)
        loop.clock = self._clock
        self._loops.append(loop)
        loop.start(seconds).addErrback(lambda failure: self.log.failure("reports to systemd end", failure))

    def _report(self) -> None:
        """Send what has changed. What cannot be sent is sent the next time."""
        if self._readiness is None:
            return
        status = " ".join(self._readiness()[1].split())[:MAX_STATUS_CHARACTERS]
        changes = [] if self._is_reported or self._is_stopping else ["READY=1"]
        if status != self._status:
            changes.append(f"STATUS={status}")
        if changes and self._notifier.send(*changes):
            self._is_reported, self._status = True, status

    def _feed(self) -> None:
        now, interval = self._clock.seconds(), self._watchdog_seconds / 3
        late = now - self._fed_at - interval
        self._fed_at = now
        self._notifier.send("WATCHDOG=1")
        if late > interval:
            self.log.warn(
                "the reactor was occupied for {late:.1f} s; systemd ends the process after {limit:g} s (WatchdogSec)",
                late=late,
                limit=self._watchdog_seconds,
            )
