"""A log that an attacker with a thousand handshakes a second does not fill the disk with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger, LogLevel

from wsrelay.core.flow.sampler import INTERVAL_SECONDS, Sampler, left_out_text

__all__ = ["LINES_PER_KIND", "LOG_INTERVAL_SECONDS", "RateLimitedLog"]

LOG_INTERVAL_SECONDS = INTERVAL_SECONDS

LINES_PER_KIND = 5
"""Lines of one kind in a minute, where each is about another channel or client: enough to see whether it is one
client, one page or everybody."""

_MAX_SHOWN = 100
"""How many characters of anything that a client sent are shown."""


class RateLimitedLog:
    """Writes the first lines of each kind in a minute, and says how many it left out.

    Args:
        log: Where the lines go.
        seconds: A monotonic clock.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._sampler = Sampler()

    def __len__(self) -> int:
        """Return the number of kinds."""
        return len(self._sampler)

    def write(
        self,
        kind: str,
        text: str,
        lines: int = 1,
        details: Mapping[str, str] | None = None,
        fields: Mapping[str, str | int] | None = None,
        *,
        level: Any = LogLevel.info,
    ) -> None:
        """Write a line, unless its kind has had enough of them.

        Args:
            kind: What the lines of a minute are counted by: one of a bounded number of texts.
            text: The line.
            lines: How many lines of this kind a minute may have.
            details: More about it, by name; at the end of the line, and fields of the event. Empty ones are left out.
            fields: Fields of the event that the text says already, for programs.
            level: One of the constants of `LogLevel`.
        """
        left_out = self._sampler.take(kind, lines, self._seconds())
        if left_out is None:
            return
        shown = {name: each[:_MAX_SHOWN] for name, each in (details or {}).items() if each}
        event = {**(fields or {}), **shown}
        if left_out:
            event["left_out"] = left_out
        self._log.emit(
            level,
            # What has its fields apart takes the summary for the text, see docs/logs.md.
            "{log_summary}{log_details}",
            log_summary=text,
            log_details=_details_text(shown) + left_out_text(left_out),
            **event,
        )


def _details_text(details: Mapping[str, str]) -> str:
    """Return details as the end of a line: quoted, because clients chose most of them."""
    texts = [f"{name} {text!r}" for name, text in details.items()]
    return f" [{', '.join(texts)}]" if texts else ""
