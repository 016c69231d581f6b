"""Test doubles of transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

__all__ = ["MemoryTransport"]


class MemoryTransport(StringTransport):
    """A transport without a socket that behaves like a TCP one where the relay's protocols care.

    It calls a registered push producer when more than `high_water` bytes wait, as Twisted does at 64 KiB, and
    `drain` plays the peer that reads. It forgives what a TCP transport forgives: writing after the end, a producer
    that is unregistered twice, reading on after `loseConnection`.

    Attributes:
        high_water: How many bytes may wait before the producer is paused.
        aborted: Whether the connection was reset.
        half_closed: Whether our side said that nothing more comes.
    """

    high_water = 65536

    def __init__(self, protocol: Any = None) -> None:
        super().__init__(lenient=True)
        self.protocol = protocol
        self.aborted = False
        self.half_closed = False
        self.no_delay = False

    def write(self, data: bytes) -> None:
        """Keep what is written; tell the producer when it is too much."""
        if not self.connected:
            return
        super().write(data)
        if self.producer is not None and self.io.tell() > self.high_water:
            self.producer.pauseProducing()

    def drain(self) -> bytes:
        """Take all that waits, as a peer that reads does; the producer may go on, or the connection ends."""
        data: bytes = self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._end(ConnectionDone())
        return data

    def loseConnection(self) -> None:
        """Close once what waits has been read, which is at once where nothing does."""
        self.disconnecting = True
        if self.producer is None and not self.value():
            self._end(ConnectionDone())

    def unregisterProducer(self) -> None:
        """Call the producer no more."""
        self.producer = None

    def abortConnection(self) -> None:
        """Reset the connection; what waits is lost."""
        self.aborted = True
        self.clear()
        self._end(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Say that nothing more comes."""
        self.half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Remember the switch."""
        self.no_delay = enabled

    def _end(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason))
