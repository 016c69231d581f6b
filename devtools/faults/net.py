"""The little of HTTP, RESP and sockets that the rest needs."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import hiredis

__all__ = ["RedisClient", "RedisError", "get", "reset"]


class RedisError(Exception):
    """Redis answered with an error."""


async def get(port: int, path: str, seconds: float) -> tuple[int, str]:
    """Return status and body of a GET from loopback; 0 and the reason where there is no answer in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            return int(head.split(b" ", 2)[1]), body.decode(errors="replace")
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        return 0, str(error) or type(error).__name__
    finally:
        if writer is not None:
            writer.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with an RST."""
    handle: socket.socket | None = writer.get_extra_info("socket")
    if handle is not None and handle.fileno() >= 0:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class RedisClient:
    """One connection to Redis, one command at a time, without any retry behind the caller's back.

    Nothing here times out: a command given up may still be carried out later, and what was published would then be out
    of order by our own fault.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self._writer = writer
        self._replies = hiredis.Reader()
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, port: int, password: str | None = None) -> RedisClient:
        """Connect and sign in."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        if password is not None:
            await client.command("AUTH", password)
        return client

    async def command(self, *words: str | bytes | int) -> Any:
        """Send a command and return its reply.

        Raises:
            RedisError: The reply is an error.
            OSError: The connection is lost, and nobody knows whether the command was carried out.
        """
        async with self._turn:
            # The stub says a tuple of exactly one word.
            self._writer.write(hiredis.pack_command(words))  # type: ignore[arg-type]
            while (reply := self._replies.gets()) is False:
                data = await self._stream.read(65536)
                if not data:
                    raise ConnectionError("Redis closed the connection")
                self._replies.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise RedisError(str(reply))
        return reply

    def close(self) -> None:
        """Disconnect."""
        self._writer.transport.abort()
