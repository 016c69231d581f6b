"""The lag of the reactor: the delay that every client sees when something occupies it."""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["LagMeter"]

INTERVAL_SECONDS = 0.5
MEMORY = 120
"""Measurements kept: a minute of them."""


class LagMeter:
    """Measures how much later than scheduled the reactor calls.

    Args:
        clock: Time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=MEMORY)
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._timer = self._clock.callLater(INTERVAL_SECONDS, self._measure, self._clock.seconds() + INTERVAL_SECONDS)

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def worst(self) -> float:
        """The longest delay of the last minute, in seconds."""
        return max(self._lags, default=0.0)

    def _measure(self, due: float) -> None:
        self._lags.append(max(0.0, self._clock.seconds() - due))
        self.start()
