"""A socket of which the test is the kernel and the peer."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from wsrelay.transports.listening.eager_tcp import EagerServer

__all__ = ["FakeSocket", "FakeTCPConnection"]


class FakeSocket:
    """A socket of which the test is the kernel and the peer.

    Attributes:
        capacity: How many more bytes its buffer takes.
        max_per_send: How many bytes it takes in one call.
        mode: What it does if its buffer is full: "full" raises EAGAIN, "idle" takes no byte. "broken" raises EPIPE,
            full or not.
        taken: The bytes that it took and the peer has not read.
        sends: The sizes that were offered, in order.
        number: Its descriptor, until it is closed. -1 stands for one that cannot be polled.
    """

    def __init__(self, capacity: int = 2**40, max_per_send: int = 2**40, number: int = -1) -> None:
        self.number = number
        self.capacity = capacity
        self.max_per_send = max_per_send
        self.mode = "full"
        self.taken = b""
        self.sends: list[int] = []

    def send(self, data: bytes | memoryview) -> int:
        """Take as many bytes as the buffer does, as a non-blocking socket."""
        self.sends.append(len(data))
        if self.mode == "broken":
            raise BrokenPipeError(errno.EPIPE, "broken")
        size = min(len(data), self.capacity, self.max_per_send)
        if data and not size and self.mode == "full":
            raise BlockingIOError(errno.EAGAIN, "full")
        self.taken += bytes(data[:size])
        self.capacity -= size
        return size

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.number

    def setblocking(self, flag: bool) -> None:
        """Do nothing: it never blocks."""

    def setsockopt(self, *option: object) -> None:
        """Do nothing: it has no options."""

    def shutdown(self, how: int) -> None:
        """Do nothing: the peer of a test does not wait for the end."""

    def close(self) -> None:
        """Give the descriptor back."""
        self.number = -1


class _FakeReactor:
    """The part of a reactor that a transport uses.

    Attributes:
        writers: The transports that wait until they are writable.
    """

    def __init__(self, clock: Clock) -> None:
        self.writers: set[object] = set()
        self.addReader = self.removeReader = lambda _reader: None
        self.addWriter = self.writers.add
        self.removeWriter = self.writers.discard
        self.callLater = clock.callLater


class FakeTCPConnection(EagerServer):
    """A TCP connection, Twisted's code and the relay's, on a kernel that the test plays.

    Args:
        clock: Time.
        kernel: Its socket.
    """

    def __init__(self, clock: Clock, kernel: FakeSocket | None = None) -> None:
        self.kernel = kernel or FakeSocket()
        self.loop = _FakeReactor(clock)
        connection: Any = Connection
        connection.__init__(self, self.kernel, None, self.loop)
        self.connected = 1

    @property
    def waiting(self) -> int:
        """The number of bytes that Twisted holds."""
        size: int = len(self.dataBuffer) - self.offset + self._tempDataLen
        return size

    def getPeer(self) -> IPv4Address:
        """Return an address of the documentation's range (RFC 5737)."""
        return IPv4Address("TCP", "192.0.2.1", 1234)

    def turn(self) -> None:
        """Let the reactor find it writable, if it waits for that."""
        if self in self.loop.writers:
            why = self.doWrite()
            if why is not None:
                self.connectionLost(Failure(why))

    def drain(self, size: int = 2**40) -> bytes:
        """Let the peer read: the buffer takes as many bytes again, and the reactor finds it writable."""
        data, self.kernel.taken = self.kernel.taken[:size], self.kernel.taken[size:]
        self.kernel.capacity += len(data)
        self.turn()
        return data

    def hang_up(self) -> None:
        """End the connection as a peer does that closes it without a close frame."""
        self._end(ConnectionDone())

    def _end(self, reason: Exception) -> None:
        self.connectionLost(Failure(reason))
