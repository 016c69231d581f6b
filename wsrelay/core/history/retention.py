"""How much of a stream is kept, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BURST_ENTRIES", "KEY_GRACE_SECONDS", "MAX_HISTORY_SECONDS", "MAX_HISTORY_SIZE", "Retention"]

BURST_ENTRIES = 1000
"""Entries that a stream may have beyond its size for a moment, so that those of a burst are not trimmed before they are
read."""

MAX_HISTORY_SIZE = 100_000
"""The largest number of entries that a namespace may ask to keep for each channel."""

MAX_HISTORY_SECONDS = 365 * 86400
"""The longest time for which a namespace may ask to keep them."""

KEY_GRACE_SECONDS = 86400
"""The time that a stream outlives its newest entry's retention: expiry of the key is garbage collection only, because a
foreign XADD does not renew it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The bounds of the streams of a namespace.

    Attributes:
        size: The number of entries that are kept.
        seconds: The time for which an entry is kept.
        trims: Whether the relay trims streams that others write to beyond these bounds.
    """

    size: int
    seconds: int
    trims: bool = True

    @property
    def burst_size(self) -> int:
        """The number of entries that a stream may have until it is trimmed to `size`, at most a minute later."""
        return self.size + BURST_ENTRIES

    @property
    def key_seconds(self) -> int:
        """The time to live of the key, in seconds."""
        return self.seconds + KEY_GRACE_SECONDS
