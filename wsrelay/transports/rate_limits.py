"""How fast each client sends, kept only for those who do."""

from __future__ import annotations

from collections.abc import Hashable

from wsrelay.core.flow.token_bucket import MESSAGE_BURST_SECONDS, TokenBucket
from wsrelay.engine.timers import TimerWheel, WheelTimer

__all__ = ["RateLimits"]


class RateLimits:
    """Counts frames and bytes of clients.

    One that has been quiet for as long as a burst takes is forgotten, because it may send as much as one never heard
    of: ten thousand idle clients cost nothing here.

    Args:
        frames_per_second: How many frames a client may send.
        bytes_per_second: How many bytes.
        wheel: Time.
    """

    def __init__(self, frames_per_second: float, bytes_per_second: float, wheel: TimerWheel) -> None:
        self._frames_per_second = frames_per_second
        self._bytes_per_second = bytes_per_second
        self._wheel = wheel
        self._buckets: dict[Hashable, tuple[TokenBucket, TokenBucket]] = {}
        self._sweep: WheelTimer | None = None

    def allows(self, client: Hashable, frames: int, size: int) -> bool:
        """Whether a client may send so many frames and bytes now; they are counted."""
        now = self._wheel.seconds()
        found = self._buckets.get(client)
        if found is None:
            found = self._buckets[client] = (
                TokenBucket(self._frames_per_second, MESSAGE_BURST_SECONDS, now),
                TokenBucket(self._bytes_per_second, MESSAGE_BURST_SECONDS, now),
            )
            self._start_sweep()
        return found[0].take(frames, now) and found[1].take(size, now)

    def remove(self, client: Hashable) -> None:
        """A client is gone."""
        self._buckets.pop(client, None)
        if not self._buckets and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _start_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = self._wheel.call_later(MESSAGE_BURST_SECONDS, self._forget_the_quiet)

    def _forget_the_quiet(self) -> None:
        self._sweep = None
        now = self._wheel.seconds()
        quiet = [client for client, buckets in self._buckets.items() if all(bucket.is_full(now) for bucket in buckets)]
        for client in quiet:
            del self._buckets[client]
        if self._buckets:
            self._start_sweep()
