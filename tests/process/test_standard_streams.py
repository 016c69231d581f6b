"""Tests of `wsrelay.process.standard_streams`. Real closed streams are in tests/integration."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.standard_streams import open_missing_streams


class StreamTests(SynchronousTestCase):
    """Standard streams that are missing."""

    def test_missing_streams_become_the_null_device(self) -> None:
        for name in ("stdin", "stdout", "stderr"):
            self.patch(sys, name, None)
            self.patch(sys, f"__{name}__", None)
        open_missing_streams()
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            self.addCleanup(stream.close)
        self.assertEqual(sys.stdin.read(), "")
        sys.stdout.write("\N{SNOWMAN}")
        self.assertIs(sys.__stderr__, sys.stderr)

    def test_streams_that_are_open_are_left_alone(self) -> None:
        before = sys.stdin, sys.stdout, sys.stderr
        open_missing_streams()
        self.assertEqual((sys.stdin, sys.stdout, sys.stderr), before)
