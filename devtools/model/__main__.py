"""The command line: `python -m devtools.model`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from devtools.harness.reporting import print_line
from devtools.model.findings import Findings
from devtools.model.run import SERVERS, WALKS, run_for

__all__ = ["main"]

HELP = """\
Looks for holes and doubles in the recovery of channels with history, by random walks.

recovery  returning clients, with any position, to whatever is left of the stream
cursor    one process that reads late and is interrupted
joins     clients that move between two processes, each slow and interrupted: the relay's own readers and joins
          some are told of a gap by an event, others later by the end of their subscription, and resume by offset

The truth is what was added.  A walk fails if a client was told that it has recovered and an entry is missing that
nobody took out (a hole), if one came again (a double), or if a gap was told where nothing can be missing.  What no rule
can see, and the documentation forbids, is counted as unseen.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m devtools.model",
        description=HELP,
        epilog="The status is 0 if no walk failed, 1 if one did, 2 if a server is missing.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long, all servers together (1)")
    parser.add_argument("--server", choices=SERVERS, action="append", help="on this one; may be repeated (all of them)")
    parser.add_argument("--walk", choices=[*WALKS], action="append", help="this one; may be repeated (all of them)")
    parser.add_argument("--seed", type=int, help="each walk once, with this seed")
    return parser


def _table(server: str, walk: str, findings: Findings) -> list[str]:
    lines = [f"{server}, {walk}"]
    lines += [f"  {name:<44} {count:>12,}" for name, count in sorted(findings.counts.items())]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    asked = _parser().parse_args(arguments)
    names = asked.server or SERVERS
    failures: list[str] = []

    def report(line: str) -> None:
        failures.append(line)
        print_line(f"FAILED {line}")

    for server in names:
        try:
            found = run_for(asked.minutes * 60 / len(names), server, asked.walk or [*WALKS], asked.seed, report)
        except RuntimeError as error:
            print_line(str(error))
            return 2
        for walk, findings in found.items():
            for line in _table(server, walk, findings):
                print_line(line)
    print_line(f"{len(failures)} walks failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
