"""Random walks of returning clients: never a hole that was not told, never a double, no gap without need."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devtools.model.findings import Findings
from devtools.model.memory_server import MemoryServer
from devtools.model.run import START_MS, run_walk
from devtools.model.server import ModelServer

WALKS = 25


class RecoveryPropertyTests(SynchronousTestCase):
    """Clients come back with any position, to whatever is left; `python -m devtools.model` walks for longer."""

    def test_client_of_a_stream_of_redis_is_told_of_what_it_cannot_recover(self) -> None:
        findings = Findings()
        for seed in range(WALKS):
            run_walk("recovery", ModelServer(START_MS), seed, findings)
        self.assertGreater(findings.counts["recovered"], 300)
        for reason in ("too_many", "trimmed", "expired", "other_entry", "unknown_position"):
            self.assertTrue(findings.counts[f"gap: {reason}"], reason)

    def test_client_of_an_embedded_stream_is_told_of_what_it_cannot_recover(self) -> None:
        findings = Findings()
        for seed in range(WALKS):
            run_walk("recovery", MemoryServer(START_MS), seed, findings)
        self.assertGreater(findings.counts["recovered"], 300)
