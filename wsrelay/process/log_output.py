"""Where the log goes: to standard output, a file or syslog, as twistd's own options say, in the form that is set.

twistd asks the application for an observer of its own (`ILogObserver` as a component) and makes one only where there is
none. Ours writes to the same place. With `--logger` twistd does not ask, and the form is what that logger makes of it.
"""

from __future__ import annotations

import io
import signal
import sys
import syslog
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import FilteringLogObserver, ILogObserver, LogEvent, LogLevel, LogLevelFilterPredicate
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from zope.interface import implementer

from wsrelay.config import Settings
from wsrelay.core.flow.sampler import Sampler
from wsrelay.process.log_bridge import bridge_log
from wsrelay.process.log_format import failure_of, json_line, text_lines

__all__ = ["TRACEBACKS_PER_KIND", "LineObserver", "log_as_set"]

TRACEBACKS_PER_KIND = 10
"""How many failures with one text and one type of exception have a line in a minute: a client that finds out how to
cause one could fill the disk."""

_PRIORITIES = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_CRIT,
}


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as one line; in text, the lines of a traceback follow, indented.

    Args:
        write: Writes the lines of one event, without their line feeds.
        form: text or json.
        with_time: Whether a line of text begins with the time.
        seconds: A monotonic clock.
    """

    def __init__(
        self,
        write: Callable[[list[str], LogEvent], None],
        form: str,
        *,
        with_time: bool,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._form = form
        self._with_time = with_time
        self._seconds = seconds
        self._sampler = Sampler()

    def __call__(self, event: LogEvent) -> None:
        """Write an event. See `ILogObserver`."""
        try:
            lines = self._lines(event)
        except Exception as error:  # noqa: BLE001 -- values of an event may raise any exception, and it is still a line
            lines = self._lines(
                {
                    "log_format": "this event could not be formatted: {reason}",
                    "reason": type(error).__name__,
                    "log_level": LogLevel.error,
                    "log_namespace": __name__,
                    "log_time": event.get("log_time"),
                }
            )
        if lines:
            self._write(lines, event)

    def _lines(self, event: LogEvent) -> list[str]:
        if (failure := failure_of(event)) is not None:
            kind = event.get("log_namespace"), event.get("log_format"), failure.type
            left_out = self._sampler.take(kind, TRACEBACKS_PER_KIND, self._seconds())
            if left_out is None:
                return []
            if left_out:
                event = {**event, "log_left_out": left_out}
        if self._form == "text":
            return list(text_lines(event, with_time=self._with_time))
        line = json_line(event)
        return [] if line is None else [line]


def log_as_set(
    application: object,
    twistd: Mapping[str, Any] | None,
    settings: Settings,
    environ: Mapping[str, str],
    reactor: IReactorFromThreads,
) -> None:
    """Have twistd log in the form that is set. Call this before twistd begins to log.

    Args:
        application: What the service is a part of; nothing is done unless it takes components, as twistd's does.
        twistd: The options of twistd. If None, something else starts the service, with a log of its own.
        settings: The form, and the lowest level that is logged.
        environ: The environment of the process.
        reactor: The reactor, whose thread writes the log.
    """
    if twistd is None or twistd.get("logger") or not isinstance(application, Componentized):
        return
    # Heroku puts a time of its own before each line.
    has_time = "DYNO" not in environ
    write: Callable[[list[str], LogEvent], None]
    if twistd.get("syslog"):
        syslog.openlog(twistd.get("prefix") or "", 0, syslog.LOG_USER)
        write, has_time = _write_to_syslog, False
    else:
        stream = _stream(twistd, reactor)
        if stream is None:
            return
        write = _stream_writer(stream)
    lowest = LogLevel.lookupByName(settings.log_level)
    observer = LineObserver(write, settings.log_format, with_time=has_time)
    filtering = FilteringLogObserver(observer, [LogLevelFilterPredicate(defaultLogLevel=lowest)])
    application.setComponent(ILogObserver, filtering)
    bridge_log(settings.log_level)


def _stream(twistd: Mapping[str, Any], reactor: IReactorFromThreads) -> Any:
    """Return the stream that twistd would log to, or None if it will end because there is none."""
    file = twistd.get("logfile")
    if file in (None, "", "-") and twistd.get("nodaemon"):
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal without UTF-8 must cost no event.
            sys.stdout.reconfigure(errors="backslashreplace")
        return sys.stdout
    if file == "-":
        return None
    log = LogFile.fromFullPath(file or "twistd.log")
    # As twistd does: the signal begins a new file.
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda _number, _frame: reactor.callFromThread(log.rotate))
    return log


def _stream_writer(stream: Any) -> Callable[[list[str], LogEvent], None]:
    def write(lines: list[str], _event: LogEvent) -> None:
        # In one piece: a process that shares the stream writes between two calls.
        stream.write("\n".join((*lines, "")))
        stream.flush()

    return write


def _write_to_syslog(lines: list[str], event: LogEvent) -> None:
    priority = _PRIORITIES.get(event.get("log_level"), syslog.LOG_INFO)
    for line in lines:
        syslog.syslog(priority, line)
