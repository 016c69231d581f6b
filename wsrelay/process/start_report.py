"""The end of a start that fails: the reason at the prompt, status 1, and no pid file left behind.

twistd makes a daemon by forking. The process at the prompt waits until the daemon writes a line to a pipe, and holds
that pipe open itself: a daemon that ends without a line keeps it waiting for ever. twistd writes the line and removes
the pid file for an `Exception` only (`UnixApplicationRunner.postApplication`, Twisted 26.10). This is for the rest:
the relay's own errors of one line, the `SystemExit` that twistd raises if it cannot change its user, and signals.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from twisted.logger import Logger

from wsrelay.process.twistd_options import remove_own_pidfile

__all__ = ["StartReport"]

MAX_LINE_BYTES = 100
"""The number of bytes that twistd reads from the pipe: a status, a space and the text
(`UnixApplicationRunner._waitForStart`)."""

_log = Logger("wsrelay")


class StartReport:
    """Reports one start of the process to the prompt.

    Args:
        twistd: The options of twistd, to which it adds `statusPipe` when the process has become a daemon. If None,
            something else than twistd starts the service, and there is nobody to report to.
    """

    def __init__(self, twistd: Mapping[str, Any] | None) -> None:
        self._twistd = twistd
        self._pipe: int | None = None
        self._reason = "the process ended before it had started"

    def begin(self) -> None:
        """Treat any end of the process as a failed start, until `complete` is called.

        SIGTERM and SIGINT end the process from here on even where they would have no effect: PID 1, the first process
        of a container, ignores each signal that it has no handler for (pid_namespaces(7)).
        """
        if self._twistd is None:
            return
        atexit.register(self._clean_up)
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_signal)
        # A shell makes its background jobs ignore SIGINT; that is left as it is.
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_signal)

    def forked(self) -> None:
        """Keep the pipe to the prompt open. Call this when the process has become a daemon, if it does at all."""
        pipe = None if self._twistd is None else self._twistd.get("statusPipe")
        if pipe is not None:
            # Of our own, because twistd may have closed its descriptor when this one is written to.
            self._pipe = os.dup(pipe)

    def started(self) -> None:
        """Leave SIGINT to the reactor, which installs a handler only where there is Python's own."""
        if signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def complete(self) -> None:
        """End the report: the start has succeeded, and the reactor runs with its own signal handlers."""
        atexit.unregister(self._clean_up)
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def fail(self, reason: str) -> NoReturn:
        """End the process with one line.

        Args:
            reason: What was wrong, where, and what to do.

        Raises:
            SystemExit: Always. The interpreter prints its text, which goes to the log, and the status is 1.
        """
        self._reason = reason
        line = f"wsrelay: {reason}"
        if self._logs_elsewhere and sys.__stderr__ is not None:
            sys.__stderr__.write(f"{line}\n")
            sys.__stderr__.flush()
        raise SystemExit(line)

    @property
    def _logs_elsewhere(self) -> bool:
        """True if twistd stays at the prompt, and what is printed goes to a log elsewhere by now."""
        twistd = self._twistd or {}
        has_log = twistd.get("logfile") not in (None, "-") or twistd.get("syslog") or twistd.get("logger")
        return bool(twistd.get("nodaemon") and has_log) and sys.stderr is not sys.__stderr__

    def _on_signal(self, number: int, _frame: object) -> None:
        self._reason = f"stopped by {signal.Signals(number).name} during the start"
        _log.warn("{reason}", reason=self._reason)
        if self._pipe is None:
            self.forked()
        self._clean_up()
        # As twistd ends after a drain: by the signal. PID 1 survives that.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)

    def _clean_up(self) -> None:
        # That of another process stays, in whose place this one was started by mistake.
        remove_own_pidfile(self._twistd or {})
        # The prompt is back as soon as this is read.
        if self._pipe is not None:
            text = self._reason.encode("ascii", "backslashreplace")
            room = MAX_LINE_BYTES - len(b"1 ")
            # The process at the prompt may be gone.
            with suppress(OSError):
                os.write(self._pipe, b"1 " + (text if len(text) <= room else text[: room - 3] + b"..."))
