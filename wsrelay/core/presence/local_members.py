"""The members of this process."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from wsrelay.core.presence.member import Member

__all__ = ["Change", "LocalMembers"]


class Change(NamedTuple):
    """A member that came or went.

    Attributes:
        member: The member.
        is_edge_of_channel: Whether it is the first one of its channel here, or was the last one.
        is_edge_of_key: Whether it is the first one of its key on the channel here, or was the last one.
    """

    member: Member
    is_edge_of_channel: bool
    is_edge_of_key: bool


class LocalMembers:
    """Which clients of this process are members of which channels."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[Hashable, Member]] = {}
        # How many members of a channel share a key, for a user may have several connections, and the newest of them.
        self._keys: dict[tuple[str, str], tuple[int, Member]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return the number of members, one for each client and channel."""
        return self._count

    def __contains__(self, channel: str) -> bool:
        """Return whether a channel has members here."""
        return channel in self._channels

    def add(self, channel: str, client: Hashable, member: Member) -> Change | None:
        """Add a member. None if the client is a member already.

        Args:
            channel: The channel's name.
            client: The client.
            member: Its member.
        """
        clients = self._channels.setdefault(channel, {})
        if client in clients:
            return None
        clients[client] = member
        key = channel, member.key
        count = self._keys[key][0] + 1 if key in self._keys else 1
        self._keys[key] = count, member
        self._count += 1
        return Change(member, len(clients) == 1, count == 1)

    def replace(self, channel: str, client: Hashable, member: Member) -> Member | None:
        """Replace a client's member by one of the same key.

        Returns:
            The member that it had. None if the client is none, or nothing has changed, or the key is another.
        """
        clients = self._channels.get(channel, {})
        known = clients.get(client)
        if known is None or known == member or known.key != member.key:
            return None
        clients[client] = member
        key = channel, member.key
        self._keys[key] = self._keys[key][0], member
        return known

    def remove(self, channel: str, client: Hashable) -> Change | None:
        """Remove a member. None if the client is none."""
        clients = self._channels.get(channel)
        member = None if clients is None else clients.pop(client, None)
        if clients is None or member is None:
            return None
        if not clients:
            del self._channels[channel]
        key = channel, member.key
        count, newest = self._keys.pop(key)
        if count > 1:
            self._keys[key] = count - 1, newest
        self._count -= 1
        return Change(member, not clients, count == 1)

    def pairs(self) -> list[tuple[str, Hashable]]:
        """Return the channel and the client of every member."""
        return [(channel, client) for channel, clients in self._channels.items() for client in clients]

    def find(self, channel: str, key: str) -> Member | None:
        """Return the newest member of a key on a channel. None if there is none here."""
        found = self._keys.get((channel, key))
        return None if found is None else found[1]
