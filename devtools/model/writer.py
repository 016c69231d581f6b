"""Programs that write to the stream, and all that befalls the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from devtools.model.ledger import Ledger
from devtools.model.server import StreamServer
from wsrelay.core.history.entries import Entry

__all__ = ["Habits", "Writer"]

HISTORY_SECONDS = 10
"""For how long the walks keep entries. Short, so that it passes often."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a stretch of a walk goes.

    Attributes:
        maxlen: The publisher's MAXLEN, if it names one.
        has_own_ids: Whether it names IDs.
        trims: How likely XTRIM is.
        deletes: How likely XDEL is.
        removes: How likely DEL, expiry, eviction and FLUSHALL are.
        fails_over: How likely a fail-over or a restart is.
        pauses: How likely a pause is that is longer than entries are kept.
    """

    maxlen: int | None
    has_own_ids: bool
    trims: float
    deletes: float
    removes: float
    fails_over: float
    pauses: float

    @classmethod
    def choose(cls, rng: Random) -> Habits:
        """Return habits at random: each hazard is absent from some stretches."""
        return cls(
            rng.choice([None] * 8 + [0, 1, 1, 2, 5, 20]),
            rng.random() < 0.3,
            *(rng.choice([0, 0, 0.1, 0.3, 1]) * share for share in (3, 2, 0.5, 0.5, 0.3)),
        )


class Writer:
    """Writes at random, and keeps the ledger.

    Args:
        server: The server.
        ledger: The truth.
        rng: Randomness.
        fail_over_done: Called after a fail-over with the number of additions that are kept.

    Attributes:
        habits: How it writes now.
        may_interrupt: Whether clients are connected so that no fail-over goes unnoticed: True permits one.
    """

    def __init__(
        self, server: StreamServer, ledger: Ledger, rng: Random, fail_over_done: Callable[[int], None]
    ) -> None:
        self._server = server
        self._ledger = ledger
        self._rng = rng
        self._fail_over_done = fail_over_done
        self._replica: tuple[object, list[object]] = None, []
        self.habits = Habits.choose(rng)
        self.may_interrupt = True

    def step(self) -> None:
        """Do one thing."""
        rng, habits = self._rng, self.habits
        if rng.random() < 0.02:
            self.habits = Habits.choose(rng)
        actions: dict[Callable[[], None], float] = {
            self._add: 6,
            self._burst: 1,
            self._pass_time: 3,
            self._trim: habits.trims,
            self._delete: habits.deletes,
            self._remove: habits.removes,
            self._pause: habits.pauses,
            self._replicate: 1,
            self._fail_over: habits.fails_over if self.may_interrupt else 0,
        }
        rng.choices([*actions], [*actions.values()])[0]()

    def _add(self) -> None:
        rng, server = self._rng, self._server
        entry_id = None
        if self.habits.has_own_ids and rng.random() < 0.7:
            entry_id = server.now_ms + rng.choice([-2, -1, 0, 0, 1, 2]), rng.randrange(3)
        fields = self._ledger.next_fields()
        maxlen = self.habits.maxlen if rng.random() < 0.9 else None
        try:
            added = server.add(fields, entry_id, maxlen)
        except ValueError:
            # An own ID that is not above the last one.
            return
        self._ledger.add(Entry.of(added, fields))
        self._ledger.trims += maxlen is not None

    def _burst(self) -> None:
        for _ in range(self._rng.randrange(2, 9)):
            self._add()

    def _pass_time(self) -> None:
        self._server.now_ms += self._rng.choice([0, 1, 1, 2, 5, 100])

    def _pause(self) -> None:
        self._server.now_ms += HISTORY_SECONDS * self._rng.choice([500, 1000, 2000])

    def _trim(self) -> None:
        rng, server = self._rng, self._server
        approximately = rng.random() < 0.5
        if rng.random() < 0.5:
            server.trim(rng.choice([0, 0, 1, 2, 5]), approximately=approximately)
        else:
            server.trim_older((server.now_ms - rng.choice([0, 1, 5, 100]), 0), approximately=approximately)
        self._ledger.trims += 1

    def _delete(self) -> None:
        newest = self._server.look_at_newest(8).entries
        if newest:
            entry = newest[-1] if self._rng.random() < 0.4 else self._rng.choice(newest)
            self._server.delete(entry.id)
            self._ledger.delete(entry)

    def _remove(self) -> None:
        self._server.remove()
        self._ledger.removals += 1

    def _replicate(self) -> None:
        self._replica = self._server.save(), [self._ledger.save()]

    def _fail_over(self) -> None:
        rng, server, ledger = self._rng, self._server, self._ledger
        saved, truth = self._replica
        if not server.has_replicas or rng.random() < 0.2:
            saved, truth = None, []
            ledger.removals += 1
        server.fail_over(saved, server.now_ms - rng.choice([0, 0, 1, 3, 1000]))
        additions = truth[0] if truth else []
        assert isinstance(additions, list), "of Ledger.save"  # noqa: S101 -- saved with the server's state
        self._fail_over_done(ledger.fail_over(additions))
        self._replicate()
