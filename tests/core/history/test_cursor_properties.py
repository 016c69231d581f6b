"""Random walks of one process that reads a stream: it emits all that was added, in order and once, or tells a gap."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devtools.model.findings import Findings
from devtools.model.memory_server import MemoryServer
from devtools.model.run import START_MS, run_walk
from devtools.model.server import ModelServer

WALKS = 25


class CursorPropertyTests(SynchronousTestCase):
    """It reads late, in pages, and is interrupted; `python -m devtools.model` walks for longer."""

    def test_cursor_on_a_stream_of_redis_emits_what_was_added_or_tells_a_gap(self) -> None:
        findings = Findings()
        for seed in range(WALKS):
            run_walk("cursor", ModelServer(START_MS), seed, findings)
        self.assertGreater(findings.counts["entries"], 1000)
        self.assertGreater(findings.counts["gap: trimmed"], 20)

    def test_cursor_on_an_embedded_stream_emits_what_was_added_or_tells_a_gap(self) -> None:
        findings = Findings()
        for seed in range(WALKS):
            run_walk("cursor", MemoryServer(START_MS), seed, findings)
        self.assertGreater(findings.counts["entries"], 1000)
