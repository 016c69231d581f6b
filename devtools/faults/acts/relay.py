"""Faults of the relay itself: killed, frozen, deployed."""

from __future__ import annotations

import asyncio
import signal

from devtools.faults.faults import Red, fault
from devtools.faults.stage import Stage


@fault(quick=True, red=Red.MUST)
async def relay_is_killed(stage: Stage) -> None:
    """The relay is killed without a goodbye, and started again a second later."""
    stage.relay.kill()
    await asyncio.sleep(1)
    await stage.relay.start()


@fault(disturbs=False)
async def relay_freezes(stage: Stage) -> None:
    """The relay is stopped for six seconds, longer than its deadlines towards Redis: nothing is lost by it."""
    stage.relay.signal(signal.SIGSTOP)
    await asyncio.sleep(6)
    stage.relay.signal(signal.SIGCONT)


@fault(quick=True, relays=2, recovery=20)
async def rolling_deploy(stage: Stage) -> None:
    """Two relays are replaced one after the other while messages flow; every client is told to come back."""
    for relay in stage.relays:
        if not await relay.terminate(28):
            stage.expect(False, "a relay did not stop within its drain time")
        await relay.start()
        await asyncio.sleep(1)
    codes = stage.audience.codes
    stage.expect(codes["1012"] >= len(stage.audience.clients) // 2, f"too few were told 1012: {dict(codes)}")
    stage.expect(not codes["1006"], f"some were dropped without a word: {dict(codes)}")


@fault(red=Red.MUST, flags=("--max-handshakes-per-second", "10"))
async def herd_comes_back(stage: Stage) -> None:
    """The relay is killed, and all clients come back at once to one that lets in ten a second."""
    stage.relay.kill()
    await stage.relay.start()
    await asyncio.sleep(1)
