"""`websockets` on uvloop, with its `broadcast`.

Usage: `python websockets_broadcast.py PORT REDIS_PORT PING_SECONDS [publish] [tls=PEM]`.
"""
# mypy: allow-untyped-calls, allow-any-unimported

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import defaultdict
from typing import Any

import redis.asyncio  # type: ignore[import-not-found, import-untyped, unused-ignore]
import uvloop  # type: ignore[import-not-found, import-untyped, unused-ignore]
from websockets.asyncio.server import broadcast, serve

PREFIX = b"wsrelay:"

channels: defaultdict[bytes, set[Any]] = defaultdict(set)


class Publisher:
    """Publishes what clients say: whatever has come meanwhile goes out in one pipeline."""

    def __init__(self, redis_port: int) -> None:
        self._redis: Any = redis.asyncio.Redis(host="127.0.0.1", port=redis_port)
        self._waiting: list[tuple[bytes, Any]] = []
        self._task: asyncio.Task[None] | None = None

    def publish(self, channel: bytes, payload: Any) -> None:
        """Publish soon."""
        self._waiting.append((channel, payload))
        if self._task is None:
            self._task = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        while self._waiting:
            pipeline = self._redis.pipeline(transaction=False)
            for channel, payload in self._waiting:
                pipeline.publish(channel, payload)
            self._waiting = []
            await pipeline.execute()
        self._task = None


publisher: Publisher | None = None


async def handle(socket: Any) -> None:
    """Keep one connection in its channel until it closes."""
    name = socket.request.path.rpartition("/")[2].encode()
    members = channels[name]
    members.add(socket)
    try:
        if publisher is not None:
            async for message in socket:
                publisher.publish(PREFIX + name, message)
        await socket.wait_closed()
    finally:
        members.discard(socket)


async def main(port: int, redis_port: int, ping: int, *options: str) -> None:
    """Serve until killed."""
    global publisher
    if "publish" in options:
        publisher = Publisher(redis_port)
    context: Any = None
    for word in options:
        if word.startswith("tls="):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(word[4:])
    subscription = redis.asyncio.Redis(host="127.0.0.1", port=redis_port).pubsub()
    await subscription.psubscribe(PREFIX.decode() + "*")
    interval = float(ping) if ping else None
    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=interval, backlog=4096, ssl=context):
        async for message in subscription.listen():
            if message["type"] == "pmessage":
                # text=True: the bytes go out as a text frame without being decoded and encoded again
                broadcast(channels[message["channel"].removeprefix(PREFIX)], message["data"], text=True)


if __name__ == "__main__":
    port, redis_port, ping = map(int, sys.argv[1:4])
    uvloop.run(main(port, redis_port, ping, *sys.argv[4:]))
