"""Faults of everything around channels with history: what the streams still hold must reach every client."""

from __future__ import annotations

import asyncio
import signal
import time

from devtools.faults.environment import HISTORY_CHANNELS, FaultEnvironment, FaultError
from devtools.faults.fault import Gaps, Unready, fault
from devtools.faults.publisher import PREFIX
from devtools.harness.proxy import Direction, Role
from devtools.harness.redis_server import AsyncRedisServer

KEEPS = ("--appendonly", "yes", "--appendfsync", "no")
"""Flags of a server that has its data again after SIGKILL: what it writes is with the kernel before it replies."""

WITHOUT_TRACKING = ("--rename-command", "HELLO", "")
"""Flags of a server without RESP3, as some hosters offer it: no client tracking."""

KEYS = [PREFIX + channel for channel in HISTORY_CHANNELS]


async def _restart(environment: FaultEnvironment, pause: float = 2.0) -> None:
    environment.redis.kill()
    await asyncio.sleep(pause)
    await environment.redis.start()


# Redis


@fault(history=Gaps.NEVER, quick=True, relays=2, unready=Unready.MUST, redis_flags=KEEPS)
async def redis_restarts_with_its_data(environment: FaultEnvironment) -> None:
    """Redis is killed by SIGKILL and started again two seconds later with its data."""
    await _restart(environment)


@fault(history=Gaps.NEVER, unready=Unready.MUST, redis_flags=(*KEEPS, *WITHOUT_TRACKING))
async def redis_without_tracking_restarts(environment: FaultEnvironment) -> None:
    """Redis, which has no client tracking and publishes no events, is killed and started again with its data."""
    await _restart(environment)


@fault(
    history=Gaps.NEVER,
    unready=Unready.MUST,
    redis_flags=(*KEEPS, *WITHOUT_TRACKING, "--notify-keyspace-events", "KA"),
)
async def redis_with_events_restarts(environment: FaultEnvironment) -> None:
    """Redis, which has no client tracking and publishes keyspace events, is killed and started again with its data."""
    await _restart(environment)


@fault(history=Gaps.MUST, quick=True, relays=2, unready=Unready.MUST)
async def redis_restarts_without_its_data(environment: FaultEnvironment) -> None:
    """Redis is killed by SIGKILL and started again two seconds later without its data."""
    await _restart(environment)


@fault(history=Gaps.NEVER, unready=Unready.MUST)
async def redis_freezes_over_streams(environment: FaultEnvironment) -> None:
    """Redis is stopped by SIGSTOP until `/readyz` reports it."""
    environment.redis.signal(signal.SIGSTOP)
    await environment.wait_until_unready(2)
    environment.redis.signal(signal.SIGCONT)


@fault(history=Gaps.MUST, quick=True, unready=Unready.MAY)
async def failover_loses_writes(environment: FaultEnvironment) -> None:
    """A replica that has not received what was written in the last two seconds becomes the master."""
    await _fail_over(environment, lost_seconds=2.0)


@fault(history=Gaps.NEVER, unready=Unready.MAY)
async def failover_loses_nothing(environment: FaultEnvironment) -> None:
    """A replica that has received everything becomes the master."""
    await _fail_over(environment, lost_seconds=0.0)


@fault(history=Gaps.NEVER, unready=Unready.MAY)
async def proxy_hides_a_failover(environment: FaultEnvironment) -> None:
    """A replica becomes the master, and a proxy moves the open links to it: nothing is tracked or subscribed there."""
    standby = await _start_replica(environment)
    await environment.stop_publishing()
    # Everything is replicated, and no command is under way any more: a real proxy sees to that.
    await asyncio.sleep(1)
    await environment.admin("REPLICAOF", "NO", "ONE", redis=standby)
    environment.expect(not await environment.mark_forgotten(standby), "the replica was not in step")
    environment.proxy.redirect(standby.port)
    await environment.proxy.move()
    environment.redis.kill()
    await _continue_at(environment, standby)
    await asyncio.sleep(10)


