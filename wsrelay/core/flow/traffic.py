"""A bound on the frames and bytes that a client sends."""

from __future__ import annotations

from dataclasses import dataclass

from wsrelay.core.flow.token_bucket import MESSAGE_BURST_SECONDS

__all__ = ["CREDIT_SECONDS", "TrafficBucket", "TrafficRates"]

CREDIT_SECONDS = 60.0
"""How long a bucket that holds more than its capacity must be left alone to have no more in it than a new one. It is
also how many seconds' worth it may hold beyond its capacity: a client that reads its messages slowly decides itself how
long it is not read, and must not save hours up for one burst."""


@dataclass(frozen=True, slots=True)
class TrafficRates:
    """The rates at which each client may send, on average.

    Attributes:
        frames: Frames per second.
        size: Bytes per second.
    """

    frames: float
    size: float


class TrafficBucket:
    """Two token buckets in one: it is asked for every frame, and made for every client that begins to send.

    Args:
        rates: The rates, the same object for all clients.
        now: The time, in seconds on a monotonic clock.
    """

    __slots__ = ("_frames", "_rates", "_since", "_size")

    def __init__(self, rates: TrafficRates, now: float) -> None:
        self._rates = rates
        self._frames = rates.frames * MESSAGE_BURST_SECONDS
        self._size = rates.size * MESSAGE_BURST_SECONDS
        self._since = now

    def take(self, frames: int, size: int, now: float) -> bool:
        """Take frames and bytes.

        Returns:
            True, or False if there are not so many of either: then none are taken.
        """
        elapsed = now - self._since
        # Never backwards, whatever the clock does; and most frames of a read come without any time between them.
        if elapsed > 0.0:
            rates = self._rates
            # A credit may have filled them further than time does, and stays until it is used.
            most = rates.frames * MESSAGE_BURST_SECONDS
            if self._frames < most:
                self._frames = min(most, self._frames + elapsed * rates.frames)
            most = rates.size * MESSAGE_BURST_SECONDS
            if self._size < most:
                self._size = min(most, self._size + elapsed * rates.size)
        self._since = now
        if frames > self._frames or size > self._size:
            return False
        self._frames -= frames
        self._size -= size
        return True

    def credit(self, now: float) -> None:
        """Permit what the rates did since anything was last taken, beyond the capacity: its owner was kept from it.

        In all, `CREDIT_SECONDS` can be beyond the capacity, however often this is called.
        """
        elapsed, most = max(0.0, now - self._since), MESSAGE_BURST_SECONDS + CREDIT_SECONDS
        self._frames = min(self._rates.frames * most, self._frames + elapsed * self._rates.frames)
        self._size = min(self._rates.size * most, self._size + elapsed * self._rates.size)
        self._since = now

    def is_full(self, now: float) -> bool:
        """Return whether the bucket is full, and no more than that: then it has no more state than a new one."""
        elapsed, rates = now - self._since, self._rates
        if self._frames > rates.frames * MESSAGE_BURST_SECONDS or self._size > rates.size * MESSAGE_BURST_SECONDS:
            return elapsed >= CREDIT_SECONDS
        return (
            self._frames + elapsed * rates.frames >= rates.frames * MESSAGE_BURST_SECONDS
            and self._size + elapsed * rates.size >= rates.size * MESSAGE_BURST_SECONDS
        )
