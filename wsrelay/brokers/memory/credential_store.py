"""Tickets and revocations in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.core.flow.ttl import ExpiringStore
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import ICredentialStore

__all__ = ["MemoryCredentialStore"]

MAX_VALUES = 10_000
"""The largest number of tickets, and of revocations, that are kept at the same time."""


@implementer(ICredentialStore)
class MemoryCredentialStore:
    """Tickets and revocations of one process, at most `MAX_VALUES` of each.

    Args:
        seconds: A monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._tickets: ExpiringStore[str, bytes] = ExpiringStore(MAX_VALUES)
        self._revoked: ExpiringStore[str, bool] = ExpiringStore(MAX_VALUES)

    def create(self, ticket: str, document: bytes, seconds: int) -> Deferred[bool]:
        """See `ICredentialStore.create`."""
        if self._tickets.get(ticket, self._seconds()) is not None:
            return succeed(False)
        if not self._tickets.put(ticket, document, seconds, self._seconds()):
            return fail(BrokerUnavailable("too many tickets have not been redeemed yet"))
        return succeed(True)

    def read(self, ticket: str) -> Deferred[bytes | None]:
        """See `ICredentialStore.read`."""
        return succeed(self._tickets.get(ticket, self._seconds()))

    def redeem(self, ticket: str) -> Deferred[bytes | None]:
        """See `ICredentialStore.redeem`."""
        return succeed(self._tickets.take(ticket, self._seconds()))

    def delete(self, ticket: str) -> Deferred[None]:
        """See `ICredentialStore.delete`."""
        self._tickets.take(ticket, self._seconds())
        return succeed(None)

    def revoke(self, target: str, seconds: int) -> Deferred[None]:
        """See `ICredentialStore.revoke`."""
        if not self._revoked.put(target, True, seconds, self._seconds()):
            return fail(BrokerUnavailable("too many credentials are revoked at the same time"))
        return succeed(None)

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.are_revoked`."""
        now = self._seconds()
        return succeed([self._revoked.get(target, now) is not None for target in targets])
