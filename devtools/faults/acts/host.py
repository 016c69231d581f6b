"""Faults of the machine that the relay runs on: names and clocks."""

from __future__ import annotations

import asyncio

from devtools.faults.faults import Red, fault
from devtools.faults.stage import Stage


@fault(loses=True, red=Red.MUST, hooked=True)
async def name_is_not_found(stage: Stage) -> None:
    """The links are cut while the name of the Redis server cannot be resolved, for three seconds."""
    stage.hooked("dns-fails", "")
    stage.proxy.cut()
    await asyncio.sleep(3)
    stage.hooked("dns-fails", None)


@fault(loses=True, red=Red.MUST, hooked=True)
async def resolver_hangs(stage: Stage) -> None:
    """The links are cut while the resolver does not answer, for six seconds; nothing else may hang with it."""
    stage.hooked("dns-hangs", "")
    stage.proxy.cut()
    await asyncio.sleep(2)
    status, text = await stage.relay.get("/healthz", 1)
    stage.expect(status == 200, f"the whole relay hangs with its resolver: {status} {text}")
    await asyncio.sleep(4)
    stage.hooked("dns-hangs", None)


PINGING = ("--ping-interval-seconds", "1", "--ping-timeout-seconds", "2")


@fault(disturbs=False, red=Red.NEVER, hooked=True, flags=PINGING)
async def clock_jumps(stage: Stage) -> None:
    """The wall clock jumps a day ahead, then two days back, then to where it was."""
    for offset in ("86400", "-86400", "0"):
        stage.hooked("clock", offset)
        await asyncio.sleep(2.5)
    stage.hooked("clock", None)
