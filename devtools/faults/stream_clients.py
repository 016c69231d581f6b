"""Clients of event streams on channels with history: they come back as browsers do, and record what they are told."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from random import Random

from devtools.harness.event_source import EventSource
from devtools.harness.event_stream import Event

__all__ = ["ChannelRecord", "StreamClient", "StreamPool", "ToldGap", "WanderingClient", "some_channels"]

NO_POSITION = "-"

SEVERAL_CHANNELS = 3
"""The number of channels of those that have several."""


@dataclass(slots=True)
class ToldGap:
    """A gap that a client was told of.

    Attributes:
        reason: The reason.
    """

    reason: str


@dataclass(slots=True, eq=False)
class ChannelRecord:
    """All that one client was told about one channel, over all of its connections.

    Attributes:
        channel: The channel.
        began: When the client was first given a position: all that is added later concerns it. None before.
        items: The numbers of the messages that came, and the gaps between them, in their order.
        last: When the last message came.
        unknown: Messages that were not added to this channel.
    """

    channel: str
    began: float | None = None
    items: list[int | ToldGap] = field(default_factory=list)
    last: float = 0.0
    unknown: list[str] = field(default_factory=list)

    def receive(self, text: str) -> None:
        """Record a message."""
        channel, _, rest = text.partition(" ")
        number = rest.rstrip("x ")
        if channel == self.channel and number.isdecimal():
            self.items.append(int(number))
            self.last = time.monotonic()
        else:
            self.unknown.append(text[:80])


class StreamClient:
    """One client of one channel or of several.

    Args:
        channels: The channels.
        port: Returns the port of a relay, each time that it connects.

    Attributes:
        records: What it was told, by channel.
        ends: The names of events that ended a stream, and how often: none is expected.
        source: Its event source.
    """

    def __init__(self, channels: Sequence[str], port: Callable[[], int]) -> None:
        self.records = {channel: ChannelRecord(channel) for channel in channels}
        self.ends: Counter[str] = Counter()
        first, *others = channels
        query = "&".join(f"channel={channel}" for channel in others)
        self.source = EventSource(
            f"/sse/{first}" + (f"?{query}" if query else ""), port, self._receive, self._positions_changed
        )
        self._first = first

    def all_receive(self, since: float) -> bool:
        """Return whether it is connected and received something on each of its channels after a moment."""
        return self.source.current is not None and all(record.last >= since for record in self.records.values())

    def _positions_changed(self, position: str) -> None:
        now = time.monotonic()
        for record, each in zip(self.records.values(), position.split(","), strict=True):
            if record.began is None and each != NO_POSITION:
                record.began = now

    def _receive(self, event: Event) -> None:
        kind, _, channel = event.type.partition(":")
        if kind == "message":
            self.records[channel or self._first].receive(event.data)
        elif kind == "gap":
            told = json.loads(event.data)
            self.records[told["channel"]].items.append(ToldGap(told["reason"]))
        elif kind != "subscribed":
            self.ends[event.type] += 1


class WanderingClient(StreamClient):
    """A client that loses its connection again and again, as a phone does that changes its network.

    Args:
        channels: The channels.
        port: Returns the port of a relay, each time that it connects.
        rng: Randomness.
        pause: The shortest and the longest time between two losses, in seconds.
    """

    def __init__(
        self, channels: Sequence[str], port: Callable[[], int], rng: Random, pause: tuple[float, float] = (0.3, 3.0)
    ) -> None:
        super().__init__(channels, port)
        self._rng = rng
        self._pause = pause
        self._wandering = asyncio.get_running_loop().create_task(self._wander())

    def stay(self) -> None:
        """Lose no connection any more."""
        self._wandering.cancel()

    async def _wander(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(*self._pause))
            self.source.drop()


class StreamPool:
    """All clients of event streams.

    Args:
        channels: The channels.
        single: How many have one channel each, in turn.
        several: How many have several channels each.
        ports: The ports of the relays. A client goes to another one when it comes back.
        rng: Randomness.

    Attributes:
        clients: Those that stay.
        wandering: Those that lose their connection again and again.
    """

    def __init__(self, channels: Sequence[str], single: int, several: int, ports: Sequence[int], rng: Random) -> None:
        self.clients: list[StreamClient] = []
        self.wandering: list[WanderingClient] = []
        self._channels = channels
        self._ports = ports
        self._rng = rng
        for number in range(single + several):
            mine = some_channels(channels, number, 1 if number < single else SEVERAL_CHANNELS)
            self.clients.append(StreamClient(mine, self._turns()))

    def start_wandering(self, count: int) -> None:
        """Start clients that lose their connection again and again, half of them with several channels."""
        for number in range(count):
            mine = some_channels(self._channels, number, 1 + number % 2 * (SEVERAL_CHANNELS - 1))
            rng = Random(self._rng.random())  # noqa: S311 -- no secret depends on it
            self.wandering.append(WanderingClient(mine, self._turns(), rng))

    def stay(self) -> None:
        """Let all of them keep their connections."""
        for client in self.wandering:
            client.stay()

    async def stop_wandering(self) -> None:
        """Close those that lost theirs again and again. Their records remain."""
        self.stay()
        await asyncio.gather(*(client.source.close() for client in self.wandering))

    @property
    def records(self) -> list[ChannelRecord]:
        """The records of all clients."""
        return [record for client in self._all for record in client.records.values()]

    @property
    def connections(self) -> Sequence[object]:
        """Each client's open connection or None."""
        return [client.source.current for client in self.clients]

    @property
    def reconnects(self) -> int:
        """How often clients have come back."""
        return sum(max(0, client.source.opened - 1) for client in self._all)

    def problems(self) -> list[str]:
        """Return what happened to clients that must not happen to any."""
        gave_up = Counter(client.source.gave_up for client in self._all if client.source.gave_up)
        ends: Counter[str] = Counter()
        for client in self._all:
            ends += client.ends
        problems = [f"{count} event sources gave up for good: {reason}" for reason, count in gave_up.items()]
        return problems + [f"event streams ended with {name!r} {count} times" for name, count in ends.items()]

    def all_receive(self, since: float) -> bool:
        """Return whether every client is connected and received something on each channel after a moment."""
        return all(client.all_receive(since) for client in self.clients)

    async def close(self) -> None:
        """Close all clients."""
        self.stay()
        await asyncio.gather(*(client.source.close() for client in self._all))

    @property
    def _all(self) -> list[StreamClient]:
        return [*self.clients, *self.wandering]

    def _turns(self) -> Callable[[], int]:
        """Return a function that returns one port after the other."""
        ports = cycle(self._ports)
        for _ in range(self._rng.randrange(len(self._ports))):
            next(ports)
        return lambda: next(ports)


def some_channels(channels: Sequence[str], first: int, count: int) -> list[str]:
    """Return so many channels, beginning with one of them."""
    begin = first % len(channels)
    return [*channels[begin:], *channels[:begin]][:count]
