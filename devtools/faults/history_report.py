"""The part of docs/reliability.md that is about channels with history, and the figures of a soak."""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from devtools.faults.result import FaultResult
from devtools.faults.soak import RELAYS, SOCKETS, STREAM_CLIENTS, WANDERING_CLIENTS, WIDE_STREAM_CLIENTS, SoakResult
from devtools.harness.reporting import markdown_table, text_table

__all__ = [
    "SOAK_HEADING",
    "history_row",
    "history_table",
    "machine",
    "promise",
    "replace_soak",
    "soak_document",
    "soak_section",
    "soak_section_of",
    "soak_table",
    "today",
]

HEADINGS = (
    "fault",
    "entries",
    "deliveries",
    "came back",
    "gaps told",
    "missed",
    "holes",
    "doubles",
    "recovered in",
    "unready after",
    "verdict",
)

SOAK_HEADING = "## Soak"

_PROMISE = """\
## Channels with history

A stream keeps what was added to it. What it still holds reaches every subscriber, whatever breaks in between: a client
of an event stream comes back to any relay with its position, and gets what it missed, once and in order. A WebSocket
stays open while its relay or the link to Redis is in trouble, and gets everything late; it is not closed with a gap. It
has no position, so what is added while it is not connected does not reach it, unless it asks for the newest entries.

Where entries are gone that a client was to get, it is told of a gap before the next one: by an event with the reason,
or by the close of its socket with 4010. Where that cannot be known for certain, it is told as well. Behind a gap comes
what the stream still holds; if the stream is another one than before, that may be what the client has already.

The promise is about what the server now holds. So there are things that nobody is told of; [History](history.md) says
what to do instead:

- **A fail-over that loses writes.** Entries that the old server took and the new one never got are gone. A client whose
  position is one of them is told of a gap; one that had not got them yet is not told.
- **XDEL.** An entry that was taken out on purpose is not a loss.
- **Another stream in the place of a channel's:** RENAME, COPY, RESTORE and SWAPDB onto its key, and XSETID downwards.
- **DEL to empty a channel in use.** Clients are told of a gap, unless the new stream looks just like the old one.

In these faults {single} clients of event streams have one channel and {several} have three, {wandering} more lose
their connection every second or two, and entries are added by a plain XADD. What each client was told is compared with
what was added.

| column | meaning |
|---|---|
| entries | entries that Redis took |
| deliveries | messages that came, of all clients of event streams together |
| came back | how often they opened another stream |
| gaps told | gaps that they were told of, by reason; `-` where the streams held everything: there none may be told |
| missed | messages that were missing at those gaps |
| holes | messages that did not come, and no gap was told: this must be 0 |
| doubles | messages that came twice or out of order: this must be 0 |
"""

_SOAK = """\
{heading}

{minutes:.0f} minutes in which relays and Redis are killed and restarted at random, on {today}: {machine}. Programs add
entries to eight streams by a plain XADD. {relays} relays are behind a balancer; {single} clients of event streams have
one channel, {several} have three, {wandering} more lose their connection every second or two, and {sockets} sockets
listen. In the end the record of each client is compared with what was added. Repeat it with
`make soak ARGS='--minutes 10'`.

{table}
"""


def promise(single: int, several: int, wandering: int) -> str:
    """Return what stands before the table of faults of channels with history."""
    return _PROMISE.format(single=single, several=several, wandering=wandering)


def history_table(results: Iterable[FaultResult], *, markdown: bool) -> str:
    """Return the figures of faults with history, one fault per line; empty if there are none."""
    rows = [history_row(result) for result in results if result.history is not None]
    if not rows:
        return ""
    return markdown_table(HEADINGS, rows, padded=False) if markdown else text_table(HEADINGS, rows, range(1, 8))


def history_row(result: FaultResult) -> tuple[str, ...]:
    """Return the line of one fault."""
    figures = result.history
    assert figures is not None, "the caller has looked"  # noqa: S101 -- for the type
    return (
        result.name,
        str(figures.entries),
        str(figures.deliveries),
        str(figures.reconnects),
        _by_name(figures.gaps),
        str(figures.missed),
        str(figures.holes),
        str(figures.doubles),
        _seconds(result.recovered),
        _seconds(result.unready_after),
        result.verdict,
    )


# The soak


def soak_rows(result: SoakResult) -> list[tuple[str, str]]:
    """Return the figures of a soak with their names."""
    streams, sockets = result.streams, result.sockets
    return [
        ("went wrong", _by_name(result.incidents)),
        ("entries that Redis took", f"{result.entries:,}"),
        ("entries whose reply was lost with Redis", f"{result.unknown:,}"),
        ("event streams: deliveries", f"{streams.deliveries:,}"),
        ("event streams: came back", f"{result.reconnects:,}"),
        ("event streams: recoveries, as far as the relays lived to tell", _by_name(result.recoveries)),
        ("event streams: gaps told", _by_name(streams.gaps)),
        ("event streams: missed at gaps that were told", f"{streams.missed:,}"),
        ("event streams: holes", f"{streams.holes:,}"),
        ("event streams: doubles", f"{streams.doubles:,}"),
        ("sockets: deliveries expected while open", f"{sockets.expected:,}"),
        ("sockets: did not come before an end of the connection", f"{sockets.announced:,}"),
        ("sockets: ends, by code", _by_name(result.socket_codes)),
        ("sockets: holes", f"{sockets.silent:,}"),
        ("sockets: doubles", f"{sockets.disordered:,}"),
    ]


def soak_table(result: SoakResult) -> str:
    """Return the figures of a soak for a terminal."""
    return text_table(("soak", f"{result.seconds:.0f} s"), soak_rows(result))


def soak_section(result: SoakResult, minutes: float) -> str:
    """Return the section of docs/reliability.md about a soak."""
    return _SOAK.format(
        heading=SOAK_HEADING,
        minutes=minutes,
        today=today(),
        machine=machine(),
        relays=RELAYS,
        single=STREAM_CLIENTS,
        several=WIDE_STREAM_CLIENTS,
        wandering=WANDERING_CLIENTS,
        sockets=SOCKETS,
        table=markdown_table(("figure", "value"), soak_rows(result), padded=False),
    )


def soak_document(result: SoakResult) -> Mapping[str, object]:
    """Return everything about a soak, for a file of JSON."""
    return dataclasses.asdict(result)


def soak_section_of(page: str) -> str:
    """Return the section about a soak of a page; empty if it has none."""
    found = re.search(rf"^{SOAK_HEADING}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[0].rstrip() + "\n" if found else ""


def replace_soak(page: str, section: str) -> str:
    """Return a page with another section about a soak, which stands where the old one was, or at the end."""
    old = soak_section_of(page)
    return page.replace(old, section) if old else f"{page.rstrip()}\n\n{section}"


def _by_name(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "-"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def today() -> str:
    """Return the date."""
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """Return processor, system and the way of the packets."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    processor = found[1].strip() if found else platform.machine()
    cores: Sequence[str] = re.findall(r"^processor\s*:", path.read_text(), re.MULTILINE) if path.exists() else ()
    return f"{processor}, {len(cores) or 1} cores, {platform.system()} {platform.release()}, loopback"
