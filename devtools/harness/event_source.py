"""The EventSource of a browser, for asyncio programs: it comes back by itself, from where it was."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from devtools.harness.event_stream import Event, EventStreamParser
from devtools.harness.http import head

__all__ = ["EventSource"]

DEFAULT_RETRY_SECONDS = 3.0
"""The reconnection time until a stream has told another one: Chromium's."""

_CHUNK_BYTES = 65536


class EventSource:
    """One source. It connects at once, and again whenever the connection ends, after the time that it was told to wait.

    Args:
        path: The path and the query of its request.
        port: Returns the port of loopback to connect to, each time.
        on_event: Called with each event.
        on_position: Called with the last event ID whenever it has changed, before the events that came with it.

    Attributes:
        opened: How often a stream was opened.
        failures: Why attempts to open one failed, and how often.
        gave_up: The status line of a response that ends an EventSource for good, or an error of its user's functions.
            Empty if there was none.
    """

    def __init__(
        self,
        path: str,
        port: Callable[[], int],
        on_event: Callable[[Event], None],
        on_position: Callable[[str], None] = lambda _position: None,
    ) -> None:
        self.opened = 0
        self.failures: Counter[str] = Counter()
        self.gave_up = ""
        self._path = path
        self._port = port
        self._on_event = on_event
        self._on_position = on_position
        self._last_event_id = ""
        self._retry_seconds = DEFAULT_RETRY_SECONDS
        self._writer: asyncio.StreamWriter | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def current(self) -> object | None:
        """The stream that is open, to be compared with that of another time; None while there is none."""
        return self._writer

    def drop(self) -> None:
        """Lose the connection, as a phone does that changes its network. It comes back as after any other end."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        """Close the source: it does not come back."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self.gave_up:
            try:
                await self._read_one_stream()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures[type(error).__name__] += 1
            except Exception as error:  # noqa: BLE001 -- what is sent to it makes no sense: its user is to see that
                self.gave_up = f"{type(error).__name__}: {error}"
            await asyncio.sleep(self._retry_seconds)

    async def _read_one_stream(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port(), limit=_CHUNK_BYTES)
        try:
            position = (f"Last-Event-ID: {self._last_event_id}",) if self._last_event_id else ()
            accept = "Accept: text/event-stream"
            writer.write(head(f"GET {self._path} HTTP/1.1", "Host: relay.example", accept, *position))
            top = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not top.startswith(b"http/1.1 200 ") or b"\r\ncontent-type: text/event-stream" not in top:
                self.gave_up = top.partition(b"\r\n")[0].decode("latin-1")
                return
            self._writer = writer
            self.opened += 1
            await self._read_events(reader)
        finally:
            self._writer = None
            writer.transport.abort()

    async def _read_events(self, reader: asyncio.StreamReader) -> None:
        parser = EventStreamParser(self._last_event_id)
        while data := await reader.read(_CHUNK_BYTES):
            parser.feed(data)
            if parser.retry is not None:
                self._retry_seconds = parser.retry / 1000
            if parser.last_event_id != self._last_event_id:
                self._last_event_id = parser.last_event_id
                self._on_position(self._last_event_id)
            events, parser.events = parser.events, []
            for event in events:
                self._on_event(event)
