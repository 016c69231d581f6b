"""The application that relays ask: its hook, its keys for tokens, and a place where nobody has any business."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from typing import Any

from devtools.faults.net import reset
from devtools.harness.redis_server import free_port

__all__ = ["LATE_SECONDS", "Application"]

LATE_SECONDS = 1.0

_JSON = "Content-Type: application/json\r\n"

_CLAIMS: dict[str, object] = {
    "sub-is-a-list": {"sub": ["42"]},
    "sub-is-empty": {"sub": ""},
    "channels-is-a-text": {"sub": "42", "channels": "hook:ok"},
    "channels-is-no-pattern": {"sub": "42", "channels": ["*hook"]},
    "exp-is-a-text": {"sub": "42", "exp": "tomorrow"},
    "exp-is-true": {"sub": "42", "exp": True},
    "a-list": [{"sub": "42"}],
    "nothing": None,
}


class Application:
    """An HTTP server. What its hook says about a client is in the name of the channel that the client asks for.

    Attributes:
        keys: What is published at ``/keys``: a JWK Set.
        broken: Whether the hook fails for the channel ``hook:moody``.
        asked: How often the hook was asked, by channel.
        questions: The last question about each channel.
        lured: How often somebody came who followed a redirect, or a token to its keys.
        tls: The context of the second port, where the same is served over TLS; it needs a certificate.
    """

    CLAIMS = tuple(_CLAIMS)
    """After ``hook:claims:``, what the claims of an answer are that is not to be believed."""

    def __init__(self) -> None:
        self.port = free_port()
        self.tls_port = free_port()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.keys: dict[str, Any] = {"keys": []}
        self.broken = False
        self.asked: Counter[str] = Counter()
        self.questions: dict[str, dict[str, Any]] = {}
        self.lured = 0
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()

    def url(self, path: str) -> str:
        """The address of something here."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def secure_url(self, path: str) -> str:
        """The same over TLS."""
        return f"https://localhost:{self.tls_port}/{path}"

    async def open(self) -> None:
        """Listen."""
        self._servers = [
            await asyncio.start_server(self._accepted, "127.0.0.1", self.port),
            await asyncio.start_server(self._accepted, "127.0.0.1", self.tls_port, ssl=self.tls),
        ]

    async def close(self) -> None:
        """End everything."""
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
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            body = await reader.readexactly(int(length.partition(b":")[2]))
            path = head.split(b" ", 2)[1]
            if path == b"/keys":
                self._say(writer, 200, json.dumps(self.keys))
            elif path == b"/hook":
                question = json.loads(body)
                channel = question["channels"][0]
                self.asked[channel] += 1
                self.questions[channel] = question
                await self._judge(writer, channel)
            else:
                self.lured += 1
                self._say(writer, 200, '{"sub": "42"}')
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _judge(self, writer: asyncio.StreamWriter, channel: str) -> None:
        _, verdict, *more = channel.split(":")
        match verdict:
            case "ok":
                self._say(writer, 200, '{"sub": "42"}')
            case "late":
                await asyncio.sleep(LATE_SECONDS)
                self._say(writer, 200, '{"sub": "42"}')
            case "moody":
                self._say(writer, *((503, "") if self.broken else (200, '{"sub": "42"}')))
            case "hangs":
                await asyncio.sleep(30)
            case "closes":
                reset(writer)
            case "shouts":
                self._say(writer, 200, '{"sub": "' + "4" * 10_000_000 + '"}')
            case "redirects":
                self._say(writer, 302, "", f"Location: {self.url('elsewhere')}\r\n")
            case "stammers":
                self._say(writer, 200, '{"sub": "42"')
            case "breaks-off":
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"sub": "42"}')
            case "claims":
                self._say(writer, 200, json.dumps(_CLAIMS[more[0]]))
            case _:
                self._say(writer, int(verdict), "")

    @staticmethod
    def _say(writer: asyncio.StreamWriter, status: int, body: str, fields: str = _JSON) -> None:
        size = len(body.encode())
        writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {size}\r\nConnection: close\r\n{fields}\r\n".encode())
        writer.write(body.encode())
