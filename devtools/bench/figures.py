"""Figures of results: medians, ratios, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from devtools.bench.run import Results
from devtools.harness.reporting import markdown_table

__all__ = ["markdown", "middle", "number", "ratio", "values"]


def values(results: Results, scenario: str, server: str, metric: str) -> dict[int, float]:
    """Return one metric by round."""
    rounds = results["values"].get(scenario, {}).get(server, [])
    return {entry["round"]: float(entry[metric]) for entry in rounds if metric in entry}


def middle(results: Results, scenario: str, server: str, metric: str) -> float | None:
    """Return the median of one metric over the rounds."""
    found = values(results, scenario, server, metric)
    return median(found.values()) if found else None


def ratio(results: Results, scenario: str, metric: str, server: str, to: str) -> float | None:
    """Return how many times one server's value is another's: the median of the ratios within each round."""
    above, below = values(results, scenario, server, metric), values(results, scenario, to, metric)
    ratios = [above[number] / below[number] for number in above if below.get(number)]
    return median(ratios) if ratios else None


def number(value: float | None, suffix: str = "") -> str:
    """Return a figure with three significant digits."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}{suffix}"
    if abs(value) >= 10:
        return f"{value:.1f}{suffix}"
    return f"{value:.2f}{suffix}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column to the left, figures to the right."""
    return markdown_table(header, rows, range(1, len(header)))
