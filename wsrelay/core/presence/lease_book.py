"""The leases of this process: what it holds in tables that all processes share, and what is due next.

A name in a table is held by every process that renews its lease; it is in the table until the last lease has run out.
So nothing is counted, and what a process held that crashed ends by itself. One who adds a name that was not there is
told so, and one process alone takes each name whose lease has run out: that is how joins and leaves are announced once.

A process that holds a name no more does not know whether others do. It cuts the lease short, to the time that its user
may take to come back, and says so; whoever still holds it renews it at once.

A name that has vanished though its lease cannot have run out was lost by the store, as by a Redis that restarts without
its data. It is added again and nobody is told: it has not left, and everybody's coming back at once would be a storm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from wsrelay.core.presence.tables import Table

__all__ = ["LEASE_SECONDS", "RENEW_SECONDS", "TABLES_PER_ROUND", "LeaseBook", "Work"]

LEASE_SECONDS = 60.0
"""For how long a name is held unless its lease is renewed."""

RENEW_SECONDS = 25.0
"""How often a process renews its leases, at the most: twice before one runs out."""

TABLES_PER_ROUND = 100
"""How many tables are worked on at once, so that neither the reactor nor Redis is kept from other work."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work that is due now.

    Attributes:
        hold: The names to add or renew, by table.
        release: The names to release, by table.
        collect: The tables whose ended names are to be taken.
    """

    hold: dict[Table, tuple[str, ...]] = field(default_factory=dict)
    release: dict[Table, tuple[str, ...]] = field(default_factory=dict)
    collect: tuple[Table, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hold or self.release or self.collect)


class LeaseBook:
    """The leases of one process. Times are seconds on a monotonic clock.

    Args:
        jitter: At least 0 and below 1: what keeps processes from working in step.
    """

    def __init__(self, jitter: float = 0.0) -> None:
        self._renew_seconds = RENEW_SECONDS - 3 * jitter
        self._slack_seconds = 0.5 + jitter
        self._held: dict[Table, dict[str, None]] = {}
        self._watched: set[Table] = set()
        # Names that are to be written now.
        self._due: dict[Table, dict[str, None]] = {}
        # Names that have never been written, as far as is known: they are new if they are not there.
        self._unconfirmed: dict[Table, dict[str, None]] = {}
        self._confirmed_at: dict[Table, float] = {}
        self._released: dict[Table, dict[str, None]] = {}
        # When the names of a table are to be renewed, earliest first, because the interval is always the same.
        self._renewals: dict[Table, float] = {}
        # When ended names are to be taken, in whole seconds, so that a table is there once a second at most.
        self._collections: list[tuple[int, Table]] = []
        self._collected_at: set[tuple[int, Table]] = set()

    def watch(self, table: Table, now: float) -> None:
        """Take the ended names of a table from now on, even while no name of it is held."""
        self._watched.add(table)
        self._renewals.setdefault(table, now)

    def hold(self, table: Table, name: str, now: float) -> None:
        """Hold a name."""
        _discard(self._released, table, name)
        self._held.setdefault(table, {})[name] = None
        self._due.setdefault(table, {})[name] = None
        self._unconfirmed.setdefault(table, {})[name] = None
        self._renewals.setdefault(table, now + self._renew_seconds)

    def release(self, table: Table, name: str, now: float) -> None:
        """Hold a name no more; one that is not held is ignored."""
        held = self._held.get(table)
        if held is None or name not in held:
            return
        del held[name]
        _discard(self._due, table, name)
        _discard(self._unconfirmed, table, name)
        if not held:
            del self._held[table]
            self._confirmed_at.pop(table, None)
            if table not in self._watched:
                del self._renewals[table]
        self._released.setdefault(table, {})[name] = None
        self._collect_later(table, now)

    def released_elsewhere(self, table: Table, names: Iterable[str], now: float) -> None:
        """Take that another process holds these names no more, and has cut their leases short."""
        held = self._held.get(table, {})
        if still := [name for name in names if name in held]:
            self._due.setdefault(table, {}).update(dict.fromkeys(still))
        if table in self._renewals:
            # The other one may end before the leases do, as in a deploy.
            self._collect_later(table, now)

    def ended_elsewhere(self, table: Table, names: Iterable[str], now: float) -> None:
        """Take that these names were removed from a table: those that are held here are added again, and new."""
        held = self._held.get(table, {})
        for name in names:
            if name in held:
                self.hold(table, name, now)

    def confirm(self, table: Table, names: Iterable[str], added: Iterable[str], now: float) -> list[str]:
        """Take that names are in a table.

        Args:
            table: The table.
            names: All that were written.
            added: Those that were not there before.
            now: The time.

        Returns:
            Those that are new: everybody is to be told.
        """
        unconfirmed = self._unconfirmed.get(table, {})
        last = self._confirmed_at.get(table)
        may_have_ended = last is None or now - last >= LEASE_SECONDS
        new = [name for name in added if may_have_ended or name in unconfirmed]
        for name in names:
            _discard(self._unconfirmed, table, name)
        if table in self._held:
            self._confirmed_at[table] = now
        return new

    def renew(self, table: Table) -> None:
        """Renew the leases of a table now."""
        if table in self._held:
            self._due[table] = dict(self._held[table])

    def renew_all(self, now: float) -> None:
        """Renew every lease soon: they may have run out while the broker was away."""
        self._renewals = dict.fromkeys(self._renewals, now)

    def due_in(self, now: float) -> float | None:
        """Return the number of seconds until there is work. None if there is none to come."""
        if self._due or self._released:
            return 0.0
        times = [next(iter(self._renewals.values()))] if self._renewals else []
        times += [self._collections[0][0]] if self._collections else []
        return max(0.0, min(times) - now) if times else None

    def take(self, now: float) -> Work:
        """Take some of the work that is due. Call it until there is none."""
        release = _take(self._released)
        hold = _take(self._due)
        collect: dict[Table, None] = {}
        while self._renewals and len(collect) < TABLES_PER_ROUND:
            table, due = next(iter(self._renewals.items()))
            if due > now:
                break
            del self._renewals[table]
            self._renewals[table] = now + self._renew_seconds
            if table in self._held:
                hold[table] = tuple(self._held[table])
                self._due.pop(table, None)
            # Also of tables whose names are removed at once: what a crashed process held is still there.
            collect[table] = None
        while self._collections and self._collections[0][0] <= now and len(collect) < TABLES_PER_ROUND:
            found = heappop(self._collections)
            self._collected_at.discard(found)
            collect[found[1]] = None
        return Work(hold, release, tuple(collect))

    def _collect_later(self, table: Table, now: float) -> None:
        if table.leave_seconds:
            entry = math.ceil(now + table.leave_seconds + self._slack_seconds), table
            if entry not in self._collected_at:
                self._collected_at.add(entry)
                heappush(self._collections, entry)


def _discard(tables: dict[Table, dict[str, None]], table: Table, name: str) -> None:
    names = tables.get(table)
    if names is not None and name in names:
        del names[name]
        if not names:
            del tables[table]


def _take(tables: dict[Table, dict[str, None]]) -> dict[Table, tuple[str, ...]]:
    taken = list(tables)[:TABLES_PER_ROUND]
    return {table: tuple(tables.pop(table)) for table in taken}
