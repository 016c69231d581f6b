"""picows (Cython) on uvloop: `transport.send` to each connection of the channel, in a loop.

Usage: `python picows_loop.py PORT REDIS_PORT PING_SECONDS`.
"""
# mypy: allow-untyped-calls, allow-subclassing-any, allow-any-unimported

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import redis.asyncio  # type: ignore[import-not-found, import-untyped, unused-ignore]
import uvloop  # type: ignore[import-not-found, import-untyped, unused-ignore]
from picows import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    WSAutoPingStrategy,
    WSListener,
    WSMsgType,
    ws_create_server,
)

PREFIX = b"wsrelay:"

channels: defaultdict[bytes, set[Any]] = defaultdict(set)


class Listener(WSListener):  # type: ignore[misc, unused-ignore]
    """One connection."""

    def __init__(self, channel: bytes) -> None:
        self.members = channels[channel]

    def on_ws_connected(self, transport: Any) -> None:
        """Join the channel."""
        self.members.add(transport)

    def on_ws_disconnected(self, transport: Any) -> None:
        """Leave the channel."""
        self.members.discard(transport)


def listener(request: Any) -> Listener:
    """Make the listener of a request by its path."""
    return Listener(bytes(request.path).rpartition(b"/")[2])


async def main(port: int, redis_port: int, ping: int) -> None:
    """Serve until killed."""
    subscription = redis.asyncio.Redis(host="127.0.0.1", port=redis_port).pubsub()
    await subscription.psubscribe(PREFIX.decode() + "*")
    pings: dict[str, Any] = {}
    if ping:
        # PING_PERIODICALLY, as the others do it; by default picows pings only who has been silent
        pings = {
            "enable_auto_ping": True,
            "auto_ping_idle_timeout": ping,
            "auto_ping_reply_timeout": 1,  # must be below the interval, and is added to it
            "auto_ping_strategy": WSAutoPingStrategy.PING_PERIODICALLY,
        }
    server = await ws_create_server(listener, "127.0.0.1", port, backlog=1024, **pings)
    async with server:
        async for message in subscription.listen():
            if message["type"] == "pmessage":
                payload = message["data"]
                for transport in channels[message["channel"].removeprefix(PREFIX)]:
                    transport.send(WSMsgType.TEXT, payload)


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
