"""The command line: `python -m devtools.attacks`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devtools.attacks import report, scenarios
from devtools.attacks.attack import TABLE
from devtools.attacks.context import AttackResult
from devtools.attacks.run import run
from devtools.harness.processes import interrupt_on_signals, stop_all
from devtools.harness.redis_server import NO_SERVER, find_server
from devtools.harness.reporting import print_line

__all__ = ["main"]

HELP = """\
Attacks real relays in every known way, and reports the outcome of each attack.

A Redis server and some relay processes are started on loopback, each relay with other settings.  Each attack first
sends the legitimate request, which must succeed: otherwise the response to the attack proves nothing.  An attack
is rejected only if the response is exactly the expected one, the status or the close code; it is harmless if the
damage that it aims at does not occur.  Afterwards the logs are searched for all credentials that were sent.
"""

EPILOG = """\
attacks:
{attacks}

examples:
  python -m devtools.attacks run                                  all of them, half a minute
  python -m devtools.attacks run --only no-token,ticket-race --out attacks.json

The status is 0 if every attack failed, 1 if one succeeded or nothing is proven, 2 if nothing could be tried.
"""


def _parser() -> argparse.ArgumentParser:
    attacks = "\n".join(f"  {name:<34} {each.text}" for name, each in TABLE.items())
    parser = argparse.ArgumentParser(
        "python -m devtools.attacks",
        description=HELP,
        epilog=EPILOG.format(attacks=attacks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running = commands.add_parser("run", help="run attacks, print a table, exit with 1 if one succeeded")
    running.add_argument("--only", metavar="NAMES", help="these, separated by commas")
    running.add_argument("--out", type=Path, metavar="FILE", help="write everything that was seen as JSON")
    running.add_argument("--concurrency", type=int, default=12, help="how many at the same time (12)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(TABLE)
    if unknown := [name for name in names if name not in TABLE]:
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(TABLE)}")
    if find_server() is None:
        print_line(f"attacks: {NO_SERVER}")
        return 2
    interrupt_on_signals()
    began = time.monotonic()
    try:
        results = asyncio.run(
            run([TABLE[name] for name in names], concurrency=options.concurrency, on_result=_print_result)
        )
    except KeyboardInterrupt:
        print_line("attacks: interrupted")
        return 130
    except RuntimeError as error:
        print_line(f"attacks: {error}")
        return 2
    finally:
        stop_all()
    failed = [result for result in results if not result.is_safe]
    print_line("\n" + report.table(results) + "\n")
    for result in failed:
        print_line(report.explain_failure(result) + "\n")
    print_line(f"{len(results) - len(failed)} of {len(results)} failed as they should, in "
               f"{time.monotonic() - began:.0f} s")  # fmt: skip
    if options.out is not None:
        report.save(results, options.out)
        print_line(f"wrote {options.out}")
    return 1 if failed else 0


def _print_result(result: AttackResult) -> None:
    print_line(f"{result.verdict.value:<8}  {result.name:<34} {result.seconds:5.1f} s  {report.outcomes(result)}")


if __name__ == "__main__":
    # The table is filled by importing it.
    if scenarios.__all__:
        sys.exit(main())
