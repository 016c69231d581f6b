"""Tests of `devtools.harness.event_source` against a server that ends its streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.event_source import EventSource
from devtools.harness.event_stream import Event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
RETRY = b"retry: 1\n\n"
DEADLINE_SECONDS = 20.0


class EventSourceTests(SynchronousTestCase):
    """The end of a stream, as an EventSource takes it."""

    def run_source(self, *responses: bytes) -> tuple[list[str], list[Event], list[str], EventSource]:
        """Give one connection after the other a response and an end, and then wait.

        Returns:
            The Last-Event-ID of each request, the events, the positions, and the source.
        """
        return asyncio.run(asyncio.wait_for(self._play(*responses), DEADLINE_SECONDS))

    async def _play(self, *responses: bytes) -> tuple[list[str], list[Event], list[str], EventSource]:
        requests: list[str] = []
        events: list[Event] = []
        positions: list[str] = []
        left = list(responses)
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            top = (await reader.readuntil(b"\r\n\r\n")).decode()
            _, _, rest = top.partition("Last-Event-ID: ")
            requests.append(rest.partition("\r\n")[0])
            if left:
                writer.write(left.pop(0))
                writer.close()
            else:
                done.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port: Callable[[], int] = lambda: server.sockets[0].getsockname()[1]  # noqa: E731 -- typed
        source = EventSource("/sse/room", port, events.append, positions.append)
        while not (done.is_set() or source.gave_up):
            await asyncio.sleep(0.001)
        await source.close()
        server.close()
        return requests, events, positions, source

    def test_source_comes_back_with_the_last_id_that_it_dispatched(self) -> None:
        stream = HEAD + RETRY + b"id: 1\ndata: a\n\nid: 2\ndata: cut off\n"
        requests, events, positions, source = self.run_source(stream)
        self.assertEqual(requests, ["", "1"])
        self.assertEqual(([event.data for event in events], positions, source.opened), (["a"], ["1"], 1))

    def test_id_without_data_moves_the_position_and_is_no_event(self) -> None:
        requests, events, positions, _ = self.run_source(HEAD + RETRY + b"id: 7\n\n", HEAD + b"data: b\n\n")
        self.assertEqual((requests, positions), (["", "7", "7"], ["7"]))
        self.assertEqual([(event.data, event.last_event_id) for event in events], [("b", "7")])

    def test_reset_before_the_head_is_an_end_like_any_other(self) -> None:
        requests, _, _, source = self.run_source(HEAD + RETRY, b"HTTP/1.1 200")
        self.assertEqual((len(requests), source.gave_up), (3, ""))
        self.assertEqual(source.failures, {"IncompleteReadError": 1})

    def test_any_other_status_or_type_ends_the_source_for_good(self) -> None:
        for response in (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 503 Busy\r\nContent-Type: text/event-stream\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
        ):
            requests, events, _, source = self.run_source(response)
            self.assertEqual((requests, events), ([""], []))
            self.assertEqual(source.gave_up, response.partition(b"\r\n")[0].decode().lower())
