"""Prints the totals of trial's logs in one line: `N passed, N failed, N skipped`, and before it what failed.

The failures stand here once more because the records of a CI run may keep no more than its end. Each argument is the
log of one run or several. The status is 1 if a test failed, if a run has no summary, or if a test was skipped that must
run: without a real Redis server, a real browser, real proxies and the clients of others the tests prove little. Such a
skip counts as a failure.
"""

import re
import sys

MUST_RUN = (
    "no Redis server",
    "no redis server",
    "no valkey server",
    "redis-server is not installed",
    "no Chromium or Chrome",
    "centrifuge",
    *(
        f"{program} is not installed"
        for program in ("nginx", "haproxy", "caddy", "curl", "systemd-analyze", "systemd-socket-activate")
    ),
)
"""Beginnings of the reasons for which no test may be skipped."""

SHOWN = 10
"""At most so many failures are printed."""

SHOWN_LINES = 40
"""At most so many lines of each failure are printed: the last ones, with the reason and the tests' names."""

_RULE = re.compile(r"^(?:={79}|-{79})$", re.MULTILINE)


def totals(log: str) -> tuple[int, int, int, list[str]]:
    """Return how many tests passed, failed and were skipped in the runs of one log, and what is wrong about it."""
    ran = re.findall(r"^Ran \d+ tests in ", log, re.MULTILINE)
    verdicts = re.findall(r"^(?:PASSED|FAILED)(?: \((.*)\))?$", log, re.MULTILINE)
    if not ran or len(ran) != len(verdicts):
        return 0, 1, 0, ["a test run has no summary: it did not end"]
    counts: dict[str, int] = {}
    for verdict in verdicts:
        for key, value in re.findall(r"(\w+)=(\d+)", verdict):
            counts[key] = counts.get(key, 0) + int(value)
    passed = counts.get("successes", 0)
    skipped = counts.get("skips", 0) + counts.get("expectedFailures", 0)
    failed = counts.get("failures", 0) + counts.get("errors", 0) + counts.get("unexpectedSuccesses", 0)
    problems = []
    for reason, tests in _skips(log):
        if reason.startswith(MUST_RUN):
            problems.append(f"{len(tests)} tests must not be skipped: {reason}")
            failed, skipped = failed + len(tests), skipped - len(tests)
    if passed == 0:
        problems.append("not one test of a run passed")
        failed += 1
    return passed, failed, skipped, problems


def _skips(log: str) -> list[tuple[str, list[str]]]:
    """Return the reasons for skips in trial's summary, and the tests that each of them skipped."""
    found = []
    for lines in _blocks(log, "[SKIPPED]"):
        reason, _, tests = "\n".join(lines[1:]).partition("\n\n")
        found.append((reason, tests.split()))
    return found


def _failures(log: str) -> list[str]:
    """Return the ends of the tracebacks in trial's summary, with the tests that each of them stands for."""
    return ["\n".join(lines[:1] + lines[1:][-SHOWN_LINES:]) for lines in _blocks(log, "[FAIL]", "[ERROR]")]


def _blocks(log: str, *titles: str) -> list[list[str]]:
    """Return the lines of those blocks of trial's summary that have one of the titles."""
    blocks = (block.strip().splitlines() for block in _RULE.split(log))
    return [lines for lines in blocks if lines and lines[0] in titles]


def main(paths: list[str]) -> int:
    """Print failures, problems and totals; return the exit status."""
    sums = [0, 0, 0]
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            log = file.read()
        for failure in _failures(log)[:SHOWN]:
            print(failure, end="\n\n")
        *counts, problems = totals(log)
        sums = [total + count for total, count in zip(sums, counts, strict=True)]
        for problem in problems:
            print(problem)
    passed, failed, skipped = sums
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
