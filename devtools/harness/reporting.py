"""Tables, JSON files and lines of text, as all tools print them."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

__all__ = ["markdown_table", "print_line", "save_json", "text_table"]


def text_table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return a table for a terminal: cells padded with spaces, those of the columns `right` aligned to the right."""
    lines = [list(headings), *map(list, rows)]
    return "\n".join("  ".join(_padded(line, _widths(lines), right)).rstrip() for line in lines)


def markdown_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = (), *, padded: bool = True
) -> str:
    """Return a Markdown table.

    Args:
        headings: The first line.
        rows: The other lines.
        right: The columns that are aligned to the right.
        padded: True if cells are padded with spaces, so that it reads well in a terminal too.
    """
    lines = [list(headings), *map(list, rows)]
    widths = _widths(lines) if padded else [1] * len(headings)
    texts = [f"| {' | '.join(_padded(line, widths, right))} |" for line in lines]
    rule = "|".join(f"-{'-' * width}{':' if i in right else '-'}" for i, width in enumerate(widths))
    return "\n".join([texts[0], f"|{rule}|", *texts[1:]])


def save_json(content: object, target: Path) -> None:
    """Write a file of JSON, and the folders that it needs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def print_line(text: str) -> None:
    """Print to standard output at once, also if that is a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]


def _padded(line: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    return [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
