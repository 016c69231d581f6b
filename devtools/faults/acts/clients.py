"""Hostile clients: nobody else is to notice, and nothing of them is to stay."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from devtools.faults.clients import WANDERERS
from devtools.faults.faults import Red, fault
from devtools.faults.hostile import Hostile
from devtools.faults.proxy import Proxy
from devtools.faults.stage import Stage

Misdeed = Callable[[Hostile], Awaitable[None]]

PATIENCE_SECONDS = 20.0


async def _many(
    stage: Stage, count: int, misdeed: Misdeed, *, source: str = "127.0.0.1", port: int = 0
) -> Counter[str]:
    """Let so many hostile clients do something at the same time; return how their connections ended."""
    ends: Counter[str] = Counter()

    async def one() -> None:
        hostile = Hostile(port or stage.relay.port, source)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await misdeed(hostile)
                ends[hostile.end] += 1
        except TimeoutError:
            ends["still there"] += 1
        except OSError as error:
            ends[type(error).__name__] += 1
        finally:
            hostile.vanish()

    await asyncio.gather(*(one() for _ in range(count)))
    return ends


def _only(stage: Stage, ends: Counter[str], *allowed: str) -> None:
    stage.expect(set(ends) <= set(allowed), f"hostile clients were not ended as they should be: {dict(ends)}")


@fault(disturbs=False, red=Red.NEVER, flags=("--handshake-timeout-seconds", "2"))
async def handshakes_are_slow(stage: Stage) -> None:
    """Two hundred clients send their request head a byte at a time."""

    async def drip(hostile: Hostile) -> None:
        await hostile.connect()
        for byte in hostile.head("c0"):
            hostile.write(bytes([byte]))
            if not await hostile.is_open(0.2):
                return
        await hostile.wait()

    _only(stage, await _many(stage, 200, drip), "408", "reset", "closed")


@fault(disturbs=False, red=Red.NEVER)
async def heads_do_not_end(stage: Stage) -> None:
    """A hundred clients send a request head without end."""

    async def go_on(hostile: Hostile) -> None:
        await hostile.connect()
        hostile.write(b"GET /ws/c0 HTTP/1.1\r\n")
        while await hostile.is_open(0.01):
            hostile.write(b"X-More: " + b"x" * 4000 + b"\r\n")
        await hostile.wait()

    _only(stage, await _many(stage, 100, go_on), "431", "reset", "closed")


@fault(quick=True, disturbs=False, red=Red.NEVER)
async def messages_flood(stage: Stage) -> None:
    """Twenty clients send small masked messages as fast as they can."""

    async def flood(hostile: Hostile) -> None:
        await hostile.open("c0")
        while await hostile.is_open(0.0):
            hostile.write(hostile.frame(1, b"x") * 200)
            await hostile.drain()
        await hostile.wait()

    # Not permitted to publish, they may be told that first.
    _only(stage, await _many(stage, 20, flood), "1008", "4503", "reset")


@fault(disturbs=False, red=Red.NEVER)
async def pings_flood(stage: Stage) -> None:
    """Twenty clients send pings as fast as they can, and read no pong."""

    async def flood(hostile: Hostile) -> None:
        await hostile.open("c0")
        hostile.pause()
        for _ in range(300):
            hostile.write(hostile.frame(9, b"x" * 125) * 20)
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        hostile.resume()
        await hostile.wait()

    _only(stage, await _many(stage, 20, flood), "1008", "reset")


@fault(disturbs=False, red=Red.NEVER)
async def fragments_do_not_end(stage: Stage) -> None:
    """Twenty clients begin a message and send fragments of it for ever, ten of them empty ones."""

    async def go_on(hostile: Hostile, size: int) -> None:
        await hostile.open("c0")
        hostile.write(hostile.frame(1, b"x" * size, final=False))
        while await hostile.is_open(0.02):
            hostile.write(hostile.frame(0, b"x" * size, final=False) * 4)
        await hostile.wait()

    for size in (2000, 0):
        _only(stage, await _many(stage, 10, lambda hostile, size=size: go_on(hostile, size)), "1008", "1009", "reset")  # type: ignore[misc]


@fault(disturbs=False, red=Red.NEVER)
async def text_is_no_utf8(stage: Stage) -> None:
    """Fifty clients send a text message that is not UTF-8."""

    async def lie(hostile: Hostile) -> None:
        await hostile.open("c0")
        hostile.write(hostile.frame(1, b"\xff\xfe\xfd"))
        await hostile.wait()

    _only(stage, await _many(stage, 50, lie), "1007")


@fault(disturbs=False, red=Red.NEVER, flags=("--close-timeout-seconds", "1"))
async def closes_are_not_read(stage: Stage) -> None:
    """Fifty clients do not read, say that they close, and keep the connection."""

    async def close(hostile: Hostile) -> None:
        await hostile.open("c0")
        hostile.pause()
        hostile.write(hostile.frame(8, b"\x03\xe8"))
        await asyncio.sleep(4)
        hostile.resume()
        await hostile.wait()

    _only(stage, await _many(stage, 50, close), "1000", "reset", "closed")


@fault(quick=True, disturbs=False, red=Red.NEVER, flags=("--max-outbox-bytes", "131072"), memory=40 * 1024 * 1024)
async def clients_do_not_read(stage: Stage) -> None:
    """Twenty clients listen and never read, while 8 MB are published on their channel."""

    async def listen(hostile: Hostile) -> None:
        await hostile.open("c1")
        hostile.pause()
        await released.wait()
        hostile.resume()
        await hostile.wait()

    released = asyncio.Event()
    ends = asyncio.get_running_loop().create_task(_many(stage, 20, listen))
    await asyncio.sleep(0.5)
    before = stage.relay.resident_bytes()
    most = 0
    for _ in range(160):
        await stage.publisher.publish("c1", 50_000)
        most = max(most, stage.relay.resident_bytes() - before)
        # Clients that do read have time to.
        await asyncio.sleep(0.02)
    released.set()
    _only(stage, await ends, "4008", "reset")
    stage.expect(most < 48 << 20, f"they cost {most >> 20} MiB")


@fault(disturbs=False, red=Red.NEVER, flags=("--ping-interval-seconds", "2", "--ping-timeout-seconds", "2"))
async def clients_vanish(stage: Stage) -> None:
    """Three hundred clients vanish without FIN: their connections stay open, and nobody is there any more."""
    front = Proxy(stage.relay.port)
    await front.listen()
    hostiles = [Hostile(front.port) for _ in range(300)]
    try:
        for hostile in hostiles:
            await hostile.open("c2")
        # Seen from the relay: what it sends is taken, and nothing ever comes back.
        with front.stall():
            for hostile in hostiles:
                hostile.vanish()
            # Those who come and go are there now and were not before.
            usual = stage.before[0][0] + WANDERERS + 3
            deadline = time.monotonic() + PATIENCE_SECONDS
            while stage.relay.descriptors() > usual and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            left = stage.relay.descriptors() - usual
            stage.expect(left <= 0, f"{left} connections to nobody are still there")
    finally:
        for hostile in hostiles:
            hostile.vanish()
        await front.close()


@fault(disturbs=False, red=Red.NEVER)
async def clients_are_killed(stage: Stage) -> None:
    """A process with five hundred connections, half of them without a handshake, is killed."""
    command = (sys.executable, "-m", "devtools.faults.hostile", str(stage.relay.port), "500")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=os.getcwd())
    try:
        if process.stdout is not None:
            said = await asyncio.wait_for(process.stdout.readline(), 30)
            stage.expect(said.strip() == b"there", f"the process with the connections said {said!r}")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@fault(disturbs=False, red=Red.NEVER, flags=("--max-connections", "100"))
async def too_many_come(stage: Stage) -> None:
    """Three hundred clients come to a relay that takes a hundred; those who are there stay."""
    ends = await _many(stage, 300, _stay_a_moment)
    # So many at once that the door has no room to answer all of them: some are reset without a word.
    _only(stage, ends, "503", "here", "reset", "closed", "ConnectionResetError", "BrokenPipeError")
    stage.expect(ends["here"] <= 100 - len(stage.audience.clients), f"{ends['here']} of them were let in")
    stage.expect(ends["503"], f"nobody was told: {dict(ends)}")


@fault(disturbs=False, red=Red.NEVER, flags=("--max-connections-per-address", "60"))
async def one_address_takes_all(stage: Stage) -> None:
    """Two hundred clients of one address come to a relay that takes sixty of each."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError:
        # Where loopback is one address, our own clients leave room for ten.
        source, room = "127.0.0.1", 10
    else:
        source, room = "127.0.0.2", 60
    ends = await _many(stage, 200, _stay_a_moment, source=source)
    _only(stage, ends, "429", "here")
    stage.expect(ends["here"] == room, f"{ends['here']} of them were let in, not {room}")


async def _stay_a_moment(hostile: Hostile) -> None:
    if await hostile.ask("c3"):
        hostile.end = "here"
        await asyncio.sleep(3)
