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
        room: How many bytes it still takes.
        most: How many it takes in one call.
        mood: What it does about more bytes than it takes: "full" raises EAGAIN, "idle" takes none, and "broken"
            raises EPIPE, whatever room there is.
        taken: What it took and nobody has read.
        sends: The sizes that were offered, in order.
    """

    def __init__(self, room: int = 2**40, most: int = 2**40) -> None:
        self.room = room
        self.most = most
        self.mood = "full"
        self.taken = b""
        self.sends: list[int] = []

    def send(self, data: bytes | memoryview) -> int:
        """Take what there is room for, as a socket does that does not block."""
        self.sends.append(len(data))
        if self.mood == "broken":
            raise BrokenPipeError(errno.EPIPE, "broken")
        size = min(len(data), self.room, self.most)
        if data and not size and self.mood == "full":
            raise BlockingIOError(errno.EAGAIN, "full")
        self.taken += bytes(data[:size])
        self.room -= size
        return size

    def fileno(self) -> int:
        """None that could be polled."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, *option: object) -> None:
        """It has no options."""

    def shutdown(self, how: int) -> None:
        """Nothing more comes."""

    def close(self) -> None:
        """Nothing is held."""


class _Loop:
    """What a transport asks of its reactor.

    Attributes:
        writers: Who waits to be writable.
    """

    def __init__(self, clock: Clock) -> None:
        self.writers: set[object] = set()
        self.addReader = self.removeReader = lambda _reader: None
        self.addWriter = self.writers.add
        self.removeWriter = self.writers.discard
        self.callLater = clock.callLater


class FakeTCPConnection(EagerServer):
    """A TCP connection, Twisted's code and ours, on a kernel that the test plays.

    Args:
        clock: Time.
        kernel: Its socket.
    """

    def __init__(self, clock: Clock, kernel: FakeSocket | None = None) -> None:
        self.kernel = kernel or FakeSocket()
        self.loop = _Loop(clock)
        connection: Any = Connection
        connection.__init__(self, self.kernel, None, self.loop)
        self.connected = 1

    @property
    def waiting(self) -> int:
        """How many bytes Twisted holds."""
        size: int = len(self.dataBuffer) - self.offset + self._tempDataLen
        return size

    def getPeer(self) -> IPv4Address:
        """Somebody."""
        return IPv4Address("TCP", "192.0.2.1", 1234)

    def turn(self) -> None:
        """The reactor finds it writable."""
        if self in self.loop.writers:
            why = self.doWrite()
            if why is not None:
                self.connectionLost(Failure(why))

    def drain(self, size: int = 2**40) -> bytes:
        """The peer reads; there is as much room again, and the reactor notices."""
        data, self.kernel.taken = self.kernel.taken[:size], self.kernel.taken[size:]
        self.kernel.room += len(data)
        self.turn()
        return data

    def hang_up(self) -> None:
        """The peer is gone without a word."""
        self._end(ConnectionDone())

    def _end(self, reason: Exception) -> None:
        self.connectionLost(Failure(reason))
