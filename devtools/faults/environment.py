"""The environment of one fault: Redis, a proxy in front of it, relays, a publisher, and clients."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from devtools.faults import broken_host
from devtools.faults.audit import audit
from devtools.faults.clients import ClientPool, ConnectionRecord
from devtools.faults.publisher import PREFIX, MessageState, NumberedMessage, Publisher, StreamPublisher
from devtools.faults.readiness import ReadinessMonitor
from devtools.faults.stream_audit import StreamReport, audit_streams
from devtools.faults.stream_clients import StreamPool
from devtools.harness.proxy import Proxy
from devtools.harness.redis_client import RedisClient
from devtools.harness.redis_server import AsyncRedisServer
from devtools.harness.relay import AsyncRelay

if TYPE_CHECKING:
    from devtools.faults.fault import Fault

__all__ = [
    "CHANNELS",
    "CLIENTS",
    "HISTORY_CHANNELS",
    "OVERLOAD_SECONDS",
    "STREAM_CLIENTS",
    "WANDERING_CLIENTS",
    "WIDE_STREAM_CLIENTS",
    "WITH_HISTORY",
    "FaultEnvironment",
    "FaultError",
]

CHANNELS = ("c0", "c1", "c2", "c3", "c4")
ROAMING_CHANNELS = tuple(f"w{number}" for number in range(10))
"""Channels of roaming clients, so that the relay subscribes and unsubscribes all the time."""

PUBLISHING_CHANNELS = ("s0", "s1")
"""Channels of clients that publish through their sockets, one each."""

HISTORY_CHANNELS = ("h0", "h1", "h2", "h3", "h4")
"""Channels with history, where a fault has them."""

CLIENTS = 50
MESSAGES_PER_SECOND = 90.0
ENTRIES_PER_SECOND = 50.0

STREAM_CLIENTS = 20
WIDE_STREAM_CLIENTS = 10
"""Clients of event streams, of one channel and of several, where a fault has channels with history. So many of the
clients that only listen are those."""

WITH_HISTORY = """\
[namespaces.all]
channels = ["*"]

[namespaces.published]
channels = ["s0", "s1"]
publish = true

