"""Runs faults, several at a time, each with servers of its own."""

from __future__ import annotations

import asyncio
import re
import resource
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from devtools.faults.audit import DeliveryReport, audit, check_announcement_delay
from devtools.faults.environment import CLIENTS, HISTORY_CHANNELS, OVERLOAD_SECONDS, FaultEnvironment, FaultError
from devtools.faults.fault import Fault, Gaps, Unready
from devtools.faults.result import FaultResult, HistoryFigures
from devtools.faults.stream_audit import StreamReport

__all__ = ["raise_descriptor_limit", "run", "run_fault"]

SCENARIO_SECONDS = 120.0
"""The longest time that a scenario may take, all its waiting included."""

FRESH_SECONDS = 1.5
"""A message published so recently may still be on its way."""

FALSE_READY_SECONDS = 12.0
"""How long `/readyz` may be 200 while messages are published and none comes."""

SETTLE_SECONDS = 1.5
QUIET_SECONDS = 5.0

RETURN_SECONDS = 20.0
"""How long it takes until every event source is back: one that was turned away may be told to wait twelve seconds."""

DESCRIPTORS = 3
"""The count of open files may differ by this: a probe being answered, and client connections about to end."""

CONNECTS = 20
CONNECTS_PER_SECOND = 2.0
"""The most connections to Redis that each relay may open during a fault, and how many more for each of its seconds."""

GAP_CODE = 4010
"""The code with which a socket is closed after a gap."""

_ERRORS = re.compile(r"Traceback|Unhandled|exceptions\.\w+Error", re.IGNORECASE)


async def run_fault(
    fault: Fault, clients: int = CLIENTS, seed: int = 1, overload_seconds: float = OVERLOAD_SECONDS
) -> FaultResult:
    """Start all servers, run a fault, wait for recovery, and return the result. Leaves nothing behind."""
    result = FaultResult(fault.name, fault.text)
    began = time.monotonic()
    environment = FaultEnvironment(fault, clients, seed, overload_seconds)
    try:
        await _run_phases(environment, result)
    except FaultError as error:
        result.problems.append(str(error))
    except Exception as error:  # noqa: BLE001 -- an error in one fault must not stop the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        result.problems.append(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}")
    finally:
        logs = "\n".join(relay.log() for relay in environment.relays)
        await environment.close()
    result.problems = [*environment.problems, *result.problems]
    if result.problems:
        result.log = logs[-6000:]
    result.seconds = round(time.monotonic() - began, 1)
    return result


async def run(
    faults: Iterable[Fault],
    *,
    concurrency: int,
    minutes: float,
    on_result: Callable[[FaultResult], None],
    seed: int = 1,
    overload_seconds: float = OVERLOAD_SECONDS,
) -> list[FaultResult]:
    """Run faults.

    Args:
        faults: The faults.
        concurrency: How many run at the same time.
        minutes: After this long no fault is started any more.
        on_result: Called with each result as soon as it is known.
        seed: The seed of all randomness.
        overload_seconds: How long an overload lasts.

    Returns:
        The results.
    """
    raise_descriptor_limit()
    deadline = time.monotonic() + minutes * 60
    slots = asyncio.Semaphore(concurrency)

    async def one(fault: Fault) -> FaultResult:
        async with slots:
            if time.monotonic() > deadline:
                result = FaultResult(fault.name, fault.text, problems=[f"not tried: the {minutes:g} minutes are over"])
            else:
                result = await run_fault(fault, seed=seed, overload_seconds=overload_seconds)
        on_result(result)
        return result

    wanted = list(faults)
    results = {result.name: result for result in await asyncio.gather(*(one(fault) for fault in _mixed(wanted)))}
    return [results[fault.name] for fault in wanted]


def _mixed(faults: Sequence[Fault]) -> list[Fault]:
    """Return faults so that those of one kind are far apart: floods at the same time would starve each other."""
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.scenario.__module__, []).append(fault)
    places = [(at / len(kind), fault) for kind in kinds.values() for at, fault in enumerate(kind)]
    return [fault for _, fault in sorted(places, key=lambda place: place[0])]


