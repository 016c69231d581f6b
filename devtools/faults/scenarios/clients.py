"""Hostile clients: they must not disturb any other client, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter

from devtools.faults.clients import ROAMING_CLIENTS
from devtools.faults.environment import FaultEnvironment
from devtools.faults.fault import Unready, fault
from devtools.faults.hostile_clients import DEADLINE_SECONDS, READY_LINE, open_websocket, outcome, run_many
from devtools.harness.http import client_frame, upgrade
from devtools.harness.proxy import Proxy
from devtools.harness.raw_connection import RawConnection

TEXT, PING, CLOSE = 0x81, 0x89, 0x88
TEXT_BEGIN, CONTINUATION = 0x01, 0x00
_UNLIMITED = 10**9


def _allow(environment: FaultEnvironment, outcomes: Counter[str], *allowed: str) -> None:
    environment.expect(set(outcomes) <= set(allowed), f"unexpected ends of hostile clients: {dict(outcomes)}")


@fault(disturbs=False, unready=Unready.NEVER, flags=("--handshake-timeout-seconds", "2"))
async def handshakes_are_slow(environment: FaultEnvironment) -> None:
    """Two hundred clients send their request head one byte at a time."""

    async def drip(connection: RawConnection) -> str:
        await connection.drip(upgrade("/ws/c0"), 0.2)
        return await outcome(connection)

    _allow(environment, await run_many(environment.relay.port, 200, drip), "408")


@fault(disturbs=False, unready=Unready.NEVER)
async def heads_do_not_end(environment: FaultEnvironment) -> None:
    """A hundred clients send a request head without end."""

    async def send_head(connection: RawConnection) -> str:
        connection.send(b"GET /ws/c0 HTTP/1.1\r\n")
        while await connection.wait_for_end(0.01) == "open":
            connection.send(b"X-More: " + b"x" * 4000 + b"\r\n")
        return await outcome(connection)

    _allow(environment, await run_many(environment.relay.port, 100, send_head), "431")


@fault(quick=True, disturbs=False, unready=Unready.NEVER)
async def messages_flood(environment: FaultEnvironment) -> None:
    """Twenty clients send small messages as fast as they can."""

    async def flood(connection: RawConnection) -> str:
        await open_websocket(connection, "c0")
        await connection.flood(client_frame(TEXT, b"x") * 200, _UNLIMITED)
        return await outcome(connection)

    # They have no permission to publish, and may be closed for that first.
    _allow(environment, await run_many(environment.relay.port, 20, flood), "1008", "4503")


@fault(disturbs=False, unready=Unready.NEVER)
async def pings_flood(environment: FaultEnvironment) -> None:
    """Twenty clients send pings as fast as they can, and read no pong."""
    pings = client_frame(PING, b"x" * 125) * 20

    async def flood(connection: RawConnection) -> str:
        await open_websocket(connection, "c0")
        connection.pause()
        for _ in range(300):
            connection.send(pings)
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        connection.resume()
        return await outcome(connection)

    _allow(environment, await run_many(environment.relay.port, 20, flood), "1008", "4008")


@fault(disturbs=False, unready=Unready.NEVER)
async def fragments_do_not_end(environment: FaultEnvironment) -> None:
    """Twenty clients begin a message and send fragments of it without end, ten of them empty ones."""

    async def send_fragments(connection: RawConnection, size: int) -> str:
        await open_websocket(connection, "c0")
        connection.send(client_frame(TEXT_BEGIN, b"x" * size))
        fragments = client_frame(CONTINUATION, b"x" * size) * 4
        while await connection.wait_for_end(0.02) == "open":
            connection.send(fragments)
        return await outcome(connection)

    for size in (2000, 0):

        async def behavior(connection: RawConnection, size: int = size) -> str:
            return await send_fragments(connection, size)

        _allow(environment, await run_many(environment.relay.port, 10, behavior), "1008", "1009")


@fault(disturbs=False, unready=Unready.NEVER)
async def text_is_no_utf8(environment: FaultEnvironment) -> None:
    """Fifty clients send a text message that is not UTF-8."""

    async def send_bad_text(connection: RawConnection) -> str:
        await open_websocket(connection, "c0")
        connection.send(client_frame(TEXT, b"\xff\xfe\xfd"))
        return await outcome(connection)

    _allow(environment, await run_many(environment.relay.port, 50, send_bad_text), "1007")


@fault(disturbs=False, unready=Unready.NEVER, flags=("--close-timeout-seconds", "1"))
async def closes_are_not_read(environment: FaultEnvironment) -> None:
    """Fifty clients stop reading, send a close frame, and keep the connection open."""

    async def close(connection: RawConnection) -> str:
        await open_websocket(connection, "c0")
        connection.pause()
        connection.send(client_frame(CLOSE, b"\x03\xe8"))
        await asyncio.sleep(4)
        connection.resume()
        return await outcome(connection)

    _allow(environment, await run_many(environment.relay.port, 50, close), "1000", "reset", "closed")


@fault(
    quick=True, disturbs=False, unready=Unready.NEVER, flags=("--max-outbox-bytes", "131072"), memory=40 * 1024 * 1024
)
async def clients_do_not_read(environment: FaultEnvironment) -> None:
    """Twenty clients subscribe and never read, while 8 MB are published on their channel."""
    published = asyncio.Event()

    async def subscribe(connection: RawConnection) -> str:
        await open_websocket(connection, "c1")
        connection.pause()
        await published.wait()
        connection.resume()
        return await outcome(connection)

    running = asyncio.get_running_loop().create_task(run_many(environment.relay.port, 20, subscribe))
    await asyncio.sleep(0.5)
    before = environment.relay.resident_bytes()
    most = 0
    for _ in range(160):
        await environment.publisher.publish("c1", 50_000)
        most = max(most, environment.relay.resident_bytes() - before)
        # Gives clients that do read the time to.
        await asyncio.sleep(0.02)
    published.set()
    _allow(environment, await running, "4008", "reset")
    environment.expect(most < 48 << 20, f"the relay grew by {most >> 20} MiB")


@fault(disturbs=False, unready=Unready.NEVER, flags=("--ping-interval-seconds", "2", "--ping-timeout-seconds", "2"))
async def clients_vanish(environment: FaultEnvironment) -> None:
    """Three hundred clients vanish without FIN: their connections stay open without a peer."""
    front = Proxy(environment.relay.port)
    await front.listen()
    connections: list[RawConnection] = []
    try:
        for _ in range(300):
            connection = await RawConnection.connect(front.port)
            connections.append(connection)
            await open_websocket(connection, "c2")
        # For the relay: what it sends is taken, and nothing ever comes back.
        with front.stall():
            for connection in connections:
                connection.reset()
            # Roaming clients are connected now and were not before.
            usual = environment.before[0][0] + ROAMING_CLIENTS + 3
            deadline = time.monotonic() + DEADLINE_SECONDS
            while environment.relay.descriptors() > usual and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            left = environment.relay.descriptors() - usual
            environment.expect(left <= 0, f"{left} connections without a peer are still open")
    finally:
        for connection in connections:
            connection.reset()
        await front.close()


@fault(disturbs=False, unready=Unready.NEVER)
async def clients_are_killed(environment: FaultEnvironment) -> None:
    """A process with five hundred connections, half of them without a handshake, is killed."""
    command = (sys.executable, "-m", "devtools.faults.hostile_clients", str(environment.relay.port), "500")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=os.getcwd())
    try:
        if process.stdout is not None:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            environment.expect(
                line.strip() == READY_LINE.encode(), f"the process with the connections printed {line!r}"
            )
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@fault(disturbs=False, unready=Unready.NEVER, flags=("--max-connections", "100"))
async def too_many_come(environment: FaultEnvironment) -> None:
    """Three hundred clients connect to a relay that admits a hundred; those that are connected stay."""
    outcomes = await run_many(environment.relay.port, 300, _stay_a_moment)
    # They come so fast that the relay has no slots to answer all of them: some are reset.
    _allow(environment, outcomes, "503", "admitted", "reset", "closed", "ConnectionResetError", "BrokenPipeError")
    admitted = outcomes["admitted"]
    environment.expect(admitted <= 100 - len(environment.pool.clients), f"{admitted} of them were admitted")
    environment.expect(outcomes["503"], f"none was answered 503: {dict(outcomes)}")


@fault(disturbs=False, unready=Unready.NEVER, flags=("--max-connections-per-address", "60"))
async def one_address_takes_all(environment: FaultEnvironment) -> None:
    """Two hundred clients of one address connect to a relay that admits sixty of each address."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError:
        # If loopback has one address only, our own clients leave ten places.
        source, places = "127.0.0.1", 10
    else:
        source, places = "127.0.0.2", 60
    outcomes = await run_many(environment.relay.port, 200, _stay_a_moment, source=source)
    _allow(environment, outcomes, "429", "admitted")
    environment.expect(outcomes["admitted"] == places, f"{outcomes['admitted']} of them were admitted, not {places}")


async def _stay_a_moment(connection: RawConnection) -> str:
    connection.send(upgrade("/ws/c3"))
    response = await connection.response(DEADLINE_SECONDS)
    if response is None:
        return connection.ended or "silence"
    if response.status != 101:
        return str(response.status)
    await asyncio.sleep(3)
    return "admitted"
