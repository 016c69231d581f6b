"""Tells the operator who is turned away and why, in as many lines as there are reasons and not as there are clients."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.metrics.counters import Counters

__all__ = ["RejectionLog"]

EVERY_SECONDS = 60.0


class RejectionLog:
    """Counts every denial, and writes a line for the first of each reason in a minute.

    A developer whose browser shows nothing but 1006 finds the reason here; an attacker who knocks a thousand times a
    second does not fill the disk.

    Args:
        counters: Where they are counted.
        seconds: A monotonic clock.
    """

    log = Logger()

    def __init__(self, counters: Counters, seconds: Callable[[], float]) -> None:
        self._counters = counters
        self._seconds = seconds
        self._told: dict[str, tuple[float, int]] = {}

    def record(self, client_error: ClientError) -> None:
        """Somebody was turned away."""
        self._counters.auth_rejections[client_error.reason] += 1
        self._tell(client_error.reason, client_error.response.text)

    def log_detail(self, detail: str) -> None:
        """Somebody is about to be turned away for this: more than they are told. One of a few constant texts."""
        self._tell(detail, detail)

    def _tell(self, key: str, text: str) -> None:
        now = self._seconds()
        since, more = self._told.get(key, (-EVERY_SECONDS, 0))
        if now - since < EVERY_SECONDS:
            self._told[key] = since, more + 1
            return
        self._told[key] = now, 0
        suffix = f" ({more} more like it since the last such line)" if more else ""
        self.log.info("denied: {text}{suffix}", text=text, suffix=suffix)
