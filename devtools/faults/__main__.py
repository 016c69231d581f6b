"""The command line: `python -m devtools.faults`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devtools.faults import report, scenarios
from devtools.faults.environment import CLIENTS, OVERLOAD_SECONDS, FaultError
from devtools.faults.fault import TABLE
from devtools.faults.history_report import replace_soak, soak_document, soak_section, soak_section_of, soak_table
from devtools.faults.result import FaultResult
from devtools.faults.run import raise_descriptor_limit, run
from devtools.faults.soak import Soak
from devtools.harness.processes import interrupt_on_signals, stop_all
from devtools.harness.redis_server import NO_SERVER, find_server
from devtools.harness.reporting import print_line, save_json

__all__ = ["main"]

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

HELP = """\
Breaks what surrounds the relay, one fault at a time, and checks that no message is lost without notice.

Each fault has servers of its own on loopback: relay processes, a Redis server, a TCP proxy between them that
misbehaves on request, a publisher of numbered messages, and fifty clients that record what they receive and
reconnect when they are closed.  The fault begins and ends.  Then every message that Redis accepted is looked
for on every connection that was open at that moment.

A message that did not come is lost.  If the connection was closed after it, the loss was announced: the client
knows.  If the connection stayed open, the loss was silent, and the fault has failed.  It has also failed if a
message came twice or out of order, if /readyz was 200 while nothing came or is not 200 in the end, if the
relay's open files or memory do not return to what they were, or if its log has a traceback.
"""

EPILOG = """\
faults (* with --quick):
{faults}

examples:
  python -m devtools.faults run                                 all of them, about five minutes
  python -m devtools.faults run --quick                         the most telling ones, about a minute
  python -m devtools.faults run --only redis-is-killed,failover --out faults.json
  python -m devtools.faults run --write                         all of them, and docs/reliability.md from the results
  python -m devtools.faults soak --minutes 10                   restarts at random, see `soak --help`

The status is 0 if every fault passed, 1 if one failed, 2 if nothing could be tried.
"""


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"{'*' if each.quick else ' '} {name:<34} {each.text}" for name, each in TABLE.items())
    parser = argparse.ArgumentParser(
        "python -m devtools.faults",
        description=HELP,
        epilog=EPILOG.format(faults=faults),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running = commands.add_parser("run", help="run faults, print a table, exit with 1 if one failed")
    running.add_argument("--quick", action="store_true", help="only the most telling ones")
    running.add_argument("--only", metavar="NAMES", help="these, separated by commas")
    running.add_argument("--out", type=Path, metavar="FILE", help="write everything that was measured as JSON")
    running.add_argument("--write", action="store_true", help="write docs/reliability.md; for all faults only")
    running.add_argument("--concurrency", type=int, default=4, help="how many at the same time (4)")
    running.add_argument("--minutes", type=float, default=8.0, help="start none after this long (8)")
    running.add_argument("--seed", type=int, default=1, help="the seed of the clients' randomness (1)")
    running.add_argument(
        "--overload-seconds",
        type=float,
        default=OVERLOAD_SECONDS,
        help=f"how long an overload lasts ({OVERLOAD_SECONDS:g})",
    )
    soaking = commands.add_parser(
        "soak", help="restart relays and Redis at random, exit with 1 after a hole or a double"
    )
    soaking.add_argument("--minutes", type=float, default=5.0, help="how long things go wrong (5)")
    soaking.add_argument("--loses-data", action="store_true", help="let Redis come back without its data, too")
    soaking.add_argument("--out", type=Path, metavar="FILE", help="write everything that was measured as JSON")
    soaking.add_argument("--write", action="store_true", help="write the figures into docs/reliability.md")
    soaking.add_argument("--seed", type=int, default=1, help="the seed of all randomness (1)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if find_server() is None:
        print_line(f"faults: {NO_SERVER}")
        return 2
    interrupt_on_signals()
    try:
        return _soak(options) if options.command == "soak" else _run(parser, options)
    except KeyboardInterrupt:
        print_line("faults: interrupted")
        return 130
    finally:
        stop_all()


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run faults; return the exit status."""
    names = [name for name, each in TABLE.items() if each.quick or not options.quick]
    if options.only:
        names = options.only.split(",")
        if unknown := [name for name in names if name not in TABLE]:
            parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(TABLE)}")
    if options.write and len(names) != len(TABLE):
        parser.error("--write is for all faults: leave --quick and --only out")
    began = time.monotonic()
    results = asyncio.run(
        run(
            [TABLE[name] for name in names],
            concurrency=options.concurrency,
            minutes=options.minutes,
            on_result=_print_result,
            seed=options.seed,
            overload_seconds=options.overload_seconds,
        )
    )
    failed = [result for result in results if result.problems]
    print_line("\n" + report.table(results) + "\n")
    for result in failed:
        print_line(report.explain_failure(result) + "\n")
    print_line(f"{len(results) - len(failed)} of {len(results)} faults passed, in {time.monotonic() - began:.0f} s")
    if options.out is not None:
        report.save(results, options.out)
        print_line(f"wrote {options.out}")
    if options.write and failed:
        print_line(f"not written, because a fault failed: {os.path.relpath(PAGE)}")
    elif options.write:
        soak = soak_section_of(PAGE.read_text(encoding="utf-8"))
        PAGE.write_text(report.page(results, CLIENTS, soak), encoding="utf-8")
        print_line(f"wrote {os.path.relpath(PAGE)}")
    return 1 if failed else 0


def _soak(options: argparse.Namespace) -> int:
    """Run a soak; return the exit status."""
    raise_descriptor_limit()
    try:
        result = asyncio.run(Soak(options.minutes, options.seed, loses_data=options.loses_data).run())
    except FaultError as error:
        print_line(f"soak: {error}")
        return 2
    print_line("\n" + soak_table(result) + "\n")
    for problem in result.problems:
        print_line(f"soak: {problem}")
    print_line("soak: FAILED" if result.problems else "soak: ok")
    if options.out is not None:
        save_json(soak_document(result), options.out)
        print_line(f"wrote {options.out}")
    if options.write and not result.problems:
        text = replace_soak(PAGE.read_text(encoding="utf-8"), soak_section(result, options.minutes))
        PAGE.write_text(text, encoding="utf-8")
        print_line(f"wrote {os.path.relpath(PAGE)}")
    return 1 if result.problems else 0


def _print_result(result: FaultResult) -> None:
    loss = f"{result.lost} lost, {result.silent} silent" if result.lost else "nothing lost"
    print_line(f"{result.verdict:<8} {result.name:<34} {result.seconds:5.1f} s  {loss}")


if __name__ == "__main__":
    # The table is filled by importing it.
    if scenarios.__all__:
        sys.exit(main())
