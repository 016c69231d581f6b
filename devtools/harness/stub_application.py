"""An HTTP server in place of the operator's application: hook, key set, or whatever a test needs."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from devtools.harness.ports import free_port
from devtools.harness.proxy import reset_connection

__all__ = ["Request", "Responder", "StubApplication", "ThreadedStubApplication"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        path: Its target, with the slash.
        headers: Its fields, names in lower case.
        body: Its body.
    """

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the document in the body."""
        return json.loads(self.body)


class Responder:
    """The way to answer one request, well or badly. The connection is closed after the handler has returned."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def send(self, status: int, document: Any = None, *, fields: str = "") -> None:
        """Send a whole response.

        Args:
            status: The status code.
            document: The body: text as it is, anything else as JSON; if None, empty.
            fields: More header fields, each with CRLF at its end.
        """
        text = document if isinstance(document, str) else "" if document is None else json.dumps(document)
        body = text.encode()
        head = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.write(f"{head}Content-Length: {len(body)}\r\n{fields}\r\n".encode() + body)

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self._writer.write(data)

    def reset(self) -> None:
        """End the connection with an RST."""
        reset_connection(self._writer)


Handler = Callable[[Request, Responder], Awaitable[None]]


class StubApplication:
    """The server for asyncio programs. It serves one request per connection.

    Args:
        handler: Answers a request.

    Attributes:
        port: The port of loopback.
        tls_port: A port on which the same is served over TLS.
        tls: The context of that port; it needs a certificate before a client connects.
    """

    def __init__(self, handler: Handler) -> None:
        self.port = free_port()
        self.tls_port = free_port()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._handler = handler
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()

    def url(self, path: str = "") -> str:
        """Return the URL of a path, given without its slash."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def secure_url(self, path: str = "") -> str:
        """Return the URL of a path over TLS."""
        return f"https://localhost:{self.tls_port}/{path}"

    async def open(self) -> None:
        """Listen on both ports."""
        self._servers = [
            await asyncio.start_server(self._accepted, "127.0.0.1", self.port),
            await asyncio.start_server(self._accepted, "127.0.0.1", self.tls_port, ssl=self.tls),
        ]

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request_line, *lines = top.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            await self._handler(Request(request_line.split(" ")[1], headers, body), Responder(writer))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


class ThreadedStubApplication:
    """The server for programs that block: it runs in a thread of its own from the beginning.

    Args:
        answer: Returns status and document for a request. Called in that thread.

    Attributes:
        requests: The requests so far.
        url: The URL of the root.
    """

    def __init__(self, answer: Callable[[Request], tuple[int, Any]]) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._listening = Event()
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._application = StubApplication(self._handle)
        self.url = self._application.url()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()
        self._listening.wait()

    def close(self) -> None:
        """Stop the server and its thread."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        try:
            await self._application.open()
        finally:
            self._listening.set()
        await self._closed.wait()
        await self._application.close()

    async def _handle(self, request: Request, responder: Responder) -> None:
        self.requests.append(request)
        responder.send(*self._answer(request))
