"""Runs walks, each with a seed of its own, and adds up what they find."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random, SystemRandom
from typing import Protocol

from devtools.harness.redis_server import NO_SERVER
from devtools.model.cursor_walk import CursorWalk
from devtools.model.findings import Findings, WalkFailure
from devtools.model.join_walk import JoinWalk
from devtools.model.memory_server import MemoryServer
from devtools.model.process import small_sizes
from devtools.model.real_server import RealServer, find_program
from devtools.model.recovery_walk import RecoveryWalk
from devtools.model.server import ModelServer, StreamServer

__all__ = ["SERVERS", "START_MS", "STEPS", "WALKS", "run_for", "run_walk"]

START_MS = 1_768_000_000_000
"""The server's clock at the beginning of each walk: late enough for offsets (`wsrelay.core.history.offsets`)."""

STEPS = 400
"""The steps of one walk."""

SERVERS = ("model", "memory", "valkey", "redis")


class Walk(Protocol):
    """A random walk."""

    def step(self) -> None:
        """Do one thing.

        Raises:
            WalkFailure: It broke a rule.
        """


WALKS: dict[str, Callable[[StreamServer, Random, Findings], Walk]] = {
    each.name: each for each in (RecoveryWalk, CursorWalk, JoinWalk)
}


def run_walk(walk: str, server: StreamServer, seed: int, findings: Findings, steps: int = STEPS) -> None:
    """Run one walk.

    Args:
        walk: Its name, one of `WALKS`.
        server: The server, without data.
        seed: Determines the walk.
        findings: Where what happens is counted.
        steps: The number of its steps.

    Raises:
        WalkFailure: A rule was broken; the text names the seed.
    """
    findings.count("walks")
    with small_sizes():
        walking = WALKS[walk](server, Random(seed), findings)  # noqa: S311 -- it has to come again
        for step in range(steps):
            findings.count("steps")
            try:
                walking.step()
            except WalkFailure as failure:
                raise WalkFailure(f"{walk}, seed {seed}, step {step}: {failure}") from failure


@contextmanager
def servers(name: str) -> Iterator[Callable[[], StreamServer]]:
    """Yield what returns a server without data for each walk.

    Raises:
        RuntimeError: There is no such server on this machine.
    """
    if name == "model":
        yield lambda: ModelServer(START_MS)
    elif name == "memory":
        yield lambda: MemoryServer(START_MS)
    else:
        program = find_program(name)
        if program is None:
            raise RuntimeError(f"{name}: {NO_SERVER}")
        with RealServer(program, START_MS) as real:

            def emptied() -> StreamServer:
                real.restart(START_MS)
                return real

            yield emptied


def run_for(
    seconds: float, server: str, walks: list[str], seed: int | None, report: Callable[[str], None]
) -> dict[str, Findings]:
    """Run walks on one server for a while, in turn.

    Args:
        seconds: For how long.
        server: One of `SERVERS`.
        walks: The names of the walks.
        seed: The one seed to run each walk with, once. If None, new ones until the time is over.
        report: Called with a line for each failure.

    Returns:
        What was found, by the name of the walk.
    """
    findings = {walk: Findings() for walk in walks}
    end = time.monotonic() + seconds
    seeds = SystemRandom()
    with servers(server) as fresh:
        while True:
            for walk in walks:
                try:
                    run_walk(walk, fresh(), seeds.getrandbits(32) if seed is None else seed, findings[walk])
                except WalkFailure as failure:
                    report(f"{server}: {failure}")
            if seed is not None or time.monotonic() > end:
                return findings
