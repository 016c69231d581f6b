"""The model of a server is compared with real ones."""

from __future__ import annotations

from random import Random
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from devtools.model.real_server import RealServer, find_program
from devtools.model.server import ModelServer, StreamServer

START_MS = 1_764_256_000_000
STEPS = 2100


class _Pair:
    """Carries out the same random operations on two servers.

    Args:
        servers: The servers.
        rng: Randomness.

    Attributes:
        outcomes: What the last addition returned on each.
    """

    def __init__(self, servers: tuple[StreamServer, StreamServer], rng: Random) -> None:
        self.servers = servers
        self.rng = rng
        self.saved: list[tuple[object, object]] = [(None, None)]
        self.number = 0
        self.outcomes: list[object] = [None, None]

    def step(self) -> str:
        """Carry out one operation, and return its name."""
        operations = {
            self.add: 8,
            self.add_burst: 2,
            self.add_with_own_id: 4,
            self.trim: 3,
            self.trim_older: 2,
            self.delete: 4,
            self.remove: 1,
            self.advance: 4,
            self.save: 1,
            self.fail_over: 1,
        }
        operation = self.rng.choices([*operations], [*operations.values()])[0]
        operation()
        return operation.__name__

    def add(self) -> None:
        maxlen = self.rng.choice([None, None, 0, 1, 3])
        self.number += 1
        self.outcomes = [server.add((b"data", b"%d" % self.number), None, maxlen) for server in self.servers]

    def add_burst(self) -> None:
        for _ in range(self.rng.randrange(2, 12)):
            self.add()

    def add_with_own_id(self) -> None:
        number = self.servers[0].now_ms + self.rng.randrange(-3, 4), self.rng.randrange(4)
        outcomes: list[object] = []
        for server in self.servers:
            try:
                outcomes.append(server.add((b"own", b"id"), number))
            except ValueError:
                outcomes.append("rejected")
        self.outcomes = outcomes

    def trim(self) -> None:
        length, approximately = self.rng.randrange(8), self.rng.random() < 0.5
        for server in self.servers:
            server.trim(length, approximately=approximately)

    def trim_older(self) -> None:
        than = self.servers[0].now_ms - self.rng.randrange(5), self.rng.randrange(3)
        approximately = self.rng.random() < 0.5
        for server in self.servers:
            server.trim_older(than, approximately=approximately)

    def delete(self) -> None:
        entries = self.servers[0].read(None, 100)
        if entries:
            chosen = self.rng.choice([entries[-1], self.rng.choice(entries)]).id
            for server in self.servers:
                server.delete(chosen)

    def remove(self) -> None:
        for server in self.servers:
            server.remove()

    def advance(self) -> None:
        passed = self.rng.randrange(4)
        for server in self.servers:
            server.now_ms += passed

    def save(self) -> None:
        first, second = self.servers
        self.saved.append((first.save(), second.save()))

    def fail_over(self) -> None:
        state = self.rng.choice(self.saved)
        now_ms = self.servers[0].now_ms - self.rng.randrange(4)
        for server, saved in zip(self.servers, state, strict=True):
            server.fail_over(saved, now_ms)

    def differences(self) -> list[tuple[object, ...]]:
        """Return what the two show otherwise."""
        since = self.servers[0].now_ms - self.rng.randrange(4), self.rng.randrange(3)
        count = self.rng.randrange(1, 6)
        first, second = (
            (
                server.look(None, 1000),
                server.look(since, count),
                server.look_at_newest(count),
                server.read(since, count),
            )
            for server in self.servers
        )
        pairs = [*zip(first, second, strict=True), tuple(self.outcomes)]
        return [pair for pair in pairs if pair[0] != pair[1]]


class ModelServerTests(SynchronousTestCase):
    """The model shows what a real server shows, after each of many random operations."""

    def check(self, name: str) -> None:
        """Compare the model with one server."""
        program = find_program(name)
        if program is None:
            raise SkipTest(f"no {name} server")
        with RealServer(program, START_MS) as real:
            pair = _Pair((ModelServer(START_MS), real), Random(2))
            for step in range(STEPS):
                name = pair.step()
                self.assertEqual(pair.differences(), [], f"step {step}: {name}")

    def test_model_shows_what_valkey_shows(self) -> None:
        self.check("valkey")

    def test_model_shows_what_redis_shows(self) -> None:
        self.check("redis")
