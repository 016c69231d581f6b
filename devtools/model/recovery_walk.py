"""Clients that come back with their positions, whenever and to whatever is left of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from devtools.model.findings import Findings
from devtools.model.ledger import Ledger, serial_of
from devtools.model.server import StreamServer
from devtools.model.writer import HISTORY_SECONDS, Writer
from wsrelay.core.history.positions import EntryPosition, Position, parse_position
from wsrelay.core.history.recovery import Recovery, empty_position, judge_look, judge_read, read_size, read_start
from wsrelay.core.messaging.publications import GapReason

__all__ = ["RecoveryWalk"]

LIMIT = 6
"""How many entries are recovered at most."""

MAX_CLIENTS = 8


@dataclass(slots=True)
class _Away:
    """A client that is away.

    Attributes:
        position: Its position.
        index: How many of the additions it has seen.
        ms: When it left.
        removals: How often the stream had been removed then.
        fail_overs: How often another server had taken over then.
        trims: How often entries had been removed then.
    """

    position: Position
    index: int
    ms: int
    removals: int
    fail_overs: int
    trims: int


class RecoveryWalk:
    """A walk. Each step writes, or lets a client go or come.

    Args:
        server: The server.
        rng: Randomness.
        findings: Where what happens is counted.
    """

    name = "recovery"

    def __init__(self, server: StreamServer, rng: Random, findings: Findings) -> None:
        self._server = server
        self._rng = rng
        self._findings = findings
        self._ledger = Ledger()
        self._writer = Writer(server, self._ledger, rng, self._fail_over_done)
        self._away: list[_Away] = []

    def step(self) -> None:
        """Do one thing."""
        roll = self._rng.random()
        if roll < 0.6:
            self._writer.step()
        elif roll < 0.8:
            self._leave()
        elif self._away:
            self._come_back()

    def _fail_over_done(self, kept: int) -> None:
        for away in self._away:
            away.index = min(away.index, kept)

    def _leave(self) -> None:
        """Let a client go that has seen everything, or everything up to some entry."""
        look = self._server.look_at_newest(5)
        if look.entries:
            entry = look.entries[-1] if self._rng.random() < 0.5 else self._rng.choice(look.entries)
            self._keep(entry.position, self._ledger.index(serial_of(entry)))
        else:
            self._keep(empty_position(look), self._ledger.end(0))

    def _keep(self, position: Position, index: int) -> None:
        ledger = self._ledger
        # What a client keeps is the text.
        kept = parse_position(str(position))
        if len(self._away) >= MAX_CLIENTS:
            self._away.pop(self._rng.randrange(MAX_CLIENTS))
        self._away.append(_Away(kept, index, self._server.now_ms, ledger.removals, ledger.fail_overs, ledger.trims))

    def _come_back(self) -> None:
        away = self._away.pop(self._rng.randrange(len(self._away)))
        recovery = self._recover(away.position)
        self._findings.count("recoveries")
        self._findings.count("recovered" if recovery.gap is None else f"gap: {recovery.gap.value}")
        if recovery.gap is None:
            self._check_recovered(away, [serial_of(entry) for entry in recovery.entries])
            position = recovery.entries[-1].position if recovery.entries else away.position
            self._keep(position, self._ledger.end(away.index))
        else:
            self._check_gap(away, recovery.gap)

    def _recover(self, position: Position) -> Recovery:
        """Do what the relay does, with writers between its two reads."""
        size, start = read_size(LIMIT), read_start(position)
        if isinstance(position, EntryPosition):
            found = judge_read(position, self._server.read(start, size), LIMIT)
            if found is not None:
                return found
            # A fail-over between the two would be told by the connection.
            self._writer.may_interrupt = False
            for _ in range(self._rng.randrange(3)):
                self._writer.step()
            self._writer.may_interrupt = True
        return judge_look(position, self._server.look(start, size), LIMIT, HISTORY_SECONDS)

    def _check_recovered(self, away: _Away, delivered: list[int]) -> None:
        due = self._ledger.due(away.index)
        if delivered == due:
            return
        ledger, position = self._ledger, away.position
        if isinstance(position, EntryPosition):
            excuse = "the same ID again" if ledger.was_given_twice(position.id) else ""
        elif ledger.removals != away.removals:
            excuse = "removed, and nothing before"
        else:
            excuse = "count after a fail-over" if ledger.fail_overs != away.fail_overs else ""
        if excuse:
            self._findings.count(f"unseen: {excuse}")
            return
        kind = "double" if set(delivered) - set(due) else "hole"
        self._findings.fail(kind, f"{position} was given {delivered}, due was {due}")

    def _check_gap(self, away: _Away, gap: GapReason) -> None:
        ledger, server = self._ledger, self._server
        if ledger.removals != away.removals or ledger.fail_overs != away.fail_overs:
            return
        additions = ledger.additions[away.index :]
        if isinstance(away.position, EntryPosition):
            is_there = bool(ledger.additions) and any(
                entry.position == away.position for entry in server.read(away.position.id, 1)
            )
            is_last = bool(ledger.additions) and ledger.additions[-1].id == away.position.id
            is_needless = is_last or (is_there and gap is not GapReason.TOO_MANY)
        else:
            is_young = server.now_ms - away.ms < HISTORY_SECONDS * 1000
            untouched = ledger.trims == away.trims and not any(each.id < (away.ms, 0) for each in additions)
            is_needless = is_young and untouched and gap is not GapReason.TOO_MANY
        if is_needless:
            self._findings.fail("needless gap", f"{away.position} was told {gap.value}")
