"""Tests of `wsrelay.process.initial_environment`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.initial_environment import initial_environment


class InitialEnvironmentTests(SynchronousTestCase):
    """Variables as the process was started with them."""

    def test_variables_that_were_removed_since_are_still_there(self) -> None:
        program = (
            "import os; from wsrelay.process.initial_environment import initial_environment; "
            "del os.environ['A']; print(initial_environment()['A'])"
        )
        environ = {**os.environ, "A": "a=b\n"}
        ended = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
        self.assertEqual(ended.stdout, "a=b\n\n")

    def test_entries_without_an_equals_sign_are_left_out(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"A=1\0nonsense\0B=\0")
        self.assertEqual(initial_environment(str(path)), {"A": "1", "B": ""})

    def test_environment_of_now_takes_its_place_without_proc(self) -> None:
        self.assertEqual(initial_environment("/nonexistent"), dict(os.environ))
