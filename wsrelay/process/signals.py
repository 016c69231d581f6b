"""Signal handlers: reload on SIGHUP, one drain for any number of SIGTERM and SIGINT, and the duties of PID 1."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

__all__ = ["ignore_further_signals", "reap_orphans", "reload_on_hangup", "replace_on_signal"]

_STDIN = 0

_log = Logger("wsrelay")


def reload_on_hangup(reactor: Any, reload: Callable[[], object], stdin: int = _STDIN) -> None:
    """Call a function in the reactor's thread after each SIGHUP, unless the process belongs to a terminal.

    On a terminal SIGHUP means that the terminal is closed, and ends the process as usual. Call this when the process
    has become a daemon, if it does at all: only then it has left the terminal that it was started at.

    Args:
        reactor: The reactor that makes the call.
        reload: The function.
        stdin: The descriptor of standard input. It may be closed.
    """

    def on_sighup(_number: int, _frame: object) -> None:
        # Not in the handler itself, which may interrupt any other code.
        reactor.callFromThread(reload)

    if not os.isatty(stdin):
        signal.signal(signal.SIGHUP, on_sighup)


def replace_on_signal(reactor: Any, replace: Callable[[], object]) -> None:
    """Call a function in the reactor's thread after each SIGUSR2.

    SIGUSR1 is taken: twistd begins a new log file at it.

    Args:
        reactor: The reactor that makes the call.
        replace: The function.
    """
    signal.signal(signal.SIGUSR2, lambda _number, _frame: reactor.callFromThread(replace))


def ignore_further_signals() -> None:
    """Log SIGTERM and SIGINT instead of stopping again: a platform may send them more than once, and one drain runs."""

    def on_signal(_number: int, _frame: object) -> None:
        _log.info("already stopping")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def reap_orphans(getpid: Callable[[], int] = os.getpid) -> None:
    """Let the kernel reap the children of the process if it is PID 1, as in a container.

    PID 1 inherits the orphans of its container, such as those of health checks, and they stay as zombies until it
    waits for them. The relay starts no processes itself, so that there is none whose status it needs.

    Args:
        getpid: Returns the process's ID.
    """
    if getpid() == 1:
        # POSIX, sigaction(): children of a process that ignores SIGCHLD do not become zombies.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