async def _start_replica(environment: FaultEnvironment) -> AsyncRedisServer:
    """Return another server that has everything, and gets what is written."""
    standby = await environment.start_standby()
    await environment.admin("REPLICAOF", "127.0.0.1", environment.redis.port, redis=standby)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        # The reply to INFO is bytes.
        state = bytes(await environment.admin("INFO", "replication", redis=standby))  # type: ignore[call-overload]
        if b"master_link_status:up" in state and b"master_sync_in_progress:0" in state:
            return standby
        await asyncio.sleep(0.1)
    raise FaultError("the replica was not in step in time")


async def _continue_at(environment: FaultEnvironment, server: AsyncRedisServer) -> None:
    environment.publisher.switch(server.port)
    environment.adder.switch(server.port)
    environment.publisher.start()
    environment.adder.start()


async def _fail_over(environment: FaultEnvironment, lost_seconds: float) -> None:
    standby = await _start_replica(environment)
    if lost_seconds:
        await environment.admin("REPLICAOF", "NO", "ONE", redis=standby)
        await asyncio.sleep(lost_seconds)
        await environment.stop_publishing()
    else:
        await environment.stop_publishing()
        # Everything is replicated.
        await asyncio.sleep(1)
    environment.redis.kill()
    await environment.admin("REPLICAOF", "NO", "ONE", redis=standby)
    forgotten = await environment.mark_forgotten(standby)
    environment.expect(bool(forgotten) == bool(lost_seconds), f"the new master lacked {forgotten} entries")
    environment.proxy.redirect(standby.port)
    await _continue_at(environment, standby)


@fault(history=Gaps.MUST, quick=True, unready=Unready.MAY)
async def everything_is_flushed(environment: FaultEnvironment) -> None:
    """FLUSHALL, twice within a second."""
    await environment.admin("FLUSHALL")
    await asyncio.sleep(0.7)
    await environment.admin("FLUSHALL")
    await asyncio.sleep(2)


