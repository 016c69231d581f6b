"""Answers of the application, kept for a while, and shared by clients that ask the same at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.auth.hook_answers import Verdict
from wsrelay.core.access.identity import Identity
from wsrelay.core.flow.ttl import ExpiringCache
from wsrelay.core.outcomes.client_errors import ClientError

__all__ = ["MAX_CACHED", "MAX_CACHED_BYTES", "MAX_CACHED_PATTERNS", "AnswerCache"]

MAX_CACHED = 10_000
"""The most answers that are kept."""

MAX_CACHED_PATTERNS = 20
"""Answers with more channel patterns and channels in `subs` are not kept. Of the longest names, these are five
kilobytes."""

MAX_CACHED_BYTES = 4096
"""Answers with more data in `info` and `subs` are not kept."""


class AnswerCache:
    """Keeps the answers of one kind of question.

    Args:
        seconds: How long an answer is kept. If 0, none is, and only simultaneous questions share an answer.
        clock: A monotonic clock, in seconds.
        is_expired: Tells whether the identity of a verdict has expired.
        on_hit: Called for each answer from the cache.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        is_expired: Callable[[Verdict], bool],
        on_hit: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._is_expired = is_expired
        self._on_hit = on_hit
        self._answers: ExpiringCache[bytes, Verdict] = ExpiringCache(MAX_CACHED, seconds)
        # The clients that wait for each question in flight. As in the cache the key is a digest, for a question may
        # hold a cookie.
        self._waiting: dict[bytes, set[Deferred[Verdict]]] = {}
        # The same for questions whose answers may be out of date when they come.
        self._outdated: list[set[Deferred[Verdict]]] = []

    @property
    def pending_questions(self) -> int:
        """The number of questions in flight."""
        return len(self._waiting) + len(self._outdated)

    @property
    def waiting_clients(self) -> int:
        """The number of clients that wait for an answer."""
        return sum(map(len, (*self._waiting.values(), *self._outdated)))

    def get(self, question: bytes, ask: Callable[[], Deferred[Verdict]]) -> Deferred[Verdict]:
        """Return the answer to a question, which is asked once for all clients that wait for it at the same time.

        Cancelling the Deferred does not cancel the question: others may wait for the answer, and a client that returns
        at once finds it.

        Args:
            question: The whole question: equal ones have equal answers.
            ask: Asks it. Called at most once, before this returns.

        Returns:
            Fires with the verdict; with `ClientError.NOT_CHECKED` if `ask` fails.
        """
        key = sha256(question).digest()
        waiter: Deferred[Verdict]
        verdict = self._answers.get(key, self._clock())
        # A client that returns because its identity has expired needs a new answer.
        if verdict is not None and not self._is_expired(verdict):
            self._on_hit()
            waiter = Deferred()
            waiter.callback(verdict)
            return waiter
        is_first = key not in self._waiting
        waiting = self._waiting.setdefault(key, set())
        waiter = Deferred(waiting.discard)
        waiting.add(waiter)
        if is_first:
            ask().addBoth(self._finish, key, waiting)
        return waiter

    def clear(self) -> None:
        """Drop every answer that is kept, and keep none to a question that is in flight.

        Those who wait for it get its answer. It is asked again for those who come from now on.
        """
        self._answers.clear()
        self._outdated += self._waiting.values()
        self._waiting.clear()

    def _finish(self, outcome: Verdict | Failure, key: bytes, waiting: set[Deferred[Verdict]]) -> None:
        # A failure if the HTTP client was closed.
        verdict = ClientError.NOT_CHECKED if isinstance(outcome, Failure) else outcome
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
            if verdict is not ClientError.NOT_CHECKED and _is_small(verdict):
                self._answers.put(key, verdict, self._clock())
        else:
            self._outdated = [each for each in self._outdated if each is not waiting]
        # One by one: a callback may cancel another waiter.
        while waiting:
            waiting.pop().callback(verdict)


def _is_small(verdict: Verdict) -> bool:
    if not isinstance(verdict, Identity):
        return True
    names = len(verdict.channels or ()) + len(verdict.publish or ()) + len(verdict.subs)
    size = len(verdict.info) + sum(len(each.info) + len(each.data) for each in verdict.subs)
    return names <= MAX_CACHED_PATTERNS and size <= MAX_CACHED_BYTES
