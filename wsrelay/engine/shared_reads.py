"""Reads that several clients wait for at the same time, made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

__all__ = ["SharedReads"]

T = TypeVar("T")


class _Read:
    """A read that is under way, or is the next one.

    Attributes:
        begin: Begins it.
        waiting: Those who wait for it, in the order in which they came.
        read: The Deferred with its result. If None, it has not begun.
        following: The next one, for those who came too late for this one. If None, there are none.
    """

    __slots__ = ("begin", "following", "read", "waiting")

    def __init__(self, begin: Callable[[], Deferred[Any]]) -> None:
        self.begin = begin
        self.waiting: dict[Deferred[Any], None] = {}
        self.read: Deferred[Any] | None = None
        self.following: _Read | None = None


class SharedReads:
    """The reads that are under way, each with those who wait for it.

    A returning crowd asks for the same thing within the same moment. Of what is under way another request waits for the
    same answer, and Redis is asked once.

    Args:
        is_fresh: Whether a result has to show what was there when it was asked for. Then a request that comes while the
            same is read waits for the next read, which begins when that is done and which all of those share: a client
            that has published, and asks for the history, would else get what was read before. If False, it gets the
            result of what is under way.
    """

    def __init__(self, *, is_fresh: bool = False) -> None:
        self._is_fresh = is_fresh
        self._reads: dict[Hashable, _Read] = {}

    def __len__(self) -> int:
        """Return the number of reads that are under way."""
        return len(self._reads)

    def get(self, key: Hashable, read: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Return the result of a read that is under way or is the next one, or of a new one.

        Args:
            key: What is read.
            read: Begins the read, and returns a Deferred with its result.

        Returns:
            Fires as that Deferred does, if the result is to be fresh possibly after another such read. Cancelling it
            ends the wait, and the read where nobody else waits for it.
        """
        shared = self._reads.get(key)
        if shared is None:
            shared = _Read(read)
            own = self._wait(shared, key)
            self._begin(shared, key)
            return own
        if self._is_fresh:
            shared.following = shared = shared.following or _Read(read)
        return self._wait(shared, key)

    def _wait(self, shared: _Read, key: Hashable) -> Deferred[Any]:
        def left(deferred: Deferred[Any]) -> None:
            shared.waiting.pop(deferred, None)
            if not shared.waiting and self._reads.get(key) is shared:
                # Another one that comes now needs an answer, and those who came too late for this one do.
                self._go_on(shared, key)
                if shared.read is not None:
                    shared.read.cancel()

        own: Deferred[Any] = Deferred(left)
        shared.waiting[own] = None
        return own

    def _begin(self, shared: _Read, key: Hashable) -> None:
        self._reads[key] = shared
        shared.read = maybeDeferred(shared.begin)
        shared.read.addBoth(self._finish, shared, key)

    def _go_on(self, shared: _Read, key: Hashable) -> None:
        """Begin the next read, if anybody waits for it."""
        del self._reads[key]
        if shared.following is not None and shared.following.waiting:
            self._begin(shared.following, key)

    def _finish(self, result: object, shared: _Read, key: Hashable) -> None:
        if self._reads.get(key) is shared:
            self._go_on(shared, key)
        while shared.waiting:
            # One by one: a callback may cancel another.
            deferred = next(iter(shared.waiting))
            del shared.waiting[deferred]
            if isinstance(result, Failure):
                deferred.errback(result)
            else:
                deferred.callback(result)
