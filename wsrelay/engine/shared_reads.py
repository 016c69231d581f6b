"""Reads that several clients wait for at the same time, made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["SharedReads"]

T = TypeVar("T")


class _Read:
    """A read that is under way.

    Attributes:
        waiting: Those who wait for it, in the order in which they came.
        read: The Deferred with its result. If None, it is being begun.
    """

    __slots__ = ("read", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Deferred[Any], None] = {}
        self.read: Deferred[Any] | None = None


class SharedReads:
    """The reads that are under way, each with those who wait for it.

    A returning crowd asks for the same thing within the same moment. Of what is under way another request waits for the
    same answer, and Redis is asked once.
    """

    def __init__(self) -> None:
        self._reads: dict[Hashable, _Read] = {}

    def __len__(self) -> int:
        """Return the number of reads that are under way."""
        return len(self._reads)

    def get(self, key: Hashable, read: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Return the result of a read that is under way, or of a new one.

        Args:
            key: What is read.
            read: Begins the read, and returns a Deferred with its result.

        Returns:
            Fires as that Deferred does. Cancelling it ends the wait, and the read where nobody else waits for it.
        """
        shared = self._reads.get(key)
        if shared is not None:
            return self._wait(shared, key)
        shared = self._reads[key] = _Read()
        own: Deferred[T] = self._wait(shared, key)
        shared.read = read()
        shared.read.addBoth(self._finish, shared, key)
        return own

    def _wait(self, shared: _Read, key: Hashable) -> Deferred[Any]:
        def left(deferred: Deferred[Any]) -> None:
            shared.waiting.pop(deferred, None)
            if not shared.waiting and self._reads.get(key) is shared:
                # Another one that comes now needs an answer.
                del self._reads[key]
                if shared.read is not None:
                    shared.read.cancel()

        own: Deferred[Any] = Deferred(left)
        shared.waiting[own] = None
        return own

    def _finish(self, result: object, shared: _Read, key: Hashable) -> None:
        if self._reads.get(key) is shared:
            del self._reads[key]
        while shared.waiting:
            # One by one: a callback may cancel another.
            deferred = next(iter(shared.waiting))
            del shared.waiting[deferred]
            if isinstance(result, Failure):
                deferred.errback(result)
            else:
                deferred.callback(result)