async def _run_phases(environment: FaultEnvironment, result: FaultResult) -> None:
    fault = environment.fault
    await environment.set_up()
    connects = environment.proxy.accepted
    before = [] if fault.starts_down else environment.open_connections()
    began = time.monotonic()
    await asyncio.wait_for(fault.scenario(environment), SCENARIO_SECONDS)
    ended = time.monotonic()
    recovered = await _wait_until_recovered(environment, ended)
    await environment.stop_publishing()
    environment.pool.listen_only()
    if environment.streams is not None:
        environment.streams.stay()
    delivery, streams = await _final_delivery(environment)
    result.codes = dict(environment.pool.codes)
    await environment.stop_moving()
    result.published = environment.publisher.accepted
    result.expected, result.lost = delivery.expected, delivery.lost
    result.announced, result.silent = delivery.announced, delivery.silent
    result.late = delivery.late
    result.announced_after = round(delivery.announced_after, 1) if delivery.announced else None
    result.recovered = None if recovered is None else round(recovered - ended, 1)
    unready_reports = [when for monitor in environment.monitors for when, _ in monitor.unready_reports if when >= began]
    result.unready_after = round(min(unready_reports) - began, 1) if unready_reports and not fault.starts_down else None
    result.connects = environment.proxy.accepted - connects
    problems = result.problems
    if recovered is None:
        reasons = {monitor.reason.strip() for monitor in environment.monitors}
        problems.append(f"no recovery within {fault.recovery:.0f} s of the end of the fault; readiness: {reasons}")
    _check_delivery(fault, delivery, ended, problems)
    if environment.streams is not None:
        result.history = _history_figures(environment, streams)
        _check_streams(environment, streams, result)
    if not fault.disturbs and environment.open_connections() != before:
        problems.append(f"unrelated clients were disturbed: {result.codes}")
    _check_readiness(environment, bool(unready_reports), problems)
    if result.connects > len(environment.relays) * (CONNECTS + CONNECTS_PER_SECOND * (time.monotonic() - began)):
        problems.append(f"{result.connects} connections to Redis in {time.monotonic() - began:.0f} s: no back-off")
    await _check_sizes(environment, result)
    problems += await environment.tear_down()
    for relay in environment.relays:
        if found := _ERRORS.search(relay.log()):
            problems.append(f"a relay's log: {relay.log()[max(0, found.start() - 200) : found.start() + 600]}")


async def _wait_until_recovered(environment: FaultEnvironment, ended: float) -> float | None:
    """Wait for recovery, and until no announcement is missing; return the time of recovery, or None."""
    recovered: float | None = None
    calm = time.monotonic() + SETTLE_SECONDS
    deadline = time.monotonic() + environment.fault.recovery
    while (now := time.monotonic()) < deadline:
        if not (environment.all_receive(max(ended, now - FRESH_SECONDS)) and environment.is_ready):
            recovered = None
        elif recovered is None:
            recovered = now
        if recovered is not None and now >= calm:
            delivery = audit(environment.pool.connections, environment.publisher.log, now - FRESH_SECONDS)
            if not delivery.silent or (environment.fault.expects_silence and now >= calm + QUIET_SECONDS):
                break
        await asyncio.sleep(0.1)
    return recovered


async def _final_delivery(environment: FaultEnvironment) -> tuple[DeliveryReport, StreamReport]:
    """Return the reports after the publishers have stopped. Messages that are on their way get time to arrive."""
    deadline = time.monotonic() + (QUIET_SECONDS if environment.streams is None else RETURN_SECONDS)
    while True:
        now = time.monotonic()
        delivery = audit(environment.pool.connections, environment.publisher.log, now)
        streams = environment.stream_report(now)
        is_complete = not (delivery.silent or streams.holes)
        if is_complete or environment.fault.expects_silence or now > deadline:
            return delivery, streams
        await asyncio.sleep(0.2)


def _check_delivery(fault: Fault, delivery: DeliveryReport, ended: float, problems: list[str]) -> None:
    if fault.expects_silence:
        if not delivery.silent:
            problems.append(
                "every loss was announced: either the setting has no effect, or this suite does not see silent loss"
            )
    elif delivery.silent:
        problems.append(f"{delivery.silent} messages were lost silently; {delivery.examples}")
    if delivery.disordered:
        problems.append(f"{delivery.disordered} messages came twice or out of order; {delivery.examples}")
    if delivery.unknown and not fault.garbles:
        problems.append(f"{len(delivery.unknown)} messages that were never published, such as {delivery.unknown[0]!r}")
    if late := check_announcement_delay(delivery, ended):
        problems.append(late)
    if delivery.lost and not fault.disturbs:
        problems.append(f"{delivery.lost} messages were lost, although nothing stopped them")
    if fault.loses and not delivery.lost:
        problems.append("nothing was lost: the fault did not take effect, and proves nothing")


