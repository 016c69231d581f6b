"""Workers without processes."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from wsrelay.workers.worker import Worker


class FakeProcess:
    """The process of a worker, which does what a test tells it.

    Attributes:
        worker: The worker.
        signals: What was sent to it.
    """

    def __init__(self, worker: Worker, pid: int) -> None:
        self.worker = worker
        self.pid = pid
        self.signals: list[str] = []
        self.has_ended = False
        worker.link.makeConnection(StringTransport())
        worker.makeConnection(self)

    def signalProcess(self, name: str) -> None:  # noqa: N802 -- IProcessTransport
        """See `IProcessTransport`."""
        if self.has_ended:
            raise ProcessExitedAlready
        self.signals.append(name)

    def report(self, status: int = 200, text: str = "ready", **fields: Any) -> None:
        """Report a state."""
        self.worker._reported({"readiness": [status, text], **fields})

    def end(self, signal: int | None = None, code: int | None = None) -> None:
        """End."""
        self.has_ended = True
        error = ProcessDone(0) if signal is None and not code else ProcessTerminated(code, signal, None)
        self.worker.processEnded(Failure(error))


class FakeProcesses:
    """Spawns fake processes, the newest last.

    Attributes:
        failures: How many are not made, from now on.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.all: list[FakeProcess] = []
        self.failures = 0

    def spawn(self, worker: Worker) -> None:
        """Start one.

        Raises:
            OSError: It is one of `failures`.
        """
        if self.failures:
            self.failures -= 1
            raise OSError(11, "Resource temporarily unavailable")
        self.all.append(FakeProcess(worker, 1000 + len(self.all)))

    @property
    def running(self) -> list[FakeProcess]:
        """Those that have not ended, oldest first."""
        return [each for each in self.all if not each.has_ended]
