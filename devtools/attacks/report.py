"""Results for people and machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from devtools.attacks.context import AttackResult
from devtools.harness.reporting import save_json, text_table

__all__ = ["explain_failure", "outcomes", "save", "table"]

HEADINGS = ("attack", "outcomes", "verdict", "description")

MAX_OUTCOMES_WIDTH = 64
MAX_PROBLEMS = 8


def table(results: Sequence[AttackResult]) -> str:
    """Return the results, one per line."""
    rows = [(result.name, outcomes(result), result.verdict.value, result.text) for result in results]
    return text_table(HEADINGS, rows)


def outcomes(result: AttackResult) -> str:
    """Return the outcomes of an attack and how often each was seen, in one short line."""
    counted = (f"{seen} x{count}" if count > 1 else seen for seen, count in result.outcomes.items())
    text = ", ".join(counted) or "-"
    return text if len(text) <= MAX_OUTCOMES_WIDTH else text[: MAX_OUTCOMES_WIDTH - 3] + "..."


def explain_failure(result: AttackResult) -> str:
    """Return at length why an attack was neither rejected nor harmless."""
    problems = "\n".join(f"  - {problem}" for problem in result.problems[:MAX_PROBLEMS])
    rest = len(result.problems) - MAX_PROBLEMS
    more = f"\n  and {rest} more" if rest > 0 else ""
    return f"{result.verdict.value}: {result.name}: {result.text}\n{problems}{more}"


def save(results: Sequence[AttackResult], target: Path) -> None:
    """Write everything as JSON."""
    save_json([{**dataclasses.asdict(result), "verdict": result.verdict.value} for result in results], target)
