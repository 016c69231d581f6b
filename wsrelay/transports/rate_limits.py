"""Rate limits of clients, which keep state only for clients that send."""

from __future__ import annotations

from collections.abc import Hashable

from wsrelay.core.flow.token_bucket import MESSAGE_BURST_SECONDS
from wsrelay.core.flow.traffic import TrafficBucket, TrafficRates
from wsrelay.engine.timers import TimerWheel, WheelTimer

__all__ = ["RateLimits"]


class RateLimits:
    """Limits the frames and bytes that each client sends.

    A client that has sent nothing for `MESSAGE_BURST_SECONDS` is removed, because it may then send as much as a new
    one: ten thousand idle clients cost nothing here.

    Args:
        frames_per_second: The number of frames that a client may send in a second, on average.
        bytes_per_second: The number of bytes that a client may send in a second, on average.
        timers: Tells the time, and runs the removal of idle clients.
    """

    def __init__(self, frames_per_second: float, bytes_per_second: float, timers: TimerWheel) -> None:
        self._rates = TrafficRates(frames_per_second, bytes_per_second)
        self._timers = timers
        # Bound once: it is asked for every read.
        self._seconds = timers.seconds
        self._buckets: dict[Hashable, TrafficBucket] = {}
        # The clients that are not read.
        self._held: set[Hashable] = set()
        self._sweep: WheelTimer | None = None

    @property
    def clients(self) -> list[Hashable]:
        """The clients for which state is kept, in the order in which they began to send."""
        return list(self._buckets)

    def allows(self, client: Hashable, frames: int, size: int) -> bool:
        """Count frames and bytes of a client, and return whether it may send them now.

        Args:
            client: The client, by any key that is its own.
            frames: The number of frames.
            size: The number of bytes.
        """
        found = self._buckets.get(client) or self._start(client)
        return found.take(frames, size, self._seconds())

    def hold(self, client: Hashable) -> None:
        """Take that a client is not read any more: the time until `release` is not lost to it."""
        self._held.add(client)
        if client not in self._buckets:
            self._start(client)

    def release(self, client: Hashable) -> None:
        """Permit a client what it could not send since `hold`."""
        self._held.discard(client)
        bucket = self._buckets.get(client)
        if bucket is not None:
            bucket.credit(self._seconds())

    def remove(self, client: Hashable) -> None:
        """Remove a client whose connection is lost. One that is unknown is no error."""
        self._buckets.pop(client, None)
        self._held.discard(client)
        if not self._buckets and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _start(self, client: Hashable) -> TrafficBucket:
        bucket = self._buckets[client] = TrafficBucket(self._rates, self._seconds())
        self._start_sweep()
        return bucket

    def _start_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = self._timers.call_later(MESSAGE_BURST_SECONDS, self._remove_idle_buckets)

    def _remove_idle_buckets(self) -> None:
        self._sweep = None
        now = self._timers.seconds()
        idle = [client for client, bucket in self._buckets.items() if client not in self._held and bucket.is_full(now)]
        for client in idle:
            del self._buckets[client]
        if self._buckets:
            self._start_sweep()
