"""A client in a walk, by whose record everything is judged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from devtools.model.encodings import WalkEncoding
from devtools.model.findings import Findings
from devtools.model.ledger import Ledger
from devtools.model.process import SMALL_LIMIT
from wsrelay.core.history.positions import EmptyPosition, EntryPosition, parse_position
from wsrelay.core.messaging.publications import GapReason
from wsrelay.core.messaging.subscription_start import SubscriptionStart

__all__ = ["WalkClient"]

MAX_LOST = 8
"""The largest number of lines that may not have reached a client, though they were sent."""


@dataclass(slots=True)
class _State:
    """Where a client stands.

    Attributes:
        position: What it would resume from.
        index: How many of the additions it has had, or knows to be gone.
        removals: How often the stream had been removed when it last had everything for certain.
        fail_overs: How often another server had taken over then.
    """

    position: str
    index: int
    removals: int
    fail_overs: int


class WalkClient:
    """A client that resumes from the position of the last line that reached it.

    Args:
        encoding: What is made of events for it, and of positions.
        ledger: The truth.
        findings: Where what happens is counted.

    Attributes:
        encoding: See above.
    """

    def __init__(self, encoding: WalkEncoding, ledger: Ledger, findings: Findings) -> None:
        self.encoding = encoding
        self._ledger = ledger
        self._findings = findings
        self._states: deque[_State] = deque(maxlen=MAX_LOST)
        self._index = 0
        self._is_behind_gap = False
        # When it last had everything.
        self._removals = 0
        self._fail_overs = 0

    @property
    def position(self) -> str | None:
        """The position that it resumes from. If None, it was never subscribed."""
        return self._states[-1].position if self._states else None

    def start(self, start: SubscriptionStart, since: str | None, newest: int) -> None:
        """Take the start of a subscription that asked for what is behind a position, or for the newest ones."""
        ledger = self._ledger
        if since is None:
            # The newest ones may be from any time.
            self._removals = self._fail_overs = 0
        else:
            state = self._states[-1]
            self._index, self._removals, self._fail_overs = state.index, state.removals, state.fail_overs
        if since is None:
            self._check_newest(start, newest)
        elif start.gap is not None:
            self._check_gap(start, since)
        elif not since:
            self._findings.fail("hole", "recovered from nowhere")
        self._is_behind_gap = since is None or start.gap is not None
        for publication in start.publications if start.gap is None or self.encoding.has_gap_event else ():
            self._receive(int(publication.data), publication.position)
        if since is None:
            self._removals, self._fail_overs = ledger.removals_at_rest, ledger.fail_overs_at_rest
        # It may keep a place that this process has not come to, and cannot name in full.
        index = self._index if start.position == since else ledger.index_of(start.position)
        if self._is_behind_gap:
            self._index, self._is_behind_gap = index, False
        elif index > self._index:
            self._check_nothing_due(index)
        elif ledger.due(index, self._index):
            self._fail("double", f"started at {start.position}, which is before what it has had")
        self._keep(self.encoding.keep_position(start.position))

    def receive_line(self, line: bytes) -> None:
        """Take a line of the encoding of walks."""
        first, second = line.decode().split(" ")
        if first == "gap":
            self._is_behind_gap = True
        else:
            position = self.encoding.read_position(second)
            self._receive(int(first), position)
            self._keep(position)

    def lose_newest(self, count: int) -> None:
        """Take that the last lines did not reach it before its connection ended."""
        self._is_behind_gap = False
        for _ in range(min(count, len(self._states) - 1)):
            self._states.pop()

    def fail_over_done(self, kept: int) -> None:
        """Take that only some of the additions are left."""
        self._index = min(self._index, kept)
        for state in self._states:
            state.index = min(state.index, kept)

    def come_to_rest(self) -> None:
        """Take that nothing more is under way."""
        end = self._ledger.end(self._index)
        if not self._is_behind_gap:
            self._check_nothing_due(end)
        self._index, self._is_behind_gap = end, False
        self._removals, self._fail_overs = self._ledger.removals, self._ledger.fail_overs

    def _keep(self, position: str) -> None:
        self._states.append(_State(position, self._index, self._removals, self._fail_overs))

    def _receive(self, serial: int, position: str) -> None:
        self._findings.count("publications")
        index = self._ledger.find(serial)
        if index is None:
            # Of a server that has failed since.
            return
        if not self._is_behind_gap:
            if index <= self._index:
                self._fail("double", f"{serial} at {position}")
            self._check_nothing_due(index - 1)
        self._index, self._is_behind_gap = index, False

    def _check_newest(self, start: SubscriptionStart, newest: int) -> None:
        """Check that the newest ones are all that there are, where nothing was ever removed."""
        ledger, count = self._ledger, len(start.publications)
        is_whole = not (ledger.trims or ledger.removals or ledger.fail_overs)
        # Those of them that this process has not read follow.
        added = len(ledger.additions)
        to_follow = added - ledger.index_of(start.position) if is_whole else 0
        if is_whole and count + to_follow < min(newest, SMALL_LIMIT, added):
            self._findings.fail("left out", f"{count} of the newest {newest} came at {start.position}")

    def _check_gap(self, start: SubscriptionStart, since: str) -> None:
        """Check that a gap is told where something may be missing, and what comes behind it."""
        ledger, state, gap = self._ledger, self._states[-1], start.gap
        if (ledger.removals, ledger.fail_overs) != (state.removals, state.fail_overs):
            return
        had = [int(each.data) for each in start.publications if (ledger.find(int(each.data)) or 0) <= state.index]
        if had and gap in (GapReason.TRIMMED, GapReason.TOO_MANY) and not self._has_id_given_twice():
            self._findings.fail("double", f"{had} behind a gap ({gap.value}) [client at {since}]")
        if since and ledger.holds_all_since(state.index) and isinstance(parse_position(since), EntryPosition):
            due = len(ledger.due(state.index))
            if gap is not GapReason.TOO_MANY or due <= SMALL_LIMIT:
                self._findings.fail("needless gap", f"{gap} where {due} were due [client at {since}]")
            if len(start.publications) < SMALL_LIMIT:
                self._findings.fail("left out", f"{len(start.publications)} of {due} came behind a gap")

    def _check_nothing_due(self, index: int) -> None:
        """Check that nothing is missing up to some number of additions."""
        due = self._ledger.missed(self._index, index)
        if due:
            self._fail("hole", f"{due} never came")

    def _fail(self, kind: str, text: str) -> None:
        ledger = self._ledger
        excuse = ""
        if ledger.removals != self._removals:
            excuse = "removed"
        elif ledger.fail_overs != self._fail_overs and ledger.was_empty:
            excuse = "count after a fail-over"
        elif self._has_id_given_twice():
            excuse = "the same ID again"
        elif kind == "double" and self._was_empty_in_the_millisecond():
            excuse = "an offset within a millisecond"
        if excuse:
            self._findings.count(f"unseen: {excuse}")
        else:
            self._findings.fail(kind, f"{text} [client at {self.position}]")

    def _was_empty_in_the_millisecond(self) -> bool:
        """Return whether the position without an entry may be before or behind one: offsets have no count."""
        position = None if self.position is None else parse_position(self.position)
        return (
            not self.encoding.has_fingerprints
            and isinstance(position, EmptyPosition)
            and self._ledger.was_given_in(position.ms)
        )

    def _has_id_given_twice(self) -> bool:
        if self.encoding.has_fingerprints:
            return False
        position = None if self.position is None else parse_position(self.position)
        return isinstance(position, EntryPosition) and self._ledger.was_given_twice(position.id)
