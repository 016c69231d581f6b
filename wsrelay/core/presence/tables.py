"""The tables of leases that processes share. They are keys in Redis; no channel's name begins with ``$``.

The braces keep what belongs to one channel on one node of a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEAVE_SECONDS", "OCCUPIED", "Table", "announced_channel", "announced_table", "members_table"]

LEAVE_SECONDS = 12.0
"""How long a user that has left may take to come back before it is said to have left: a reconnect is neither a leave
nor a join. Clients reconnect within a second or two, and within ten where a whole process restarts."""

_ANNOUNCED = "$here:{"


@dataclass(frozen=True, slots=True, order=True)
class Table:
    """One table of leases.

    Attributes:
        name: Its name, without the prefix it has in Redis.
        leave_seconds: For how long a name that is released stays. If 0, it is removed at once.
    """

    name: str
    leave_seconds: float = 0.0


OCCUPIED = Table("$occupied", LEAVE_SECONDS)
"""The channels that have subscribers, of namespaces that tell the application."""


def members_table(channel: str) -> Table:
    """Return the table of a channel's members. Its names are the texts of members."""
    return Table(f"$presence:{{{channel}}}")


def announced_table(channel: str) -> Table:
    """Return the table of those who were announced to a channel's subscribers. Its names are keys of members."""
    return Table(f"{_ANNOUNCED}{channel}}}", LEAVE_SECONDS)


def announced_channel(table: Table) -> str | None:
    """Return the channel whose announced members a table has. None if it is another table."""
    name = table.name
    return name.removeprefix(_ANNOUNCED)[:-1] if name.startswith(_ANNOUNCED) else None
