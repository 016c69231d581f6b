"""Tickets and revocations of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.core.flow.ttl import Vault
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import ICredentialStore

__all__ = ["MemoryCredentials"]


@implementer(ICredentialStore)
class MemoryCredentials:
    """Those of one process.

    Args:
        seconds: A monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._tickets: Vault[bytes] = Vault(seconds)
        self._denied: Vault[bool] = Vault(seconds)

    def mint(self, ticket: str, document: bytes, seconds: int) -> Deferred[bool]:
        """See `ICredentialStore.mint`."""
        if self._tickets.get(ticket) is not None:
            return succeed(False)
        if not self._tickets.put(ticket, document, seconds):
            return fail(BrokerUnavailable("there are too many tickets that nobody has redeemed"))
        return succeed(True)

    def redeem(self, ticket: str) -> Deferred[bytes | None]:
        """See `ICredentialStore.redeem`."""
        return succeed(self._tickets.take(ticket))

    def tear(self, ticket: str) -> Deferred[None]:
        """See `ICredentialStore.tear`."""
        self._tickets.take(ticket)
        return succeed(None)

    def deny(self, target: str, seconds: int) -> Deferred[None]:
        """See `ICredentialStore.deny`."""
        if not self._denied.put(target, True, seconds):
            return fail(BrokerUnavailable("there are too many that are denied"))
        return succeed(None)

    def denied(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.denied`."""
        return succeed([self._denied.get(target) is not None for target in targets])
