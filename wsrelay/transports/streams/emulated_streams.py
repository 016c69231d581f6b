"""Streams whose clients send by requests of their own (`wsrelay.engine.emulation`)."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.emulation import Emulation
from wsrelay.engine.encodings import Encoding
from wsrelay.interfaces import IDialect
from wsrelay.transports.ping_schedule import Ping
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.streams.connection import StreamContext
from wsrelay.transports.streams.message_streams import MessageStreamConnection, StreamKind

__all__ = ["MAX_WAITING_BYTES", "EmulatedStreamConnection", "EmulatedStreamContext"]

MAX_WAITING_BYTES = 1024 * 1024
"""How much of one client may wait while there is too much to do, in bytes. No TCP connection slows it down: each of its
messages is a request by itself, and may have come by way of another process."""

_MESSAGE_OVERHEAD_BYTES = 256
"""The bytes that a message counts beyond its length."""


class EmulatedStreamContext(StreamContext, Protocol):
    """The parts of a factory that such streams use."""

    rate_limits: RateLimits
    emulation: Emulation


class EmulatedStreamConnection(MessageStreamConnection):
    """One stream, and the messages that its client sends beside it. Those have the limits of a WebSocket's.

    Args:
        handshake: The client's request.
        factory: What it belongs to.
        dialect: The wire language.
        kind: The form of the stream.
        encoding: The dialect in that form.
    """

    __slots__ = ("_is_paused", "_limits", "_session_name", "_sessions", "_waiting", "_waiting_bytes")

    def __init__(
        self,
        handshake: Handshake,
        factory: EmulatedStreamContext,
        dialect: IDialect,
        kind: StreamKind,
        encoding: Encoding,
    ) -> None:
        self._limits = factory.rate_limits
        self._sessions = factory.emulation
        self._session_name = ""
        self._is_paused = False
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        super().__init__(handshake, factory, dialect, kind, encoding)

    @property
    def emulated_session(self) -> str:
        """See `Connection.emulated_session`."""
        return self._session_name

    def counts_as(self, messages: int) -> bool:
        """See `Connection.counts_as`."""
        return self._is_within_rate(messages, 0)

    def received(self, message: Message) -> None:
        """Take a message of the client."""
        if not self.is_open or not self._is_within_rate(1, len(message.data)):
            return
        if len(message.data) > self._factory.settings.max_message_bytes:
            self.close(Disconnect.TOO_BIG)
            return
        # As on a WebSocket, any message answers a ping.
        self._factory.pings.answered(self)
        if not self._is_paused:
            self._client.received(message)
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message.data) + _MESSAGE_OVERHEAD_BYTES
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.close(Disconnect.TOO_FAST)

    def pause_reading(self) -> None:
        """See `Connection.pause_reading`. What comes meanwhile waits here."""
        if not self._is_paused:
            self._is_paused = True
            self._factory.connections.paused.add(self)

    def resume_reading(self) -> None:
        """See `Connection.resume_reading`."""
        if not self._is_paused:
            return
        self._is_paused = False
        self._factory.connections.paused.resumed(self)
        while self._waiting and self.is_open and not self._is_paused:
            message = self._waiting.popleft()
            self._waiting_bytes -= len(message.data) + _MESSAGE_OVERHEAD_BYTES
            self._client.received(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._limits.remove(self)
        self._waiting.clear()
        self._sessions.close(self._session_name)
        super().connectionLost(reason)

    def _begin(self, handshake: Handshake, headers: tuple[tuple[str, str], ...]) -> bytes:
        self._session_name = self._sessions.open(self.received)
        return super()._begin(handshake, headers)

    def send_ping(self, ping: Ping) -> bool:
        """See `Pinged.send_ping`: the dialect's own, which the client answers by a request."""
        # Also to a client that is behind, whose answer is missing as much as that of any other.
        self._out.send_control(ping.of_dialect(self._dialect, self._encoding))
        return True

    def _is_within_rate(self, frames: int, size: int) -> bool:
        if self._limits.allows(self, frames, size):
            return True
        self.close(Disconnect.TOO_FAST)
        return False
