"""Tests of `devtools.release.audit`: it would see what it looks for."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from packaging.version import Version
from twisted.trial.unittest import SynchronousTestCase

from devtools.release.audit import KNOWN, ask_pip_audit, pins, vulnerable


class AuditTests(SynchronousTestCase):
    """Pins and advisories."""

    def test_pins(self) -> None:
        """What is pinned is read from both files, and all of it is exact."""
        found = pins()
        self.assertIn("twisted", found)
        self.assertIn("ruff", found)
        self.assertTrue(all(Version(release) for release in found.values()))

    def test_nothing_known(self) -> None:
        """No pin is behind an advisory that we know of."""
        self.assertEqual(vulnerable(pins()), [])

    def test_seen(self) -> None:
        """A pin that is behind one would be seen, and one that is not left alone."""
        for name, mended, what in KNOWN:
            self.assertIn(what, "".join(vulnerable({name: "0.0.1"})))
            self.assertNotIn(what, "".join(vulnerable({name: mended})))

    def test_pip_audit(self) -> None:
        """What pip-audit finds is told, and what it could not look at is not counted as looked at."""
        answer = (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]},'
            ' {"name": "b", "version": "2", "vulns": []}, {"name": "c", "skip_reason": "no data"}]}'
        )
        with NamedTemporaryFile("w", suffix=".sh", delete=False) as program:
            program.write(f"#!/bin/sh\ncat > /dev/null\necho '{answer}'\n")
        self.addCleanup(Path(program.name).unlink)
        Path(program.name).chmod(0o700)
        self.assertEqual(ask_pip_audit(program.name, {"a": "1", "b": "2", "c": "3"}), (["a 1: PYSEC-1"], 2))
        self.assertEqual(ask_pip_audit("/nonexistent/pip-audit", {"a": "1"}), ([], 0))
