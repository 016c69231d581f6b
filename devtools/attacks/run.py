"""Tries attacks, many at a time, and looks into the relays' logs when all are over."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from devtools.attacks.attack import Attack
from devtools.attacks.grounds import Grounds
from devtools.attacks.setups import Name
from devtools.attacks.trial import Row, Trial, UnprovenError, Verdict, pieces

__all__ = ["judge_logs", "run"]

ATTACK_SECONDS = 25.0
"""How long an attack may take, all its waiting included."""

_TROUBLE = re.compile(r"Traceback|Unhandled|exceptions\.\w+Error", re.IGNORECASE)


async def run(
    attacks: Iterable[Attack],
    *,
    lanes: int = 12,
    told: Callable[[Row], None] = lambda _row: None,
    more: Mapping[Name, Sequence[str]] | None = None,
) -> list[Row]:
    """Try these attacks.

    Args:
        attacks: Which.
        lanes: How many at the same time.
        told: Called with what came of each, as it comes.
        more: See `Grounds`.
    """
    grounds = Grounds(more)
    turns = asyncio.Semaphore(lanes)
    alone: defaultdict[Name | None, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def one(attack: Attack) -> Row:
        # Who waits for a relay of its own takes no lane meanwhile.
        lock = alone[attack.alone] if attack.alone is not None else asyncio.Lock()
        async with lock, turns:
            row = await _try(grounds, attack)
        told(row)
        return row

    try:
        await grounds.open()
        # First those that wait for others of their kind.
        ordered = sorted(attacks, key=lambda attack: attack.alone is None)
        rows = await asyncio.gather(*(one(attack) for attack in ordered))
        for row in judge_logs({name: relay.log() for name, relay in grounds.relays.items()}, grounds.secrets):
            told(row)
            rows.append(row)
    finally:
        await grounds.close()
    return rows


async def _try(grounds: Grounds, attack: Attack) -> Row:
    row = Row(attack.name, attack.text)
    trial = Trial(grounds)
    began = time.monotonic()
    try:
        async with asyncio.timeout(ATTACK_SECONDS):
            await attack.act(trial)
    except UnprovenError as error:
        row.problems.append(str(error))
    except TimeoutError:
        row.problems.append(f"something did not happen in time, of the {ATTACK_SECONDS:.0f} s for all of it or before")
    except Exception as error:  # noqa: BLE001 -- one attack's mishap is not to cost the others their turn
        where = traceback.extract_tb(error.__traceback__)[-1]
        row.problems.append(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}")
    finally:
        trial.end()
    trial.fill(row)
    row.seconds = round(time.monotonic() - began, 1)
    return row


def judge_logs(logs: Mapping[Name, str], secrets: Iterable[str]) -> list[Row]:
    """What the relays wrote while all this went on: nothing that is a credential, and nothing that went wrong."""
    held = Row("logs-hold-credentials", "Whatever was tried above is looked for in the logs of the relays.")
    broken = Row("logs-hold-tracebacks", "So is what should not have happened.")
    forbidden = {piece for secret in secrets for piece in pieces(secret)}
    for name, log in logs.items():
        if "listening on" not in log:
            held.problems.append(f"{name} has written no log: this proves nothing")
        encoded = log.encode()
        if any(piece in encoded for piece in forbidden):
            held.verdict = Verdict.GOT_IN
            held.problems.append(f"the log of {name} holds a credential")
        if found := _TROUBLE.search(log):
            broken.verdict = Verdict.GOT_IN
            broken.problems.append(f"the log of {name}: {log[max(0, found.start() - 300) : found.start() + 1500]}")
    held.came = {f"{len(forbidden)} pieces in {len(logs)} logs": 1}
    broken.came = {f"{sum(len(log.splitlines()) for log in logs.values())} lines": 1}
    for row in (held, broken):
        if not row.problems:
            row.verdict = Verdict.HARMLESS
    return [held, broken]
