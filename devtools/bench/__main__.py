"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from devtools.bench import plot as drawing
from devtools.bench import setup
from devtools.bench.check import check
from devtools.bench.paths import RESULTS
from devtools.bench.report import compare, report
from devtools.bench.run import Results, read, run, save
from devtools.bench.scenarios import ALIASES, SCENARIOS
from devtools.bench.servers import SERVERS
from devtools.harness.processes import interrupt_on_signals

HELP = """\
Measures the cost of wsrelay beside other servers that do the same job.

All servers get the same messages from the same load client, over the loopback interface only: each
subscribes to a Redis that the benchmark starts (nchan and Centrifugo take them by HTTP POST instead, they do not
read a plain PUBLISH).  In Centrifugo's protocol they are JSON objects of the same size.  The server has a core to
itself, the load client and Redis share another.  Servers take turns within a round.  The figure that counts is
the server's CPU time per delivered message, as a ratio to another server of the same run: it varies less than
wall time, and depends little on other load.  Every message is checked: one that is lost, doubled or out of order
fails the run.  No WebSocket compression is asked for.  While a run goes on it says what is done, and about how
long the rest takes.
"""

EPILOG = """\
servers:
{servers}

scenarios:
{scenarios}

examples:
  python -m devtools.bench run                              everything, more than an hour, tables at the end
  python -m devtools.bench run --quick                      one short round, to see that everything works
  python -m devtools.bench run --only fanout,burst --peers wsrelay,c,ws --rounds 5
  python -m devtools.bench run --only crowd                 the tables of clients that publish, that return, and of TLS
  python -m devtools.bench compare devtools/bench/results/A.json devtools/bench/results/B.json
  python -m devtools.bench report devtools/bench/results/A.json      the tables again, as Markdown
  python -m devtools.bench plot devtools/bench/results/A.json docs/performance.png
"""


def _names(known: Sequence[str], aliases: dict[str, tuple[str, ...]]) -> type[argparse.Action]:
    """Make the type of an option that takes a comma-separated list of names."""

    class Names(argparse.Action):
        def __call__(
            self,
            parser: argparse.ArgumentParser,
            namespace: argparse.Namespace,
            values: object,
            option_string: str | None = None,
        ) -> None:
            chosen: list[str] = []
            for word in str(values).split(","):
                chosen += aliases.get(word, (word,))
            unknown = [word for word in chosen if word not in known]
            if unknown:
                parser.error(f"{option_string}: {', '.join(unknown)} is none of {', '.join([*known, *aliases])}")
            setattr(namespace, self.dest, [word for word in known if word in chosen])

    return Names


def _parser() -> argparse.ArgumentParser:
    servers = "\n".join(f"  {server.name:<26} {server.title}" for server in SERVERS.values())
    texts = {name: (scenario.__doc__ or "").partition("\n")[0] for name, scenario in SCENARIOS.items()}
    texts |= {name: f"{' and '.join(names)}" for name, names in ALIASES.items()}
    scenarios = "\n".join(f"  {name:<12} {text}" for name, text in texts.items())
    parser = argparse.ArgumentParser(
        "python -m devtools.bench",
        description=HELP,
        epilog=EPILOG.format(servers=servers, scenarios=scenarios),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    runs = commands.add_parser("run", help="measure, print tables, write JSON")
    runs.add_argument("--quick", action="store_true", help="one round of smaller scenarios")
    runs.add_argument(
        "--only",
        action=_names(list(SCENARIOS), ALIASES),
        default=list(SCENARIOS),
        help="scenarios, by comma: each makes the table of its name",
    )
    runs.add_argument("--peers", action=_names(list(SERVERS), {}), default=list(SERVERS), help="servers, by comma")
    runs.add_argument("--rounds", type=int, help="how often (3; with --quick 1); tables show the median")
    runs.add_argument("--minutes", type=float, default=150, help="stop after this long, even if unfinished (150)")
    runs.add_argument("--out", type=Path, metavar="FILE", help="the JSON to write (devtools/bench/results/DATE.json)")
    runs.add_argument("--plot", type=Path, metavar="PNG", help="draw a picture as well")
    runs.add_argument("--no-setup", action="store_true", help="use devtools/bench/.cache as it is, fetch nothing")

    commands.add_parser("setup", help="compile the C programs, install relay and peers into devtools/bench/.cache")

    commands.add_parser("check", help="prove that the load client notices lost, doubled and swapped messages")

    comparing = commands.add_parser("compare", help="what changed between two runs")
    comparing.add_argument("first", type=Path, metavar="A.json")
    comparing.add_argument("second", type=Path, metavar="B.json")

    plotting = commands.add_parser("plot", help="draw a run")
    plotting.add_argument("source", type=Path, metavar="A.json")
    plotting.add_argument("target", type=Path, metavar="OUT.png")

    reporting = commands.add_parser("report", help="the tables of a run, as Markdown")
    reporting.add_argument("source", type=Path, metavar="A.json")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> int:
    interrupt_on_signals()
    reasons = setup.known_reasons() if options.no_setup else setup.set_up(say=_say)
    target: Path = options.out or RESULTS / f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}.json"
    results: Results = run(
        scenarios=options.only,
        peers=options.peers,
        rounds=options.rounds or (1 if options.quick else 3),
        quick=options.quick,
        minutes=options.minutes,
        reasons=reasons,
        say=_say,
        keep=lambda results: save(results, target),
    )
    save(results, target)
    print(report(results))
    print(f"\nWritten to {target}")
    if options.plot:
        _plot(target, options.plot)
    return 1 if results["failures"] else 0


def _plot(source: Path, target: Path) -> int:
    if not drawing.can_plot():
        return drawing.plot_elsewhere(source, target)
    drawing.plot(read(source), target)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            return _run(options)
        if options.command == "setup":
            return 1 if setup.set_up(say=_say) else 0
        if options.command == "check":
            return check()
        if options.command == "compare":
            print(compare(read(options.first), read(options.second)))
        elif options.command == "plot":
            return _plot(options.source, options.target)
        else:
            print(report(read(options.source)))
    except (FileNotFoundError, ValueError) as error:
        _say(f"python -m devtools.bench {options.command}: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
