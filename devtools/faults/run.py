"""Tries faults, several at a time, each in a world of its own."""

from __future__ import annotations

import asyncio
import re
import resource
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from devtools.faults.faults import Fault, Red
from devtools.faults.stage import CLIENTS, FaultError, Stage
from devtools.faults.verdict import Account, Result, audit, tell_at_most

__all__ = ["run", "try_fault"]

ACT_SECONDS = 60.0
"""How long an act may take, all its waiting included."""

FRESH_SECONDS = 1.5
"""What was published so recently may still be under way."""

LIE_SECONDS = 12.0
"""How long `/readyz` may be green while nothing of what is published comes."""

SETTLE_SECONDS = 1.5
QUIET_SECONDS = 5.0
DESCRIPTORS = 3
"""As many may differ: a probe that is just being answered, and the connection of a client that is about to end."""

CONNECTS = 20
CONNECTS_PER_SECOND = 2.0
"""Redis is not to be hammered: so many connections of each relay, and so many more for each second of a fault."""

_TROUBLE = re.compile(r"Traceback|Unhandled|exceptions\.\w+Error", re.IGNORECASE)


async def try_fault(fault: Fault, clients: int = CLIENTS, seed: int = 1) -> Result:
    """Set the world up, break it, see whether it heals, and judge. Leaves nothing behind."""
    result = Result(fault.name, fault.text)
    began = time.monotonic()
    stage = Stage(fault, clients, seed)
    try:
        await _try(stage, result)
    except FaultError as error:
        result.problems.append(str(error))
    except Exception as error:  # noqa: BLE001 -- one fault's mishap is not to cost the others their turn
        where = traceback.extract_tb(error.__traceback__)[-1]
        result.problems.append(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}")
    finally:
        logs = "\n".join(relay.log() for relay in stage.relays)
        await stage.close()
    result.problems = [*stage.problems, *result.problems]
    if result.problems:
        result.log = logs[-6000:]
    result.seconds = round(time.monotonic() - began, 1)
    return result


async def run(
    faults: Iterable[Fault], *, lanes: int, minutes: float, told: Callable[[Result], None], seed: int = 1
) -> list[Result]:
    """Try these faults.

    Args:
        faults: Which.
        lanes: How many at the same time.
        minutes: After this long none is begun any more.
        told: Called with each result as it comes.
        seed: Where randomness comes from.
    """
    _raise_descriptor_limit()
    deadline = time.monotonic() + minutes * 60
    turns = asyncio.Semaphore(lanes)

    async def one(fault: Fault) -> Result:
        async with turns:
            if time.monotonic() > deadline:
                result = Result(fault.name, fault.text, problems=[f"not tried: the {minutes:g} minutes are over"])
            else:
                result = await try_fault(fault, seed=seed)
        told(result)
        return result

    return await asyncio.gather(*(one(fault) for fault in faults))


async def _try(stage: Stage, result: Result) -> None:
    fault = stage.fault
    await stage.set_up()
    connects = stage.proxy.accepted
    before = [] if fault.starts_down else stage.connected()
    began = time.monotonic()
    await asyncio.wait_for(fault.act(stage), ACT_SECONDS)
    ended = time.monotonic()
    recovered = await _settle(stage, ended)
    await stage.publisher.stop()
    stage.audience.hush()
    account = await _last_account(stage)
    result.codes = dict(stage.audience.codes)
    await stage.audience.settle_down()
    result.published = stage.publisher.taken
    result.owed, result.lost = account.owed, account.lost
    result.announced, result.silent = account.announced, account.silent
    result.late = account.late
    result.told_after = round(account.told_after, 1) if account.announced else None
    result.recovered = None if recovered is None else round(recovered - ended, 1)
    reds = [when for gauge in stage.gauges for when, _ in gauge.reds if when >= began]
    result.red_after = round(min(reds) - began, 1) if reds and not fault.starts_down else None
    result.connects = stage.proxy.accepted - connects
    problems = result.problems
    if recovered is None:
        reasons = {gauge.reason.strip() for gauge in stage.gauges}
        problems.append(f"not well {fault.recovery:.0f} s after the end of the fault; readiness: {reasons}")
    _judge_account(fault, account, ended, problems)
    if not fault.disturbs and stage.connected() != before:
        problems.append(f"clients were disturbed that have nothing to do with it: {result.codes}")
    _judge_readiness(stage, bool(reds), problems)
    if result.connects > len(stage.relays) * (CONNECTS + CONNECTS_PER_SECOND * (time.monotonic() - began)):
        problems.append(f"{result.connects} connections to Redis in {time.monotonic() - began:.0f} s: no back-off")
    await _judge_sizes(stage, result)
    problems += await stage.tear_down()
    for relay in stage.relays:
        if found := _TROUBLE.search(relay.log()):
            problems.append(f"a relay's log: {relay.log()[max(0, found.start() - 200) : found.start() + 600]}")


