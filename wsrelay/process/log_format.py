"""The lines of the log: one for each event, as text or JSON (docs/logs.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from twisted.logger import LogEvent, LogLevel, eventAsText, formatEvent
from twisted.python.failure import Failure

from wsrelay.core.flow.sampler import left_out_text
from wsrelay.process.log_text import printable, without_credentials

__all__ = ["MAX_FIELD", "MAX_MESSAGE", "MAX_TRACEBACK_LINES", "failure_of", "json_line", "text_lines"]

MAX_MESSAGE = 4000
"""The longest message, in characters. Heroku's router of logs cuts lines at 10,000 bytes, Docker's at 16 KiB."""

MAX_FIELD = 500
"""The longest field, in characters."""

MAX_TRACEBACK_LINES = 60
"""The longest traceback; of longer ones the end is kept, which says what happened."""

_UNFORMATTABLE = ("Unable to format event ", "MESSAGE LOST: ")
"""How `formatEvent` begins, never failing, where an event cannot be formatted. All values of the event follow, and
among these might be secrets."""

_LEGACY_KEYS = frozenset(
    ("message", "time", "system", "isError", "failure", "why", "format", "printed", "debug", "logLevel", "warning")
)
"""The keys that `twisted.python.log` puts into an event. Its text has all of it."""

_TOO_LARGE = 2**63
"""JSON has no infinity, and no reader of it can be expected to know larger numbers."""

_RESERVED = ("time", "level", "logger", "message", "traceback")
"""The keys of a JSON line that each event has, or that are not a field's."""


def failure_of(event: LogEvent) -> Failure | None:
    """Return the failure that an event is about, or None."""
    found = event.get("log_failure", event.get("failure"))
    return found if isinstance(found, Failure) else None


def text_lines(event: LogEvent, *, with_time: bool) -> Iterator[str]:
    """Return the lines of an event: one, and those of its traceback, indented.

    Args:
        event: What was logged.
        with_time: Whether the line begins with the time, in the zone of the process.

    Returns:
        The lines, without line feeds; none if there is nothing to say.
    """
    failure = failure_of(event)
    message = _message(event, failure)
    if not message and failure is None:
        return
    # The time and what logged, in the form that Twisted's own log files have.
    message = (message or "-") + left_out_text(event.get("log_left_out", 0))
    shown: dict[str, Any] = {"log_format": "{log_message}", "log_message": message}
    shown |= {"log_level": event.get("log_level", LogLevel.info), "log_namespace": _logger(event)}
    if _time(time := event.get("log_time")) is not None:
        shown["log_time"] = time
    yield eventAsText(shown, includeTimestamp=with_time)
    for line in _traceback(failure):
        yield f"\t{line}"


def json_line(event: LogEvent) -> str | None:
    """Return an event as one JSON object in ASCII, or None if there is nothing to say.

    It has `time` (RFC 3339, UTC), `level`, `logger`, `message`, the fields of the event, and `traceback` if there is
    one.
    """
    failure = failure_of(event)
    message = _message(event, failure, is_short=True)
    if not message and failure is None:
        return None
    level = getattr(event.get("log_level"), "name", "info")
    line: dict[str, Any] = {"time": _time(event.get("log_time")), "level": level, "logger": _logger(event)}
    line["message"] = message
    line |= _fields(event)
    if "log_left_out" in event:
        line["left_out"] = event["log_left_out"]
    if failure is not None:
        line["traceback"] = "\n".join(_traceback(failure))
    return json.dumps(line)


def _message(event: LogEvent, failure: Failure | None, *, is_short: bool = False) -> str:
    """Return the text of an event.

    Args:
        event: What was logged.
        failure: Its failure, if it has one.
        is_short: Whether to leave out the fields, where the event has a text without them.
    """
    if is_short and isinstance(summary := event.get("log_summary"), str):
        text = summary
    elif failure is not None and "log_failure" not in event:
        # Of `twisted.python.log.err`, whose text has the traceback.
        text = str(event.get("why") or "Unhandled error")
    else:
        text = formatEvent(event)
        if text.startswith(_UNFORMATTABLE):
            text = f"this event could not be formatted: {event.get('log_format')!r}"
    return _clean(text.rstrip("\n"), MAX_MESSAGE)


def _logger(event: LogEvent) -> str:
    return _clean(str(event.get("log_namespace") or "-"), MAX_FIELD)


def _traceback(failure: Failure | None) -> list[str]:
    if failure is None:
        return []
    try:
        text = failure.getTraceback()
    except Exception as error:  # noqa: BLE001 -- the texts of exceptions are made by their own code
        text = f"{failure.type}: no traceback, because making it failed: {type(error).__name__}"
    lines = text.rstrip("\n").splitlines()
    if len(lines) > MAX_TRACEBACK_LINES:
        lines = [f"... ({len(lines) - MAX_TRACEBACK_LINES} lines left out)", *lines[-MAX_TRACEBACK_LINES:]]
    return [_clean(line, MAX_FIELD) for line in lines]


def _fields(event: LogEvent) -> Iterator[tuple[str, object]]:
    """Return the fields of an event that are plain values: objects may hold anything."""
    for key, value in event.items():
        if key.startswith("log_") or key in _LEGACY_KEYS:
            continue
        name = f"{key}_" if key in _RESERVED else key
        if isinstance(value, str):
            if value:
                yield name, _clean(value, MAX_FIELD)
        elif isinstance(value, int | float) and abs(value) < _TOO_LARGE:
            yield name, value


def _time(seconds: object) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")  # type: ignore[arg-type]  # what is no number is the case below
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _clean(text: str, limit: int) -> str:
    # The mask first: it may need what is cut off to see a credential. Twice as much is enough for that.
    text = printable(without_credentials(text[: 2 * limit]))
    return text if len(text) <= limit else f"{text[:limit]}..."
