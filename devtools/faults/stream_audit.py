"""Compares what clients of channels with history were told with what was added to the streams.

From the moment in which a client has a position it is owed every entry that Redis takes, once and in order, over all of
its connections; or it is told of a gap before the next one. What it was not given and not told of is a *hole*, what it
was given twice a *double*: both fail. An entry that a server took and then lost in a fail-over is not owed: the promise
is about what the server holds.

Behind a gap a client is given what the stream still holds. Where the gap says that the stream is another one than
before, that may be what the client has already.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devtools.faults.publisher import MessageState, NumberedMessage
from devtools.faults.stream_clients import ChannelRecord, ToldGap

__all__ = ["StreamReport", "audit_streams"]

STARTS_ANEW = frozenset({"expired", "other_entry", "unknown_position"})
"""The reasons for a gap behind which a client may be given again what it has: its position is none of this stream."""

_EXAMPLES = 5


@dataclass(slots=True)
class StreamReport:
    """The outcome for all clients.

    Attributes:
        deliveries: Messages that came.
        gaps: Gaps that clients were told of, by reason.
        needless: Those of them at which nothing was missing.
        missed: Messages that were missing at gaps that were told.
        again: Messages that came again behind a gap that says that the stream is another one.
        holes: Messages that did not come, and no gap was told.
        doubles: Messages that came twice or out of order.
        unknown: Messages that were never added.
        examples: A few descriptions of what went wrong.
    """

    deliveries: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    needless: int = 0
    missed: int = 0
    again: int = 0
    holes: int = 0
    doubles: int = 0
    unknown: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def audit_streams(
    records: Iterable[ChannelRecord], log: Mapping[str, Sequence[NumberedMessage]], until: float
) -> StreamReport:
    """Compare what was added until a moment with what clients were told."""
    report = StreamReport()
    for record in records:
        _ChannelAudit(record, log[record.channel], report).run(until)
    return report


class _ChannelAudit:
    """The audit of one record."""

    def __init__(self, record: ChannelRecord, log: Sequence[NumberedMessage], report: StreamReport) -> None:
        self._record = record
        self._log = log
        self._report = report
        # The number of the next message, and the gap that was told before it.
        self._due = len(log)
        self._gap: ToldGap | None = None

    def run(self, until: float) -> None:
        record, report = self._record, self._report
        report.unknown += record.unknown
        if record.began is not None:
            self._due = bisect_right(self._log, record.began, key=lambda each: each.sent)
        # The server has given the position a little earlier than the client saw it.
        self._due = min(self._due, next((item for item in record.items if isinstance(item, int)), self._due))
        for item in record.items:
            if isinstance(item, ToldGap):
                self._take_gap(item)
            else:
                self._take_number(item)
        self._take_missing(bisect_right(self._log, until, key=lambda each: each.sent))

    def _take_gap(self, gap: ToldGap) -> None:
        self._report.gaps[gap.reason] += 1
        if self._gap is not None:
            # Nothing came in between. The reason that allows more stays.
            self._report.needless += 1
            gap = self._gap if self._gap.reason in STARTS_ANEW else gap
        self._gap = gap

    def _take_number(self, number: int) -> None:
        report = self._report
        report.deliveries += 1
        if number >= len(self._log):
            report.unknown.append(f"{self._record.channel} {number}")
        elif number >= self._due:
            self._take_missing(number)
            self._due = number + 1
        elif self._gap is not None and self._gap.reason in STARTS_ANEW:
            before = self._log[number : self._due]
            report.again += len(before)
            report.needless += all(each.state is not MessageState.FORGOTTEN for each in before)
            self._gap = None
            self._due = number + 1
        else:
            report.doubles += 1
            self._note(f"{number} came again or late, where {self._due} was due")

    def _take_missing(self, number: int) -> None:
        """Account for what should have come before a message."""
        report, gap = self._report, self._gap
        missing = [each for each in range(self._due, number) if self._log[each].state is MessageState.ACCEPTED]
        if gap is None and missing:
            report.holes += len(missing)
            self._note(f"{len(missing)} did not come and no gap was told, from {missing[0]} to {missing[-1]}")
        elif gap is not None:
            report.missed += len(missing)
            report.needless += not missing
        self._gap = None

    def _note(self, text: str) -> None:
        if len(self._report.examples) < _EXAMPLES:
            self._report.examples.append(f"{self._record.channel}: {text}")
