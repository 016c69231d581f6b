"""What people and machines are told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from devtools.attacks.trial import Row

__all__ = ["save", "story", "table"]

HEADINGS = ("attack", "what came of it", "verdict", "what was tried")
CAME = 64
"""So wide may the second column be."""


def table(rows: Sequence[Row]) -> str:
    """The rows, one in a line."""
    lines = [HEADINGS, *((row.name, came(row), row.verdict.value, row.text) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def came(row: Row) -> str:
    """What an attack was answered, and how often."""
    text = ", ".join(f"{seen} x{count}" if count > 1 else seen for seen, count in row.came.items()) or "-"
    return text if len(text) <= CAME else text[: CAME - 3] + "..."


def story(row: Row) -> str:
    """Why one is neither refused nor harmless, at length."""
    problems = "\n".join(f"  - {problem}" for problem in row.problems[:8])
    more = f"\n  and {len(row.problems) - 8} more" if len(row.problems) > 8 else ""
    return f"{row.verdict.value}: {row.name}: {row.text}\n{problems}{more}"


def save(rows: Sequence[Row], target: Path) -> None:
    """Write everything as JSON."""
    written = [{**dataclasses.asdict(row), "verdict": row.verdict.value} for row in rows]
    target.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
