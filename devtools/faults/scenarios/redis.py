"""Faults of Redis itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

from devtools.faults.environment import FaultEnvironment
from devtools.faults.fault import Unready, fault
from devtools.harness.http import upgrade
from devtools.harness.ports import free_port
from devtools.harness.proxy import Direction
from devtools.harness.raw_connection import RawConnection
from devtools.harness.redis_client import RedisClient, RedisError

PASSWORD = "right"  # noqa: S105 -- of a server on loopback


@fault(quick=True, relays=2, unready=Unready.MUST)
async def redis_is_killed(environment: FaultEnvironment) -> None:
    """Redis is killed by SIGKILL and started again two seconds later; two relays lose it at the same time."""
    environment.redis.kill()
    await asyncio.sleep(2)
    await environment.redis.start()


@fault()
async def redis_restarts(environment: FaultEnvironment) -> None:
    """Redis is killed and started again at once, three times."""
    for _ in range(3):
        environment.redis.kill()
        await environment.redis.start()
        await asyncio.sleep(0.4)


@fault(quick=True, unready=Unready.MUST)
async def redis_freezes(environment: FaultEnvironment) -> None:
    """Redis is stopped by SIGSTOP: connections are accepted and never answered, until `/readyz` reports it."""
    environment.redis.signal(signal.SIGSTOP)
    await environment.wait_until_unready(2)
    environment.redis.signal(signal.SIGCONT)


@fault(disturbs=False, unready=Unready.NEVER)
async def redis_hesitates(environment: FaultEnvironment) -> None:
    """Redis is stopped for a second and a half, less than any timeout of the relay."""
    environment.redis.signal(signal.SIGSTOP)
    await asyncio.sleep(1.5)
    environment.redis.signal(signal.SIGCONT)
    await asyncio.sleep(3)


@fault(quick=True)
async def subscribers_are_killed(environment: FaultEnvironment) -> None:
    """An operator kills all subscribers: CLIENT KILL TYPE pubsub, three times in a row."""
    for _ in range(3):
        await environment.admin("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.15)


@fault()
async def everybody_is_killed(environment: FaultEnvironment) -> None:
    """An operator kills all connections of every kind."""
    await environment.admin("CLIENT", "KILL", "TYPE", "normal")
    await environment.admin("CLIENT", "KILL", "TYPE", "pubsub")


@fault(loses=True, unready=Unready.MUST)
async def redis_is_full_of_clients(environment: FaultEnvironment) -> None:
    """The links are reset while maxclients is reached, for three seconds."""
    admin = await RedisClient.connect(environment.redis.port)
    most = (await admin.command("CONFIG", "GET", "maxclients"))[1]
    # The server reserves some for itself; the publisher and this connection stay.
    await admin.command("CONFIG", "SET", "maxclients", 2)
    environment.proxy.cut()
    await asyncio.sleep(3)
    await admin.command("CONFIG", "SET", "maxclients", most)
    admin.close()


@fault(loses=True, unready=Unready.MUST, password=PASSWORD)
async def password_is_changed(environment: FaultEnvironment) -> None:
    """The password is changed and the links are reset; three seconds later the old password is valid again."""
    admin = await RedisClient.connect(environment.redis.port, PASSWORD)
    await admin.command("CONFIG", "SET", "requirepass", "another")
    environment.proxy.cut()
    await asyncio.sleep(3)
    environment.expect(
        any(
            "WRONGPASS" in reason or "AUTH" in reason.upper()
            for monitor in environment.monitors
            for _, reason in monitor.unready_reports
        ),
        "/readyz did not report that the password is wrong",
    )
    await admin.command("CONFIG", "SET", "requirepass", PASSWORD)
    admin.close()


@fault(starts_down=True, password=PASSWORD)
async def password_is_wrong_at_first(environment: FaultEnvironment) -> None:
    """The relay starts with a password that Redis rejects, and later accepts."""
    admin = await RedisClient.connect(environment.redis.port, PASSWORD)
    await admin.command("CONFIG", "SET", "requirepass", "another")
    await environment.relay.start(ready=False)
    await asyncio.sleep(2)
    status, reason = await environment.relay.get("/readyz")
    environment.expect(status == 503 and "WRONGPASS" in reason, f"/readyz did not report the reason: {status} {reason}")
    await admin.command("CONFIG", "SET", "requirepass", PASSWORD)
    admin.close()
    await environment.open()


@fault(starts_down=True)
async def redis_is_away_at_first(environment: FaultEnvironment) -> None:
    """The relay starts before Redis does."""
    environment.redis.kill()
    await environment.relay.start(ready=False)
    await asyncio.sleep(2)
    status, reason = await environment.relay.get("/readyz")
    environment.expect(status == 503, f"/readyz was {status} {reason}")
    await environment.redis.start()
    await environment.open()


@fault(loses=True, receive_buffer=8192, memory=64 * 1024 * 1024)
async def subscriber_is_too_slow_for_redis(environment: FaultEnvironment) -> None:
    """Redis disconnects the subscriber, because a burst of 16 MB overflows its output buffer limit of 256 kB."""
    await environment.admin("CONFIG", "SET", "client-output-buffer-limit", "pubsub 262144 262144 0")
    with environment.proxy.stall(Direction.DOWN):
        for _ in range(256):
            await environment.publisher.publish("c0", 65536)
        await asyncio.sleep(1)


@fault(loses=True, quick=True, unready=Unready.MUST)
async def failover_leaves_a_deaf_replica(environment: FaultEnvironment) -> None:
    """Another server becomes the master; the old one becomes a replica that never reaches it but accepts PUBLISH."""
    await _fail_over(environment, orphan=True)


@fault(unready=Unready.MUST)
async def failover(environment: FaultEnvironment) -> None:
    """The replica becomes the master and the master its replica; the address leads to the new one six seconds later."""
    await _fail_over(environment, orphan=False)


async def _fail_over(environment: FaultEnvironment, *, orphan: bool) -> None:
    standby = await environment.start_standby()
    await environment.admin("REPLICAOF", "127.0.0.1", environment.redis.port, redis=standby)
    deadline = time.monotonic() + 15
    # The reply to INFO is bytes.
    while b"master_link_status:up" not in bytes(await environment.admin("INFO", "replication", redis=standby)):  # type: ignore[call-overload]
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    await environment.admin("REPLICAOF", "NO", "ONE", redis=standby)
    await environment.admin("REPLICAOF", "127.0.0.1", free_port() if orphan else standby.port)
    environment.publisher.switch(standby.port)
    await environment.wait_until_unready(3)
    environment.proxy.redirect(standby.port)


@fault(disturbs=False, unready=Unready.NEVER, redis_flags=("--enable-protected-configs", "yes"))
async def redis_has_a_full_disk(environment: FaultEnvironment) -> None:
    """Redis cannot save and answers writes and PING with MISCONF; it still delivers messages."""
    await environment.admin("CONFIG", "SET", "save", "3600 1")
    await environment.admin("SET", "anything", "1")
    # Its folder is removed: the next attempt to save fails.
    folder = environment.redis.folder / "gone"
    folder.mkdir()
    await environment.admin("CONFIG", "SET", "dir", str(folder))
    folder.rmdir()
    await environment.admin("BGSAVE")
    rejected = False
    for _ in range(50):
        await asyncio.sleep(0.1)
        try:
            await environment.admin("SET", "anything", "2")
        except RedisError as error:
            rejected = "MISCONF" in str(error)
            break
    environment.expect(rejected, "Redis did not reject a write: the fault did not take effect")
    try:
        await environment.admin("PING")
        environment.expect(False, "Redis still answered PING: the fault did not take effect")
    except RedisError as error:
        environment.expect("MISCONF" in str(error), f"Redis answered {error}")
    await asyncio.sleep(8)
    await environment.admin("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")


@fault(disturbs=False, unready=Unready.NEVER)
async def redis_has_no_memory(environment: FaultEnvironment) -> None:
    """Redis is over maxmemory and answers writes with OOM; it still delivers messages."""
    await environment.admin("CONFIG", "SET", "maxmemory", 1)
    try:
        await environment.admin("SET", "anything", "1")
        environment.expect(False, "Redis did not reject a write: the fault did not take effect")
    except RedisError as error:
        environment.expect("OOM" in str(error), f"Redis answered {error}")
    await asyncio.sleep(7)
    await environment.admin("CONFIG", "SET", "maxmemory", 0)


@fault()
async def redis_is_busy(environment: FaultEnvironment) -> None:
    """An endless script keeps Redis busy for seven seconds: it answers every command with BUSY."""
    await environment.admin("CONFIG", "SET", "busy-reply-threshold", 100)
    script = asyncio.get_running_loop().create_task(environment.admin("EVAL", "while true do end", 0))
    await asyncio.sleep(7)
    await environment.admin("SCRIPT", "KILL")
    with contextlib.suppress(RedisError):
        await script


@fault(disturbs=False, unready=Unready.NEVER, user="relay", password=PASSWORD)
async def one_channel_is_forbidden(environment: FaultEnvironment) -> None:
    """The ACL of Redis forbids a channel that clients request repeatedly; no other client may be disturbed."""
    loop = asyncio.get_running_loop()
    requests = []
    for _ in range(4):
        requests.append(loop.create_task(_request_channel(environment.relay.port, "forbidden")))
        await asyncio.sleep(1)
    for status in await asyncio.gather(*requests):
        environment.expect(status == "503", f"a client of the forbidden channel got status {status}")


async def _request_channel(port: int, channel: str) -> str:
    """Try a handshake; return the HTTP status, or how the connection ended."""
    connection = await RawConnection.connect(port)
    try:
        connection.send(upgrade(f"/ws/{channel}"))
        response = await connection.response(8)
        return connection.ended or "silence" if response is None else str(response.status)
    finally:
        connection.reset()