async def _settle(stage: Stage, ended: float) -> float | None:
    """Wait until all is well and nothing is left to be announced; return since when all has been well, or None."""
    well: float | None = None
    calm = time.monotonic() + SETTLE_SECONDS
    deadline = time.monotonic() + stage.fault.recovery
    while (now := time.monotonic()) < deadline:
        if not (stage.audience.all_hear(max(ended, now - FRESH_SECONDS)) and stage.is_ready):
            well = None
        elif well is None:
            well = now
        if well is not None and now >= calm:
            account = audit(stage.audience.connections, stage.publisher.log, now - FRESH_SECONDS)
            if not account.silent or (stage.fault.silences and now >= calm + QUIET_SECONDS):
                break
        await asyncio.sleep(0.1)
    return well


async def _last_account(stage: Stage) -> Account:
    """The account after the publisher has stopped; what is under way gets time to arrive."""
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        account = audit(stage.audience.connections, stage.publisher.log, time.monotonic())
        if not account.silent or stage.fault.silences or time.monotonic() > deadline:
            return account
        await asyncio.sleep(0.2)


def _judge_account(fault: Fault, account: Account, ended: float, problems: list[str]) -> None:
    if fault.silences:
        if not account.silent:
            problems.append("all was announced: either the setting has no effect, or this suite does not see silence")
    elif account.silent:
        problems.append(f"{account.silent} messages were lost in silence; {account.examples}")
    if account.disordered:
        problems.append(f"{account.disordered} messages came twice or out of order; {account.examples}")
    if account.strange and not fault.garbles:
        problems.append(f"{len(account.strange)} messages that nobody published, such as {account.strange[0]!r}")
    if late := tell_at_most(account, ended):
        problems.append(late)
    if account.lost and not fault.disturbs:
        problems.append(f"{account.lost} messages were lost, and nothing was in their way")
    if fault.loses and not account.lost:
        problems.append("nothing was lost: the fault did not bite, and proves nothing")


def _judge_readiness(stage: Stage, was_red: bool, problems: list[str]) -> None:
    red = stage.fault.red
    if red is Red.MUST and not was_red:
        problems.append("/readyz never said that messages do not flow")
    if red is Red.NEVER and was_red:
        reasons = {reason for gauge in stage.gauges for _, reason in gauge.reds}
        problems.append(f"/readyz was not ready while messages flowed: {reasons}")
    lie = max(gauge.longest_lie for gauge in stage.gauges)
    if lie > LIE_SECONDS:
        problems.append(f"/readyz was 200 for {lie:.1f} s in which nothing came of what was published")


async def _judge_sizes(stage: Stage, result: Result) -> None:
    """Compare what the relays hold with what they held before, given time to let go of it."""
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        after = stage.sizes()
        grown = sum(now[0] - then[0] for now, then in zip(after, stage.before, strict=True))
        # Its own count of connections must agree with how many clients are there. Some may just be coming back.
        counts = [await relay.metric("wsrelay_connections") for relay in stage.relays]
        counted = sum(count for count in counts if count is not None)
        here = sum(current is not None for current in stage.connected())
        agreed = None in counts or counted == here == len(stage.connected())
        if (abs(grown) <= DESCRIPTORS and agreed) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    result.descriptors = sum(then[0] for then in stage.before), sum(now[0] for now in after)
    result.resident = sum(then[1] for then in stage.before), sum(now[1] for now in after)
    if grown > DESCRIPTORS:
        result.problems.append(f"open files: {result.descriptors[0]} before, {result.descriptors[1]} after")
    for then, now in zip(stage.before, after, strict=True):
        if now[1] - then[1] > stage.fault.memory:
            result.problems.append(f"resident memory: {then[1] >> 20} MiB before, {now[1] >> 20} MiB after")
    if not agreed:
        result.problems.append(
            f"the relays count {counted:.0f} connections, there are {here} of {len(stage.connected())} clients"
        )


def _raise_descriptor_limit() -> None:
    """Each client is two open files, and the usual limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # A system that refuses; what there is may do.
        return
