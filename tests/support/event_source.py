"""Clients of event streams on a relay without a port."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devtools.harness.event_stream import Event, EventStreamParser
from devtools.harness.http import head
from tests.support.in_memory_relay import ClientWire, InMemoryRelay

__all__ = ["Event", "EventStreamParser", "StreamClient"]


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
