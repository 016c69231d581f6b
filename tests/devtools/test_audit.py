"""Tests of `devtools.release.audit`."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from packaging.version import Version
from twisted.trial.unittest import SynchronousTestCase

from devtools.release.audit import KNOWN, ask_pip_audit, pins, vulnerable


class AuditTests(SynchronousTestCase):
    """Pins compared with advisories."""

    def test_both_files_are_read_and_every_pin_is_exact(self) -> None:
        found = pins()
        self.assertIn("twisted", found)
        self.assertIn("ruff", found)
        self.assertTrue(all(Version(release) for release in found.values()))

    def test_no_pin_is_below_a_known_fix(self) -> None:
        self.assertEqual(vulnerable(pins()), [])

    def test_pin_below_a_fix_is_reported_and_a_fixed_one_is_not(self) -> None:
        for name, fixed, what in KNOWN:
            self.assertIn(what, "".join(vulnerable({name: "0.0.1"})))
            self.assertNotIn(what, "".join(vulnerable({name: fixed})))

    def test_findings_of_pip_audit_are_reported_and_skipped_packages_are_not_counted(self) -> None:
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
