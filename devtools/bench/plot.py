"""A picture of the results: one panel of bars per question."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from pathlib import Path
from typing import Any

from devtools.bench.figures import middle
from devtools.bench.paths import PROJECT, VENV_PYTHON
from devtools.bench.run import Results
from devtools.bench.servers import SERVERS

PANELS = (
    ("fanout", "cpu_us", 1, "Paced fan-out to {crowd:,}\nCPU us per delivery"),
    ("burst", "cpu_us", 1, "Burst of {burst} messages to {crowd:,}\nCPU us per delivery"),
    ("direct", "flat_us", 1, "One to one, flat out\nCPU us per message"),
    ("connections", "kb", 1, "Idle connection\nresident KB"),
    ("connections", "handshake_us", 1, "Handshake\nCPU us"),
    ("fanout", "p99_us", 1000, "Paced fan-out to {crowd:,}\np99 latency, ms"),
)
"""Scenario, metric, what it is divided by, and title."""


def plot_elsewhere(source: Path, target: Path) -> int:
    """Draw in the peers' environment, which has matplotlib; return the exit status."""
    if not VENV_PYTHON.exists():
        raise FileNotFoundError(
            "matplotlib is missing here and in devtools/bench/.cache/venv; run `python -m devtools.bench setup`"
        )
    command = [str(VENV_PYTHON), "-m", "devtools.bench", "plot", str(source.resolve()), str(target.resolve())]
    return subprocess.run(command, cwd=PROJECT, timeout=120, check=False).returncode


def can_plot() -> bool:
    """Return whether matplotlib is installed here."""
    return importlib.util.find_spec("matplotlib") is not None


def plot(results: Results, target: Path) -> None:
    """Draw all panels that have figures into one PNG; less is better in each."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    shown = []
    for scenario, metric, scale, title in PANELS:
        found = {name: middle(results, scenario, name, metric) for name in SERVERS}
        known = {name: value / scale for name, value in found.items() if value is not None}
        if known:
            shown.append((title.format(**results["sizes"]), known))
    if not shown:
        raise ValueError("there is nothing to draw in these results")
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.6 * columns, 3.2 * rows), squeeze=False)
    for axis, (title, bars) in zip(axes.flat, shown, strict=False):
        names = sorted(bars, key=lambda name: bars[name], reverse=True)
        heights = [bars[name] for name in names]
        colours = ["#c2410c" if name == "wsrelay" else "#94a3b8" for name in names]
        drawn = axis.barh([SERVERS[name].title for name in names], heights, color=colours)
        axis.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
        if max(heights) > 30 * min(heights):
            axis.set_xscale("log")
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.18)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    figure.suptitle(f"Less is better. wsrelay {results['commit']}, {results['machine']['processor']}", fontsize=10)
    figure.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=120)
