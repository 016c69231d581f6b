"""Faults of the relay itself: killed, frozen, deployed."""

from __future__ import annotations

import asyncio
import signal

from devtools.faults.environment import FaultEnvironment
from devtools.faults.fault import Unready, fault


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
