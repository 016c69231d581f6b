"""When to leave a server alone that does not answer as it should."""

from __future__ import annotations

from random import Random

from wsrelay.core.flow.backoff import FullJitter

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Lets requests through to a server while it works, and hardly any while it does not.

    What a request came to is told together with the moment at which it was allowed. That tells the trial from requests
    that were under way already when the server was given up: those that time out one after the other say nothing new,
    and must neither lengthen the pause nor end the trial.

    ::

        state      what happens           next state
        closed     a success              closed, and the failures so far are forgotten
        closed     a failure              closed; open, if it is the last straw
        open       asked in the pause     open: no
        open       asked after the pause  half open: yes, this one is the trial
        half open  asked                  half open: no
        half open  the trial fails        open, for a pause that is longer as a rule
        half open  the trial is given up  open, without a pause
        any        a success              closed
        open       a failure              open, as before
        half open  an older failure       half open, as before

    Args:
        rng: Randomness for the pauses, so that many processes do not try in step.
        failures: After so many failures in a row the server is left alone.
        pause: The longest that the first pause may be, in seconds. It is never shorter than the half of that.
        longest: What no pause exceeds, in seconds.
    """

    def __init__(self, rng: Random, *, failures: int = 5, pause: float = 1.0, longest: float = 30.0) -> None:
        self._pauses = FullJitter(rng, floor=pause / 2, first=pause, ceiling=longest)
        self._most = failures
        self._in_a_row = 0
        # When the pause is over; None: closed.
        self._until: float | None = None
        # When the trial was allowed that is under way; None: none is. Nothing else was allowed at that moment: before
        # it there was a pause, and after it the answer is no.
        self._trial: float | None = None
        # When the last trial was allowed: failures of what is older say nothing any more.
        self._since = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the server is left alone, but perhaps for a trial."""
        return self._until is not None

    def allows(self, now: float) -> bool:
        """Whether a request may be made. If so, `succeeded`, `failed` or `given_up` is owed once."""
        if self._until is None:
            return True
        if self._trial is not None or now < self._until:
            return False
        self._trial = self._since = now
        return True

    def succeeded(self) -> None:
        """A request did what it should. Even one from before the pause is good news."""
        self._in_a_row = 0
        self._until = self._trial = None
        self._pauses.reset()

    def failed(self, now: float, asked: float) -> None:
        """A request that was allowed at the time `asked` failed."""
        if self._until is None and asked >= self._since:
            self._in_a_row += 1
            if self._in_a_row >= self._most:
                self._until = now + self._pauses.next()
        elif asked == self._trial:
            self._until, self._trial = now + self._pauses.next(), None

    def given_up(self, asked: float) -> None:
        """A request that was allowed at the time `asked` will have no outcome; the next one may be the trial."""
        if asked == self._trial:
            self._trial = None
