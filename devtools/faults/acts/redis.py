"""Faults of Redis itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

from devtools.faults.children import Redis
from devtools.faults.faults import Red, fault
from devtools.faults.net import RedisClient, RedisError
from devtools.faults.proxy import Way
from devtools.faults.stage import Stage
from devtools.harness.redis_server import free_port

RIGHT = "right"


@fault(quick=True, relays=2, red=Red.MUST)
async def redis_is_killed(stage: Stage) -> None:
    """Redis is killed without a goodbye, and started again two seconds later; two relays lose it together."""
    stage.redis.kill()
    await asyncio.sleep(2)
    await stage.redis.start()


@fault()
async def redis_restarts(stage: Stage) -> None:
    """Redis is killed and started again at once, three times."""
    for _ in range(3):
        stage.redis.kill()
        await stage.redis.start()
        await asyncio.sleep(0.4)


@fault(quick=True, red=Red.MUST)
async def redis_freezes(stage: Stage) -> None:
    """Redis is stopped by SIGSTOP: it accepts connections and says nothing, until the relay is not ready."""
    stage.redis.signal(signal.SIGSTOP)
    await stage.until_red(2)
    stage.redis.signal(signal.SIGCONT)


@fault(disturbs=False, red=Red.NEVER)
async def redis_hesitates(stage: Stage) -> None:
    """Redis is stopped for a second and a half, less than anybody gives up after."""
    stage.redis.signal(signal.SIGSTOP)
    await asyncio.sleep(1.5)
    stage.redis.signal(signal.SIGCONT)
    await asyncio.sleep(3)


@fault(quick=True)
async def subscribers_are_killed(stage: Stage) -> None:
    """An operator kills all subscribers: CLIENT KILL TYPE pubsub, three times in a row."""
    for _ in range(3):
        await stage.admin("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.15)


@fault()
async def everybody_is_killed(stage: Stage) -> None:
    """An operator kills all connections of every kind."""
    await stage.admin("CLIENT", "KILL", "TYPE", "normal")
    await stage.admin("CLIENT", "KILL", "TYPE", "pubsub")


@fault(loses=True, red=Red.MUST)
async def redis_is_full_of_clients(stage: Stage) -> None:
    """The links are cut while maxclients is reached, for three seconds."""
    admin = await RedisClient.connect(stage.redis.port)
    most = (await admin.command("CONFIG", "GET", "maxclients"))[1]
    # The server needs room for itself; the publisher and this connection stay.
    await admin.command("CONFIG", "SET", "maxclients", 2)
    stage.proxy.cut()
    await asyncio.sleep(3)
    await admin.command("CONFIG", "SET", "maxclients", most)
    admin.close()


@fault(loses=True, red=Red.MUST, password=RIGHT)
async def password_is_changed(stage: Stage) -> None:
    """The password is changed while the relay is connected, its links are cut, and three seconds later it is back."""
    admin = await RedisClient.connect(stage.redis.port, RIGHT)
    await admin.command("CONFIG", "SET", "requirepass", "another")
    stage.proxy.cut()
    await asyncio.sleep(3)
    stage.expect(
        any("WRONGPASS" in reason or "AUTH" in reason.upper() for gauge in stage.gauges for _, reason in gauge.reds),
        "/readyz did not say that the password is wrong",
    )
    await admin.command("CONFIG", "SET", "requirepass", RIGHT)
    admin.close()


@fault(starts_down=True, password=RIGHT)
async def password_is_wrong_at_first(stage: Stage) -> None:
    """The relay starts with a password that Redis does not take, and Redis is told the right one later."""
    admin = await RedisClient.connect(stage.redis.port, RIGHT)
    await admin.command("CONFIG", "SET", "requirepass", "another")
    await stage.relay.start(ready=False)
    await asyncio.sleep(2)
    status, reason = await stage.relay.get("/readyz")
    stage.expect(status == 503 and "WRONGPASS" in reason, f"/readyz did not say what is wrong: {status} {reason}")
    await admin.command("CONFIG", "SET", "requirepass", RIGHT)
    admin.close()
    await stage.open()


@fault(starts_down=True)
async def redis_is_away_at_first(stage: Stage) -> None:
    """The relay starts before Redis does."""
    stage.redis.kill()
    await stage.relay.start(ready=False)
    await asyncio.sleep(2)
    status, reason = await stage.relay.get("/readyz")
    stage.expect(status == 503, f"/readyz was {status} {reason}")
    await stage.redis.start()
    await stage.open()


@fault(loses=True, receive_buffer=8192, memory=64 * 1024 * 1024)
async def subscriber_is_too_slow_for_redis(stage: Stage) -> None:
    """Redis drops the subscriber, because a burst of 16 MB fills the 256 kB that may wait for it."""
    await stage.admin("CONFIG", "SET", "client-output-buffer-limit", "pubsub 262144 262144 0")
    with stage.proxy.stall(Way.DOWN):
        for _ in range(256):
            await stage.publisher.publish("c0", 65536)
        await asyncio.sleep(1)


@fault(loses=True, quick=True, red=Red.MUST)
async def failover_leaves_a_deaf_replica(stage: Stage) -> None:
    """Another server is the master now, and the old one a replica that hears nothing of it but takes PUBLISH."""
    await _fail_over(stage, orphan=True)


@fault(red=Red.MUST)
async def failover(stage: Stage) -> None:
    """The replica becomes the master and the master its replica; the address leads to the new one six seconds later."""
    await _fail_over(stage, orphan=False)


async def _fail_over(stage: Stage, *, orphan: bool) -> None:
    standby = stage.standby = Redis()
    await standby.start()
    await stage.admin("REPLICAOF", "127.0.0.1", stage.redis.port, redis=standby)
    deadline = time.monotonic() + 15
    while b"master_link_status:up" not in bytes(await stage.admin("INFO", "replication", redis=standby)):  # type: ignore[call-overload]
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    await stage.admin("REPLICAOF", "NO", "ONE", redis=standby)
    await stage.admin("REPLICAOF", "127.0.0.1", free_port() if orphan else standby.port)
    stage.publisher.switch(standby.port)
    await stage.until_red(3)
    stage.proxy.upstream = standby.port


@fault(disturbs=False, red=Red.NEVER, redis_flags=("--enable-protected-configs", "yes"))
async def redis_has_a_full_disk(stage: Stage) -> None:
    """Redis cannot save and answers writes, and PING, with MISCONF; messages it carries all the same."""
    await stage.admin("CONFIG", "SET", "save", "3600 1")
    await stage.admin("SET", "anything", "1")
    # Its folder is gone under it: the next attempt to save fails.
    folder = stage.redis.folder / "gone"
    folder.mkdir()
    await stage.admin("CONFIG", "SET", "dir", str(folder))
    folder.rmdir()
    await stage.admin("BGSAVE")
    refused = False
    for _ in range(50):
        await asyncio.sleep(0.1)
        try:
            await stage.admin("SET", "anything", "2")
        except RedisError as error:
            refused = "MISCONF" in str(error)
            break
    stage.expect(refused, "Redis did not refuse to write: the fault did not bite")
    try:
        await stage.admin("PING")
        stage.expect(False, "Redis answered PING as ever: the fault did not bite")
    except RedisError as error:
        stage.expect("MISCONF" in str(error), f"Redis said {error}")
    await asyncio.sleep(8)
    await stage.admin("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")


@fault(disturbs=False, red=Red.NEVER)
async def redis_has_no_memory(stage: Stage) -> None:
    """Redis is over maxmemory and answers writes with OOM; messages it carries all the same."""
    await stage.admin("CONFIG", "SET", "maxmemory", 1)
    try:
        await stage.admin("SET", "anything", "1")
        stage.expect(False, "Redis did not refuse to write: the fault did not bite")
    except RedisError as error:
        stage.expect("OOM" in str(error), f"Redis said {error}")
    await asyncio.sleep(7)
    await stage.admin("CONFIG", "SET", "maxmemory", 0)


@fault()
async def redis_is_busy(stage: Stage) -> None:
    """A script that does not end keeps Redis busy for seven seconds: it answers everything with BUSY."""
    await stage.admin("CONFIG", "SET", "busy-reply-threshold", 100)
    script = asyncio.get_running_loop().create_task(stage.admin("EVAL", "while true do end", 0))
    await asyncio.sleep(7)
    await stage.admin("SCRIPT", "KILL")
    with contextlib.suppress(RedisError):
        await script


@fault(disturbs=False, red=Red.NEVER, user="relay", password=RIGHT)
async def one_channel_is_forbidden(stage: Stage) -> None:
    """Redis forbids the relay a channel that clients ask for, again and again; nobody else is to notice."""
    asking = []
    for _ in range(4):
        asking.append(asyncio.get_running_loop().create_task(_ask(stage.relay.port, "forbidden")))
        await asyncio.sleep(1)
    for status in await asyncio.gather(*asking):
        stage.expect(status == 503, f"a client of the forbidden channel was answered {status}")


async def _ask(port: int, channel: str) -> int:
    """Ask for a WebSocket; return the HTTP status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        writer.write(f"GET /ws/{channel} HTTP/1.1\r\nHost: relay.test\r\n{fields}{key}\r\n".encode())
        async with asyncio.timeout(8):
            return int((await reader.readline()).split(b" ")[1])
    except (OSError, TimeoutError, IndexError, ValueError):
        return 0
    finally:
        writer.transport.abort()
