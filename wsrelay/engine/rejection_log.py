"""The log of clients that the relay turns away: samples, so that it grows with the reasons and not with the clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.rate_limited_log import RateLimitedLog
from wsrelay.metrics.counters import Counters

__all__ = ["LINES_PER_REASON", "RejectionLog"]

LINES_PER_REASON = 5
"""Lines for each reason in a minute: enough to see whether it is one client, one page or everybody."""

_MAX_SHOWN = 100
"""How many characters of anything that a client sent are shown."""


class RejectionLog:
    """Counts every rejection, and writes a line for the first few of each reason in a minute.

    A developer whose browser shows nothing but 1006 finds the reason here, with the path, the origin and the address
    that it was about.

    Args:
        counters: Where they are counted.
        seconds: A monotonic clock.
    """

    log = Logger()

    def __init__(self, counters: Counters, seconds: Callable[[], float]) -> None:
        self._counters = counters
        self._lines = RateLimitedLog(self.log, seconds)

    def record(self, client_error: ClientError, handshake: Handshake | None = None, channel: str = "") -> None:
        """Record a rejected client.

        Args:
            client_error: Why it is rejected.
            handshake: Its opening request. If None, it is not known any more.
            channel: The channel that it is about. If empty, there is none, or the path names it.
        """
        self._counters.auth_rejections[client_error.reason] += 1
        text = f"rejected ({client_error.reason}): {client_error.response.text}"
        details = {"channel": channel}
        if handshake is not None:
            details |= {"path": handshake.path, "origin": handshake.origin or "none", "address": handshake.peer}
        self._lines.write(client_error.reason, text + _shown(details), LINES_PER_REASON)

    def log_detail(self, detail: str) -> None:
        """Log more about a rejection than the client is told.

        Args:
            detail: One of a few constant texts: each has one line in a minute.
        """
        self._lines.write(detail, f"rejected (detail): {detail}")

    def record_not_json(self, channel: str) -> None:
        """Log that a publication is not sent because it is not JSON; one line in a minute."""
        text = f"a publication is not JSON and not sent, as payload = json asks{_shown({'channel': channel})}"
        self._lines.write("not JSON", text)

    def record_not_text(self, channel: str, reason: str = "as frames = text asks") -> None:
        """Log that a publication is not sent because it is not text; one line in a minute.

        Args:
            channel: The channel's name.
            reason: Why it would have to be: one of a few constant texts.
        """
        self._lines.write(
            f"not text: {reason}",
            f"a publication is not valid UTF-8 and not sent, {reason}{_shown({'channel': channel})}",
        )

    def record_close(self, code: int, reason: str, channels: Iterable[str]) -> None:
        """Record that the relay closes a connection. The close of a drain has a line of its own already.

        Args:
            code: The status code of the close frame.
            reason: Its text.
            channels: The channels that the client is subscribed to.
        """
        self._counters.connections_closed[code] += 1
        if code != Disconnect.RESTART.code:
            details = {"channel": ", ".join(channels)}
            self._lines.write(f"close {code}", f"closed ({code}): {reason}{_shown(details)}", LINES_PER_REASON)


def _shown(details: dict[str, str]) -> str:
    """Return the details that are there, as the end of a line; quoted where a client chose the text."""
    texts = [f"{name} {text[:_MAX_SHOWN]!r}" for name, text in details.items() if text]
    return f" [{', '.join(texts)}]" if texts else ""
