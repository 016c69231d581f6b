"""The duties of a worker to its parent: reports, its numbers, and its end when the parent is gone."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from resource import getpagesize
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from wsrelay.metrics.snapshot import Family, Snapshot
from wsrelay.workers.link import WorkerLink

__all__ = ["REPORT_SECONDS", "WorkerDuties"]

REPORT_SECONDS = 1.0
"""The interval of reports."""

NUMBERS_EVERY = 5
"""Each report of so many has the numbers: what a worker has counted since then is lost if it is killed."""

FINISH_SECONDS = 1.0
"""The time for the last report."""

_STATM = Path("/proc/self/statm")


class WorkerDuties:
    """Reports to the parent, and asks it about all workers.

    Args:
        reactor: The reactor.
        descriptor: The descriptor of the link. It belongs to this object from now on.
        readiness: Returns HTTP status and text, for this process alone.
        snapshot: Returns the numbers of this process.
        parent_ended: Called when the parent is gone, which is nobody else's to notice.
    """

    log = Logger("wsrelay")

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        *,
        readiness: Callable[[], tuple[int, str]],
        snapshot: Callable[[], Snapshot],
        parent_ended: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._readiness = readiness
        self._snapshot = snapshot
        self._parent_ended = parent_ended
        self._count = 0
        self._is_finishing = False
        self._finished: Deferred[None] = Deferred()
        self._reports = LoopingCall(self._report)
        self._reports.clock = reactor
        self._link = WorkerLink(reactor, answer=self._answer, reported=lambda _: None, closed=self._closed)

    def start(self) -> None:
        """Begin to report: the process listens."""
        factory = Factory.forProtocol(lambda: self._link)
        factory.noisy = False
        with socket.socket(fileno=self._descriptor) as link:
            link.setblocking(False)
            self._reactor.adoptStreamConnection(link.fileno(), socket.AF_UNIX, factory)
        self._reports.start(REPORT_SECONDS)

    def finish(self) -> Deferred[None]:
        """Report for the last time, and end the link.

        Returns:
            Fires when the parent has been told, within `FINISH_SECONDS`.
        """
        if self._finished.called:
            return succeed(None)
        self._is_finishing = True
        if self._reports.running:
            self._reports.stop()
        self._count = 0
        self._report()
        self._link.close()
        self._finished.addTimeout(FINISH_SECONDS, self._reactor, onTimeoutCancel=lambda _result, _timeout: None)
        return self._finished

    def readiness(self) -> Deferred[tuple[int, str]]:
        """Ask for the readiness of all workers.

        Returns:
            Fires with HTTP status and text; with this process's own if the parent does not answer.
        """
        asked = self._link.ask("readiness")
        return asked.addCallbacks(lambda answer: (int(answer[0]), str(answer[1])), lambda _: self._readiness())

    def snapshot(self) -> Deferred[Snapshot]:
        """Ask for the numbers of all workers.

        Returns:
            Fires with them.

        Raises:
            LinkClosedError: The parent is gone. (Failure of the Deferred.)
            twisted.internet.defer.TimeoutError: It does not answer. (Failure of the Deferred.)
        """
        asked = self._link.ask("metrics")
        return asked.addCallback(lambda families: tuple(Family.from_json(each) for each in families))

    def _answer(self, question: str) -> Any:
        if question == "numbers":
            return self._numbers()
        raise ValueError(f"no such question: {question}")

    def _numbers(self) -> list[Any]:
        return [family.to_json() for family in self._snapshot()]

    def _report(self) -> None:
        fields: dict[str, Any] = {"readiness": self._readiness(), "memory": _resident_bytes()}
        if self._count % NUMBERS_EVERY == 0:
            fields["numbers"] = self._numbers()
        self._count += 1
        self._link.report(**fields)

    def _closed(self) -> None:
        if self._reports.running:
            self._reports.stop()
        if not self._finished.called:
            self._finished.callback(None)
        if not self._is_finishing:
            self.log.error("the parent process is gone: this worker drains and ends")
            self._parent_ended()


def _resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not tell."""
    try:
        # proc_pid_statm(5): the second number, in pages.
        return int(_STATM.read_text("ascii").split()[1]) * getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
