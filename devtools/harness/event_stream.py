"""A parser of event streams, written from WHATWG HTML section 9.2.6 and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Event", "EventStreamParser"]


@dataclass(frozen=True)
class Event:
    """One event that a page is told of.

    Attributes:
        data: Its data.
        type: Its type.
        last_event_id: The last event ID of the source behind it.
    """

    data: str
    type: str = "message"
    last_event_id: str = ""


class EventStreamParser:
    """Reads an event stream as a browser does, in pieces of any size.

    Attributes:
        events: The events dispatched so far.
        comments: The comments so far, without the colon.
        last_event_id: The last event ID of the source.
        retry: The reconnection time in milliseconds. If None, none was sent.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.events: list[Event] = []
        self.comments: list[str] = []
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._id = last_event_id
        self._bytes = b""
        self._data = ""
        self._type = ""
        self._is_first = True

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream.

        Raises:
            UnicodeDecodeError: A line is not UTF-8. A browser would put U+FFFD into it.
        """
        self._bytes += data
        # A CR at the end may be half a CRLF: it waits.
        *lines, self._bytes = re.split(rb"\r\n|\n|\r(?!\Z)", self._bytes)
        for line in lines:
            text = line.decode("utf-8")
            if self._is_first:
                text = text.removeprefix("\ufeff")
                self._is_first = False
            self._line(text)

    def _line(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        name, colon, value = line.partition(":")
        if not name and colon:
            self.comments.append(value)
            return
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.last_event_id = self._id
        data, self._data = self._data, ""
        kind, self._type = self._type, ""
        if data:
            self.events.append(Event(data.removesuffix("\n"), kind or "message", self.last_event_id))
