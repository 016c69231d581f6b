"""Who of this process's clients is somebody: found by user, connection, ticket or token, to be disconnected.

Clients that show nothing, where nobody is asked about them, are not in it and cost nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from twisted.logger import Logger

from wsrelay.core.outcomes.disconnects import Disconnect

__all__ = ["ClientRegistry", "RegisteredClient"]


class RegisteredClient(Protocol):
    """A client that is known."""

    def dismiss(self, disconnect: Disconnect) -> None:
        """End it, whether it is in already or still knocking."""


class ClientRegistry:
    """Members by what they are called: ``user:42``, ``connection:5f0c``, ``ticket:...``, ``token:...``."""

    log = Logger()

    def __init__(self) -> None:
        self._by_name: dict[str, dict[RegisteredClient, None]] = {}
        self._names: dict[RegisteredClient, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def enter(self, member: RegisteredClient, names: Iterable[str]) -> None:
        """A member is here, under these names and those that it has already; `leave` is owed once."""
        self._names[member] = tuple(dict.fromkeys((*self._names.get(member, ()), *names)))
        for name in self._names[member]:
            self._by_name.setdefault(name, {})[member] = None

    def leave(self, member: RegisteredClient) -> None:
        """A member is gone; one that never entered is forgiven."""
        for name in self._names.pop(member, ()):
            of_name = self._by_name[name]
            del of_name[member]
            if not of_name:
                del self._by_name[name]

    def names_of(self, member: RegisteredClient) -> Sequence[str]:
        """What a member is called."""
        return self._names.get(member, ())

    def names(self) -> list[str]:
        """Every name that somebody here has."""
        return list(self._by_name)

    def dismiss(self, name: str, disconnect: Disconnect) -> int:
        """End all members of a name; gives how many there were."""
        # A copy, because whoever is ended may leave at once.
        members = list(self._by_name.get(name, ()))
        for member in members:
            try:
                member.dismiss(disconnect)
            except Exception:  # noqa: BLE001 -- one that cannot be ended must not save the others
                self.log.failure("a client could not be disconnected")
        return len(members)
