"""A circuit breaker: no requests to a server that keeps failing."""

from __future__ import annotations

from random import Random

from wsrelay.core.flow.backoff import FullJitter

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Allows requests to a server while it works, and hardly any while it does not.

    Every outcome is reported with the time at which the request was allowed. That tells the trial from requests that
    were under way already when the circuit opened: those that time out one after the other prove nothing new, and must
    neither lengthen the pause nor end the trial.

    ::

        state      event                        next state
        closed     a success                    closed, with no failures in a row
        closed     a failure                    closed; open if there are too many in a row
        open       a request in the pause       open: rejected
        open       a request after the pause    half open: allowed, it is the trial
        half open  a request                    half open: rejected
        half open  the trial fails              open, for a pause that is longer as a rule
        half open  the trial is abandoned       open, without a pause
        any        a success                    closed
        open       a failure                    open, as before
        half open  an older failure             half open, as before

    Args:
        rng: Randomness for the pauses, so that many processes do not retry in step.
        failures: The number of failures in a row that opens the circuit.
        pause: The longest duration of the first pause, in seconds. It is never shorter than half of that.
        longest: The longest duration of any pause, in seconds.
    """

    def __init__(self, rng: Random, *, failures: int = 5, pause: float = 1.0, longest: float = 30.0) -> None:
        self._pauses = FullJitter(rng, floor=pause / 2, first=pause, ceiling=longest)
        self._max_failures = failures
        self._failures_in_a_row = 0
        # The end of the pause. If None, the circuit is closed.
        self._paused_until: float | None = None
        # When the trial that is under way was allowed. If None, there is none. Nothing else was allowed at that moment:
        # before it there was a pause, and after it requests are rejected.
        self._trial: float | None = None
        # When the last trial was allowed: failures of older requests prove nothing any more.
        self._last_trial = float("-inf")

    @property
    def is_open(self) -> bool:
        """True while requests are rejected, except perhaps a trial."""
        return self._paused_until is not None

    def allows(self, now: float) -> bool:
        """Return whether a request may be made.

        If so, the caller must report its outcome once: `succeeded`, `failed` or `abandoned`.
        """
        if self._paused_until is None:
            return True
        if self._trial is not None or now < self._paused_until:
            return False
        self._trial = self._last_trial = now
        return True

    def succeeded(self) -> None:
        """Report that a request succeeded, which closes the circuit, even if it was allowed before the pause."""
        self._failures_in_a_row = 0
        self._paused_until = self._trial = None
        self._pauses.reset()

    def failed(self, now: float, allowed_at: float) -> None:
        """Report that a request failed.

        Args:
            now: The time.
            allowed_at: The time at which it was allowed.
        """
        if self._paused_until is None and allowed_at >= self._last_trial:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= self._max_failures:
                self._paused_until = now + self._pauses.next()
        elif allowed_at == self._trial:
            self._paused_until, self._trial = now + self._pauses.next(), None

    def abandoned(self, allowed_at: float) -> None:
        """Report that the request that was allowed at this time will have no outcome; the next one may be the trial."""
        if allowed_at == self._trial:
            self._trial = None
