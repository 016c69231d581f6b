"""The end of a connection that the relay closes while its peer may still be sending.

A socket that is closed with unread input resets the connection, and the peer's kernel then discards what it has
received and not yet handed to its program: the response or the close frame that says why. Of twenty clients that sent
1,000 messages at once, none saw the close code. So the relay ends its own direction only, reads and drops what still
comes, and closes when the peer has ended its direction too (RFC 9112 section 9.6, RFC 6455 section 7.1.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from wsrelay.transports.listening.socket_options import is_tls

__all__ = ["MAX_DISCARDED_BYTES", "REJECTED_CLIENT_LINGER_SECONDS", "LingeringClose"]

REJECTED_CLIENT_LINGER_SECONDS = 2.0
"""The time that a rejected client has to read the response before its connection is reset."""

MAX_DISCARDED_BYTES = 64 * 1024 * 1024
"""The number of bytes that are read and dropped before the connection is reset: a client may have megabytes on their
way when it is told to stop, and one that never stops must not occupy the relay. Dropping them takes 20 ms."""


class _Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""


class LingeringClose:
    """Closes one connection once its peer has closed it, too, or when that takes too long.

    Args:
        transport: The connection. Everything that is to be sent has been written.
        call_later: Schedules a call after a number of seconds.
        seconds: How long the peer may take to end its direction, in seconds. Then the connection is reset.
        delay: How long to wait before the relay's direction ends, in seconds, unless the peer ends its own first. Some
            libraries drop what they have received and not yet looked at when that happens (npm websocket 1.0: 15 of 20
            clients missed a close frame behind 300 messages).
        peer_has_ended: Whether the peer has ended its direction already.
    """

    __slots__ = ("_call_later", "_delay", "_peer_has_ended", "_remaining_bytes", "_seconds", "_timer", "_transport")

    def __init__(
        self,
        transport: Any,
        call_later: Callable[[float, Callable[[], object]], _Timer],
        seconds: float,
        *,
        delay: float = 0.0,
        peer_has_ended: bool = False,
    ) -> None:
        self._transport = transport
        self._call_later = call_later
        self._seconds = seconds
        self._delay = delay
        self._peer_has_ended = peer_has_ended
        self._remaining_bytes = MAX_DISCARDED_BYTES
        self._timer: _Timer | None = None

    def start(self) -> None:
        """Send the end of the relay's direction behind what has been written. The connection may be lost meanwhile."""
        if self._delay and not self._peer_has_ended:
            self._timer = self._call_later(self._delay, self._end)
        else:
            self._end()

    def discard(self, size: int) -> None:
        """Take that this number of bytes has arrived and is dropped."""
        self._remaining_bytes -= size
        if self._remaining_bytes < 0:
            self._transport.abortConnection()

    def peer_ended(self) -> None:
        """Take that the peer has ended its direction: the connection is closed when all is sent."""
        if not self._peer_has_ended:
            self._peer_has_ended = True
            self.cancel()
            self._end()

    def cancel(self) -> None:
        """Stop the timer: the connection is lost. May be called more than once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = self._call_later(self._seconds, self._abort)
        # TLS tells the peer, and closes when the peer has answered; data that comes meanwhile reaches `discard`.
        if self._peer_has_ended or is_tls(self._transport) or not hasattr(self._transport, "loseWriteConnection"):
            self._transport.loseConnection()
        else:
            self._transport.loseWriteConnection()

    def _abort(self) -> None:
        self._timer = None
        self._transport.abortConnection()
