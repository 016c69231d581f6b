"""Disconnects clients whose credential or user has been revoked: at once by control messages, and after an outage.

A process that was away from the broker received no control messages meanwhile: when it is back it looks up every target
of its clients.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.core.messaging.control import DisconnectCommand
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.client_registry import ClientRegistry
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.interfaces import IAuthenticator, ICredentialStore

__all__ = ["RETRY_SECONDS", "TARGETS_PER_LOOKUP", "Revocation"]

TARGETS_PER_LOOKUP = 500
"""How many targets are looked up at once after an outage."""

RETRY_SECONDS = 5.0
"""How long to wait before a lookup that failed is tried again."""


class Revocation:
    """Disconnects clients of this process that are no longer accepted.

    Args:
        registry: The authenticated clients.
        store: Keeps what has been revoked.
        authenticator: Holds cached answers, which a revocation voids.
        timers: Time.
    """

    log = Logger()

    def __init__(
        self,
        registry: ClientRegistry,
        store: ICredentialStore,
        authenticator: IAuthenticator,
        timers: TimerWheel,
    ) -> None:
        self._registry = registry
        self._store = store
        self._authenticator = authenticator
        self._timers = timers
        self._retry: WheelTimer | None = None

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """Look up whether targets are revoked; see `ICredentialStore.are_revoked`.

        Returns:
            Fires with one bool for each target, in their order.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be looked up now.
        """
        answers: Deferred[Sequence[bool]] = self._store.are_revoked(targets)
        return answers

    def disconnect(self, command: DisconnectCommand) -> None:
        """Carry out a command to disconnect the clients of a target."""
        self._authenticator.clear_cache()
        count = self._registry.disconnect(command.target, command.disconnect)
        kind = command.target.partition(":")[0]
        self.log.info("disconnecting {count} clients of one {kind}", count=count, kind=kind)

    def disconnect_revoked(self) -> None:
        """Look up every target of the clients here and disconnect those of revoked ones; repeated until it succeeds."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        Deferred.fromCoroutine(self._disconnect_revoked()).addErrback(self._lookup_failed)

    async def _disconnect_revoked(self) -> None:
        targets = self._registry.targets()
        for start in range(0, len(targets), TARGETS_PER_LOOKUP):
            some = targets[start : start + TARGETS_PER_LOOKUP]
            for target, is_revoked in zip(some, await self.are_revoked(some), strict=True):
                if is_revoked:
                    self._registry.disconnect(target, Disconnect.REVOKED)

    def _lookup_failed(self, failure: Failure) -> None:
        if failure.check(BrokerUnavailable) is None:
            self.log.failure("looking for clients that were revoked meanwhile failed", failure)
        # Nobody stays because the broker was busy, or went away without an interruption of its own.
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._timers.call_later(RETRY_SECONDS, self.disconnect_revoked)
