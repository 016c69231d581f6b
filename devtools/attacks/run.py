"""Runs attacks, many at a time, and searches the relays' logs afterwards."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from devtools.attacks.attack import Attack
from devtools.attacks.context import AttackContext, AttackResult, UnprovenError, Verdict, secret_parts
from devtools.attacks.environment import AttackEnvironment
from devtools.attacks.relay_setups import RelayName

__all__ = ["check_logs", "run"]

ATTACK_SECONDS = 45.0
"""The longest time that an attack may take, all its waiting included."""

_ERRORS = re.compile(r"Traceback|Unhandled|exceptions\.\w+Error", re.IGNORECASE)


async def run(
    attacks: Iterable[Attack],
    *,
    concurrency: int = 12,
    on_result: Callable[[AttackResult], None] = lambda _result: None,
    more: Mapping[RelayName, Sequence[str]] | None = None,
) -> list[AttackResult]:
    """Run attacks.

    Args:
        attacks: The attacks.
        concurrency: How many run at the same time.
        on_result: Called with each result as soon as it is known.
        more: See `AttackEnvironment`.

    Returns:
        The results, and two more about the logs.
    """
    environment = AttackEnvironment(more)
    slots = asyncio.Semaphore(concurrency)
    locks: defaultdict[RelayName | None, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run_one(attack: Attack) -> AttackResult:
        # An attack that waits for an exclusive relay takes no slot meanwhile.
        lock = locks[attack.exclusive] if attack.exclusive is not None else asyncio.Lock()
        async with lock, slots:
            result = await _run_one(environment, attack)
        on_result(result)
        return result

    try:
        await environment.open()
        # First those that wait for others of their kind.
        ordered = sorted(attacks, key=lambda attack: attack.exclusive is None)
        results = await asyncio.gather(*(run_one(attack) for attack in ordered))
        logs = {name: relay.log() for name, relay in environment.relays.items()}
        for result in check_logs(logs, environment.secrets):
            on_result(result)
            results.append(result)
    finally:
        await environment.close()
    return results


async def _run_one(environment: AttackEnvironment, attack: Attack) -> AttackResult:
    result = AttackResult(attack.name, attack.text)
    context = AttackContext(environment)
    began = time.monotonic()
    try:
        async with asyncio.timeout(ATTACK_SECONDS):
            await attack.scenario(context)
    except UnprovenError as error:
        result.problems.append(str(error))
    except TimeoutError:
        result.problems.append(f"a deadline passed: that of {ATTACK_SECONDS:.0f} s for all of it, or an earlier one")
    except Exception as error:  # noqa: BLE001 -- an error in one attack must not stop the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        result.problems.append(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}")
    finally:
        context.close()
    context.conclude(result)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def check_logs(logs: Mapping[RelayName, str], secrets: Iterable[str]) -> list[AttackResult]:
    """Search the logs of relays for credentials and for errors; return a result for each of the two."""
    credentials = AttackResult(
        "logs-hold-credentials", "Search the logs of the relays for every credential used above."
    )
    errors = AttackResult("logs-hold-tracebacks", "Search the logs of the relays for tracebacks and unhandled errors.")
    forbidden = {part for secret in secrets for part in secret_parts(secret)}
    for name, log in logs.items():
        if "listening on" not in log:
            credentials.problems.append(f"{name} has written no log: this proves nothing")
        encoded = log.encode()
        if any(part in encoded for part in forbidden):
            credentials.verdict = Verdict.BREACHED
            credentials.problems.append(f"the log of {name} holds a credential")
        if found := _ERRORS.search(log):
            errors.verdict = Verdict.BREACHED
            errors.problems.append(f"the log of {name}: {log[max(0, found.start() - 300) : found.start() + 1500]}")
    credentials.outcomes = {f"{len(forbidden)} strings in {len(logs)} logs": 1}
    errors.outcomes = {f"{sum(len(log.splitlines()) for log in logs.values())} lines": 1}
    for result in (credentials, errors):
        if not result.problems:
            result.verdict = Verdict.HARMLESS
    return [credentials, errors]
