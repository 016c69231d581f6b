"""A limit on how often a busy process wakes up, so that it finds more to do each time.

A message that comes alone costs several times what it costs among others: the kernel wakes the process, the reactor
makes its turn, and by then the processor's caches hold other things. At 2,500 messages a second, each to one client,
that was most of their price (docs/performance.md). Network cards have the same trouble, and the same remedy under the
name of interrupt moderation: while they are busy, they wait a moment before they report the next packet.

In a busy time, a turn of the reactor that would wait for events sleeps first, until an interval has passed since it
last did. What comes meanwhile stays in the kernel and is read together. A process with less to do never sleeps here:
a message in a quiet time waits for nothing. Nor does one whose turns take long, so that throughput stays the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["BUSY_TURNS", "WakeupLimit", "limit_wakeups"]

BUSY_TURNS = 16
"""A busy time is so many turns in a row that waited for about as long as the interval at most."""

_MAX_WAIT = 1.5
"""How long "about" is, in intervals. Behind a sleep of one interval events are there, or soon will be."""

_MAX_WORK = 0.25
"""How much of an interval a turn may have worked to be followed by a sleep."""


class WakeupLimit:
    """Makes the turns of a reactor.

    Args:
        iterate: The reactor's own `doIteration`: waits for events, and handles them. Its argument is how long it may
            wait, in seconds. If None, for ever.
        interval: The shortest time between two waits in a busy time, in seconds.
        seconds: A monotonic clock.
        worked: A clock that stands still while the process waits.
        sleep: Sleeps for so many seconds, signals handled meanwhile.
    """

    def __init__(
        self,
        iterate: Callable[[float | None], None],
        interval: float,
        seconds: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._iterate = iterate
        self._interval = interval
        self._seconds = seconds
        self._worked = worked
        self._sleep = sleep
        self._since = seconds()
        self._worked_since = worked()
        self._busy_turns = 0

    def iterate(self, timeout: float | None) -> None:
        """Wait for events and handle them, as the reactor's own does; in a busy time, sleep first.

        Args:
            timeout: How long to wait at most, in seconds. If None, until there are events.
        """
        now, worked = self._seconds(), self._worked()
        work = worked - self._worked_since
        waited = now - self._since - work
        self._since, self._worked_since = now, worked
        self._busy_turns = self._busy_turns + 1 if waited < _MAX_WAIT * self._interval else 0
        if self._busy_turns > BUSY_TURNS and timeout != 0 and work < _MAX_WORK * self._interval:
            rest = self._interval - work
            if timeout is not None:
                rest = min(rest, timeout)
                timeout -= rest
            self._sleep(rest)
        self._iterate(timeout)


def limit_wakeups(reactor: Any, per_second: float) -> None:
    """Limit how often a reactor wakes up in a busy time.

    Twisted's main loop looks `doIteration` up on the reactor for every turn. One whose loop is another's, asyncio's for
    example, never calls it and is not limited.

    Args:
        reactor: The reactor.
        per_second: How often it may wake up in a second. If 0, there is no limit.
    """
    if per_second and hasattr(reactor, "doIteration"):
        reactor.doIteration = WakeupLimit(reactor.doIteration, 1 / per_second).iterate
