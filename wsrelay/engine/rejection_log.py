"""The log of rejected clients: as many lines as there are reasons, and not as there are clients."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.metrics.counters import Counters

__all__ = ["RejectionLog"]

LOG_INTERVAL_SECONDS = 60.0


class RejectionLog:
    """Counts every rejection, and writes a line for the first of each reason in a minute.

    A developer whose browser shows nothing but 1006 finds the reason here; an attacker with a thousand handshakes a
    second does not fill the disk.

    Args:
        counters: Where they are counted.
        seconds: A monotonic clock.
    """

    log = Logger()

    def __init__(self, counters: Counters, seconds: Callable[[], float]) -> None:
        self._counters = counters
        self._seconds = seconds
        self._logged: dict[str, tuple[float, int]] = {}

    def record(self, client_error: ClientError) -> None:
        """Record a rejected client."""
        self._counters.auth_rejections[client_error.reason] += 1
        self._log_rate_limited(client_error.reason, client_error.reason, client_error.response.text)

    def log_detail(self, detail: str) -> None:
        """Log more about a rejection than the client is told.

        Args:
            detail: One of a few constant texts: each has a line of its own in a minute.
        """
        self._log_rate_limited(detail, "detail", detail)

    def _log_rate_limited(self, key: str, reason: str, text: str) -> None:
        now = self._seconds()
        since, more = self._logged.get(key, (-LOG_INTERVAL_SECONDS, 0))
        if now - since < LOG_INTERVAL_SECONDS:
            self._logged[key] = since, more + 1
            return
        self._logged[key] = now, 0
        suffix = f" ({more} more like it since the last such line)" if more else ""
        self.log.info("rejected ({reason}): {text}{suffix}", reason=reason, text=text, suffix=suffix)
