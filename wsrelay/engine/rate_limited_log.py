"""A log that an attacker with a thousand handshakes a second does not fill the disk with."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

__all__ = ["LOG_INTERVAL_SECONDS", "RateLimitedLog"]

LOG_INTERVAL_SECONDS = 60.0


class RateLimitedLog:
    """Writes the first lines of each kind in a minute, and says how many it left out.

    Args:
        log: Where the lines go, at level info.
        seconds: A monotonic clock.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        # When the interval of a kind began, and how many lines it had since.
        self._logged: dict[str, tuple[float, int]] = {}
        self._left_out: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of kinds."""
        return len(self._logged)

    def write(self, kind: str, text: str, lines: int = 1) -> None:
        """Write a line, unless its kind has had enough of them.

        Args:
            kind: What the lines of a minute are counted by: one of a bounded number of texts.
            text: The line.
            lines: How many lines of this kind a minute may have.
        """
        now = self._seconds()
        since, count = self._logged.get(kind, (-LOG_INTERVAL_SECONDS, 0))
        if now - since >= LOG_INTERVAL_SECONDS:
            since, count = now, 0
        if count >= lines:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._logged[kind] = since, count + 1
        more = self._left_out.pop(kind, 0)
        suffix = f" ({more} more like it since the last such line)" if more else ""
        self._log.info("{text}{suffix}", text=text, suffix=suffix)
