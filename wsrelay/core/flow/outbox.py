"""The queue of a client that does not read fast enough."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Outbox"]


class Outbox:
    """A bounded queue of shared bytes. A batch that waits for a thousand clients is one object, never copied.

    The queue holds complete frames. A batch of which a part was sent is *begun*: it stays first, and has to be finished
    before anything else may be sent.

    Args:
        limit: The largest size of the queue, in bytes. A batch of any length fits into an empty queue.

    Attributes:
        size: The size of the queue, in bytes.
    """

    __slots__ = ("_begun", "_entries", "_limit", "_number", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # By number, except the latest message of a channel, which is found by the channel's name.
        self._entries: OrderedDict[int | str, tuple[bytes | memoryview, float]] = OrderedDict()
        self._number = 0
        self._begun: memoryview | None = None
        self.size = 0

    def begin(self, rest: memoryview, now: float) -> None:
        """Queue the rest of a batch of which a part was sent. Only for an empty outbox."""
        self._append(rest, now)
        self._begun = rest

    def put(self, batch: bytes, now: float) -> bool:
        """Queue a batch behind the others.

        Returns:
            True, or False if it does not fit: then nothing is queued.
        """
        if self.size and self.size + len(batch) > self._limit:
            return False
        self._append(batch, now)
        return True

    def put_latest(self, channel: str, message: bytes, now: float) -> bool:
        """Queue the latest message of a channel, behind everything else and in place of the one that waits.

        Returns:
            True, or False if it does not fit: then neither of the two is queued.
        """
        waiting = self._entries.pop(channel, None)
        if waiting is not None:
            self.size -= len(waiting[0])
        if self.size and self.size + len(message) > self._limit:
            return False
        self._entries[channel] = (message, now)
        self.size += len(message)
        return True

    def put_control(self, frame: bytes, now: float) -> None:
        """Queue a control frame. It is small, and always fits."""
        self._append(frame, now)

    def take(self, max_bytes: int) -> bytes:
        """Remove and return the first bytes, of one batch at most; none if the queue is empty."""
        if not self._entries:
            return b""
        key, (batch, since) = self._entries.popitem(last=False)
        self._begun = None
        if len(batch) > max_bytes:
            # Under a number: a newer message can no longer replace it.
            self._begun = memoryview(batch)[max_bytes:]
            self._number += 1
            key = self._number
            self._entries[key] = (self._begun, since)
            self._entries.move_to_end(key, last=False)
            batch = memoryview(batch)[:max_bytes]
        self.size -= len(batch)
        return bytes(batch)

    def truncate(self) -> None:
        """Discard the queue, except the rest of a batch that is begun."""
        begun, since = self._begun, self.oldest or 0.0
        self._entries.clear()
        self.size = 0
        if begun is not None:
            self._append(begun, since)

    @property
    def oldest(self) -> float | None:
        """The time at which the batch was queued that has waited longest. None if the queue is empty."""
        return next(iter(self._entries.values()))[1] if self._entries else None

    def _append(self, batch: bytes | memoryview, now: float) -> None:
        self._number += 1
        self._entries[self._number] = (batch, now)
        self.size += len(batch)
