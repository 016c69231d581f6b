"""Faults of the host that the relay runs on: name resolution and clocks."""

from __future__ import annotations

import asyncio

from devtools.faults.environment import FaultEnvironment
from devtools.faults.fault import Unready, fault

PINGING = ("--ping-interval-seconds", "1", "--ping-timeout-seconds", "2")


@fault(loses=True, unready=Unready.MUST, breaks_host=True)
async def name_is_not_found(environment: FaultEnvironment) -> None:
    """The links are reset while the name of the Redis server cannot be resolved, for three seconds."""
    environment.break_host("dns-fails", "")
    environment.proxy.cut()
    await asyncio.sleep(3)
    environment.break_host("dns-fails", None)


@fault(loses=True, unready=Unready.MUST, breaks_host=True)
async def resolver_hangs(environment: FaultEnvironment) -> None:
    """The links are reset while the resolver does not answer, for six seconds; nothing else may hang with it."""
    environment.break_host("dns-hangs", "")
    environment.proxy.cut()
    await asyncio.sleep(2)
    status, text = await environment.relay.get("/healthz", 1)
    environment.expect(status == 200, f"the whole relay hangs with its resolver: {status} {text}")
    await asyncio.sleep(4)
    environment.break_host("dns-hangs", None)


@fault(disturbs=False, unready=Unready.NEVER, breaks_host=True, flags=PINGING)
async def clock_jumps(environment: FaultEnvironment) -> None:
    """The wall clock jumps a day ahead, then two days back, then to the right time."""
    for offset in ("86400", "-86400", "0"):
        environment.break_host("clock", offset)
        await asyncio.sleep(2.5)
    environment.break_host("clock", None)
