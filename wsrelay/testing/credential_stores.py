"""Test doubles of credential stores."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.interfaces import ICredentialStore

__all__ = ["FakeCredentialStore"]


@implementer(ICredentialStore)
class FakeCredentialStore(MemoryCredentialStore):
    """A store in memory in which nothing expires, and which answers about revocations when the test likes.

    Attributes:
        lookups: The targets of each call of `are_revoked`, in order.
        is_slow: Whether the test gives the answers.
        answers: The answers that the test owes, in order.
        failure: What `are_revoked` fails with. If None, it does not.
    """

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.lookups: list[list[str]] = []
        self.is_slow = False
        self.answers: list[Deferred[Sequence[bool]]] = []
        self.failure: Exception | None = None

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.are_revoked`."""
        self.lookups.append(list(targets))
        if self.failure is not None:
            return fail(self.failure)
        if self.is_slow:
            self.answers.append(Deferred())
            return self.answers[-1]
        return super().are_revoked(targets)
