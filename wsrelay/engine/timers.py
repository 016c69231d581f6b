"""Coarse timers for tens of thousands of connections."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

__all__ = ["TimerWheel", "WheelTimer"]

RESOLUTION_SECONDS = 0.5


class WheelTimer:
    """A scheduled call. `cancel` may be called at any time, any number of times."""

    __slots__ = ("_bucket", "call")

    def __init__(self, bucket: dict[WheelTimer, None], call: Callable[[], object]) -> None:
        self._bucket = bucket
        self.call = call

    def cancel(self) -> None:
        """Cancel the call."""
        self._bucket.pop(self, None)


class TimerWheel:
    """Timers that never fire early, and at most `RESOLUTION_SECONDS` late; start and cancel cost the same, always.

    Every connection has a deadline or a ping ahead of it, nearly all of which are cancelled. The reactor's own
    timers would be a heap of that size; Autobahn's batched ones round down to whole seconds, and lose a cancel that
    comes while a bucket fires. The wheel has one reactor timer whatever its size.

    Args:
        clock: Time.

    Attributes:
        seconds: Returns the time of the clock, in seconds.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        self._buckets: dict[int, dict[WheelTimer, None]] = {}
        # The slots of the buckets as a heap: credentials end in thousands of different ones.
        self._slots: list[int] = []
        self._tick: IDelayedCall | None = None
        self._next = 0

    def call_later(self, delay: float, call: Callable[[], object]) -> WheelTimer:
        """Call without arguments after `delay` seconds. The name is the one Autobahn's batched timers have."""
        return self.call_in_slot(self.slot_after(delay), call)

    def slot_after(self, delay: float) -> int:
        """Return the first slot that begins in `delay` seconds or later: those of the same slot are called together."""
        return math.ceil((self._clock.seconds() + delay) / RESOLUTION_SECONDS)

    def call_in_slot(self, slot: int, call: Callable[[], object]) -> WheelTimer:
        """Call without arguments when a slot begins.

        Args:
            slot: The slot, as `slot_after` returns it.
            call: The function.
        """
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = {}
            heapq.heappush(self._slots, slot)
        timer = WheelTimer(bucket, call)
        bucket[timer] = None
        if self._tick is None or slot < self._next:
            self._schedule(slot)
        return timer

    def stop(self) -> None:
        """Drop all timers."""
        self._buckets.clear()
        self._slots.clear()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _schedule(self, slot: int) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._next = slot
        self._tick = self._clock.callLater(max(0.0, slot * RESOLUTION_SECONDS - self._clock.seconds()), self._fire)

    def _fire(self) -> None:
        self._tick = None
        # Every slot of the heap has a bucket until it fires, and the wheel is always scheduled for the first.
        bucket = self._buckets.pop(heapq.heappop(self._slots))
        for timer in tuple(bucket):
            if timer not in bucket:
                # Cancelled by a call of the same bucket.
                continue
            del bucket[timer]
            try:
                timer.call()
            except Exception:  # noqa: BLE001 -- one connection's timer must not cost the others theirs
                self.log.failure("a timer failed")
        # Buckets whose timers were all cancelled go when their slot fires; each is at most one empty dict. Scheduling
        # is due even if a call has done so already: for its own slot, which may be behind the first one that waits.
        if self._slots:
            self._schedule(self._slots[0])
