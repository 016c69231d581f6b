"""Clients that record what they receive, and reconnect as well-behaved clients do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from devtools.faults.publisher import MessageState, NumberedMessage

__all__ = ["ClientPool", "ConnectionRecord", "PublishingClient", "ReconnectingClient", "RoamingClient"]

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
"""The back-off: a random time up to a ceiling that doubles. Ours is low, so that a run does not take long."""

OPEN_SECONDS = 10.0
PUBLISH_SECONDS = 0.25
ROAMING_CLIENTS = 5
ARRIVAL_SECONDS = 1.0
"""How long a message may take to arrive where nothing is wrong."""


@dataclass(slots=True, eq=False)
class ConnectionRecord:
    """One connection of one client.

    Attributes:
        channel: Its channel.
        relay: The port of its relay.
        opened: When the handshake was complete.
        numbers: The messages that came, in their order.
        times: When each of them came.
        unknown: Messages that were not published on this channel.
        closed: When it ended; None while it is open.
        code: The close code, 1006 without a close frame; None while it is open.
        expected_until: When its client decided to leave, having received everything until then; None if it did not.
    """

    channel: str
    relay: int
    opened: float
    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    closed: float | None = None
    code: int | None = None
    expected_until: float | None = None

    def receive(self, message: str | bytes) -> None:
        """Record a message."""
        text = message if isinstance(message, str) else repr(message)
        channel, _, rest = text.partition(" ")
        number, _, padding = rest.partition(" ")
        if channel == self.channel and number.isdecimal() and not padding.strip("x"):
            self.numbers.append(int(number))
            self.times.append(time.monotonic())
        else:
            self.unknown.append(text[:80])

    def expect_until(self, moment: float) -> None:
        """Record that the client leaves, having received everything until a moment."""
        self.expected_until = moment

    def end(self, code: int | None) -> None:
        """Record the end of the connection."""
        self.closed, self.code = time.monotonic(), code


class ReconnectingClient:
    """One client of one channel.

    Args:
        channel: The channel.
        relays: The ports of the relays; it goes to another one when the one it has ends the connection.
        rng: Randomness for the back-off.

    Attributes:
        channel: See above.
        connections: Its connections, in order.
        failures: Why handshakes failed, and how often: an HTTP status, or the name of an error.
    """

    def __init__(self, channel: str, relays: Sequence[int], rng: Random) -> None:
        self.channel = channel
        self.connections: list[ConnectionRecord] = []
        self.failures: Counter[str] = Counter()
        self._relays = list(relays)
        self._rng = rng
        self._socket: ClientConnection | None = None
        self._activity: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def current(self) -> ConnectionRecord | None:
        """The connection that is open, or None."""
        last = self.connections[-1] if self.connections else None
        return None if last is None or last.closed is not None else last

    def listen_only(self) -> None:
        """Stop everything but listening."""
        if self._activity is not None:
            self._activity.cancel()

    async def close(self) -> None:
        """Close the connection and do not reconnect."""
        self.listen_only()
        if self._socket is not None:
            await self._socket.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _choose_channel(self) -> None:
        """Choose the channel of the next connection."""

    async def _act(self, socket: ClientConnection, connection: ConnectionRecord) -> None:
        """Do what this kind of client does beside listening."""

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            before = len(self.connections)
            self._choose_channel()
            await self._connect_once(self._relays[0])
            self._relays.append(self._relays.pop(0))
            # A connection that was closed before anything came does not count as a success.
            if any(each.numbers for each in self.connections[before:]):
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(self._rng.uniform(0.05, pause))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _connect_once(self, port: int) -> None:
        """Open one connection and listen until it ends."""
        # No pings of its own: a browser has none.
        opening = connect(
            f"ws://127.0.0.1:{port}/ws/{self.channel}",
            open_timeout=OPEN_SECONDS,
            close_timeout=2,
            ping_interval=None,
            compression=None,
            proxy=None,
            max_queue=None,
            process_exception=lambda error: error,
        )
        try:
            socket = self._socket = await opening
        except InvalidStatus as error:
            self.failures[str(error.response.status_code)] += 1
            return
        except (OSError, WebSocketException) as error:
            self.failures[type(error).__name__] += 1
            return
        connection = ConnectionRecord(self.channel, port, time.monotonic())
        self.connections.append(connection)
        self._activity = asyncio.get_running_loop().create_task(self._act(socket, connection))
        try:
            while True:
                connection.receive(await socket.recv())
        except ConnectionClosed:
            pass
        finally:
            connection.end(socket.close_code)
            self._socket = None
            self._activity.cancel()


class PublishingClient(ReconnectingClient):
    """Publishes numbered messages on a channel of its own, and receives them back through Redis.

    Args:
        channel: The channel.
        relays: The ports of the relays.
        rng: Randomness.
        log: The log of the channel, to which it appends what it publishes.
    """

    def __init__(self, channel: str, relays: Sequence[int], rng: Random, log: list[NumberedMessage]) -> None:
        self._log = log
        super().__init__(channel, relays, rng)

    async def _act(self, socket: ClientConnection, connection: ConnectionRecord) -> None:
        try:
            while connection.closed is None:
                # A relay that cannot publish a message must close the connection: what it got counts as accepted.
                self._log.append(NumberedMessage(time.monotonic(), MessageState.ACCEPTED, len(self.connections)))
                await socket.send(f"{self.channel} {len(self._log) - 1} ")
                await asyncio.sleep(PUBLISH_SECONDS)
        except ConnectionClosed:
            return


class RoamingClient(ReconnectingClient):
    """Goes from channel to channel. It leaves a channel once it has received everything; else it waits for a close.

    Args:
        channels: The channels.
        relays: The ports of the relays.
        rng: Randomness.
        is_complete: Returns whether a connection has received everything that was published until a moment.
    """

    def __init__(
        self,
        channels: Sequence[str],
        relays: Sequence[int],
        rng: Random,
        is_complete: Callable[[ConnectionRecord, float], bool],
    ) -> None:
        self._channels = channels
        self._is_complete = is_complete
        super().__init__(channels[0], relays, rng)

    def _choose_channel(self) -> None:
        self.channel = self._rng.choice(self._channels)

    async def _act(self, socket: ClientConnection, connection: ConnectionRecord) -> None:
        while connection.closed is None:
            await asyncio.sleep(self._rng.uniform(0.2, 1.5))
            moment = time.monotonic()
            await asyncio.sleep(ARRIVAL_SECONDS)
            if connection.closed is None and self._is_complete(connection, moment):
                connection.expect_until(moment)
                await socket.close()


def _derived(rng: Random) -> Random:
    """Return randomness that does not depend on how often other clients draw."""
    return Random(rng.random())  # noqa: S311 -- no secret depends on it


class ClientPool:
    """All clients.

    Args:
        count: How many only listen.
        channels: Their channels, in turn.
        relays: The ports of the relays, in turn.
        rng: Randomness.
        logs: The logs of the channels of publishing clients, one each.

    Attributes:
        clients: Those that stay: listening and publishing clients.
        roaming: Those that go from channel to channel.
    """

    def __init__(
        self,
        count: int,
        channels: Sequence[str],
        relays: Sequence[int],
        rng: Random,
        logs: Mapping[str, list[NumberedMessage]],
    ) -> None:
        self.clients: list[ReconnectingClient] = []
        self.roaming: list[RoamingClient] = []
        self._relays = relays
        self._rng = rng
        for channel, log in logs.items():
            self.clients.append(PublishingClient(channel, relays, _derived(rng), log))
        for number in range(count):
            first = (number // len(channels)) % len(relays)
            self.clients.append(
                ReconnectingClient(channels[number % len(channels)], [*relays[first:], *relays[:first]], _derived(rng))
            )

    @property
    def connections(self) -> list[ConnectionRecord]:
        """All connections so far."""
        return [each for client in (*self.clients, *self.roaming) for each in client.connections]

    def start_roaming(self, channels: Sequence[str], is_complete: Callable[[ConnectionRecord, float], bool]) -> None:
        """Start clients that go from channel to channel."""
        for _ in range(ROAMING_CLIENTS):
            self.roaming.append(RoamingClient(channels, self._relays, _derived(self._rng), is_complete))

    async def stop_roaming(self) -> None:
        """Stop the clients that go from channel to channel."""
        await asyncio.gather(*(client.close() for client in self.roaming))

    def listen_only(self) -> None:
        """Stop publishing and roaming."""
        for client in (*self.clients, *self.roaming):
            client.listen_only()

    @property
    def codes(self) -> Counter[str]:
        """How connections ended and handshakes were rejected, and how often."""
        codes = Counter(
            str(each.code) for each in self.connections if each.closed is not None and each.expected_until is None
        )
        for client in self.clients:
            codes.update({f"rejected {reason}": count for reason, count in client.failures.items()})
        return codes

    def all_receive(self, since: float) -> bool:
        """Return whether every client is connected and received something after a moment."""
        for client in self.clients:
            current = client.current
            if current is None or not current.times or current.times[-1] < since:
                return False
        return True

    async def close(self) -> None:
        """Stop all clients."""
        await asyncio.gather(*(client.close() for client in (*self.clients, *self.roaming)))
