"""Clients that write down what they get, and come back as good clients do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from devtools.faults.publisher import Publication, State

__all__ = ["Audience", "Client", "Connection", "Speaker", "Wanderer"]

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
"""The back-off: a random time up to a ceiling that doubles. Ours is low, so that a run does not take long."""

OPEN_SECONDS = 10.0
SPEAK_SECONDS = 0.25
WANDERERS = 5


@dataclass(slots=True, eq=False)
class Connection:
    """What one client noted of one connection.

    Attributes:
        channel: Its channel.
        relay: The port of its relay.
        opened: When the handshake was complete.
        numbers: The messages that came, in their order.
        times: When each of them came.
        strange: Messages that nobody published on this channel.
        closed: When it ended, or None.
        code: How: the close code, 1006 where there was none.
        owed_until: When its client decided to leave, having got everything until then; None if it did not.
    """

    channel: str
    relay: int
    opened: float
    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    closed: float | None = None
    code: int | None = None
    owed_until: float | None = None

    def note(self, message: str | bytes) -> None:
        """A message came."""
        text = message if isinstance(message, str) else repr(message)
        channel, _, rest = text.partition(" ")
        number, _, padding = rest.partition(" ")
        if channel == self.channel and number.isdecimal() and not padding.strip("x"):
            self.numbers.append(int(number))
            self.times.append(time.monotonic())
        else:
            self.strange.append(text[:80])


class Client:
    """One client of one channel.

    Args:
        channel: The channel.
        relays: The ports of the relays; it goes to another one when the one it has ends the connection.
        rng: Randomness for the back-off.
    """

    def __init__(self, channel: str, relays: Sequence[int], rng: Random) -> None:
        self.channel = channel
        self.connections: list[Connection] = []
        self.responses: Counter[str] = Counter()
        self._relays = list(relays)
        self._rng = rng
        self._socket: ClientConnection | None = None
        self._chores: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def current(self) -> Connection | None:
        """The connection that is open, or None."""
        last = self.connections[-1] if self.connections else None
        return None if last is None or last.closed is not None else last

    def hush(self) -> None:
        """Do nothing but listen."""
        if self._chores is not None:
            self._chores.cancel()

    async def leave(self) -> None:
        """Close and do not come back."""
        self.hush()
        if self._socket is not None:
            await self._socket.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _choose(self) -> None:
        """Choose the channel of the next connection."""

    async def _chore(self, socket: ClientConnection, connection: Connection) -> None:
        """What it does beside listening."""

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            before = len(self.connections)
            self._choose()
            await self._visit(self._relays[0])
            self._relays.append(self._relays.pop(0))
            # One that was closed again before anything came was no success.
            if any(each.numbers for each in self.connections[before:]):
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(self._rng.uniform(0.05, pause))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _visit(self, port: int) -> None:
        """One connection, from its handshake to its end."""
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
            self.responses[str(error.response.status_code)] += 1
            return
        except (OSError, WebSocketException) as error:
            self.responses[type(error).__name__] += 1
            return
        connection = Connection(self.channel, port, time.monotonic())
        self.connections.append(connection)
        self._chores = asyncio.get_running_loop().create_task(self._chore(socket, connection))
        try:
            while True:
                connection.note(await socket.recv())
        except ConnectionClosed:
            pass
        finally:
            connection.closed, connection.code = time.monotonic(), socket.close_code
            self._socket = None
            self._chores.cancel()


class Speaker(Client):
    """Says numbered messages on a channel of its own, and hears them come back through Redis.

    Args:
        channel: The channel.
        relays: The ports of the relays.
        rng: Randomness.
        log: Where it notes what it said.
    """

    def __init__(self, channel: str, relays: Sequence[int], rng: Random, log: list[Publication]) -> None:
        self._log = log
        super().__init__(channel, relays, rng)

    async def _chore(self, socket: ClientConnection, connection: Connection) -> None:
        try:
            while connection.closed is None:
                # What a relay cannot publish it must answer with a close: taken is what it was given.
                self._log.append(Publication(time.monotonic(), State.TAKEN, len(self.connections)))
                await socket.send(f"{self.channel} {len(self._log) - 1} ")
                await asyncio.sleep(SPEAK_SECONDS)
        except ConnectionClosed:
            return


class Wanderer(Client):
    """Goes from channel to channel, and leaves one when it has got everything: if it has not, it waits to be told so.

    Args:
        channels: The channels.
        relays: The ports of the relays.
        rng: Randomness.
        is_whole: Tells whether a connection has got everything that was published until a moment.
    """

    def __init__(
        self,
        channels: Sequence[str],
        relays: Sequence[int],
        rng: Random,
        is_whole: Callable[[Connection, float], bool],
    ) -> None:
        self._channels = channels
        self._is_whole = is_whole
        super().__init__(channels[0], relays, rng)

    def _choose(self) -> None:
        self.channel = self._rng.choice(self._channels)

    async def _chore(self, socket: ClientConnection, connection: Connection) -> None:
        while connection.closed is None:
            await asyncio.sleep(self._rng.uniform(0.2, 1.5))
            moment = time.monotonic()
            # What is under way gets time to arrive.
            await asyncio.sleep(1.0)
            if connection.closed is None and self._is_whole(connection, moment):
                connection.owed_until = moment
                await socket.close()


def _another(rng: Random) -> Random:
    """Randomness that does not depend on how often others ask for theirs."""
    return Random(rng.random())  # noqa: S311 -- no secret depends on it


class Audience:
    """All clients.

    Args:
        count: How many listen and do nothing else.
        channels: Their channels, in turn.
        relays: The ports of the relays, in turn.
        rng: Randomness.
        logs: What was said on channels of speakers, one each.

    Attributes:
        clients: Those who stay: listeners and speakers.
        wanderers: Those who come and go.
    """

    def __init__(
        self,
        count: int,
        channels: Sequence[str],
        relays: Sequence[int],
        rng: Random,
        logs: Mapping[str, list[Publication]],
    ) -> None:
        self.clients: list[Client] = []
        self.wanderers: list[Wanderer] = []
        self._relays = relays
        self._rng = rng
        for channel, log in logs.items():
            self.clients.append(Speaker(channel, relays, _another(rng), log))
        for number in range(count):
            first = (number // len(channels)) % len(relays)
            self.clients.append(
                Client(channels[number % len(channels)], [*relays[first:], *relays[:first]], _another(rng))
            )

    @property
    def connections(self) -> list[Connection]:
        """All connections there ever were."""
        return [each for client in (*self.clients, *self.wanderers) for each in client.connections]

    def wander(self, channels: Sequence[str], is_whole: Callable[[Connection, float], bool]) -> None:
        """Let some come and go on these channels from now on."""
        for _ in range(WANDERERS):
            self.wanderers.append(Wanderer(channels, self._relays, _another(self._rng), is_whole))

    async def settle_down(self) -> None:
        """Those who come and go have gone."""
        await asyncio.gather(*(wanderer.leave() for wanderer in self.wanderers))

    def hush(self) -> None:
        """Nobody says anything or goes anywhere any more."""
        for client in (*self.clients, *self.wanderers):
            client.hush()

    @property
    def codes(self) -> Counter[str]:
        """How connections ended, and handshakes were refused."""
        codes = Counter(
            str(each.code) for each in self.connections if each.closed is not None and each.owed_until is None
        )
        for client in self.clients:
            codes.update({f"refused {reason}": count for reason, count in client.responses.items()})
        return codes

    def all_hear(self, since: float) -> bool:
        """Tell whether every client is connected and got something after this moment."""
        for client in self.clients:
            current = client.current
            if current is None or not current.times or current.times[-1] < since:
                return False
        return True

    async def leave(self) -> None:
        """All go home."""
        await asyncio.gather(*(client.leave() for client in (*self.clients, *self.wanderers)))
