"""Tests of `.ci/totals.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PROGRAM = Path(__file__).parents[2] / ".ci" / "totals.py"

RULE, LINE = "=" * 79, "-" * 79
GOOD = f"{LINE}\nRan 3 tests in 1.0s\n\nPASSED (successes=3)\n"
BAD = f"{LINE}\nRan 3 tests in 1.0s\n\nFAILED (failures=1, errors=1, successes=1)\n"


def skipping(reason: str) -> str:
    """Return the log of a run with two skipped tests."""
    tests = "tests.a.TestCase.test_a\ntests.a.TestCase.test_b\n"
    return f"{RULE}\n[SKIPPED]\n{reason}\n\n{tests}{LINE}\nRan 5 tests in 1.0s\n\nPASSED (skips=2, successes=3)\n"


class TotalsTests(SynchronousTestCase):
    """The last line and the exit status."""

    def totals(self, *logs: str) -> tuple[int, str]:
        """Return exit status and last line for these logs."""
        status, lines = self.printed(*logs)
        return status, lines[-1]

    def printed(self, *logs: str) -> tuple[int, list[str]]:
        """Return exit status and all lines for these logs."""
        paths = []
        for log in logs:
            path = Path(self.mktemp())
            path.write_text(log)
            paths.append(str(path))
        done = subprocess.run([sys.executable, str(PROGRAM), *paths], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    def test_runs_in_one_log_are_added(self) -> None:
        self.assertEqual(self.totals(GOOD + GOOD), (0, "6 passed, 0 failed, 0 skipped"))

    def test_totals_of_all_runs_are_added(self) -> None:
        self.assertEqual(self.totals(GOOD, GOOD), (0, "6 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.totals(GOOD, BAD), (1, "4 passed, 2 failed, 0 skipped"))

    def test_run_that_did_not_end_or_begin_is_a_failure(self) -> None:
        for log in ("tests.a\n", "test-clients needs node and npm\n", ""):
            self.assertEqual(self.totals(GOOD, log), (1, "3 passed, 1 failed, 0 skipped"))

    def test_skip_without_redis_browser_proxies_or_the_clients_of_others_is_a_failure(self) -> None:
        for reason in (
            "no Redis server: neither ...",
            "no redis server",
            "redis-server is not installed: the wheel's Valkey has been tested",
            "no Chromium or Chrome found on PATH",
            "centrifuge-go: Go is not installed",
            "nginx is not installed",
        ):
            self.assertEqual(self.totals(skipping(reason)), (1, "3 passed, 2 failed, 0 skipped"))

    def test_other_skip_is_no_failure(self) -> None:
        self.assertEqual(
            self.totals(skipping("cryptography does not know ML-DSA")), (0, "3 passed, 0 failed, 2 skipped")
        )

    def test_failures_are_printed_once_more_before_the_last_line(self) -> None:
        long = "\n".join(f"line {number}" for number in range(100))
        failed = (
            f"{RULE}\n[FAIL]\nTraceback (most recent call last):\n{long}\nwhy it failed\n\ntests.a.TestCase.test_a\n"
            f"{RULE}\n[ERROR]\nTraceback (most recent call last):\nwhy it broke\n\ntests.a.TestCase.test_b\n{BAD}"
        )
        status, lines = self.printed(GOOD, failed)
        self.assertEqual((status, lines[-1]), (1, "4 passed, 2 failed, 0 skipped"))
        self.assertEqual(lines[0], "[FAIL]")
        self.assertEqual(lines.index("tests.a.TestCase.test_a"), 40)
        for line in ("why it failed", "[ERROR]", "why it broke", "tests.a.TestCase.test_b"):
            self.assertIn(line, lines)
