"""Events of others for Twisted's log: those of Python's `logging`, and exceptions that nothing has caught.

twistd itself takes care of Python's warnings and of what is printed, and `twisted.python.log` logs to the same place.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

__all__ = ["LoggingBridge", "bridge_log"]

_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
    (logging.NOTSET, LogLevel.debug),
)

_log = Logger("wsrelay")


class LoggingBridge(logging.Handler):
    """Passes on what is logged with Python's `logging`."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        level = next(level for number, level in _LEVELS if record.levelno >= number)
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001 -- arguments that do not fit their format, or have no text
            text = f"this event could not be formatted: {record.msg!r} ({type(error).__name__})"
        more: dict[str, Any] = {}
        if record.exc_info and record.exc_info[1] is not None:
            more["log_failure"] = Failure(record.exc_info[1], record.exc_info[0], record.exc_info[2])
        Logger(record.name).emit(level, "{log_text}", log_text=text, **more)


def bridge_log(lowest: str) -> None:
    """Have everything logged that Python and its libraries would print.

    Args:
        lowest: The lowest level that is logged: debug, info, warn or error.
    """
    root = logging.getLogger()
    if not any(isinstance(each, LoggingBridge) for each in root.handlers):
        root.addHandler(LoggingBridge())
    root.setLevel("WARNING" if lowest == "warn" else lowest.upper())
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_in_thread


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log the exception that ends the process; Python would print it in as many lines as it takes."""
    _log.failure("an exception that nothing caught ends the process", Failure(error, kind, trace))


def _log_unraisable(found: sys.UnraisableHookArgs) -> None:
    # Not its object, whose text may be anything.
    if found.exc_value is not None:
        failure = Failure(found.exc_value, found.exc_type, found.exc_traceback)
        _log.failure("an exception could not be raised where it happened", failure, LogLevel.error)


def _log_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None:
        _log.failure("a thread failed", Failure(found.exc_value, found.exc_type, found.exc_traceback), LogLevel.error)
