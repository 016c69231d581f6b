"""One process that reads the stream, as late and as often interrupted as it happens."""

from __future__ import annotations

from random import Random

from devtools.model.findings import Findings
from devtools.model.ledger import Ledger, serial_of
from devtools.model.server import StreamServer
from devtools.model.writer import HISTORY_SECONDS, Writer
from wsrelay.core.history.cursor import Progress, StreamCursor
from wsrelay.core.history.entries import StreamLook
from wsrelay.core.history.positions import EmptyPosition, EntryID, EntryPosition

__all__ = ["CursorWalk"]

PAGE_SIZE = 4


class CursorWalk:
    """A walk. Each step writes, reads, or interrupts the connection.

    Args:
        server: The server.
        rng: Randomness.
        findings: Where what happens is counted.
    """

    name = "cursor"

    def __init__(self, server: StreamServer, rng: Random, findings: Findings) -> None:
        self._server = server
        self._rng = rng
        self._findings = findings
        self._ledger = Ledger()
        self._writer = Writer(server, self._ledger, rng, self._fail_over_done)
        self._writer.may_interrupt = False
        # Whether the server names the streams that have changed.
        self._names_changes = rng.random() < 0.5
        self._is_connected = True
        self._cursor = StreamCursor(server.look_at_newest(1), HISTORY_SECONDS)
        # How many of the additions have been emitted, or are behind a gap that was told.
        self._index = 0
        # What has happened since everything was read last.
        self._removals = 0
        self._fail_overs = 0
        self._was_empty = True
        self._settled_id: EntryID | None = None
        # What was deleted unread makes the count wrong, until the next look that sees the end.
        self._has_wrong_count = False

    def step(self) -> None:
        """Do one thing."""
        roll = self._rng.random()
        if roll < 0.6:
            self._write()
        elif roll < 0.9:
            if self._is_connected:
                self._read()
        elif roll < 0.95 and self._is_connected:
            self._is_connected = False
            self._writer.may_interrupt = True
            self._cursor.disconnected()
        elif not self._is_connected:
            self._is_connected = True
            self._writer.may_interrupt = False
            self._read()

    def _write(self) -> None:
        ledger = self._ledger
        before = len(ledger.additions), ledger.trims, ledger.removals
        due = ledger.due(self._index)
        self._writer.step()
        if len(ledger.due(self._index)) < len(due):
            self._has_wrong_count = True
        if (
            self._is_connected
            and self._names_changes
            and before != (len(ledger.additions), ledger.trims, ledger.removals)
            and self._exists_or_was_added(before)
        ):
            self._cursor.changed()

    def _exists_or_was_added(self, before: tuple[int, int, int]) -> bool:
        """Return whether a command can have changed the stream: the removal of none is reported by no server."""
        return len(self._ledger.additions) > before[0] or self._server.look(None, 1).info is not None

    def _write_some(self) -> None:
        for _ in range(self._rng.choice([0, 0, 1, 3])):
            self._write()

    def _fail_over_done(self, kept: int) -> None:
        self._index = min(self._index, kept)

    def _read(self) -> None:
        """Do what a reader does, with writers between its reads."""
        while True:
            cursor, server = self._cursor, self._server
            progress = None
            anchor = cursor.anchor
            if anchor is not None:
                self._findings.count("reads")
                entries = server.read(anchor.id, PAGE_SIZE)
                if entries and entries[0] == anchor:
                    if len(entries) > 1:
                        cursor.take(entries[1:])
                    progress = Progress(tuple(entries[1:]), has_more=len(entries) == PAGE_SIZE)
                else:
                    self._write_some()
            if progress is None:
                self._findings.count("looks")
                look = server.look(cursor.start, PAGE_SIZE)
                is_needless = self._is_needless(look)
                progress = cursor.take_look(look, PAGE_SIZE)
                self._take(progress, is_needless=is_needless)
                if not progress.has_more:
                    self._has_wrong_count = False
            else:
                self._take(progress, is_needless=True)
            if progress.restarts:
                self._write_some()
                cursor.restart(server.look_at_newest(3))
                self._settle()
            if not progress.has_more:
                return
            self._write_some()

    def _is_needless(self, look: StreamLook) -> bool:
        """Return whether a gap would be told without need."""
        ledger, position = self._ledger, self._cursor.position
        if ledger.removals != self._removals:
            return False
        due = ledger.due(self._index)
        holds_all = [serial_of(entry) for entry in look.entries if entry.position != position] == due[:PAGE_SIZE]
        if self._cursor.is_unbroken:
            return holds_all and not self._has_wrong_count and look.info is not None and not self._is_paged(look)
        is_there = bool(look.entries) and look.entries[0].position == position
        return isinstance(position, EntryPosition) and is_there

    def _is_paged(self, look: StreamLook) -> bool:
        """Return whether a full page is behind a deleted entry, where nothing can be counted."""
        info = look.info
        is_full = len(look.entries) >= PAGE_SIZE and info is not None and info.first_id is not None
        return is_full and isinstance(self._cursor.position, EntryPosition)

    def _take(self, progress: Progress, *, is_needless: bool) -> None:
        ledger, findings = self._ledger, self._findings
        emitted = [serial_of(entry) for entry in progress.entries]
        due = ledger.due(self._index)
        findings.count("entries", len(emitted))
        again = set(emitted) - set(due)
        if again and all(map(ledger.was_taken_out, again)):
            findings.count("unseen: deletion lost by a fail-over")
        elif again:
            if ledger.fail_overs == self._fail_overs or (progress.gap is None and not self._was_empty):
                findings.fail("double", f"emitted {emitted}, due was {due}")
            # The clock does not tell the old from the new: within one millisecond, or where IDs are ahead of it.
            findings.count("unseen: back after a fail-over")
        if progress.gap is not None:
            findings.count(f"gap: {progress.gap.value}")
            if is_needless:
                findings.fail("needless gap", f"{progress.gap.value} with {emitted}, due was {due}")
        elif not again and emitted != due[: len(emitted)]:
            self._hole(f"emitted {emitted}, due was {due}")
        if emitted:
            self._index = ledger.index(emitted[-1])
        if progress.has_more or progress.restarts:
            return
        if progress.gap is None and ledger.due(self._index):
            self._hole(f"emitted {emitted} at last, due was {due}")
        self._settle()

    def _settle(self) -> None:
        self._index = self._ledger.end(self._index)
        self._removals = self._ledger.removals
        self._fail_overs = self._ledger.fail_overs
        position = self._cursor.position
        self._was_empty = isinstance(position, EmptyPosition)
        self._settled_id = position.id if isinstance(position, EntryPosition) else None

    def _hole(self, text: str) -> None:
        ledger = self._ledger
        if ledger.removals != self._removals:
            kind = "removed, and nothing before" if self._was_empty else "removed, and the count matches"
        elif ledger.fail_overs != self._fail_overs and self._was_empty:
            kind = "count after a fail-over"
        elif self._settled_id is not None and ledger.was_given_twice(self._settled_id):
            kind = "the same ID again"
        else:
            self._findings.fail("hole", text)
        self._findings.count(f"unseen: {kind}")
