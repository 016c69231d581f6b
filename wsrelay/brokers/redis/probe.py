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

__all__ = ["Probe"]

INTERVAL_SECONDS = 5.0
TIMEOUT_SECONDS = 3.0
SECOND_LOOK_SECONDS = 0.5


class Probe:
    """Sends, waits, and sends again.

    Args:
        send: Publishes a payload on the probe's channel; an exception says why it cannot.
        back: Called when a payload came back.
        lost: Called with the reason when a payload did not come back in time, or could not be sent.
        clock: Time.
        rng: Makes the name.

    Attributes:
        name: A name of this process that no other has.
        is_back: Whether the last payload came back, on the connections there are now.
        problem: Why not, for the operator.
    """

    def __init__(
        self,
        send: Callable[[bytes], Coroutine[Deferred[Any], Any, None]],
        back: Callable[[], None],
        lost: Callable[[str], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._send = send
        self._back = back
        self._lost = lost
        self._clock = clock
        self._number = 0
        self._held = False
        self._is_out = False
        self._timer: IDelayedCall | None = None
        self.name = b"%016x" % rng.getrandbits(64)
        self.is_back = False
        self.problem = "no message of our own has come back through Redis yet"

    def start(self) -> None:
        """Send one now: both connections are there, and one of them is new."""
        self.is_back = False
        self._probe()

    def failed(self) -> None:
        """A connection is gone, and with it what was under way."""
        self.is_back = self._is_out = False
        self._cancel()

    def hold(self, held: bool) -> None:
        """Nothing is read now, or again; what does not come back meanwhile proves nothing."""
        ended = self._held and not held
        self._held = held
        if ended and self._is_out:
            # Its answer stands behind all that was not read meanwhile: a new one, with a new deadline.
            self._probe()

    def came_back(self, payload: bytes) -> None:
        """This came in on the probe's channel."""
        if payload == self._payload and self._timer is not None:
            self.is_back, self.problem, self._is_out = True, "", False
            # Before it is told, for whoever hears of it may stop it.
            self._wait(INTERVAL_SECONDS, self._probe)
            self._back()

    def stop(self) -> None:
        """Send nothing any more."""
        self.failed()

    @property
    def _payload(self) -> bytes:
        return b"%d" % self._number

    def _probe(self) -> None:
        self._number += 1
        self._is_out = True
        self._wait(TIMEOUT_SECONDS, self._look_again)
        Deferred.fromCoroutine(self._send(self._payload)).addErrback(self._not_sent, self._number)

    def _not_sent(self, failure: Failure, number: int) -> None:
        # A connection that broke meanwhile has told so itself, and a new number is on its way.
        if number == self._number and self._timer is not None:
            self._give_up(failure.getErrorMessage())

    def _look_again(self) -> None:
        # A busy reactor runs timers before it reads: what is late may be here already.
        self._wait(SECOND_LOOK_SECONDS, self._missed)

    def _missed(self) -> None:
        if self._held:
            self._probe()
        else:
            self._give_up("a message of our own did not come back through Redis")

    def _give_up(self, problem: str) -> None:
        self.failed()
        self.problem = problem
        self._lost(problem)

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
