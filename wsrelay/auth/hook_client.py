"""The application's endpoint: how much it is asked at a time, and when it is left alone.

What an outage costs is bounded: so many requests are under way at a time, each with the fetcher's deadline, and after
some failures in a row the endpoint is left alone for a while. What one client can bring about concerns that client:
an odd answer about it counts for nothing, one that does not come counts once, and it has half of the room at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Protocol, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.circuit_breaker import CircuitBreaker
from wsrelay.core.outcomes.errors import ClaimError, FetchError, FetchTimeoutError, WsrelayError

__all__ = [
    "MAX_IN_FLIGHT",
    "MAX_IN_FLIGHT_OF_ONE",
    "MAX_TOLD",
    "SETTLED_SECONDS",
    "Answered",
    "Endpoint",
    "Fetches",
    "OddAnswerError",
    "check_status",
]

MAX_IN_FLIGHT = 100
"""As many requests are under way at a time; who would need another one is told to come back."""

MAX_IN_FLIGHT_OF_ONE = MAX_IN_FLIGHT // 2
"""As many of them are about one client, that is, one address or one user."""

SETTLED_SECONDS = 10.0
"""An endpoint works again when it answers and has not failed for so long: one that fails now and then is one event."""

MAX_TOLD = 10
"""As many different problems of one outage are logged."""

_OVERLOADED = frozenset((429, 502, 503))
"""Statuses of an endpoint, or of a proxy in front of it, that wants to be left alone."""

_TIMED_OUT = 504
"""What a proxy in front says of an endpoint that does not answer."""

_T = TypeVar("_T")


class Answered(Protocol):
    """An HTTP answer, read to its end."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def body(self) -> bytes:
        """The body."""


class Fetches(Protocol):
    """Makes HTTP requests, each within a deadline of its own."""

    # Not a Deferred, which mypy takes for one of exactly this type: here one of any kind of answer will do.
    def fetch(self, method: str, url: str, headers: Mapping[str, str] = ..., body: bytes = ...) -> Awaitable[Answered]:
        """Make a request; fails with `FetchError`, when there is no answer in time too."""


class OddAnswerError(FetchError):
    """The endpoint is there, and what it says about this one client is no answer."""


def check_status(status: int) -> None:
    """Look at a status that is none of those that say something.

    Raises:
        FetchError: Always: of the kind that says whether the endpoint wants to be left alone.
    """
    text = f"it answered with the status {status}"
    if status == _TIMED_OUT:
        raise FetchTimeoutError(text)
    raise (FetchError if status in _OVERLOADED else OddAnswerError)(text)


class Endpoint:
    """One endpoint.

    Args:
        fetcher: Makes the requests.
        url: Where it is.
        secret: Shown to it, so that it knows who asks. None: nothing is.
        clock: Time.
        rng: Randomness for when a broken endpoint is tried again.
        counters: Where what comes of it is counted: `failed`, and `skipped` for what was not asked.
    """

    log = Logger()

    def __init__(
        self,
        fetcher: Fetches,
        url: str,
        secret: Secret | None,
        clock: IReactorTime,
        rng: Random,
        counters: Counter[str],
    ) -> None:
        self._fetcher = fetcher
        self._url = url
        self._secret = secret
        self._clock = clock
        self._counters = counters
        self._breaker = CircuitBreaker(rng)
        self._in_flight: Counter[str] = Counter()
        # About whom there was no answer in time since there was one for anybody.
        self._unanswered: set[str] = set()
        self._told: set[str] = set()
        self._failed_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it is left alone because it does not work."""
        return self._breaker.is_open

    async def ask(self, question: bytes, who: str, read: Callable[[Answered], _T]) -> _T | None:
        """Ask a question.

        Args:
            question: The body of the request: JSON.
            who: Whom it is about.
            read: Makes something of the answer; raises `FetchError` or `ClaimError` where that cannot be done.

        Returns:
            What the answer means. None: there is none, for whatever reason.
        """
        asked = self._clock.seconds()
        if not self._has_room(who) or not self._breaker.allows(asked):
            self._counters["skipped"] += 1
            return None
        self._in_flight[who] += 1
        try:
            result = read(await self._fetcher.fetch("POST", self._url, self._headers(), question))
        except CancelledError:
            self._breaker.given_up(asked)
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it was, nobody is let in by it, and a trial has to end
            self._failed(error, asked, who)
            return None
        finally:
            self._in_flight[who] -= 1
            if not self._in_flight[who]:
                del self._in_flight[who]
        self._worked()
        return result

    def _has_room(self, who: str) -> bool:
        return self._in_flight[who] < MAX_IN_FLIGHT_OF_ONE and self._in_flight.total() < MAX_IN_FLIGHT

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        return headers

    def _worked(self) -> None:
        self._breaker.succeeded()
        self._unanswered.clear()
        if self._told and self._clock.seconds() - self._failed_at >= SETTLED_SECONDS:
            self._told.clear()
            self.log.info("the hook works again")

    def _failed(self, error: Exception, asked: float, who: str) -> None:
        self._counters["failed"] += 1
        self._failed_at = self._clock.seconds()
        if isinstance(error, (ClaimError, OddAnswerError)):
            # The endpoint is there. That one client can make it stumble is no reason to turn all others away.
            self._breaker.succeeded()
        elif isinstance(error, FetchTimeoutError) and who in self._unanswered and not self._breaker.is_open:
            # Nor is it that the endpoint hangs for one, however often that one comes.
            self._breaker.given_up(asked)
        else:
            if isinstance(error, FetchTimeoutError):
                self._unanswered.add(who)
            self._breaker.failed(self._failed_at, asked)
        # The text of an exception that is not our own may repeat what it is about: a header, say.
        problem = str(error) if isinstance(error, WsrelayError) else type(error).__name__
        if problem not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(problem)
            self.log.error("the hook does not work, and nobody is let in without it: {problem}", problem=problem)
