"""What people and machines are told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from devtools.faults.acts import clients, host, link, redis, relay
from devtools.faults.faults import TABLE, Fault
from devtools.faults.verdict import Result

__all__ = ["page", "save", "story", "table"]

HEADINGS = ("fault", "lost", "announced", "silent", "told after", "recovered in", "readyz red after", "fds", "verdict")

_PAGE = """\
# Reliability

What happens to messages when something breaks. Redis Pub/Sub keeps nothing for a subscriber that is away, so some
faults lose messages whatever a relay does; what a relay owes its clients is to *say so*. A client that is closed knows
that it must look elsewhere for what it missed. One whose socket stays open does not.

Each row is a world of its own: real relay processes, a real Redis server, a TCP proxy between them that misbehaves when
told to, a publisher of numbered messages, and clients that write down what they get and come back when they are closed:
{clients} that listen, two that publish through their sockets, and five that go from channel to channel. Then something
is broken, and mended. Counted are messages times connections that were open when they were published.

| column | meaning |
|---|---|
| lost | messages that did not come on a connection that was open |
| announced | lost, and the connection was closed for it |
| silent | lost, and the connection stayed open: this must be 0 |
| told after | from the first loss on a connection to its close, at most |
| recovered in | from the end of the fault until every client gets messages and `/readyz` is 200 everywhere |
| readyz red after | from the beginning of the fault until `/readyz` said so |
| fds | open files of the relays before and after |

A fault fails, too, if a message came twice, out of order or on the wrong channel, if `/readyz` was 200 while nothing
came, if clients were disturbed that had nothing to do with it, if Redis was hammered, or if the relay's log has a
traceback or its memory is not back where it was.

This page is made by `make faults ARGS=--write`; `python -m devtools.faults --help` tells how to try one of them.
"""

_GROUPS = {
    "The network between relay and Redis": link,
    "Redis": redis,
    "The machine": host,
    "The relay": relay,
    "Hostile clients": clients,
}


def table(results: Sequence[Result], *, markdown: bool = False) -> str:
    """The results, one in a line."""
    rows = [_row(result) for result in results]
    if markdown:
        lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in range(len(HEADINGS))]
    # Names to the left, numbers to the right.
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(HEADINGS) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (HEADINGS, *rows)
    )


def story(result: Result) -> str:
    """Why one failed, at length."""
    text = "\n".join(f"  - {problem}" for problem in result.problems)
    log = "\n".join(f"    | {line}" for line in result.log.splitlines()[-25:])
    return f"{result.name}: {result.text}\n{text}\n  closed: {result.codes}\n{log}"


def save(results: Sequence[Result], target: Path) -> None:
    """Write everything as JSON."""
    rows = [{**dataclasses.asdict(result), "verdict": result.verdict} for result in results]
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def page(results: Sequence[Result], clients: int) -> str:
    """The page about all of them."""
    parts = [_PAGE.format(clients=clients)]
    by_name = {result.name: result for result in results}
    for title, module in _GROUPS.items():
        mine = [fault for fault in TABLE.values() if fault.act.__module__ == module.__name__ and fault.name in by_name]
        if mine:
            parts.append(f"## {title}\n\n{table([by_name[fault.name] for fault in mine], markdown=True)}\n")
            parts.append("\n".join(_line(fault) for fault in mine) + "\n")
    return "\n".join(parts)


def _line(fault: Fault) -> str:
    return f"- `{fault.name}`: {fault.text}"


def _row(result: Result) -> tuple[str, ...]:
    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    return (
        result.name,
        str(result.lost),
        str(result.announced),
        str(result.silent),
        seconds(result.told_after),
        seconds(result.recovered),
        seconds(result.red_after),
        "{} -> {}".format(*result.descriptors),
        result.verdict,
    )
