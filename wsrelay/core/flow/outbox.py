"""What waits for a client that does not read fast enough, and what happens when it is too much."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

__all__ = ["Outbox", "SlowPolicy"]


class SlowPolicy(Enum):
    """What a client that is behind gets of a channel; a namespace chooses.

    Attributes:
        value: What the operator writes.
    """

    CLOSE = "close"
    """Everything, until its outbox is full: then it is closed with a code that says come back."""

    DROP = "drop"
    """Everything until its outbox is full, and then nothing until there is room: messages are lost to it."""

    LATEST = "latest"
    """Only the newest message that waits: for tickers and positions, where the older ones are worth nothing."""


class Outbox:
    """A bounded queue of shared bytes. A batch that waits for a thousand clients is one object, never copied.

    What is queued are complete frames. A batch of which the client has had a part is *begun*: it stays first, and
    has to be finished before anything else may be sent.

    Args:
        limit: How much may wait, in bytes. One batch may always wait, however long it is.
    """

    __slots__ = ("_begun", "_entries", "_limit", "_number", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # By number, but for the newest message of a channel, which is found by the channel's name.
        self._entries: OrderedDict[int | str, tuple[bytes | memoryview, float]] = OrderedDict()
        self._number = 0
        self._begun: memoryview | None = None
        self.size = 0

    def begin(self, rest: memoryview, now: float) -> None:
        """What is left of a batch that the client has had a part of; only for an outbox that is empty."""
        self._append(rest, now)
        self._begun = rest

    def put(self, batch: bytes, now: float) -> bool:
        """Queue a batch behind the others; False, and nothing queued, if it does not fit."""
        if self.size and self.size + len(batch) > self._limit:
            return False
        self._append(batch, now)
        return True

    def put_latest(self, channel: str, message: bytes, now: float) -> bool:
        """Queue the newest message of a channel in place of the one that waits; False if it does not fit."""
        waiting = self._entries.pop(channel, None)
        if waiting is not None:
            self.size -= len(waiting[0])
        if self.size and self.size + len(message) > self._limit:
            return False
        self._entries[channel] = (message, now)
        self.size += len(message)
        return True

    def put_control(self, frame: bytes, now: float) -> None:
        """Queue a control frame, which is small and always fits."""
        self._append(frame, now)

    def take(self, most: int) -> bytes:
        """The oldest bytes, at most so many, or nothing when nothing waits."""
        if not self._entries:
            return b""
        key, (batch, since) = self._entries.popitem(last=False)
        self._begun = None
        if len(batch) > most:
            # Under a number: it can no longer be replaced by a newer message.
            self._begun = memoryview(batch)[most:]
            self._number += 1
            key = self._number
            self._entries[key] = (self._begun, since)
            self._entries.move_to_end(key, last=False)
            batch = memoryview(batch)[:most]
        self.size -= len(batch)
        return bytes(batch)

    def cut(self) -> None:
        """Forget what waits, but for the rest of a batch that is begun."""
        begun, since = self._begun, self.oldest or 0.0
        self._entries.clear()
        self.size = 0
        if begun is not None:
            self._append(begun, since)

    @property
    def oldest(self) -> float | None:
        """When the batch was queued that has waited longest, or None when nothing waits."""
        return next(iter(self._entries.values()))[1] if self._entries else None

    def _append(self, batch: bytes | memoryview, now: float) -> None:
        self._number += 1
        self._entries[self._number] = (batch, now)
        self.size += len(batch)
