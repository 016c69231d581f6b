"""Publishes numbered messages, and records which of them Redis accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from devtools.harness.redis_client import RedisClient, RedisError

__all__ = ["PREFIX", "MessageState", "NumberedMessage", "Publisher", "StreamPublisher"]

PREFIX = "wsrelay:"


class MessageState(Enum):
    """True if Redis accepted a message."""

    SENT = "sent: Redis has not answered yet"
    UNKNOWN = "unknown: the connection was lost before Redis answered"
    ACCEPTED = "accepted: Redis has answered how many subscribers received it"
    REJECTED = "rejected: Redis has answered with an error"
    FORGOTTEN = "forgotten: accepted by a server that was lost before another one had it"


@dataclass(slots=True)
class NumberedMessage:
    """One message. Its payload names its channel and its place in the log of the channel.

    Attributes:
        sent: When it was sent to Redis.
        state: True if Redis accepted it.
        origin: The connection of its sender that it was sent on, counted from 0. Order is kept within one connection.
    """

    sent: float
    state: MessageState = MessageState.SENT
    origin: int = 0


class Publisher:
    """Publishes on its channels in turn, one message after the other.

    Args:
        port: The port of Redis.
        channels: The channels.
        rate: Messages per second, all channels together.
        password: The password of Redis; if None, it has none.

    Attributes:
        log: All messages ever sent, by channel; a message's number is its place. Logs of other publishers may be added.
    """

    def __init__(self, port: int, channels: Sequence[str], rate: float, password: str | None = None) -> None:
        self._port = port
        self._channels = channels
        self._rate = rate
        self._password = password
        self._redis: RedisClient | None = None
        self._task: asyncio.Task[None] | None = None
        self.log: dict[str, list[NumberedMessage]] = {channel: [] for channel in channels}

    @property
    def accepted(self) -> int:
        """The number of messages that Redis accepted."""
        return sum(each.state is MessageState.ACCEPTED for channel in self._channels for each in self.log[channel])

    def start(self) -> None:
        """Start publishing."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop publishing and disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._disconnect()

    def switch(self, port: int, password: str | None = None) -> None:
        """Publish to another server from now on."""
        self._port, self._password = port, password
        self._disconnect()

    async def publish(self, channel: str, padding: int = 0) -> None:
        """Publish one message with so many bytes of padding."""
        log = self.log[channel]
        message = NumberedMessage(time.monotonic())
        try:
            if self._redis is None:
                self._redis = await RedisClient.connect(self._port, self._password)
            redis = self._redis
            message.sent = time.monotonic()
            log.append(message)
            await self._send(redis, channel, f"{channel} {len(log) - 1} {'x' * padding}")
            message.state = MessageState.ACCEPTED
        except RedisError:
            message.state = MessageState.REJECTED
            await asyncio.sleep(0.05)
        except OSError:
            # It may have been executed: the message may be delivered, and need not.
            message.state = MessageState.UNKNOWN
            self._disconnect()
            await asyncio.sleep(0.05)

    async def _send(self, redis: RedisClient, channel: str, payload: str) -> None:
        await redis.command("PUBLISH", PREFIX + channel, payload)

    async def _run(self) -> None:
        period = 1.0 / self._rate
        due = time.monotonic()
        while True:
            for channel in self._channels:
                await self.publish(channel)
                due = max(due + period, time.monotonic())
                await asyncio.sleep(due - time.monotonic())

    def _disconnect(self) -> None:
        if self._redis is not None:
            self._redis.close()
            self._redis = None


class StreamPublisher(Publisher):
    """Adds its messages to the streams of channels with history, as any program may: by a plain XADD.

    Args:
        port: The port of Redis.
        channels: The channels.
        rate: Messages per second, all channels together.
        password: The password of Redis; if None, it has none.
        max_length: How many entries a stream may have; if None, as many as come.
    """

    def __init__(
        self,
        port: int,
        channels: Sequence[str],
        rate: float,
        password: str | None = None,
        max_length: int | None = None,
    ) -> None:
        super().__init__(port, channels, rate, password)
        self.max_length = max_length

    async def _send(self, redis: RedisClient, channel: str, payload: str) -> None:
        bounds = () if self.max_length is None else ("MAXLEN", self.max_length)
        await redis.command("XADD", PREFIX + channel, *bounds, "*", "data", payload)
