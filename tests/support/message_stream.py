"""Clients of streams of messages on a relay without a port."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from devtools.harness.http import head
from tests.support.event_source import EventStreamParser
from tests.support.in_memory_relay import ClientWire, InMemoryRelay

__all__ = ["MessageStreamClient", "with_connect"]


def with_connect(path: str, connect: dict[str, Any] | str) -> str:
    """Return a path with a connect in its query."""
    text = connect if isinstance(connect, str) else json.dumps(connect)
    return f"{path}?cf_connect={quote(text)}"


class MessageStreamClient:
    """A client of a stream of JSON objects, as events or as lines, or of bytes.

    Args:
        relay: The relay.
        target: The path and the query of its request.
        *fields: More header fields.
        body: The body of a POST; as JSON, if it is no bytes. If None, the request is a GET.

    Attributes:
        wire: Its connection.
        parser: What reads the stream, if it is one of events.
        head: The head of the response.
        status: The status of the response; 0 until there is one.
    """

    def __init__(
        self, relay: InMemoryRelay, target: str, *fields: str, body: dict[str, Any] | bytes | None = None
    ) -> None:
        self.wire = ClientWire(relay)
        self.parser = EventStreamParser("")
        self.head = b""
        self.status = 0
        # What has not been returned yet.
        self._unread = b""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        length = () if body is None else (f"Content-Length: {len(content)}",)
        method = "GET" if body is None else "POST"
        self.wire.send(head(f"{method} {target} HTTP/1.1", "Host: relay.example", *fields, *length) + content)
        self._receive()

    def read(self) -> bytes:
        """Return the bytes of the stream since the last call of this or of `documents`."""
        self._receive()
        data, self._unread = self._unread, b""
        return data

    def documents(self) -> list[dict[str, Any]]:
        """Return the objects of the stream since the last call of this or of `read`."""
        data = self.read()
        if b"text/event-stream" not in self.head:
            assert not data or data.endswith(b"\n"), data
            return [json.loads(line) for line in data.splitlines()]
        count = len(self.parser.events)
        self.parser.feed(data)
        events = self.parser.events[count:]
        assert {event.type for event in events} <= {"message"}, events
        return [json.loads(line) for event in events for line in event.data.split("\n")]

    def _receive(self) -> None:
        data = self.wire.read()
        if not self.status:
            self.head, end, data = (self.head + data).partition(b"\r\n\r\n")
            if end:
                self.status = int(self.head.split(b" ", 2)[1])
        self._unread += data
