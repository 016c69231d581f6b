"""The connections that are not read for a while, because their clients send more than can be done with it."""

from __future__ import annotations

from collections.abc import Callable

from wsrelay.metrics.counters import Counters
from wsrelay.transports.rate_limits import RateLimits

__all__ = ["PausedConnections"]


class PausedConnections:
    """Counts them, and how long it takes.

    Args:
        counters: Counts pauses, and their seconds.
        rate_limits: Permits a client what it could not send meanwhile.
        seconds: A monotonic clock.
    """

    def __init__(self, counters: Counters, rate_limits: RateLimits, seconds: Callable[[], float]) -> None:
        self._counters = counters
        self._rate_limits = rate_limits
        self._seconds = seconds
        self._since: dict[object, float] = {}

    def __len__(self) -> int:
        """Return how many connections are paused."""
        return len(self._since)

    def add(self, connection: object) -> None:
        """Take that a connection is paused, which is none of these."""
        self._counters.reading_pauses += 1
        self._rate_limits.hold(connection)
        self._since[connection] = self._seconds()

    def resumed(self, connection: object) -> None:
        """Take that a connection is read again, which is one of these."""
        self._rate_limits.release(connection)
        self.remove(connection)

    def remove(self, connection: object) -> None:
        """Take that a connection ends. One that is none of these is ignored."""
        since = self._since.pop(connection, None)
        if since is not None:
            self._counters.reading_paused_seconds += self._seconds() - since
