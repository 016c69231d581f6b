"""Clients of event streams on channels with history: they come back as browsers do, and record what they are told."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from devtools.harness.event_source import EventSource
from devtools.harness.event_stream import Event

__all__ = ["ChannelRecord", "StreamClient", "StreamPool", "ToldGap"]

NO_POSITION = "-"


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


class StreamPool:
    """All clients of event streams.

    Args:
        channels: The channels.
        single: How many have one channel each, in turn.
        several: How many have several channels each.
        ports: The ports of the relays. A client goes to another one when it comes back.
        rng: Randomness.

    Attributes:
        clients: The clients.
    """

    SEVERAL = 3
    """The number of channels of those that have several."""

    def __init__(self, channels: Sequence[str], single: int, several: int, ports: Sequence[int], rng: Random) -> None:
        self.clients: list[StreamClient] = []
        for number in range(single + several):
            begin, count = number % len(channels), 1 if number < single else self.SEVERAL
            mine = [*channels[begin:], *channels[:begin]][:count]
            self.clients.append(StreamClient(mine, _taking_turns(ports, rng.randrange(len(ports)))))

    @property
    def records(self) -> list[ChannelRecord]:
        """The records of all clients."""
        return [record for client in self.clients for record in client.records.values()]

    @property
    def connections(self) -> Sequence[object]:
        """Each client's open connection or None."""
        return [client.source.current for client in self.clients]

    @property
    def reconnects(self) -> int:
        """How often clients have come back."""
        return sum(max(0, client.source.opened - 1) for client in self.clients)

    def problems(self) -> list[str]:
        """Return what happened to clients that must not happen to any."""
        gave_up = Counter(client.source.gave_up for client in self.clients if client.source.gave_up)
        ends: Counter[str] = Counter()
        for client in self.clients:
            ends += client.ends
        problems = [f"{count} event sources gave up for good: {reason}" for reason, count in gave_up.items()]
        return problems + [f"event streams ended with {name!r} {count} times" for name, count in ends.items()]

    def all_receive(self, since: float) -> bool:
        """Return whether every client is connected and received something on each channel after a moment."""
        return all(client.all_receive(since) for client in self.clients)

    async def close(self) -> None:
        """Close all clients."""
        await asyncio.gather(*(client.source.close() for client in self.clients))


def _taking_turns(ports: Sequence[int], first: int) -> Callable[[], int]:
    """Return a function that returns one port after the other."""
    at = first - 1

    def next_port() -> int:
        nonlocal at
        at = (at + 1) % len(ports)
        return ports[at]

    return next_port
