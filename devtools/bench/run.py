"""A run: every scenario, every server, several rounds."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devtools.bench.load import LoadError, client_command
from devtools.bench.measure import Meter, cores
from devtools.bench.paths import LOAD, PROJECT
from devtools.bench.progress import Progress, Step
from devtools.bench.scenarios import HEAVY, HEAVY_ROUNDS, NEEDS, SCENARIOS
from devtools.bench.servers import SERVERS, TWISTD_VARIABLE, start_redis, versions
from devtools.bench.sessions import NORMAL, QUICK, Bench
from devtools.harness.reporting import save_json

Results = dict[str, Any]
"""The content of a JSON file. `values[scenario][server]` is a list with one dict per round."""


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return found[1].strip() if found else platform.machine()


def _busy() -> dict[str, float]:
    """Return the ticks of all processors so far: those the hypervisor gave to others, and all."""
    fields = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return {"stolen": fields[7], "all": sum(fields)}


def machine(server: set[int], load: set[int]) -> dict[str, Any]:
    """Describe this machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_average": os.getloadavg()[0],
        "server_cores": sorted(server),
        "load_cores": sorted(load),
    }


def select(peers: Sequence[str], reasons: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Split the wanted servers into those that can be started and those that cannot, with the reason."""
    able: list[str] = []
    missing: dict[str, str] = {}
    for name in peers:
        server = SERVERS[name]
        why = server.check()
        if why:
            missing[name] = f"{why} ({reasons[server.part]})" if server.part in reasons else why
        else:
            able.append(name)
    return able, missing


def _check_time(started: float, minutes: float) -> None:
    if time.monotonic() - started > minutes * 60:
        raise TimeoutError(f"{minutes:g} minutes are over; the rest is not measured")


def plan(scenarios: Sequence[str], servers: Sequence[str], rounds: int, missing: dict[str, str]) -> list[Step]:
    """Return the measurements of a run in their order.

    Servers take turns within a round, in changing order, so that a noisy minute affects all.
    """
    steps = []
    for number in range(rounds):
        shift = number % len(servers) if servers else 0
        turns = [*servers[shift:], *servers[:shift]]
        for scenario in scenarios:
            if scenario in missing or (scenario in HEAVY and number % HEAVY_ROUNDS):
                continue
            steps += [Step(number, scenario, name) for name in turns if scenario in SERVERS[name].scenarios]
    return steps


def _servers(progress: Progress, scenario: str) -> list[str]:
    return list(dict.fromkeys(step.server for step in progress.left if step.scenario == scenario))


def scenarios_missing(scenarios: Sequence[str], reasons: dict[str, str]) -> dict[str, str]:
    """Return the scenarios that this machine cannot measure, with the reason."""
    missing: dict[str, str] = {}
    for scenario in scenarios:
        for path, part in NEEDS.get(scenario, ()):
            if not path.exists():
                missing[scenario] = f"there is no {path.name} ({reasons.get(part, 'see the set-up')})"
    return missing


def run(
    *,
    scenarios: Sequence[str],
    peers: Sequence[str],
    rounds: int,
    quick: bool,
    minutes: float,
    reasons: dict[str, str],
    say: Callable[[str], None],
    keep: Callable[[Results], None] = lambda _: None,
) -> Results:
    """Measure, and return the results; their entry "failures" lists what failed.

    Args:
        scenarios: The names of the scenarios.
        peers: The names of the servers.
        rounds: How often each is measured.
        quick: Whether the scenarios are smaller.
        minutes: The time to stop after, even if unfinished.
        reasons: The reasons why parts of the set-up are missing.
        say: Prints a line of progress.
        keep: Is given what there is after each step: an hour's figures are not to be lost with the last one's.
    """
    sizes = QUICK if quick else NORMAL
    able, missing = select(peers, reasons)
    missing |= scenarios_missing(scenarios, reasons)
    server_cores, load_cores = cores()
    os.sched_setaffinity(0, load_cores)  # this process only waits, on another core than the server
    results: Results = {
        "format": 1,
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git("status", "--porcelain")),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "rounds": rounds,
        "sizes": asdict(sizes),
        "machine": machine(server_cores, load_cores),
        "versions": versions(),
        "load_client": "C" if client_command()[0] == str(LOAD) else "Python (slow: for orientation only)",
        "relay": f"another one, by {TWISTD_VARIABLE}" if TWISTD_VARIABLE in os.environ else "requirements.txt alone",
        "missing": missing,
        "failures": [],
        "seconds": 0.0,
        "values": {scenario: {name: [] for name in able} for scenario in scenarios},
    }
    results["machine"]["stolen_percent"] = 0.0
    failures: list[str] = results["failures"]
    for name, why in missing.items():
        say(f"{name}: not measured: {why}")
    started = time.monotonic()
    ticks = _busy()
    redis = start_redis(load_cores)
    bench = Bench(sizes, redis.port, Meter(redis.pid), server_cores, load_cores)
    progress = Progress(plan(scenarios, able, rounds, missing))
    for scenario in scenarios:
        say(f"table of {scenario}: --only {scenario}: {', '.join(_servers(progress, scenario)) or 'nothing'}")
    say(progress.text())
    try:
        while progress.left:
            step = progress.left[0]
            _check_time(started, minutes)
            begun = time.monotonic()
            try:
                values = SCENARIOS[step.scenario](bench, SERVERS[step.server])
            except (LoadError, TimeoutError, OSError) as error:
                failures.append(f"{step.scenario}, {step.server}: {error}")
                say(f"FAILED {failures[-1]}")
                progress.drop(step.scenario, step.server)
                continue
            results["values"][step.scenario][step.server].append({"round": step.number, **values})
            seconds = time.monotonic() - begun
            progress.done(step, seconds)
            keep(results)
            figures = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
            say(f"round {step.number + 1}/{rounds}  {step.scenario:<11} {step.server:<10} {seconds:4.1f} s  {figures}")
            say(f"    {progress.text()}")
    except (TimeoutError, KeyboardInterrupt) as error:
        failures.append(str(error) or "interrupted")
        say(f"STOPPED {failures[-1]}")
    finally:
        redis.close()
    after = _busy()
    results["seconds"] = time.monotonic() - started
    results["machine"]["stolen_percent"] = (
        100 * (after["stolen"] - ticks["stolen"]) / max(1.0, after["all"] - ticks["all"])
    )
    return results


def save(results: Results, path: Path) -> None:
    """Write the results as JSON."""
    save_json(results, path)


def read(path: Path) -> Results:
    """Read results.

    Raises:
        ValueError: The file holds no results of this benchmark.
    """
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or found.get("format") != 1:
        raise ValueError(f"{path} holds no results of this benchmark")
    return found
