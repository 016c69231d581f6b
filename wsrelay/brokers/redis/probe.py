"""A message to ourselves through Redis: the one proof that messages flow.

Connections that are open, and a server that answers PING on each of them, prove nothing about the way from PUBLISH to a
subscriber: a replica that was a master a moment ago, a proxy that lost half of its pairs and a subscription that the
server forgot all look healthy. So a number is published on a channel of our own and has to come back.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, problem_of, reply_problem
from wsrelay.brokers.redis.request_protocol import ResponseError

__all__ = ["NOT_BACK", "Probe"]

INTERVAL_SECONDS = 5.0
"""The time between a reply and the next probe."""

TIMEOUT_SECONDS = 3.0

GRACE_SECONDS = 0.5
"""How much longer a reply may take after `TIMEOUT_SECONDS` before the probe has failed."""


NOT_BACK = "a probe message did not come back through Redis"
"""The summary of the problem if nothing else is wrong."""


class Probe:
    """Sends a payload, waits for it to come back as a message, and sends the next one.

    Args:
        send: Publishes a payload on the probe's channel. Its exception says why it cannot.
        on_reply: Called when a payload came back.
        on_failure: Called with the reason when a payload did not come back in time, or could not be sent.
        clock: Time.
        rng: Makes the name.

    Attributes:
        name: A random name, different in every process: 16 hexadecimal digits.
        is_healthy: True if the last payload came back, on the connections of this moment.
        problem: Why not; `NO_PROBLEM` when healthy.
    """

    def __init__(
        self,
        send: Callable[[bytes], Coroutine[Deferred[Any], Any, None]],
        on_reply: Callable[[], None],
        on_failure: Callable[[Problem], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._send = send
        self._on_reply = on_reply
        self._on_failure = on_failure
        self._clock = clock
        self._number = 0
        self._is_paused = False
        self._is_waiting = False
        self._timer: IDelayedCall | None = None
        self.name = b"%016x" % rng.getrandbits(64)
        self.is_healthy = False
        self.problem = Problem("no probe message has come back through Redis yet")

    def start(self) -> None:
        """Send a payload now. Called when both connections are up and one of them is new."""
        self.is_healthy = False
        self._send_next()

    def stop(self) -> None:
        """Send nothing until `start`, and ignore the reply to the last payload: a connection is lost."""
        self.is_healthy = self._is_waiting = False
        self._cancel()

    def pause(self) -> None:
        """Ignore missing replies until `resume`, because nothing is read."""
        self._is_paused = True

    def resume(self) -> None:
        """Expect replies again."""
        was_paused, self._is_paused = self._is_paused, False
        if was_paused and self._is_waiting:
            # The reply stands behind all that was not read meanwhile: send a new payload, with a new deadline.
            self._send_next()

    def reply_received(self, payload: bytes) -> None:
        """Take a message of the probe's channel. Any payload but the last one is ignored."""
        if payload == self._payload and self._timer is not None:
            self.is_healthy, self.problem, self._is_waiting = True, NO_PROBLEM, False
            # Before the call, which may stop the probe.
            self._wait(INTERVAL_SECONDS, self._send_next)
            self._on_reply()

    def pass_over(self) -> None:
        """Take that the last payload cannot be sent for a reason that proves nothing: the next one is tried later."""
        if self._timer is not None:
            self.is_healthy, self.problem, self._is_waiting = True, NO_PROBLEM, False
            self._wait(INTERVAL_SECONDS, self._send_next)

    @property
    def _payload(self) -> bytes:
        return b"%d" % self._number

    def _send_next(self) -> None:
        self._number += 1
        self._is_waiting = True
        self._wait(TIMEOUT_SECONDS, self._wait_longer)
        Deferred.fromCoroutine(self._send(self._payload)).addErrback(self._send_failed, self._number)

    def _send_failed(self, failure: Failure, number: int) -> None:
        # If a connection was lost meanwhile, its end was reported, and another payload is sent or will be.
        if number == self._number and self._timer is not None:
            error = failure.value
            self._fail(reply_problem(str(error)) if isinstance(error, ResponseError) else problem_of(error))

    def _wait_longer(self) -> None:
        # A busy reactor runs timers before it reads: a late reply may have arrived already.
        self._wait(GRACE_SECONDS, self._timed_out)

    def _timed_out(self) -> None:
        if self._is_paused:
            self._send_next()
        else:
            self._fail(Problem(NOT_BACK))

    def _fail(self, problem: Problem) -> None:
        self.stop()
        self.problem = problem
        self._on_failure(problem)

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self._clock.callLater(seconds, self._fire, call)

    def _fire(self, call: Callable[[], None]) -> None:
        self._timer = None
        call()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
