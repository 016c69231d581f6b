"""Faults of the relay itself: killed, frozen, deployed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path

from devtools.faults.environment import FaultEnvironment
from devtools.faults.fault import Unready, fault
from devtools.harness.http import upgrade
from devtools.harness.raw_connection import RawConnection

CROWD = 3000
"""How many clients return at once, unless the kernel queues fewer."""

PROBE_SECONDS = 5.0
"""How long a probe may take while they return: routers take a process out that does not answer for so long."""


@fault(quick=True, unready=Unready.MUST)
async def relay_is_killed(environment: FaultEnvironment) -> None:
    """The relay is killed by SIGKILL and started again a second later."""
    environment.relay.kill()
    await asyncio.sleep(1)
    await environment.relay.start()


@fault(disturbs=False)
async def relay_freezes(environment: FaultEnvironment) -> None:
    """The relay is stopped for six seconds, longer than its deadlines towards Redis: no message is lost."""
    environment.relay.signal(signal.SIGSTOP)
    await asyncio.sleep(6)
    environment.relay.signal(signal.SIGCONT)


@fault(quick=True, relays=2, recovery=20)
async def rolling_deploy(environment: FaultEnvironment) -> None:
    """Two relays are replaced one after the other while messages flow; every client is told to reconnect."""
    for relay in environment.relays:
        if not await relay.stop_async(28):
            environment.expect(False, "a relay did not stop within its drain time")
        await relay.start()
        await asyncio.sleep(1)
    codes = environment.pool.codes
    environment.expect(
        codes["1012"] >= len(environment.pool.clients) // 2, f"too few clients were closed with 1012: {dict(codes)}"
    )
    environment.expect(not codes["1006"], f"some clients were dropped without a close frame: {dict(codes)}")


@fault(unready=Unready.MUST, flags=("--max-handshakes-per-second", "10"))
async def herd_comes_back(environment: FaultEnvironment) -> None:
    """The relay is killed, and all clients reconnect at once to one that admits ten per second."""
    environment.relay.kill()
    await environment.relay.start()
    await asyncio.sleep(1)


@fault(quick=True, disturbs=False, memory=64 * 1024 * 1024)
async def crowd_comes_back(environment: FaultEnvironment) -> None:
    """Three thousand clients connect at once with default settings: all are let in, and probes answered meanwhile."""
    relay, expect = environment.relay, environment.expect
    connections: list[RawConnection] = []
    try:
        # They fill the kernel's queue, and are all there when it goes on.
        relay.signal(signal.SIGSTOP)
        try:
            for _ in range(min(CROWD, _kernel_queue())):
                connections.append(await RawConnection.connect(relay.port))
                connections[-1].send(upgrade("/ws/crowd"))
        finally:
            relay.signal(signal.SIGCONT)
        longest, statuses = await asyncio.gather(_probe(environment, connections), _statuses(connections))
    finally:
        for connection in connections:
            connection.reset()
    expect(set(statuses) == {"101"}, f"some were turned away: {dict(statuses)}")
    expect(longest < PROBE_SECONDS, f"a probe took {longest:.1f} s")
    waited = await relay.metric("wsrelay_handshakes_deferred_total")
    expect(waited, "no handshake had to wait: the fault did not take effect, and proves nothing")


def _kernel_queue() -> int:
    """Return how many connections the kernel certainly queues for a port."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text()) - 96
    except OSError:
        return 32


async def _statuses(connections: list[RawConnection]) -> Counter[str]:
    responses = await asyncio.gather(*(each.response() for each in connections))
    return Counter(
        each.ended or "no answer" if answer is None else str(answer.status)
        for each, answer in zip(connections, responses, strict=True)
    )


async def _probe(environment: FaultEnvironment, connections: list[RawConnection]) -> float:
    """Probe until every connection has got something; return how long the slowest probe took, in seconds."""
    longest = 0.0
    while True:
        began = time.monotonic()
        status, text = await environment.relay.get("/healthz", 2 * PROBE_SECONDS)
        longest = max(longest, time.monotonic() - began)
        environment.expect(status == 200, f"a probe got {status}: {text}")
        if status != 200 or all(each.received or each.ended for each in connections):
            return longest
        await asyncio.sleep(0.02)
