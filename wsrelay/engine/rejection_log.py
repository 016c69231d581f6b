"""The log of clients that the relay turns away: samples, so that it grows with the reasons and not with the clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, RateLimitedLog
from wsrelay.metrics.counters import Counters

__all__ = ["RejectionLog"]

_SWEEPING = (Disconnect.RESTART.code, Disconnect.DISABLED.code)
"""The codes with which all connections of a process are closed."""


class RejectionLog:
    """Counts every rejection, and writes a line for the first few of each reason in a minute.

    A developer whose browser shows nothing but 1006 finds the reason here, with the path, the origin and the address
    that it was about.

    Args:
        counters: Where they are counted.
        seconds: A monotonic clock.
        logs_requests: Whether there is a line at level debug for each request; without it they cost nothing.
    """

    log = Logger()

    def __init__(self, counters: Counters, seconds: Callable[[], float], *, logs_requests: bool = False) -> None:
        self._counters = counters
        self._logs_requests = logs_requests
        self._lines = RateLimitedLog(self.log, seconds)

    def record(
        self,
        client_error: ClientError,
        handshake: Handshake | None = None,
        *,
        channel: str = "",
        connection: str = "",
        request: str = "",
    ) -> None:
        """Record a rejected client.

        Args:
            client_error: Why it is rejected.
            handshake: Its opening request. If None, it is not known any more.
            channel: The channel that it is about. If empty, there is none, or the path names it.
            connection: The id of its connection. If empty, it has none, or the handshake names it.
            request: The id that a router has given its request. If empty, as above.
        """
        self._counters.auth_rejections[client_error.reason] += 1
        details = {"channel": channel}
        if handshake is not None:
            connection, request = handshake.connection, handshake.request_id
            details |= {"path": handshake.path, "origin": handshake.origin or "none", "address": handshake.peer}
        details |= {"connection": connection, "request_id": request}
        text = f"rejected ({client_error.reason}): {client_error.response.text}"
        self._lines.write(client_error.reason, text, LINES_PER_KIND, details, {"reason": client_error.reason})

    def log_detail(self, detail: str) -> None:
        """Log more about a rejection than the client is told.

        Args:
            detail: One of a few constant texts: each has one line in a minute.
        """
        self._lines.write(detail, f"rejected (detail): {detail}")

    def record_not_json(self, channel: str) -> None:
        """Log that a publication is not sent because it is not JSON; one line in a minute."""
        text = "a publication is not JSON and not sent, as payload = json asks"
        self._lines.write("not JSON", text, details={"channel": channel})

    def record_not_text(self, channel: str, reason: str = "as frames = text asks") -> None:
        """Log that a publication is not sent because it is not text; one line in a minute.

        Args:
            channel: The channel's name.
            reason: Why it would have to be: one of a few constant texts.
        """
        self._lines.write(
            f"not text: {reason}",
            f"a publication is not valid UTF-8 and not sent, {reason}",
            details={"channel": channel},
        )

    def record_close(self, code: int, reason: str, channels: Iterable[str], connection: str = "") -> None:
        """Record that the relay closes a connection. A drain, and the switch, have lines of their own.

        Args:
            code: The status code of the close frame.
            reason: Its text.
            channels: The channels that the client is subscribed to.
            connection: The id of the connection. If empty, it has none.
        """
        self._counters.connections_closed[code] += 1
        if code not in _SWEEPING:
            details = {"channel": ", ".join(channels), "connection": connection}
            fields: dict[str, str | int] = {"code": code, "reason": reason}
            self._lines.write(f"close {code}", f"closed ({code}): {reason}", LINES_PER_KIND, details, fields)

    def log_handshake(self, handshake: Handshake) -> None:
        """Log a client that connects, at level debug; each one."""
        if self._logs_requests:
            self.log.debug(
                "a client connects [path {path!r}, origin {origin!r}, address {address!r}, connection {connection!r}, "
                "request_id {request_id!r}]",
                log_summary="a client connects",
                path=handshake.path,
                origin=handshake.origin or "none",
                address=handshake.peer,
                connection=handshake.connection,
                request_id=handshake.request_id,
            )

    def log_response(self, response: ErrorResponse, address: Callable[[], str]) -> None:
        """Log a request that is answered with an error, at level debug; each one.

        Scanners of ports send any number of them: without that level they are counted only.

        Args:
            response: The answer.
            address: Returns the address of the connection's peer.
        """
        if self._logs_requests:
            self.log.debug(
                "{log_summary} [address {address!r}]",
                log_summary=f"answered with {response.status}: {response.text}",
                status=response.status,
                address=address(),
            )
