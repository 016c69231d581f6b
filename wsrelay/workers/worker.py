"""A worker as its parent sees it: a child process, and what it last reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from signal import SIGTERM, Signals
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.metrics.snapshot import Family, Snapshot, counters_of
from wsrelay.workers.link import Report, WorkerLink

__all__ = ["MAX_LINE_BYTES", "Worker"]

MAX_LINE_BYTES = 16 * 1024
"""The longest line of a worker's log that is kept together."""


class Worker(ProcessProtocol):
    """A child process.

    Args:
        slot: Its place among the workers, from 0.
        clock: Time.
        answer: Returns the answer to a question of it; see `WorkerLink`.
        ended: Called with this worker when its process has ended.

    Attributes:
        slot: See above.
        pid: Its process ID. If None, it has not been started.
        link: The link to it.
        started_at: When it was made, by the clock.
        last_report_at: When it last reported anything.
        has_started: Whether it listens.
        readiness: HTTP status and text, as it would answer a probe.
        memory: Its resident memory, in bytes; 0 until it has reported it.
        snapshot: Its numbers, as they were last seen by anybody.
        is_leaving: Whether it has been told to end.
        status: Why it has ended, in words. If None, it has not.
    """

    log = Logger("wsrelay")

    def __init__(
        self, slot: int, clock: IReactorTime, answer: Callable[[str], Any], ended: Callable[[Worker], None]
    ) -> None:
        self.slot = slot
        self._clock = clock
        self._ended = ended
        self.link = WorkerLink(clock, answer=answer, reported=self._reported, closed=lambda: None)
        self.started_at = self.last_report_at = clock.seconds()
        self.has_started = False
        self.readiness = 503, "not ready: starting"
        self.memory = 0
        self.snapshot: Snapshot = ()
        self.is_leaving = False
        self.status: str | None = None
        self._until_ready: list[Deferred[bool]] = []
        self._until_ended: list[Deferred[None]] = []
        self._lines = {1: b"", 2: b""}
        self.pid: int | None = None

    @property
    def name(self) -> str:
        """Its name in the log."""
        return f"worker {self.slot + 1} (pid {self.pid})"

    @property
    def is_ready(self) -> bool:
        """True if clients should be sent to it."""
        return self.status is None and self.readiness[0] == 200

    def until_ready(self) -> Deferred[bool]:
        """Wait until it first is ready.

        Returns:
            Fires with True then, or with False if it ends before that.
        """
        ready: Deferred[bool] = Deferred()
        self._until_ready.append(ready)
        return ready

    def until_ended(self) -> Deferred[None]:
        """Wait until its process has ended.

        Returns:
            Fires with None then; at once if it has.
        """
        if self.status is not None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._until_ended.append(ended)
        return ended

    def leave(self) -> None:
        """Tell it to drain and to end. Again is without effect."""
        if not self.is_leaving:
            self.is_leaving = True
            self.signal("TERM")

    def signal(self, name: str) -> None:
        """Send it a signal, unless it has ended.

        Args:
            name: The signal without the letters SIG.
        """
        with suppress(ProcessExitedAlready):
            if self.transport is not None:
                self.transport.signalProcess(name)

    def numbers(self) -> Deferred[Snapshot]:
        """Ask it for its numbers.

        Returns:
            Fires with them; with those it last told if it does not answer in time.
        """

        def received(families: Sequence[Any]) -> Snapshot:
            self.snapshot = tuple(Family.from_json(each) for each in families)
            return self.snapshot

        asked = self.link.ask("numbers")
        asked.addCallbacks(received, lambda _: self.snapshot)
        return asked

    def remains(self) -> Snapshot:
        """Return what stays of its numbers when it has ended."""
        return counters_of(self.snapshot)

    def connectionMade(self) -> None:
        """Take the start of the process."""
        assert self.transport is not None, "started"  # noqa: S101 -- for mypy
        self.pid = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        """Take what it prints, where that is not the parent's own output."""
        self._printed(1, data)

    def errReceived(self, data: bytes) -> None:
        """Take what it prints as errors."""
        self._printed(2, data)

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 -- ProcessProtocol
        """Take the end of the process."""
        for descriptor in self._lines:
            self._printed(descriptor, b"\n")
        value: Any = reason.value
        signal, code = getattr(value, "signal", None), getattr(value, "exitCode", None)
        if self.is_leaving and (signal == SIGTERM or code == 0):
            # twistd ends by the signal when its services have stopped.
            self.status = "has drained and ended"
        elif signal is not None:
            self.status = f"ended by {Signals(signal).name}"
        else:
            self.status = f"ended with status {code or 0}"
        self._end()

    def could_not_start(self, reason: str) -> None:
        """Take that no process could be made for it.

        Args:
            reason: The system's reason.
        """
        self.status = f"could not be started: {reason}"
        self._end()

    def _end(self) -> None:
        self.readiness = 503, f"not ready: {self.status}"
        self.link.close()
        self._fire_ready(False)
        self._ended(self)
        waiting, self._until_ended = self._until_ended, []
        for ended in waiting:
            ended.callback(None)

    def _reported(self, report: Report) -> None:
        self.last_report_at = self._clock.seconds()
        self.has_started = True
        if "readiness" in report:
            status, text = report["readiness"]
            self.readiness = int(status), str(text)
        self.memory = int(report.get("memory", self.memory))
        if "numbers" in report:
            self.snapshot = tuple(Family.from_json(each) for each in report["numbers"])
        if self.is_ready:
            self._fire_ready(True)

    def _fire_ready(self, is_ready: bool) -> None:
        waiting, self._until_ready = self._until_ready, []
        for ready in waiting:
            # One who waits may have given up.
            if not ready.called:
                ready.callback(is_ready)

    def _printed(self, descriptor: int, data: bytes) -> None:
        *lines, rest = (self._lines[descriptor] + data).split(b"\n")
        self._lines[descriptor] = rest if len(rest) <= MAX_LINE_BYTES else b""
        if not self._lines[descriptor] and rest:
            lines.append(rest)
        for line in lines:
            if line:
                self.log.info("{line}", line=line.decode("utf-8", "backslashreplace"))
