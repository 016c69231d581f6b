"""The world of one fault: Redis, a proxy before it, relays, a publisher, and clients."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from devtools.faults import hook
from devtools.faults.children import Redis, Relay
from devtools.faults.clients import Audience, Connection
from devtools.faults.net import RedisClient
from devtools.faults.proxy import Proxy
from devtools.faults.publisher import Publication, Publisher, State
from devtools.faults.verdict import audit

if TYPE_CHECKING:
    from devtools.faults.faults import Fault

__all__ = ["CHANNELS", "FaultError", "Gauge", "Stage"]

CHANNELS = ("c0", "c1", "c2", "c3", "c4")
BYWAYS = tuple(f"w{number}" for number in range(10))
"""Channels of those who come and go, so that the relay subscribes and unsubscribes all the time."""

SPEAKERS = ("s0", "s1")
CLIENTS = 50
MESSAGES_PER_SECOND = 90.0

RED_SECONDS = 12.0
"""How soon `/readyz` must say that messages do not flow: 8 s by the relay's own deadlines, and some for the machine."""

_POLL_SECONDS = 0.25
POLL_PATIENCE_SECONDS = 3.0


class FaultError(Exception):
    """The fault could not be brought about, or something about it was wrong; the text says what."""


class Gauge:
    """Asks `/readyz` of one relay again and again, and compares with what its clients get.

    Args:
        relay: The relay.
        flows: Gives when a message last came to a client of this relay.
        taken: Gives how many messages Redis took so far.
    """

    def __init__(self, relay: Relay, flows: Callable[[], float], taken: Callable[[], int]) -> None:
        self.relay = relay
        self.is_ready = False
        self.reason = ""
        self.reds: list[tuple[float, str]] = []
        self.longest_lie = 0.0
        self._flows = flows
        self._taken = taken
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ask no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        # While the two differ, somebody published and nobody heard: since when, and how much was published then.
        since, taken = time.monotonic(), self._taken()
        while True:
            status, self.reason = await self.relay.get("/readyz", POLL_PATIENCE_SECONDS)
            now = time.monotonic()
            self.is_ready = status == 200
            if not self.is_ready:
                self.reds.append((now, self.reason.strip()))
            if self._flows() >= since or not self.is_ready:
                since, taken = now, self._taken()
            elif self._taken() > taken:
                self.longest_lie = max(self.longest_lie, now - since)
            await asyncio.sleep(_POLL_SECONDS)


