"""Reads that several clients wait for at the same time, made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["SharedReads"]

T = TypeVar("T")


class SharedReads:
    """The reads that are under way, each with those who wait for it.

    A returning crowd asks for the same thing within the same moment. Of what is under way another request waits for the
    same answer, and Redis is asked once.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[Any]]] = {}

    def __len__(self) -> int:
        """Return the number of reads that are under way."""
        return len(self._waiting)

    def get(self, key: Hashable, read: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Return the result of a read that is under way, or of a new one.

        Args:
            key: What is read.
            read: Begins the read, and returns a Deferred with its result.

        Returns:
            Fires as that Deferred does. Cancelling it ends the wait, and not the read.
        """
        own: Deferred[T] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(own)
            return own
        self._waiting[key] = [own]
        read().addBoth(self._finish, key)
        return own

    def _finish(self, result: object, key: Hashable) -> None:
        for deferred in self._waiting.pop(key):
            if deferred.called:
                continue
            if isinstance(result, Failure):
                deferred.errback(result)
            else:
                deferred.callback(result)