def _history_figures(environment: FaultEnvironment, streams: StreamReport) -> HistoryFigures:
    assert environment.streams is not None, "the caller has looked"  # noqa: S101 -- for the type
    return HistoryFigures(
        entries=environment.adder.accepted,
        deliveries=streams.deliveries,
        reconnects=environment.streams.reconnects,
        gaps=dict(streams.gaps),
        needless=streams.needless,
        missed=streams.missed,
        again=streams.again,
        holes=streams.holes,
        doubles=streams.doubles,
    )


def _check_streams(environment: FaultEnvironment, streams: StreamReport, result: FaultResult) -> None:
    """Check what clients of channels with history were told, those of event streams and those of sockets."""
    fault, problems = environment.fault, result.problems
    if streams.holes or streams.doubles:
        problems.append(f"{streams.holes} holes without a gap, {streams.doubles} doubles; {streams.examples}")
    if streams.unknown:
        problems.append(f"{len(streams.unknown)} entries that were never added, such as {streams.unknown[0]!r}")
    if environment.streams is not None:
        problems += environment.streams.problems()
    closed = sum(each.code == GAP_CODE and each.channel in HISTORY_CHANNELS for each in environment.pool.connections)
    if fault.history is Gaps.NEVER and (streams.gaps or closed):
        problems.append(
            f"gaps were told although the streams held everything: {dict(streams.gaps)}; sockets closed: {closed}"
        )
    if fault.history is Gaps.MUST and not streams.gaps:
        problems.append("no gap was told: the fault did not take effect, and proves nothing")


def _check_readiness(environment: FaultEnvironment, was_unready: bool, problems: list[str]) -> None:
    unready = environment.fault.unready
    if unready is Unready.MUST and not was_unready:
        problems.append("/readyz never reported that messages do not flow")
    if unready is Unready.NEVER and was_unready:
        reasons = {reason for monitor in environment.monitors for _, reason in monitor.unready_reports}
        problems.append(f"/readyz was not ready while messages flowed: {reasons}")
    false_ready = max(monitor.longest_false_ready for monitor in environment.monitors)
    if false_ready > FALSE_READY_SECONDS:
        problems.append(f"/readyz was 200 for {false_ready:.1f} s in which messages were published and none came")


async def _check_sizes(environment: FaultEnvironment, result: FaultResult) -> None:
    """Compare open files and memory of the relays with those before, after giving them time to release."""
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        after = environment.sizes()
        grown = sum(now[0] - then[0] for now, then in zip(after, environment.before, strict=True))
        # Its own count of connections must agree with the number of clients. Some may just be reconnecting.
        counts = [await relay.metric("wsrelay_connections") for relay in environment.relays]
        counted = sum(count for count in counts if count is not None)
        clients = environment.open_connections()
        connected = sum(current is not None for current in clients)
        agreed = None in counts or counted == connected == len(clients)
        if (abs(grown) <= DESCRIPTORS and agreed) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    result.descriptors = sum(then[0] for then in environment.before), sum(now[0] for now in after)
    result.resident = sum(then[1] for then in environment.before), sum(now[1] for now in after)
    if grown > DESCRIPTORS:
        result.problems.append(f"open files: {result.descriptors[0]} before, {result.descriptors[1]} after")
    for then, now in zip(environment.before, after, strict=True):
        if now[1] - then[1] > environment.fault.memory:
            result.problems.append(f"resident memory: {then[1] >> 20} MiB before, {now[1] >> 20} MiB after")
    if not agreed:
        result.problems.append(
            f"the relays count {counted:.0f} connections, {connected} of {len(clients)} clients are connected"
        )


def raise_descriptor_limit() -> None:
    """Each client is two open files, and the usual limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # The system refuses; the present limit may suffice.
        return
