"""Shared by the tests of commands: the outcome of a command in this process."""

from __future__ import annotations

import io
import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.commands.main import main

__all__ = ["CommandCase"]


class CommandCase(SynchronousTestCase):
    """A test whose environment has no settings."""

    def setUp(self) -> None:
        """Take the settings of the machine away."""
        kept = {name: value for name, value in os.environ.items() if "REDIS" not in name and "WSRELAY" not in name}
        self.patch(os, "environ", kept)

    def outcome(self, *arguments: str) -> tuple[object, str, str]:
        """Return the status of a command, and what it printed on both streams."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        with self.assertRaises(SystemExit) as caught:
            main(arguments)
        return caught.exception.code, out.getvalue(), err.getvalue()