@fault(history=Gaps.MUST, unready=Unready.MAY)
async def streams_are_evicted(environment: FaultEnvironment) -> None:
    """Redis is over maxmemory and evicts streams (allkeys-lru) for a second, and takes no entries meanwhile."""
    await environment.admin("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await environment.admin("CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(1)
    await environment.admin("CONFIG", "SET", "maxmemory", 0)
    await asyncio.sleep(2)


@fault(history=Gaps.MUST, unready=Unready.NEVER)
async def streams_are_removed(environment: FaultEnvironment) -> None:
    """DEL of all streams in use, ten times in two seconds; each has its next entry at once."""
    for _ in range(10):
        await environment.admin("DEL", *KEYS)
        await asyncio.sleep(0.2)


@fault(history=Gaps.NEVER, unready=Unready.NEVER)
async def streams_take_no_entries(environment: FaultEnvironment) -> None:
    """Redis is over maxmemory (noeviction) for ten seconds: publishers get an error, and nothing else happens."""
    await environment.admin("CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(10)
    await environment.admin("CONFIG", "SET", "maxmemory", 0)


# The way to learn of entries


@fault(history=Gaps.NEVER, quick=True)
async def tracking_is_switched_off(environment: FaultEnvironment) -> None:
    """Redis tracks nothing any more, and answers every read: the link looks healthy, and no entry is reported."""
    environment.proxy.inject(b"CLIENT REPLY SKIP\r\nCLIENT TRACKING OFF\r\n", Role.STREAMS)
    await asyncio.sleep(12)


@fault(history=Gaps.NEVER)
async def tracking_table_overflows(environment: FaultEnvironment) -> None:
    """Redis remembers one key that was read, and evicts it for the next one, for five seconds."""
    await environment.admin("CONFIG", "SET", "tracking-table-max-keys", 1)
    await asyncio.sleep(5)
    await environment.admin("CONFIG", "SET", "tracking-table-max-keys", 1_000_000)


# The links


@fault(history=Gaps.NEVER, loses=True, unready=Unready.MUST)
async def links_are_reset_over_streams(environment: FaultEnvironment) -> None:
    """The links to Redis are reset, and new ones are refused for two seconds."""
    environment.proxy.refuse()
    environment.proxy.cut()
    await asyncio.sleep(2)
    await environment.proxy.listen()


@fault(history=Gaps.NEVER)
async def links_flap_over_streams(environment: FaultEnvironment) -> None:
    """The links are reset ten times in two seconds."""
    for _ in range(10):
        environment.proxy.cut()
        await asyncio.sleep(0.2)


@fault(history=Gaps.NEVER, unready=Unready.MUST)
async def links_stall_over_streams(environment: FaultEnvironment) -> None:
    """No byte passes in either direction, on old links and on new ones, until `/readyz` reports it."""
    with environment.proxy.stall():
        await environment.wait_until_unready(2)


@fault(history=Gaps.NEVER, unready=Unready.MUST)
async def reading_stalls(environment: FaultEnvironment) -> None:
    """No byte comes from Redis on the link that reads streams, while the other links work."""
    with environment.proxy.stall(Direction.DOWN, role=Role.STREAMS):
        await environment.wait_until_unready(2)


@fault(history=Gaps.NEVER, disturbs=False, unready=Unready.NEVER)
async def links_are_slow_over_streams(environment: FaultEnvironment) -> None:
    """Every chunk takes 0.4 s in each direction."""
    with environment.proxy.delayed(0.4):
        await asyncio.sleep(6)


@fault(history=Gaps.NEVER)
async def links_are_narrow_over_streams(environment: FaultEnvironment) -> None:
    """The links pass 1 kB per second, far less than is added."""
    with environment.proxy.rate_limited(1000.0):
        await asyncio.sleep(10)


# The relays


@fault(history=Gaps.MUST, quick=True, memory=48 * 1024 * 1024)
async def streams_are_trimmed_under_a_slow_reader(environment: FaultEnvironment) -> None:
    """The relay is stopped while 5,000 entries are added to a stream that keeps 500."""
    environment.relay.signal(signal.SIGSTOP)
    environment.adder.max_length = 500
    for _ in range(5000):
        await environment.adder.publish("h0")
    await asyncio.sleep(1)
    environment.relay.signal(signal.SIGCONT)
    await asyncio.sleep(2)
    environment.adder.max_length = None


@fault(history=Gaps.MUST, unready=Unready.MUST, memory=48 * 1024 * 1024)
async def clients_are_away_too_long(environment: FaultEnvironment) -> None:
    """The relay is killed, and 1,500 entries are added to one stream before it is back: more than is recovered."""
    environment.relay.kill()
    for _ in range(1500):
        await environment.adder.publish("h0")
    await environment.relay.start()


@fault(history=Gaps.NEVER, quick=True, relays=2, unready=Unready.MUST)
async def another_relay_takes_over(environment: FaultEnvironment) -> None:
    """One of two relays is killed by SIGKILL and does not come back for five seconds."""
    environment.relay.kill()
    await asyncio.sleep(5)
    await environment.relay.start()


@fault(history=Gaps.NEVER, quick=True, relays=2, recovery=30)
async def rolling_deploy_over_streams(environment: FaultEnvironment) -> None:
    """Two relays are replaced one after the other while entries are added: nobody misses one."""
    for relay in environment.relays:
        if not await relay.stop_async(28):
            environment.expect(False, "a relay did not stop within its drain time")
        await relay.start()
        await asyncio.sleep(1)
    codes = environment.pool.codes
    environment.expect(not codes["1006"], f"some clients were dropped without a close frame: {dict(codes)}")


@fault(history=Gaps.NEVER, disturbs=False)
async def reader_freezes(environment: FaultEnvironment) -> None:
    """The relay is stopped for six seconds, longer than its deadlines towards Redis."""
    environment.relay.signal(signal.SIGSTOP)
    await asyncio.sleep(6)
    environment.relay.signal(signal.SIGCONT)
