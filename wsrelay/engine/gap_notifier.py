"""Tells subscribers that messages may have been lost on their way to this process.

Redis Pub/Sub keeps nothing for a subscriber that is away, so after an interruption nobody can say what was missed. It
can be said that something may have been: once to each subscription, when messages flow again, and spread over time so
that those who reconnect do not come all at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from wsrelay.engine.hub import Subscriber
from wsrelay.metrics.counters import Counters

__all__ = ["GapNotifier"]

NOTIFICATIONS_PER_SECOND = 500
"""As many clients may reconnect to all processes without overloading them."""

HEAD_START_SECONDS = 1.0
"""Processes that lost the same Redis begin at different times within this."""

_TICK_SECONDS = 0.05


class GapNotifier:
    """A queue of subscriptions to be told.

    Args:
        clock: Time.
        rng: Randomness for the beginning.
        counters: Where notices are counted.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, rng: Random, counters: Counters) -> None:
        self._clock = clock
        self._rng = rng
        self._counters = counters
        self._waiting: dict[tuple[Subscriber, str], None] = {}
        self._timer: IDelayedCall | None = None

    @property
    def pending(self) -> int:
        """The number of subscriptions that are still to be told."""
        return len(self._waiting)

    def notify(self, channel: str, subscribers: Iterable[Subscriber]) -> None:
        """Enqueue the subscribers of a channel; one that is enqueued already is told once."""
        self._waiting.update(dict.fromkeys((each, channel) for each in subscribers))
        if self._waiting and self._timer is None:
            self.log.warn("possible message loss; notifying subscribers")
            self._timer = self._clock.callLater(self._rng.uniform(0, HEAD_START_SECONDS), self._notify_some)

    def withdraw(self, subscriber: Subscriber, channel: str) -> None:
        """Drop the notice of a subscription that has ended; one that is not enqueued is ignored."""
        if self._waiting:
            self._waiting.pop((subscriber, channel), None)

    def stop(self) -> None:
        """Drop the queue and stop the timer."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _notify_some(self) -> None:
        self._timer = None
        for _ in range(round(NOTIFICATIONS_PER_SECOND * _TICK_SECONDS)):
            if not self._waiting:
                return
            subscriber, channel = next(iter(self._waiting))
            del self._waiting[subscriber, channel]
            self._counters.gap_notices += 1
            try:
                subscriber.report_gap(channel)
            except Exception:  # noqa: BLE001 -- the others are to be told, too
                self.log.failure("a connection failed while it was told of a gap")
        self._timer = self._clock.callLater(_TICK_SECONDS, self._notify_some)
