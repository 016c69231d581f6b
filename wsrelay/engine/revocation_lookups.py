"""Lookups of what has been revoked, for many clients together.

In a crowd each turn of the reactor authenticates dozens of clients. A command for each, with a Deferred, a deadline
and a reply of its own, would cost as much as to verify its token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

__all__ = ["MAX_TOGETHER", "LookupWaiter", "RevocationLookups"]

MAX_TOGETHER = 32
"""The most clients whose targets are looked up together: so many are authenticated in a few milliseconds."""


class LookupWaiter(Protocol):
    """Waits for the outcome of a lookup."""

    # Without it those who wait would have a dictionary each.
    __slots__ = ()

    def looked_up(self, outcome: bool | Failure) -> None:
        """Take whether one of the targets is revoked, or why that cannot be looked up now. Raises nothing."""


class _Batch:
    """Those whose targets are looked up together.

    Attributes:
        targets: The targets of all.
        waiting: Those who wait, in the order in which they came, each with the slice of its targets.
        reply: The Deferred with the answers. If None, nothing has been asked yet.
        deadline: The timer that gives it up. If None, there is none yet.
    """

    __slots__ = ("deadline", "reply", "targets", "waiting")

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.waiting: dict[LookupWaiter, slice] = {}
        self.reply: Deferred[Sequence[bool]] | None = None
        self.deadline: IDelayedCall | None = None


class RevocationLookups:
    """Looks up targets of clients.

    Where nothing is under way a lookup begins at once. Those that come meanwhile are gathered until the next turn of
    the reactor, or until they are `MAX_TOGETHER`.

    Args:
        are_revoked: See `ICredentialStore.are_revoked`.
        clock: Time.
        timeout_seconds: How long to wait for an answer.
    """

    def __init__(
        self,
        are_revoked: Callable[[Sequence[str]], Deferred[Sequence[bool]]],
        clock: IReactorTime,
        timeout_seconds: float,
    ) -> None:
        self._are_revoked = are_revoked
        self._clock = clock
        self._timeout = timeout_seconds
        # If None, nothing is gathered.
        self._gathered: _Batch | None = None
        self._under_way = 0
        self._batches: dict[LookupWaiter, _Batch] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._batches)

    def look_up(self, waiter: LookupWaiter, targets: Sequence[str]) -> None:
        """Look up whether one of some targets is revoked.

        Args:
            waiter: Gets the outcome, once, possibly before this returns, and `timeout_seconds` after the next turn of
                the reactor at the latest. It waits for no other.
            targets: The targets, of the form in `ICredentialStore.are_revoked`.
        """
        batch = self._gathered
        if batch is None:
            batch = self._gathered = _Batch()
            if self._under_way:
                self._clock.callLater(0, self._begin, batch)
        start = len(batch.targets)
        batch.targets += targets
        batch.waiting[waiter] = slice(start, len(batch.targets))
        self._batches[waiter] = batch
        if not self._under_way or len(batch.waiting) >= MAX_TOGETHER:
            self._begin(batch)

    def leave(self, waiter: LookupWaiter) -> None:
        """Give one up that waits no more; one that does not wait is ignored."""
        batch = self._batches.pop(waiter, None)
        if batch is not None:
            del batch.waiting[waiter]
            if not batch.waiting and batch.reply is not None:
                batch.reply.cancel()

    def _begin(self, batch: _Batch) -> None:
        if batch is not self._gathered:
            # It was full before the turn had ended.
            return
        self._gathered = None
        if not batch.waiting:
            return
        self._under_way += 1
        batch.reply = reply = maybeDeferred(self._are_revoked, batch.targets)
        if not reply.called:
            batch.deadline = self._clock.callLater(self._timeout, reply.cancel)
        reply.addBoth(self._answered, batch)

    def _answered(self, answers: Sequence[bool] | Failure, batch: _Batch) -> None:
        self._under_way -= 1
        if batch.deadline is not None and batch.deadline.active():
            batch.deadline.cancel()
        waiting = batch.waiting
        while waiting:
            # One by one: what one of them does may have another one leave.
            waiter = next(iter(waiting))
            own = waiting.pop(waiter)
            del self._batches[waiter]
            waiter.looked_up(answers if isinstance(answers, Failure) else any(answers[own]))
