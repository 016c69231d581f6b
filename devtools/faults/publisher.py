"""Publishes numbered messages, and remembers which ones Redis took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from devtools.faults.net import RedisClient, RedisError

__all__ = ["Publication", "Publisher", "State"]

PREFIX = "wsrelay:"


class State(Enum):
    """What is known of a message."""

    SENT = "sent: Redis has not answered yet"
    UNKNOWN = "unknown: the connection was lost before Redis answered"
    TAKEN = "taken: Redis has answered how many got it"
    REFUSED = "refused: Redis has answered with an error"


@dataclass(slots=True)
class Publication:
    """One message. It is the n-th of its channel, and says so.

    Attributes:
        sent: When it was given to Redis.
        state: What is known of it.
        origin: On which connection of its sender it was sent, counted from 0; order is owed within one.
    """

    sent: float
    state: State = State.SENT
    origin: int = 0


class Publisher:
    """Publishes on its channels in turn, one message after the other.

    Args:
        port: The port of Redis.
        channels: The channels.
        rate: How many messages a second, all channels together.
        password: Redis's password.

    Attributes:
        log: For each channel all messages ever sent; a message's number is its place. Those who publish elsewhere
            have their logs here, too.
    """

    def __init__(self, port: int, channels: Sequence[str], rate: float, password: str | None = None) -> None:
        self._port = port
        self._channels = channels
        self._rate = rate
        self._password = password
        self._redis: RedisClient | None = None
        self._task: asyncio.Task[None] | None = None
        self.log: dict[str, list[Publication]] = {channel: [] for channel in channels}

    @property
    def taken(self) -> int:
        """How many messages Redis took."""
        return sum(each.state is State.TAKEN for channel in self._channels for each in self.log[channel])

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Publish nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._forget()

    def switch(self, port: int, password: str | None = None) -> None:
        """Publish elsewhere from now on."""
        self._port, self._password = port, password
        self._forget()

    async def publish(self, channel: str, padding: int = 0) -> None:
        """Publish one message, so many bytes longer than it need be."""
        log = self.log[channel]
        publication = Publication(time.monotonic())
        try:
            if self._redis is None:
                self._redis = await RedisClient.connect(self._port, self._password)
            redis = self._redis
            publication.sent = time.monotonic()
            log.append(publication)
            await redis.command("PUBLISH", f"{PREFIX}{channel}", f"{channel} {len(log) - 1} {'x' * padding}")
            publication.state = State.TAKEN
        except RedisError:
            publication.state = State.REFUSED
            await asyncio.sleep(0.05)
        except OSError:
            # Nobody knows whether it arrived: it may be delivered, and need not.
            publication.state = State.UNKNOWN
            self._forget()
            await asyncio.sleep(0.05)

    async def _run(self) -> None:
        period = 1.0 / self._rate
        due = time.monotonic()
        while True:
            for channel in self._channels:
                await self.publish(channel)
                due = max(due + period, time.monotonic())
                await asyncio.sleep(due - time.monotonic())

    def _forget(self) -> None:
        if self._redis is not None:
            self._redis.close()
            self._redis = None