class Stage:
    """Everything that a fault may touch.

    Args:
        fault: For whom it is set up.
        clients: How many clients there are.
        seed: Where the randomness of clients and hostile clients comes from.

    Attributes:
        redis: The server.
        standby: Another server, started by those who need one.
        proxy: Between the relays and Redis.
        relays: The relays.
        publisher: Publishes directly at Redis, not through the proxy.
        problems: What an act found to be wrong.
    """

    def __init__(self, fault: Fault, clients: int = CLIENTS, seed: int = 1) -> None:
        self.fault = fault
        self.rng = Random(seed)  # noqa: S311 -- no secret depends on it
        self.problems: list[str] = []
        self.before: list[tuple[int, int]] = []
        self._clients = clients
        admin = fault.password if not fault.user else None
        self.redis = Redis(*fault.redis_flags, *(("--requirepass", admin) if admin else ()))
        self.standby: Redis | None = None
        self.proxy = Proxy(self.redis.port, fault.receive_buffer)
        signing = f"{fault.user}:{fault.password}@" if fault.password else ""
        environment: dict[str, str] = {}
        host = "127.0.0.1"
        self.hooks = self.redis.folder / "hooks"
        if fault.hooked:
            host = hook.NAME
            self.hooks.mkdir()
            shutil.copy(Path(hook.__file__), self.hooks / "sitecustomize.py")
            environment = {"PYTHONPATH": str(self.hooks), "FAULTS_HOOKS": str(self.hooks)}
        url = f"redis://{signing}{host}:{self.proxy.port}"
        permissions: tuple[str, ...]
        if fault.config:
            path = self.redis.folder / "wsrelay.toml"
            path.write_text(fault.config)
            permissions = ("--config", str(path))
        else:
            permissions = ("--channels", "*", "--publish", ",".join(SPEAKERS))
        self.relays = [Relay(url, (*permissions, *fault.flags), environment) for _ in range(fault.relays)]
        self.publisher = Publisher(self.redis.port, (*CHANNELS, *BYWAYS), MESSAGES_PER_SECOND, admin)
        self.said: dict[str, list[Publication]] = {channel: [] for channel in SPEAKERS}
        self.publisher.log.update(self.said)
        self._admin_password = admin
        self.gauges: list[Gauge] = []
        self._audience: Audience | None = None

    @property
    def relay(self) -> Relay:
        """The first relay."""
        return self.relays[0]

    @property
    def audience(self) -> Audience:
        """The clients."""
        if self._audience is None:
            raise FaultError("the clients have not come yet")
        return self._audience

    async def set_up(self) -> None:
        """Start everything and wait until every client gets messages."""
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
        """Let the clients come and the publisher begin; wait until every client gets messages."""
        self.publisher.start()
        ports = [relay.port for relay in self.relays]
        self._audience = Audience(self._clients, CHANNELS, ports, self.rng, self.said)
        self.gauges = [
            Gauge(relay, self._last_heard(relay.port), lambda: self.publisher.taken) for relay in self.relays
        ]
        began = time.monotonic()
        await self.until(lambda: self.audience.all_hear(began) and self.is_ready, 20, "the clients get messages")
        await asyncio.sleep(0.5)
        self.before = self.sizes()
        self.audience.wander((*CHANNELS, *BYWAYS), self._is_whole)

    async def tear_down(self) -> list[str]:
        """End everything; return what was wrong about the end."""
        problems: list[str] = []
        await self.publisher.stop()
        for gauge in self.gauges:
            await gauge.stop()
        if self._audience is not None:
            await self._audience.leave()
        for relay in self.relays:
            if relay.alive() and not await relay.terminate():
                problems.append("a relay did not stop in time")
        return problems

    async def close(self) -> None:
        """Whatever happened: leave nothing behind."""
        try:
            await self.tear_down()
        finally:
            await self.proxy.close()
            for child in (*self.relays, self.redis, self.standby):
                if child is not None:
                    child.close()

    @property
    def is_ready(self) -> bool:
        """Whether all relays say that they are."""
        return all(gauge.is_ready for gauge in self.gauges)

    def sizes(self) -> list[tuple[int, int]]:
        """Return descriptors and resident bytes of each relay."""
        return [(relay.descriptors(), relay.resident_bytes()) for relay in self.relays]

    def expect(self, true: object, text: str) -> None:
        """Note what was wrong, unless it was right."""
        if not true:
            self.problems.append(text)

    async def admin(self, *words: str | bytes | int, redis: Redis | None = None) -> object:
        """Send one command to Redis, or to the other server."""
        server = redis or self.redis
        client = await RedisClient.connect(server.port, self._admin_password)
        try:
            return await client.command(*words)
        finally:
            client.close()

    async def until(self, true: Callable[[], object], seconds: float, text: str) -> float:
        """Wait until something is so; return how long that took.

        Raises:
            FaultError: It never was.
        """
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > seconds:
                raise FaultError(f"not within {seconds:.0f} s: {text}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def until_noticed(self) -> None:
        """Wait until the relays make new connections to Redis, of their own accord and without any help.

        Raises:
            FaultError: They never do.
        """
        before = self.proxy.accepted
        await self.until(
            lambda: self.proxy.accepted >= before + 2 * len(self.relays), RED_SECONDS, "the relay makes new links"
        )

    async def until_red(self, more: float = 0.5) -> None:
        """Wait until every relay says that it is not ready, and a little longer; those that do not are a problem."""
        since = time.monotonic()

        def all_red() -> bool:
            return all(any(when > since for when, _ in gauge.reds) for gauge in self.gauges)

        try:
            await self.until(all_red, RED_SECONDS, "/readyz says that messages do not flow")
        except FaultError as error:
            self.problems.append(str(error))
        await asyncio.sleep(more)

    def hooked(self, name: str, text: str | None) -> None:
        """Write what breaks resolver or clock of the relays, or take it away."""
        path = self.hooks / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.rename(path)

    def connected(self) -> Sequence[object]:
        """The connections that are open now, to be compared with those of another time."""
        return [client.current for client in self.audience.clients]

    def _is_whole(self, connection: Connection, until: float) -> bool:
        log = self.publisher.log[connection.channel]
        # What a frozen Redis has not taken yet it may take later, and then it was owed.
        waits = any(each.state is State.SENT and connection.opened < each.sent <= until for each in log)
        return not waits and not audit([connection], self.publisher.log, until).lost

    def _last_heard(self, port: int) -> Callable[[], float]:
        def last() -> float:
            return max(
                (each.times[-1] for each in self.audience.connections if each.relay == port and each.times), default=0.0
            )

        return last
