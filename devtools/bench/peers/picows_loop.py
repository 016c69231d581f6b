"""picows (Cython) on uvloop: `transport.send` to each connection of the channel, in a loop.

Usage: `python picows_loop.py PORT REDIS_PORT PING_SECONDS [publish] [tls=PEM]`.
"""
# mypy: allow-untyped-calls, allow-subclassing-any, allow-any-unimported

from __future__ import annotations

import asyncio
import ssl
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


class Listener(WSListener):  # type: ignore[misc, unused-ignore]
    """One connection."""

    def __init__(self, channel: bytes, publisher: Publisher | None) -> None:
        self.name = PREFIX + channel
        self.members = channels[channel]
        self.publisher = publisher

    def on_ws_connected(self, transport: Any) -> None:
        """Join the channel."""
        self.members.add(transport)

    def on_ws_disconnected(self, transport: Any) -> None:
        """Leave the channel."""
        self.members.discard(transport)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Publish what the client says."""
        if self.publisher is not None and frame.msg_type == WSMsgType.TEXT:
            self.publisher.publish(self.name, frame.get_payload_as_bytes())


async def main(port: int, redis_port: int, ping: int, *options: str) -> None:
    """Serve until killed."""
    publisher = Publisher(redis_port) if "publish" in options else None
    context: Any = None
    for word in options:
        if word.startswith("tls="):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(word[4:])

    def listener(request: Any) -> Listener:
        return Listener(bytes(request.path).rpartition(b"/")[2], publisher)

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
    server = await ws_create_server(listener, "127.0.0.1", port, backlog=4096, ssl=context, **pings)
    async with server:
        async for message in subscription.listen():
            if message["type"] == "pmessage":
                payload = message["data"]
                for transport in channels[message["channel"].removeprefix(PREFIX)]:
                    transport.send(WSMsgType.TEXT, payload)


if __name__ == "__main__":
    port, redis_port, ping = map(int, sys.argv[1:4])
    uvloop.run(main(port, redis_port, ping, *sys.argv[4:]))
