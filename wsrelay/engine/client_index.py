"""Clients by a name, such as that of their user."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Generic, TypeVar

__all__ = ["ClientIndex"]

T = TypeVar("T")


class ClientIndex(Generic[T]):
    """Clients by a name. A client may have several names, and a name several clients, the oldest first."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        # A name that one client has, as nearly every one, holds it without a dictionary of its own.
        self._clients: dict[str, T | dict[T, None]] = {}

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._clients)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._clients)

    def having(self, name: str) -> Collection[T]:
        """Return the clients of a name."""
        found = self._clients.get(name)
        if found is None:
            return ()
        return found if isinstance(found, dict) else (found,)

    def add(self, name: str, client: T) -> None:
        """Give a client a name; one that it has already changes nothing."""
        found = self._clients.setdefault(name, client)
        if isinstance(found, dict):
            found[client] = None
        elif found is not client:
            self._clients[name] = {found: None, client: None}

    def remove(self, name: str, client: T) -> None:
        """Take a name from a client that has it."""
        found = self._clients[name]
        if isinstance(found, dict) and len(found) > 1:
            del found[client]
        else:
            del self._clients[name]
