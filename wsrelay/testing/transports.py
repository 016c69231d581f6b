"""Test doubles of transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

__all__ = ["MemoryTransport"]


class MemoryTransport(StringTransport):
    """A transport without a socket that behaves like a TCP one where the relay's protocols care.

    It calls a registered push producer when more than `high_water` bytes wait, as Twisted does at 64 KiB, and `drain`
    acts as the peer that reads. It permits what a TCP transport permits: writing after the end, a producer that is
    unregistered twice, reading on after `loseConnection`.

    Args:
        protocol: The protocol whose `connectionLost` is called at the end.

    Attributes:
        high_water: The number of bytes that may wait before the producer is paused.
        protocol: The argument of that name.
        ends_with_relay: Whether the peer ends its direction when it has read the end of the relay's.
        aborted: Whether the connection was reset.
        half_closed: Whether this side has ended its direction.
        no_delay: Whether small writes are sent at once.
    """

    high_water = 65536

    def __init__(self, protocol: Any = None) -> None:
        super().__init__(lenient=True)
        self.protocol = protocol
        self.ends_with_relay = True
        self.aborted = False
        self.half_closed = False
        self.no_delay = False

    def write(self, data: bytes) -> None:
        """Keep the data; pause the producer when it is too much."""
        if not self.connected:
            return
        super().write(data)
        if self.producer is not None and self.io.tell() > self.high_water:
            self.producer.pauseProducing()

    def drain(self) -> bytes:
        """Take all that waits, as a peer that reads does. The producer resumes, or a closing connection ends."""
        data: bytes = self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        self._check_end()
        return data

    def loseConnection(self) -> None:
        """Close when everything that waits has been read, which is at once where nothing does."""
        self.disconnecting = True
        self._check_end()

    def unregisterProducer(self) -> None:
        """Call the producer no more."""
        self.producer = None

    def abortConnection(self) -> None:
        """Reset the connection; everything that waits is lost."""
        self.aborted = True
        self.clear()
        self._end(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """End this side's direction when everything that waits has been read."""
        self.half_closed = True
        self._check_end()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Record the option."""
        self.no_delay = enabled

    def _check_end(self) -> None:
        if self.producer is not None or self.value():
            return
        if self.disconnecting:
            self._end(ConnectionDone())
        elif self.half_closed and self.ends_with_relay:
            # As a reactor reports the end of the peer's direction: the protocol closes, or is told that it is lost.
            half_closeable: Any = IHalfCloseableProtocol(self.protocol, None)
            if half_closeable is None:
                self._end(ConnectionDone())
            else:
                half_closeable.readConnectionLost()

    def _end(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason))
