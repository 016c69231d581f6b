"""A parser of event streams, written from WHATWG HTML section 9.2.6 and nothing else, and clients that use it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devtools.harness.http import head
from tests.support.in_memory_relay import ClientWire, InMemoryRelay

__all__ = ["Event", "EventStreamParser", "StreamClient"]


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


class StreamClient:
    """A client of an event stream on a wire of a relay without a port.

    Args:
        relay: The relay.
        target: The path and the query of its request.
        fields: More header fields.
        last_event_id: What it has of an earlier stream. If empty, nothing, and no field is sent.
        transport: What the relay writes to. If None, a transport in memory.

    Attributes:
        wire: Its connection.
        parser: What has read the stream.
        status: The status of the response; 0 until there is one.
        headers: The fields of the response, names in lower case.
        body: The body of the response, if it is no stream.
    """

    def __init__(
        self,
        relay: InMemoryRelay,
        target: str = "/sse/room",
        *fields: str,
        last_event_id: str = "",
        transport: Any = None,
    ) -> None:
        self.wire = ClientWire(relay, transport)
        self.parser = EventStreamParser(last_event_id)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self._head = b""
        position = (f"Last-Event-ID: {last_event_id}",) if last_event_id else ()
        accept = "Accept: text/event-stream"
        self.wire.send(head(f"GET {target} HTTP/1.1", "Host: relay.example", accept, *position, *fields))
        self.read()

    def read(self) -> list[Event]:
        """Return the events since the last call."""
        count = len(self.parser.events)
        data = self.wire.read()
        if not self.status:
            self._head += data
            top, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return []
            self._read_head(top)
        if self.headers["content-type"] == "text/event-stream":
            self.parser.feed(data)
        else:
            self.body += data
        return self.parser.events[count:]

    def events(self, kind: str = "message") -> Sequence[str]:
        """Return the data of the events of a type since the last call of `read` or of this."""
        return [event.data for event in self.read() if event.type == kind]

    def _read_head(self, top: bytes) -> None:
        status_line, *lines = top.decode("ascii").split("\r\n")
        self.status = int(status_line.split(" ")[1])
        pairs = [line.split(": ", 1) for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}
        assert len(self.headers) == len(pairs), f"a field is there twice: {lines}"
