"""The command line: `python -m devtools.conformance`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from devtools.conformance import report
from devtools.conformance.report import Verdict
from devtools.conformance.suite import HERE, SuiteError, fuzz, install, python27, tracebacks

PAGE = HERE.parents[1] / "docs" / "conformance.md"

CASES = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
COMPRESSION = ["12.*", "13.*"]

MAX_EXPLAINED = 10
"""How many failures are explained at length: if more fail, most have one cause."""

SECONDS = 25 * 60
COMPRESSION_SECONDS = 180 * 60
"""216 cases of a thousand messages each, some of 128 KiB, through a client in pure Python."""


def main() -> int:
    """Run the suite and print the results; return 0 if every case passed or there is no CPython 2.7."""
    options = _options()
    try:
        python = python27()
        if python is None:
            print("conformance: SKIPPED: no CPython 2.7 with pip was found (PYTHON27, python2.7 on PATH, pyenv)")
            return 0
        print(f"conformance: the Autobahn test suite on {python}", flush=True)
        install(python)
        promised = fuzz(python, options.cases, options.seconds, _print_group, compress=options.compression)
    except SuiteError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    cases = report.read()
    print(f"\n{report.table(cases)}\n")
    failed = [case for case in cases if case.verdict is Verdict.FAILED]
    problems = [case.explain_failure() for case in failed[:MAX_EXPLAINED]]
    if rest := failed[MAX_EXPLAINED:]:
        problems.append(f"also failed: {', '.join(case.number for case in rest)}")
    if len(cases) != promised:
        problems.append(f"the suite has {promised} of these cases and reported on {len(cases)}")
    if logged := tracebacks():
        problems.append(f"the relay logged {len(logged)} exceptions, first\n{logged[0]}")
    for text in problems:
        print(f"{text}\n")
    if non_strict := [case.number for case in cases if case.verdict is Verdict.NON_STRICT]:
        print(f"non-strict: {', '.join(non_strict)}")
    if not options.compression and not options.patterns:
        print(f"not run: {' and '.join(COMPRESSION)}, compression, which is not negotiated by default (--compression)")
    if options.write is not None and problems:
        print(f"not written, because a case failed: {os.path.relpath(options.write)}")
    elif options.write is not None:
        options.write.write_text(report.page(cases, compression=options.compression), encoding="utf-8")
        print(f"wrote {os.path.relpath(options.write)}")
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devtools.conformance", description="Run the Autobahn test suite.")
    parser.add_argument("--compression", action="store_true", help="run 12.* and 13.* as well, which takes hours")
    cases_help = "run only these, such as '7.*' '12.1.*'"
    parser.add_argument("--cases", dest="patterns", nargs="+", metavar="PATTERN", help=cases_help)
    parser.add_argument("--write", nargs="?", type=Path, const=PAGE, metavar="FILE", help="write docs/conformance.md")
    parser.add_argument("--seconds", type=float, help="how long the suite may take")
    options = parser.parse_args()
    if options.patterns and options.write:
        parser.error("--write is for all cases: leave --cases out")
    # Their own cases are about nothing where it is not agreed on.
    options.compression |= any(pattern.startswith(("12.", "13.")) for pattern in options.patterns or ())
    options.cases = options.patterns or [*CASES, *(COMPRESSION if options.compression else [])]
    options.seconds = options.seconds or (COMPRESSION_SECONDS if options.compression else SECONDS)
    return options


def _print_group(group: str) -> None:
    print(f"  {group}.* {report.GROUPS.get(int(group), '')}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
