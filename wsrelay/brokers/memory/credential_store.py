"""Tickets and revocations of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.core.flow.ttl import ExpiringStore
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import ICredentialStore

__all__ = ["MemoryCredentialStore"]


@implementer(ICredentialStore)
class MemoryCredentialStore:
    """Those of one process.

    Args:
        seconds: A monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._tickets: ExpiringStore[bytes] = ExpiringStore(seconds)
        self._denied: ExpiringStore[bool] = ExpiringStore(seconds)

    def create(self, ticket: str, document: bytes, seconds: int) -> Deferred[bool]:
        """See `ICredentialStore.create`."""
        if self._tickets.get(ticket) is not None:
            return succeed(False)
        if not self._tickets.put(ticket, document, seconds):
            return fail(BrokerUnavailable("there are too many tickets that nobody has redeemed"))
        return succeed(True)

    def redeem(self, ticket: str) -> Deferred[bytes | None]:
        """See `ICredentialStore.redeem`."""
        return succeed(self._tickets.take(ticket))

    def delete(self, ticket: str) -> Deferred[None]:
        """See `ICredentialStore.delete`."""
        self._tickets.take(ticket)
        return succeed(None)

    def revoke(self, target: str, seconds: int) -> Deferred[None]:
        """See `ICredentialStore.revoke`."""
        if not self._denied.put(target, True, seconds):
            return fail(BrokerUnavailable("there are too many that are denied"))
        return succeed(None)

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.are_revoked`."""
        return succeed([self._denied.get(target) is not None for target in targets])
