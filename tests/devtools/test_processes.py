"""Tests of `devtools.harness.processes`."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.processes import ChildProcess, stop_all

ROOT = Path(__file__).parents[2]

IGNORES_SIGTERM = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)
PARENT = """\
import sys, time
from devtools.harness.processes import ChildProcess
child = ChildProcess("child")
child.spawn([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


class ChildProcessTests(SynchronousTestCase):
    """Start and end of children."""

    def child(self) -> ChildProcess:
        """Return a child that ends with the test."""
        child = ChildProcess("test")
        self.addCleanup(child.close)
        return child

    def test_child_ends_with_its_parent_even_if_that_is_killed(self) -> None:
        with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            pidfd = os.pidfd_open(int(parent.stdout.readline()))
            parent.kill()
        self.addCleanup(os.close, pidfd)
        # Readable once the process has ended.
        self.assertTrue(select.select([pidfd], [], [], 30)[0])

    def test_log_is_kept_over_restarts(self) -> None:
        child = self.child()
        for text in ("first", "second"):
            child.spawn([sys.executable, "-c", f"print('{text}')"])
            self.assertEqual(child.wait(), 0)
        self.assertEqual(child.log().split(), ["first", "second"])
        self.assertEqual(child.last_lines(), "first | second")

    def test_child_that_ignores_sigterm_is_killed(self) -> None:
        child = self.child()
        child.spawn([sys.executable, "-c", IGNORES_SIGTERM], piped=True)
        child.pipes[1].readline()
        self.assertFalse(child.stop(0.1))
        self.assertEqual(child.status, -signal.SIGKILL)

    def test_child_that_ends_at_sigterm_is_reported_as_ended(self) -> None:
        """Also if it is stopped by SIGSTOP."""
        child = self.child()
        child.spawn([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"], piped=True)
        child.pipes[1].readline()
        child.signal(signal.SIGSTOP)
        self.assertTrue(child.stop())
        self.assertEqual(child.status, -signal.SIGTERM)

    def test_stop_all_ends_every_child(self) -> None:
        children = [self.child() for _ in range(2)]
        for child in children:
            child.spawn([sys.executable, "-c", "import time; time.sleep(60)"])
        stop_all()
        self.assertEqual([child.is_running for child in children], [False, False])

    def test_child_that_was_not_started_has_no_pid(self) -> None:
        self.assertRaises(RuntimeError, lambda: self.child().pid)
