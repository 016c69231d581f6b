"""A Redis client for asyncio programs."""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis

__all__ = ["RedisClient", "RedisError"]


class RedisError(Exception):
    """Redis answered with an error."""


class RedisClient:
    """One connection to Redis that sends one command at a time and never retries.

    Nothing here times out: an abandoned command may still be executed later, and its publication would then be out of
    order by our own fault.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self._writer = writer
        self._replies = hiredis.Reader()
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, port: int, password: str | None = None) -> RedisClient:
        """Return a client that is connected and authenticated."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        if password is not None:
            await client.command("AUTH", password)
        return client

    async def command(self, *words: str | bytes | int) -> Any:
        """Send a command and return its reply.

        Raises:
            RedisError: The reply is an error.
            OSError: The connection is lost; the command may or may not have been executed.
        """
        async with self._turn:
            # The stub says a tuple of exactly one word.
            self._writer.write(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub is too narrow
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
