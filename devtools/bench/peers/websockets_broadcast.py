"""`websockets` on uvloop, with its `broadcast`.

Usage: `python websockets_broadcast.py PORT REDIS_PORT PING_SECONDS`.
"""
# mypy: allow-untyped-calls, allow-any-unimported

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import redis.asyncio  # type: ignore[import-not-found, import-untyped, unused-ignore]
import uvloop  # type: ignore[import-not-found, import-untyped, unused-ignore]
from websockets.asyncio.server import broadcast, serve

PREFIX = b"wsrelay:"

channels: defaultdict[bytes, set[Any]] = defaultdict(set)


async def handle(socket: Any) -> None:
    """Keep one connection in its channel until it closes."""
    members = channels[socket.request.path.rpartition("/")[2].encode()]
    members.add(socket)
    try:
        await socket.wait_closed()
    finally:
        members.discard(socket)


async def main(port: int, redis_port: int, ping: int) -> None:
    """Serve until killed."""
    subscription = redis.asyncio.Redis(host="127.0.0.1", port=redis_port).pubsub()
    await subscription.psubscribe(PREFIX.decode() + "*")
    interval = float(ping) if ping else None
    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=interval, backlog=1024):
        async for message in subscription.listen():
            if message["type"] == "pmessage":
                # text=True: the bytes go out as a text frame without being decoded and encoded again
                broadcast(channels[message["channel"].removeprefix(PREFIX)], message["data"], text=True)


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
