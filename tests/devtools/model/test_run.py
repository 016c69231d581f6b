"""Tests of the command `python -m devtools.model`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from devtools.model import recovery_walk
from devtools.model.__main__ import main
from devtools.model.real_server import find_program
from devtools.model.run import SERVERS
from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EntryPosition
from wsrelay.core.history.recovery import Recovery


def run(*arguments: str) -> tuple[int, str]:
    """Return the exit status and the output of a run."""
    output = StringIO()
    with redirect_stdout(output):
        status = main(arguments)
    return status, output.getvalue()


def believe_everything(_position: EntryPosition, entries: Sequence[Entry], _limit: int) -> Recovery:
    """Judge as no relay should."""
    return Recovery(tuple(entries[1:]))


class RunTests(SynchronousTestCase):
    """Walks, and their report."""

    def test_each_walk_runs_on_each_server_that_is_there(self) -> None:
        for server in SERVERS:
            if server in ("model", "memory") or find_program(server):
                status, output = run("--server", server, "--seed", "1")
                self.assertEqual(status, 0, output)
                for walk in ("recovery", "cursor", "joins"):
                    self.assertIn(f"{server}, {walk}\n", output)
                self.assertIn("0 walks failed", output)

    def test_hole_fails_the_run_and_its_seed_shows_it_again(self) -> None:
        with patch.object(recovery_walk, "judge_read", believe_everything):
            status, output = run("--server", "model", "--walk", "recovery", "--minutes", "0.01")
            self.assertEqual(status, 1)
            self.assertRegex(output, r"FAILED model: recovery, seed \d+, step \d+: (hole|double): ")
            seed = output.partition("seed ")[2].partition(",")[0]
            self.assertEqual(run("--server", "model", "--walk", "recovery", "--seed", seed)[0], 1)

    def test_missing_server_is_another_status(self) -> None:
        with patch("devtools.model.run.find_program", return_value=None):
            self.assertEqual(run("--server", "redis")[0], 2)
