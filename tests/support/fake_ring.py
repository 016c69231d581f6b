"""A ring on kernels that the test plays."""

from __future__ import annotations

import errno
from array import array
from typing import Any

from tests.support.fake_socket import FakeSocket
from wsrelay.transports.flat_audience import BulkSending
from wsrelay.transports.io_uring import UNKNOWN

__all__ = ["FakeRing", "bulk_over"]


class FakeRing:
    """Sends as `SendRing` does, to sockets that the test plays.

    Attributes:
        sockets: The sockets, by their descriptors.
        calls: The number of descriptors that each call was given.
        lost: The number of the last requests of the next call that the kernel takes and does not complete.
        is_open: See `SendRing`.
    """

    def __init__(self) -> None:
        self.sockets: dict[int, FakeSocket] = {}
        self.calls: list[int] = []
        self.lost = 0
        self.is_open = True

    def add(self, socket: FakeSocket) -> None:
        """Give a socket a descriptor, the smallest that is free, as a kernel does."""
        socket.number = next(number for number in range(3, 2**20) if not self._is_open(number))
        self.sockets[socket.number] = socket

    def send(self, descriptors: array[int], data: bytes) -> list[int] | None:
        """See `SendRing.send`."""
        self.calls.append(len(descriptors))
        outcome = [self._send(number, data) for number in descriptors]
        if self.lost:
            self.is_open = False
            outcome[-self.lost :] = [UNKNOWN] * self.lost
        return None if all(each == len(data) for each in outcome) else outcome

    def close(self) -> None:
        """See `SendRing.close`."""
        self.is_open = False

    def _send(self, number: int, data: bytes) -> int:
        if not self._is_open(number):
            return -errno.EBADF
        try:
            return self.sockets[number].send(data)
        except OSError as error:
            return -(error.errno or errno.EIO)

    def _is_open(self, number: int) -> bool:
        return number in self.sockets and self.sockets[number].number == number


def bulk_over(ring: FakeRing, unready: set[Any]) -> BulkSending:
    """Return the means of a process, over a ring that the test plays."""

    def opened() -> Any:
        return ring

    bulk = BulkSending(unready, opened)
    bulk.start()
    return bulk
