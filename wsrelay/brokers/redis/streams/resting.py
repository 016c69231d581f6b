"""Rests from receiving while entries come one by one, so that several are received and read together.

A stream costs two receptions for each message, that of the report and that of the entry. Nearly all of it is the price
of a reception, so what comes within a rest costs little more than one message.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime

__all__ = ["BUSY_SECONDS", "MAX_ENTRIES_BEFORE_REST", "REST_SECONDS", "Resting"]

REST_SECONDS = 0.002
"""The length of a rest. At 2,500 messages a second, each on a channel of its own, a message costs 80 us of this process
instead of 195, and arrives 4 ms later (docs/performance.md)."""

BUSY_SECONDS = 0.005
"""Entries that follow others within this time are part of a busy time. Others are not made to wait."""

MAX_ENTRIES_BEFORE_REST = 32
"""Where more come together there is little to gain, and the time is needed."""


class Resting:
    """The rests of one connection.

    Args:
        clock: Time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._came_at = -BUSY_SECONDS
        self._transport: IPushProducer | None = None
        self._end: IDelayedCall | None = None

    def entries_came(self, transport: IPushProducer, count: int) -> None:
        """Take that entries were read, and rest if it is a busy time.

        Args:
            transport: The transport of the connection. Nothing is received from it during a rest.
            count: The number of streams that were read together.
        """
        now = self._clock.seconds()
        is_busy, self._came_at = now - self._came_at < BUSY_SECONDS, now
        if is_busy and count <= MAX_ENTRIES_BEFORE_REST and self._end is None:
            transport.pauseProducing()
            self._transport = transport
            self._end = self._clock.callLater(REST_SECONDS, self._resume)

    def stop(self) -> None:
        """End a rest that is under way."""
        if self._end is not None:
            self._end.cancel()
            self._resume()

    def _resume(self) -> None:
        transport, self._transport, self._end = self._transport, None, None
        if transport is not None:
            transport.resumeProducing()
