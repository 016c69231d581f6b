"""Tells listeners that messages may have been lost on their way to this process.

Redis Pub/Sub keeps nothing for a subscriber that is away, so after an interruption nobody can say what was missed. What
can be said is that something may have been, and it is: once to each listener, when messages flow again, and spread
over time so that those who come back do not come all at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.hub import Subscriber
from wsrelay.metrics.counters import Counters

__all__ = ["GapNotifier"]

TOLD_PER_SECOND = 500
"""As many come back to all processes without hurting them."""

HEAD_START_SECONDS = 1.0
"""Processes that lost the same Redis begin at different times within this."""

_TICK_SECONDS = 0.05


class GapNotifier:
    """A queue of listeners to be told.

    Args:
        clock: Time.
        rng: Randomness for the beginning.
        counters: Where those who were told are counted.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, rng: Random, counters: Counters) -> None:
        self._clock = clock
        self._rng = rng
        self._counters = counters
        self._waiting: dict[Subscriber, None] = {}
        self._timer: IDelayedCall | None = None

    def notify(self, listeners: Iterable[Subscriber]) -> None:
        """These are to be told; who waits already is told once."""
        self._waiting.update(dict.fromkeys(listeners))
        if self._waiting and self._timer is None:
            self.log.warn("messages may have been lost; telling those who listened")
            self._timer = self._clock.callLater(self._rng.uniform(0, HEAD_START_SECONDS), self._tell_some)

    def stop(self) -> None:
        """Tell nobody any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_some(self) -> None:
        self._timer = None
        for _ in range(round(TOLD_PER_SECOND * _TICK_SECONDS)):
            if not self._waiting:
                return
            subscriber = next(iter(self._waiting))
            del self._waiting[subscriber]
            self._counters.gap_notices += 1
            try:
                subscriber.close(Disconnect.GAP)
            except Exception:  # noqa: BLE001 -- the others are to be told, too
                self.log.failure("a connection failed while it was told of a gap")
        self._timer = self._clock.callLater(_TICK_SECONDS, self._tell_some)
