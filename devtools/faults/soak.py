"""A soak: relays and Redis are killed and restarted at random for minutes, and every entry is accounted for.

Programs add entries to the streams of several channels by a plain XADD. Hundreds of clients of event streams and
sockets reach three relays through a balancer. At the end the record of each client is compared with what was added.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from devtools.faults.audit import DeliveryReport, audit
from devtools.faults.clients import ClientPool
from devtools.faults.environment import WITH_HISTORY, FaultError
from devtools.faults.publisher import MessageState, StreamPublisher
from devtools.faults.stream_audit import StreamReport, audit_streams
from devtools.faults.stream_clients import StreamPool
from devtools.harness.balancer import Balancer
from devtools.harness.raw_connection import wait_until
from devtools.harness.redis_client import RedisClient
from devtools.harness.redis_server import AsyncRedisServer
from devtools.harness.relay import AsyncRelay

__all__ = ["Soak", "SoakResult"]

RELAYS = 3
CHANNELS = tuple(f"h{number}" for number in range(8))
ENTRIES_PER_SECOND = 24.0
MAX_LENGTH = 3000
"""The length of each stream: that of two minutes, and no client is away so long."""

STREAM_CLIENTS = 160
WIDE_STREAM_CLIENTS = 60
WANDERING_CLIENTS = 40
SOCKETS = 80

START_SECONDS = 60.0
RETURN_SECONDS = 60.0
"""How long it may take at the end until every client is back and has everything."""

PAUSE_SECONDS = (2.0, 8.0)
"""The shortest and the longest time between two of the things that go wrong."""

RELAY_SHARE = 0.6
"""The part of them that happens to relays; the others happen to Redis."""

DRAIN_SECONDS = 28.0


@dataclass(slots=True)
class SoakResult:
    """The outcome.

    Attributes:
        seconds: How long it took.
        entries: Entries that Redis accepted.
        unknown: Entries of which no reply came, because Redis was killed.
        incidents: What went wrong, and how often.
        reconnects: How often clients of event streams came back.
        recoveries: How relays answered those who came back with a position, as far as they lived to tell.
        streams: What clients of event streams were told.
        sockets: What came on the sockets.
        socket_codes: How sockets ended, by close code.
        problems: Why it failed; empty if it passed.
    """

    seconds: float
    entries: int
    unknown: int
    incidents: dict[str, int]
    reconnects: int
    recoveries: dict[str, int]
    streams: StreamReport
    sockets: DeliveryReport
    socket_codes: dict[str, int]
    problems: list[str] = field(default_factory=list)


class Soak:
    """One soak, which leaves nothing behind.

    Args:
        minutes: How long things go wrong.
        seed: The seed of all randomness.
        loses_data: Whether Redis now and then comes back without its data.
    """

    def __init__(self, minutes: float, seed: int = 1, *, loses_data: bool = False) -> None:
        self._minutes = minutes
        self._rng = Random(seed)  # noqa: S311 -- no secret depends on it
        self._redis = AsyncRedisServer("--appendonly", "yes", "--appendfsync", "no")
        config = self._redis.folder / "wsrelay.toml"
        config.write_text(WITH_HISTORY)
        flags = ("--metrics", "true", "--config", str(config), "--drain-timeout-seconds", "8")
        self._relays = [AsyncRelay(*flags, env={"REDIS_URL": self._redis.url}) for _ in range(RELAYS)]
        self._balancer = Balancer([relay.port for relay in self._relays], self._rng)
        self._adder = StreamPublisher(self._redis.port, CHANNELS, ENTRIES_PER_SECOND, max_length=MAX_LENGTH)
        self._loses_data = loses_data
        # Those that nothing is wrong with at the moment.
        self._whole_relays = list(self._relays)
        self._is_redis_whole = True
        self._streams: StreamPool | None = None
        self._sockets: ClientPool | None = None
        self._incidents: Counter[str] = Counter()
        self._recoveries: Counter[str] = Counter()
        self._problems: list[str] = []

    async def run(self) -> SoakResult:
        """Run it; it ends by itself.

        Raises:
            FaultError: Nothing could be tried.
        """
        began = time.monotonic()
        try:
            streams, sockets = await self._start()
            await self._disturb(time.monotonic() + self._minutes * 60)
            await self._calm_down(streams)
            report, delivery = await self._final_reports(streams, sockets)
            for relay in self._relays:
                await self._note_recoveries(relay)
            self._problems += streams.problems()
            if any(word in relay.log() for relay in self._relays for word in ("Traceback", "Unhandled")):
                self._problems.append("a relay's log has a traceback")
            return self._result(time.monotonic() - began, streams, sockets, report, delivery)
        finally:
            await self._close()

    async def _start(self) -> tuple[StreamPool, ClientPool]:
        try:
            await self._redis.start()
            await asyncio.gather(*(relay.start() for relay in self._relays))
        except RuntimeError as error:
            raise FaultError(str(error)) from error
        await self._balancer.listen()
        ports = [self._balancer.port]
        streams = self._streams = StreamPool(CHANNELS, STREAM_CLIENTS, WIDE_STREAM_CLIENTS, ports, self._rng)
        streams.start_wandering(WANDERING_CLIENTS)
        sockets = self._sockets = ClientPool(SOCKETS, CHANNELS, ports, self._rng, {})
        self._adder.start()
        if not await wait_until(
            lambda: all(record.items for record in streams.records) and sockets.all_receive(0.0), START_SECONDS
        ):
            raise FaultError(f"not every client received an entry within {START_SECONDS:.0f} s of the start")
        return streams, sockets

    # What goes wrong

    async def _disturb(self, until: float) -> None:
        """Let things go wrong at random, several at the same time, and wait until all are repaired."""
        relay_incidents = (*(self._kill,) * 2, *(self._replace,) * 2, self._freeze)
        redis_incidents = (*(self._restart_redis,) * 3, self._freeze_redis, self._kill_links)
        async with asyncio.TaskGroup() as group:
            while (now := time.monotonic()) < until:
                await asyncio.sleep(min(self._rng.uniform(*PAUSE_SECONDS), until - now))
                if self._rng.random() < RELAY_SHARE:
                    if self._whole_relays:
                        relay = self._rng.choice(self._whole_relays)
                        group.create_task(self._break_relay(relay, self._rng.choice(relay_incidents)))
                elif self._is_redis_whole:
                    group.create_task(self._break_redis(self._rng.choice(redis_incidents)))

    async def _break_relay(self, relay: AsyncRelay, incident: Callable[[AsyncRelay], Awaitable[None]]) -> None:
        self._whole_relays.remove(relay)
        try:
            await incident(relay)
        except RuntimeError as error:
            self._problems.append(str(error))
        else:
            self._whole_relays.append(relay)

    async def _break_redis(self, incident: Callable[[], Awaitable[None]]) -> None:
        self._is_redis_whole = False
        try:
            await incident()
        except (RuntimeError, OSError) as error:
            self._problems.append(str(error))
        else:
            self._is_redis_whole = True

    async def _kill(self, relay: AsyncRelay) -> None:
        self._incidents["relay killed"] += 1
        await self._note_recoveries(relay)
        relay.kill()
        await asyncio.sleep(self._rng.uniform(0.0, 3.0))
        # Redis may be away as well: it is ready when that is back.
        await relay.start(ready=False)

    async def _replace(self, relay: AsyncRelay) -> None:
        self._incidents["relay replaced"] += 1
        await self._note_recoveries(relay)
        await relay.stop_async(DRAIN_SECONDS)
        await relay.start(ready=False)

    async def _freeze(self, relay: AsyncRelay) -> None:
        self._incidents["relay frozen"] += 1
        relay.signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(1.0, 6.0))
        relay.signal(signal.SIGCONT)

    async def _restart_redis(self) -> None:
        self._redis.kill()
        if self._loses_data and self._rng.random() < 0.5:
            self._incidents["Redis restarted without its data"] += 1
            for path in self._redis.folder.glob("appendonlydir/*"):
                path.unlink()
        else:
            self._incidents["Redis restarted"] += 1
        await asyncio.sleep(self._rng.uniform(0.0, 4.0))
        await self._redis.start()

    async def _freeze_redis(self) -> None:
        self._incidents["Redis frozen"] += 1
        self._redis.signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(0.5, 6.0))
        self._redis.signal(signal.SIGCONT)

    async def _kill_links(self) -> None:
        self._incidents["links killed"] += 1
        admin = await RedisClient.connect(self._redis.port)
        try:
            for kind in ("normal", "pubsub"):
                await admin.command("CLIENT", "KILL", "TYPE", kind)
        finally:
            admin.close()

    # The end

    async def _calm_down(self, streams: StreamPool) -> None:
        """Wait until all are back, and then until all have everything."""
        streams.stay()
        since = time.monotonic()
        if not await wait_until(lambda: streams.all_receive(since), RETURN_SECONDS):
            self._problems.append(f"not every client was back within {RETURN_SECONDS:.0f} s")
        await self._adder.stop()

    async def _final_reports(self, streams: StreamPool, sockets: ClientPool) -> tuple[StreamReport, DeliveryReport]:
        deadline = time.monotonic() + RETURN_SECONDS
        while True:
            now = time.monotonic()
            report = audit_streams(streams.records, self._adder.log, now)
            delivery = audit(sockets.connections, self._adder.log, now)
            if not (report.holes or delivery.silent) or now > deadline:
                return report, delivery
            await asyncio.sleep(1)

    async def _note_recoveries(self, relay: AsyncRelay) -> None:
        self._recoveries.update(await relay.metrics_by_label("wsrelay_recoveries_total"))

    def _result(
        self,
        seconds: float,
        streams: StreamPool,
        sockets: ClientPool,
        report: StreamReport,
        delivery: DeliveryReport,
    ) -> SoakResult:
        problems = self._problems
        if report.holes or report.doubles or report.unknown:
            problems.append(f"event streams: {report.holes} holes, {report.doubles} doubles; {report.examples}")
        if delivery.silent or delivery.disordered:
            problems.append(f"sockets: {delivery.silent} holes, {delivery.disordered} doubles; {delivery.examples}")
        messages = [message for log in self._adder.log.values() for message in log]
        return SoakResult(
            seconds=round(seconds, 1),
            entries=self._adder.accepted,
            unknown=sum(message.state is MessageState.UNKNOWN for message in messages),
            incidents=dict(self._incidents),
            reconnects=streams.reconnects,
            recoveries={name: int(count) for name, count in self._recoveries.items()},
            streams=report,
            sockets=delivery,
            socket_codes=dict(sockets.codes),
            problems=problems,
        )

    async def _close(self) -> None:
        await self._adder.stop()
        for pool in (self._streams, self._sockets):
            if pool is not None:
                await pool.close()
        await self._balancer.close()
        for child in (*self._relays, self._redis):
            child.close()
