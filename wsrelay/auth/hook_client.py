"""The client of the hook: bounds the requests in flight, and stops asking an endpoint that fails.

The cost of an outage is bounded: the number of requests in flight is limited, each has the deadline of the HTTP client,
and after some failures in a row the circuit breaker opens. The effect of one client on all others is bounded, too: an
invalid answer about it does not count as a failure, a missing one counts once, and it takes at most half of the
requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from wsrelay.auth.question_line import QuestionLine
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.circuit_breaker import CircuitBreaker
from wsrelay.core.outcomes.errors import ClaimError, FetchError, FetchTimeoutError, WsrelayError
from wsrelay.outgoing.http_client import HTTPClient, HTTPResponse

__all__ = [
    "MAX_IN_FLIGHT",
    "MAX_IN_FLIGHT_PER_PARTY",
    "MAX_LOGGED_PROBLEMS",
    "MAX_PATIENT_IN_FLIGHT",
    "RECOVERY_SECONDS",
    "HookClient",
    "InvalidHookResponseError",
    "check_status",
]

MAX_IN_FLIGHT = 100
"""The most requests in flight. A client that would need another one to connect is rejected, and may try again."""

MAX_IN_FLIGHT_PER_PARTY = MAX_IN_FLIGHT // 2
"""The most of them about one party, which is an address or a user."""

RECOVERY_SECONDS = 10.0
"""How long the endpoint must work without a failure to end an outage: one that fails now and then has one outage."""

MAX_PATIENT_IN_FLIGHT = MAX_IN_FLIGHT * 3 // 4
"""The most requests in flight for a question that can wait to be asked: the rest is for clients that connect."""

MAX_LOGGED_PROBLEMS = 10
"""The most different problems that are logged for one outage."""

_OVERLOADED = frozenset((429, 502, 503))
"""Statuses of an endpoint, or of a proxy in front of it, that is overloaded."""

_TIMED_OUT = 504
"""The status of a proxy in front of an endpoint that does not answer."""

_T = TypeVar("_T")


class InvalidHookResponseError(FetchError):
    """The endpoint works, and its response about one client is not an answer."""


def check_status(status: int) -> None:
    """Raise the error for a status that is not an answer.

    Raises:
        FetchError: The endpoint is overloaded.
        FetchTimeoutError: It did not answer the proxy in front of it in time.
        InvalidHookResponseError: The status is any other.
    """
    text = f"it answered with the status {status}"
    if status == _TIMED_OUT:
        raise FetchTimeoutError(text)
    raise (FetchError if status in _OVERLOADED else InvalidHookResponseError)(text)


class HookClient:
    """Sends questions to one endpoint.

    Args:
        http_client: Makes the requests, each within a deadline of its own.
        url: The URL of the endpoint.
        secret: The bearer token that tells the endpoint who asks. If None, none is sent.
        clock: The clock.
        rng: Randomness for the pauses of the circuit breaker.
        counters: Counts requests without an answer as `failed`, and questions that were not asked as `skipped`.

    Attributes:
        secret: The bearer token of the next question. If None, none is sent.
    """

    log = Logger()

    def __init__(
        self,
        http_client: HTTPClient,
        url: str,
        secret: Secret | None,
        clock: IReactorTime,
        rng: Random,
        counters: Counter[str],
    ) -> None:
        self._http_client = http_client
        self._url = url
        self.secret = secret
        self._clock = clock
        self._counters = counters
        self._breaker = CircuitBreaker(rng)
        self._in_flight: Counter[str] = Counter()
        self._line = QuestionLine(self._has_capacity_for_patient, self._is_full_for_patient, clock)
        # The parties about which a question timed out since the last answer about any party.
        self._timed_out: set[str] = set()
        self._logged_problems: set[str] = set()
        self._failed_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while the circuit breaker is open: the endpoint fails and is not asked."""
        return self._breaker.is_open

    async def ask_patiently(self, question: bytes, party: str, read: Callable[[HTTPResponse], _T]) -> _T | None:
        """Ask a question, as `ask` does. Where too many are under way, it waits before."""
        try:
            if not self.is_open:
                await self._line.wait(party)
            return await self.ask(question, party, read)
        finally:
            # One that was not asked has made no room, and those behind it are not to wait for it.
            self._line.serve()

    async def ask(self, question: bytes, party: str, read: Callable[[HTTPResponse], _T]) -> _T | None:
        """Ask a question.

        Args:
            question: The body of the request: JSON.
            party: The address or user that the question is about.
            read: Reads the answer from a response. Raises `FetchError` or `ClaimError` if the response is none.

        Returns:
            The result of `read`. None if there is no answer, for whatever reason.

        Raises:
            CancelledError: It was cancelled, or the HTTP client was closed.
        """
        asked_at = self._clock.seconds()
        if not self._has_capacity(party) or not self._breaker.allows(asked_at):
            self._counters["skipped"] += 1
            return None
        self._in_flight[party] += 1
        try:
            result = read(await self._http_client.fetch("POST", self._url, self._headers(), question))
        except CancelledError:
            self._breaker.abandoned(asked_at)
            raise
        except Exception as error:  # noqa: BLE001 -- no error may allow a client anything, and every trial has to end
            self._record_failure(error, asked_at, party)
            return None
        finally:
            self._in_flight[party] -= 1
            if not self._in_flight[party]:
                del self._in_flight[party]
            self._line.serve()
        self._record_success()
        return result

    def _has_capacity(self, party: str) -> bool:
        return self._in_flight[party] < MAX_IN_FLIGHT_PER_PARTY and self._in_flight.total() < MAX_IN_FLIGHT

    def _has_capacity_for_patient(self, party: str) -> bool:
        return self.is_open or (self._has_capacity(party) and not self._is_full_for_patient())

    def _is_full_for_patient(self) -> bool:
        # Nothing is asked while the circuit breaker is open, so that nothing need be waited for, either.
        return not self.is_open and self._in_flight.total() >= MAX_PATIENT_IN_FLIGHT

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.secret is not None:
            headers["Authorization"] = f"Bearer {self.secret.reveal()}"
        return headers

    def _record_success(self) -> None:
        self._breaker.succeeded()
        self._timed_out.clear()
        if self._logged_problems and self._clock.seconds() - self._failed_at >= RECOVERY_SECONDS:
            self._logged_problems.clear()
            self.log.info("the hook works again")

    def _record_failure(self, error: Exception, asked_at: float, party: str) -> None:
        self._counters["failed"] += 1
        self._failed_at = self._clock.seconds()
        if isinstance(error, (ClaimError, InvalidHookResponseError)):
            # The endpoint works. One client that makes it fail must not lock out all others.
            self._breaker.succeeded()
        elif isinstance(error, FetchTimeoutError) and party in self._timed_out and not self._breaker.is_open:
            # Nor must one client that makes it hang, however often it returns.
            self._breaker.abandoned(asked_at)
        else:
            if isinstance(error, FetchTimeoutError):
                self._timed_out.add(party)
            self._breaker.failed(self._failed_at, asked_at)
        # The text of any other exception may repeat a part of the request, such as a header.
        problem = str(error) if isinstance(error, WsrelayError) else type(error).__name__
        if problem not in self._logged_problems and len(self._logged_problems) < MAX_LOGGED_PROBLEMS:
            self._logged_problems.add(problem)
            self.log.error("the hook fails; clients are rejected until it answers: {problem}", problem=problem)
