"""What waits for a client that does not read fast enough."""

from __future__ import annotations

from collections import deque

__all__ = ["Outbox"]


class Outbox:
    """A bounded queue of shared bytes. A batch that waits for a thousand clients is one object, never copied.

    Args:
        limit: How much may wait, in bytes.
    """

    __slots__ = ("_batches", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[bytes] = deque()
        self.size = 0

    def put(self, batch: bytes) -> bool:
        """Queue a batch behind the others; False, and nothing queued, if the limit would be exceeded."""
        if self.size + len(batch) > self._limit:
            return False
        self._batches.append(batch)
        self.size += len(batch)
        return True

    def take(self) -> bytes | None:
        """The oldest batch, or None when nothing waits."""
        if not self._batches:
            return None
        batch = self._batches.popleft()
        self.size -= len(batch)
        return batch
