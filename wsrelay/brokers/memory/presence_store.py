"""The members of channels, and leases, in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.lease_book import LEASE_SECONDS
from wsrelay.core.presence.member import (
    MAX_COUNTED,
    MAX_MEMBERS,
    Members,
    PresenceStats,
    count_users,
    read_members,
)
from wsrelay.core.presence.tables import Table, members_table
from wsrelay.interfaces import IPresence

__all__ = ["MemoryPresenceStore"]


@implementer(IPresence)
class MemoryPresenceStore:
    """The leases of one process. They are bounded by its connections.

    Args:
        seconds: A monotonic clock.
        problem: Returns why nothing can be done now; an empty text if it can.
    """

    def __init__(self, seconds: Callable[[], float], problem: Callable[[], str]) -> None:
        self._seconds = seconds
        self._problem = problem
        # When the lease of each name runs out.
        self._tables: dict[str, dict[str, float]] = {}

    def presence(self, channel: str, limit: int = MAX_MEMBERS) -> Deferred[Members]:
        """See `IPresence.presence`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        names = self._names(members_table(channel))
        return succeed(Members(len(names), read_members(names[:limit])))

    def presence_stats(self, channel: str) -> Deferred[PresenceStats]:
        """See `IPresence.presence_stats`."""
        return self.presence(channel, MAX_COUNTED).addCallback(
            lambda found: PresenceStats(found.clients, count_users(found.members))
        )

    def hold(self, table: Table, names: Sequence[str]) -> Deferred[Sequence[str]]:
        """See `IPresence.hold`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        leases = self._tables.setdefault(table.name, {})
        new = [name for name in dict.fromkeys(names) if name not in leases]
        leases.update(dict.fromkeys(names, self._seconds() + LEASE_SECONDS))
        return succeed(new)

    def release(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """See `IPresence.release`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        leases = self._tables.get(table.name, {})
        for name in names:
            if not table.leave_seconds:
                leases.pop(name, None)
            elif name in leases:
                leases[name] = self._seconds() + table.leave_seconds
        self._drop_if_empty(table)
        return succeed(None)

    def take_ended(self, table: Table) -> Deferred[Sequence[str]]:
        """See `IPresence.take_ended`."""
        if problem := self._problem():
            return fail(BrokerUnavailable(problem))
        leases, now = self._tables.get(table.name, {}), self._seconds()
        ended = [name for name, end in leases.items() if end <= now]
        for name in ended:
            del leases[name]
        self._drop_if_empty(table)
        return succeed(ended)

    def _names(self, table: Table) -> Sequence[str]:
        now = self._seconds()
        return [name for name, end in self._tables.get(table.name, {}).items() if end > now]

    def _drop_if_empty(self, table: Table) -> None:
        if not self._tables.get(table.name, True):
            del self._tables[table.name]
