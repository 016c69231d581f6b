"""Signal handlers: reload on SIGHUP, and one drain for any number of SIGTERM and SIGINT."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

__all__ = ["ignore_further_signals", "reload_on_hangup"]

_log = Logger("wsrelay")


def reload_on_hangup(reactor: Any, reload: Callable[[], object]) -> None:
    """Call a function in the reactor's thread after each SIGHUP.

    Args:
        reactor: The reactor that makes the call.
        reload: The function.
    """

    def on_sighup(_number: int, _frame: object) -> None:
        # Not in the handler itself, which may interrupt any other code.
        reactor.callFromThread(reload)

    signal.signal(signal.SIGHUP, on_sighup)


def ignore_further_signals() -> None:
    """Log SIGTERM and SIGINT instead of stopping again: a platform may send them more than once, and one drain runs."""

    def on_signal(_number: int, _frame: object) -> None:
        _log.info("already stopping")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