[namespaces.kept]
channels = ["h*"]
history_size = 10000
history_seconds = 3600
"""

WANDERING_CLIENTS = 6

OVERLOAD_SECONDS = 5.0
"""How long an overload lasts, unless the command line says otherwise."""

UNREADY_SECONDS = 12.0
"""How soon `/readyz` must report that messages do not flow: 8 s by the relay's own deadlines, and a margin for the
machine."""

START_SECONDS = 40.0
STOP_SECONDS = 12.0


class FaultError(Exception):
    """The fault could not be brought about, or a step of it did not happen; the text says which."""


class FaultEnvironment:
    """Everything that a fault may touch.

    Args:
        fault: The fault.
        clients: The number of clients that only listen.
        seed: The seed of all randomness.
        overload_seconds: How long an overload lasts.

    Attributes:
        fault: See above.
        overload_seconds: See above.
        rng: Randomness for clients.
        redis: The Redis server.
        proxy: The proxy between the relays and Redis.
        relays: The relays.
        publisher: Publishes directly to Redis, not through the proxy.
        adder: Adds entries to the streams of channels with history, likewise.
        monitors: The readiness monitors, one for each relay.
        problems: What a scenario found to be wrong.
        before: Open files and resident bytes of each relay before the fault.
        streams: The clients of event streams. None where there are no channels with history.
    """

    def __init__(
        self, fault: Fault, clients: int = CLIENTS, seed: int = 1, overload_seconds: float = OVERLOAD_SECONDS
    ) -> None:
        self.fault = fault
        self.overload_seconds = overload_seconds
        self.rng = Random(seed)  # noqa: S311 -- no secret depends on it
        self.problems: list[str] = []
        self.before: list[tuple[int, int]] = []
        self.monitors: list[ReadinessMonitor] = []
        self._clients = clients
        self._admin_password = fault.password if not fault.user else None
        password = ("--requirepass", self._admin_password) if self._admin_password else ()
        self.redis = AsyncRedisServer(*fault.redis_flags, *password)
        self._standby: AsyncRedisServer | None = None
        self.proxy = Proxy(self.redis.port, fault.receive_buffer)
        self._host_folder = self.redis.folder / "host"
        self.relays = self._make_relays()
        self.publisher = Publisher(
            self.redis.port, (*CHANNELS, *ROAMING_CHANNELS), MESSAGES_PER_SECOND, self._admin_password
        )
        self.adder = StreamPublisher(self.redis.port, HISTORY_CHANNELS, ENTRIES_PER_SECOND, self._admin_password)
        self._client_log: dict[str, list[NumberedMessage]] = {channel: [] for channel in PUBLISHING_CHANNELS}
        self.publisher.log.update(self._client_log)
        self.publisher.log.update(self.adder.log)
        self._pool: ClientPool | None = None
        self.streams: StreamPool | None = None

    def _make_relays(self) -> list[AsyncRelay]:
        fault = self.fault
        host = "127.0.0.1"
        variables: dict[str, str] = {}
        if fault.breaks_host:
            host = broken_host.NAME
            self._host_folder.mkdir()
            shutil.copy(Path(broken_host.__file__), self._host_folder / "sitecustomize.py")
            variables = {"PYTHONPATH": str(self._host_folder), broken_host.VARIABLE: str(self._host_folder)}
        credentials = f"{fault.user}:{fault.password}@" if fault.password else ""
        variables["REDIS_URL"] = f"redis://{credentials}{host}:{self.proxy.port}"
        permissions: tuple[str, ...] = ("--channels", "*", "--publish", ",".join(PUBLISHING_CHANNELS))
        if config := fault.config or (WITH_HISTORY if fault.history else ""):
            path = self.redis.folder / "wsrelay.toml"
            path.write_text(config)
            permissions = ("--config", str(path))
        flags = ("--metrics", "true", *permissions, *fault.flags)
        return [AsyncRelay(*flags, env=variables) for _ in range(fault.relays)]

    @property
    def relay(self) -> AsyncRelay:
        """The first relay."""
        return self.relays[0]

    @property
    def pool(self) -> ClientPool:
        """The clients.

        Raises:
            FaultError: They were not started yet.
        """
        if self._pool is None:
            raise FaultError("the clients were not started yet")
        return self._pool

    @property
    def is_ready(self) -> bool:
        """True if all relays report that they are."""
        return all(monitor.is_ready for monitor in self.monitors)

    # Start and end

    async def set_up(self) -> None:
        """Start everything and wait until every client receives messages."""
        await self.redis.start()
        await self.proxy.listen()
        if self.fault.user:
            names = [f"&wsrelay:{channel}" for channel in ("$probe:*", *self.publisher.log)]
            rules = ("on", f">{self.fault.password}", "+@all", "resetchannels", *names)
            await self.admin("ACL", "SETUSER", self.fault.user, *rules)
        if not self.fault.starts_down:
            await asyncio.gather(*(relay.start() for relay in self.relays))
            await self.open()

    async def open(self) -> None:
        """Start clients and publisher; wait until every client receives messages."""
        self.publisher.start()
        ports = [relay.port for relay in self.relays]
        listening: int = self._clients
        channels: tuple[str, ...] = CHANNELS
        if self.fault.history:
            self.adder.start()
            self.streams = StreamPool(HISTORY_CHANNELS, STREAM_CLIENTS, WIDE_STREAM_CLIENTS, ports, self.rng)
            listening, channels = listening - len(self.streams.clients), CHANNELS + HISTORY_CHANNELS
        self._pool = ClientPool(listening, channels, ports, self.rng, self._client_log)
        self.monitors = [
            ReadinessMonitor(relay, self._last_received(relay.port), lambda: self.publisher.accepted)
            for relay in self.relays
        ]
        began = time.monotonic()
        await self.wait_until(
            lambda: self.all_receive(began) and self.is_ready, START_SECONDS, "every client receives messages"
        )
        await asyncio.sleep(0.5)
        self.before = self.sizes()
        if self.streams is not None:
            self.streams.start_wandering(WANDERING_CLIENTS)
        self.pool.start_roaming((*channels, *ROAMING_CHANNELS), self._is_complete)

    async def tear_down(self) -> list[str]:
        """End everything; return what was wrong about the end."""
        problems: list[str] = []
        await self.stop_publishing()
        for monitor in self.monitors:
            await monitor.stop()
        if self._pool is not None:
            await self._pool.close()
        if self.streams is not None:
            await self.streams.close()
        for relay in self.relays:
            if relay.is_running and not await relay.stop_async(STOP_SECONDS):
                problems.append("a relay did not stop in time")
        return problems

    async def close(self) -> None:
        """End everything and remove all files, whatever has happened."""
        try:
            await self.tear_down()
        finally:
            await self.proxy.close()
            for child in (*self.relays, self.redis, self._standby):
                if child is not None:
                    child.close()

    async def stop_publishing(self) -> None:
        """Publish and add nothing any more."""
        await self.publisher.stop()
        await self.adder.stop()

    async def stop_moving(self) -> None:
        """End the clients that go from channel to channel, and those that lose their connections."""
        await self.pool.stop_roaming()
        if self.streams is not None:
            await self.streams.stop_wandering()

    # For scenarios

    def expect(self, condition: object, text: str) -> None:
        """Note a problem unless a condition is true."""
        if not condition:
            self.problems.append(text)

    async def admin(self, *words: str | bytes | int, redis: AsyncRedisServer | None = None) -> object:
        """Send one command to Redis, or to another server, and return the reply."""
        server = redis or self.redis
        client = await RedisClient.connect(server.port, self._admin_password)
        try:
            return await client.command(*words)
        finally:
            client.close()

    async def start_standby(self) -> AsyncRedisServer:
        """Return another Redis server, which runs until the fault is over."""
        self._standby = AsyncRedisServer()
        await self._standby.start()
        return self._standby

    def break_host(self, name: str, text: str | None) -> None:
        """Break resolver or clock of the relays by writing a file (see `broken_host`); if None, repair it."""
        path = self._host_folder / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.rename(path)

    async def wait_until(self, condition: Callable[[], object], seconds: float, text: str) -> float:
        """Wait until a condition is true; return how long that took.

        Raises:
            FaultError: It was not true in time.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise FaultError(f"not within {seconds:.0f} s: {text}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def wait_until_reconnected(self) -> None:
        """Wait until the relays open new connections to Redis without help.

        Raises:
            FaultError: They do not.
        """
        expected = self.proxy.accepted + 2 * len(self.relays)
        await self.wait_until(lambda: self.proxy.accepted >= expected, UNREADY_SECONDS, "the relay reconnects to Redis")

    async def wait_until_unready(self, more: float = 0.5) -> None:
        """Wait until every relay reports that it is not ready, and `more` seconds. It is a problem if one does not."""
        since = time.monotonic()

        def all_unready() -> bool:
            return all(any(when > since for when, _ in monitor.unready_reports) for monitor in self.monitors)

        try:
            await self.wait_until(all_unready, UNREADY_SECONDS, "/readyz reports that messages do not flow")
        except FaultError as error:
            self.problems.append(str(error))
        await asyncio.sleep(more)

    async def mark_forgotten(self, redis: AsyncRedisServer) -> int:
        """Mark the entries that a server does not have, because it did not get them in time; return their number."""
        count = 0
        for channel in HISTORY_CHANNELS:
            entries: Any = await self.admin("XRANGE", PREFIX + channel, "-", "+", redis=redis)
            held = {int(fields[1].split()[1]) for _, fields in entries}
            for number, message in enumerate(self.adder.log[channel]):
                if number not in held and message.state is not MessageState.REJECTED:
                    message.state = MessageState.FORGOTTEN
                    count += 1
        return count

    # Measurements

    def all_receive(self, since: float) -> bool:
        """Return whether every client is connected and received something after a moment."""
        return self.pool.all_receive(since) and (self.streams is None or self.streams.all_receive(since))

    def stream_report(self, until: float) -> StreamReport:
        """Return what clients of event streams were told of what was added until a moment."""
        return audit_streams([] if self.streams is None else self.streams.records, self.adder.log, until)

    def sizes(self) -> list[tuple[int, int]]:
        """Return open files and resident bytes of each relay."""
        return [(relay.descriptors(), relay.resident_bytes()) for relay in self.relays]

    def open_connections(self) -> Sequence[object]:
        """Return each client's open connection or None, to be compared with those of another time."""
        streams = () if self.streams is None else self.streams.connections
        return [*(client.current for client in self.pool.clients), *streams]

    def _is_complete(self, connection: ConnectionRecord, until: float) -> bool:
        log = self.publisher.log[connection.channel]
        # A message that a frozen Redis has not accepted yet may be accepted later, and then it was expected.
        is_pending = any(each.state is MessageState.SENT and connection.opened < each.sent <= until for each in log)
        return not is_pending and not audit([connection], self.publisher.log, until).lost

    def _last_received(self, port: int) -> Callable[[], float]:
        def last() -> float:
            return max(
                (each.times[-1] for each in self.pool.connections if each.relay == port and each.times), default=0.0
            )

        return last
