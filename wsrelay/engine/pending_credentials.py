"""Connected clients that have not sent their credential yet: a bounded number of them."""

from __future__ import annotations

from typing import Protocol

__all__ = ["DEFAULT_MAX_PENDING", "PendingClient", "PendingCredentials"]

DEFAULT_MAX_PENDING = 1000


class PendingClient(Protocol):
    """A client that is connected and not authenticated."""

    # Without it clients would have a dictionary each.
    __slots__ = ()

    def credential_timed_out(self) -> None:
        """End it: its credential did not come in time, or others need its place."""


class PendingCredentials:
    """The clients whose credential is still to come, oldest first.

    Args:
        max_pending: How many there may be. One more costs the oldest its place, which has had the most time.
    """

    def __init__(self, max_pending: int = DEFAULT_MAX_PENDING) -> None:
        self.max_pending = max_pending
        self._clients: dict[PendingClient, None] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: PendingClient) -> None:
        """Add a client."""
        if len(self._clients) >= self.max_pending:
            oldest = next(iter(self._clients))
            del self._clients[oldest]
            oldest.credential_timed_out()
        self._clients[client] = None

    def remove(self, client: PendingClient) -> None:
        """Remove a client, because its credential came or it left; one that is not here is ignored."""
        self._clients.pop(client, None)
