"""TCP connections that write at once.

Twisted's `transport.write` queues, asks epoll for writability, is woken, sends, and asks epoll to stop: three system
calls and much Python for one small message that the kernel would have taken at once. Here the kernel is offered the
bytes first, and only what it does not take goes the inherited way. Everything else, closing, half-closing, errors,
producers and TLS, stays Twisted's.

This stands on `dataBuffer`, `_tempDataBuffer` and `startWriting` of `twisted.internet.abstract.FileDescriptor`, and on
the attribute `transport` of `twisted.internet.tcp.Port`; tests/transports/listening/test_eager_tcp.py fails where they
change.
A listening port that is not one of TCP keeps its own transport: slower, and just as right.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort

__all__ = ["EagerServer", "WriteListener", "write_eagerly"]


class WriteListener(Protocol):
    """Wants to know when a transport has bytes that the kernel does not take, and when it has none."""

    def busy(self) -> None:
        """Bytes wait in the transport."""

    def idle(self) -> None:
        """No bytes wait in the transport any more."""


class EagerServer(tcp.Server):
    """An accepted connection that offers bytes to the kernel before it queues them."""

    listener: WriteListener | None = None

    def write(self, data: bytes) -> None:
        if self.connected and not self._tempDataBuffer and not self.dataBuffer and not self.TLS:
            try:
                sent = self.socket.send(data)
            except OSError:
                # The buffer is full, or the connection is broken: the inherited way meets it again and reports it.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)

    def startWriting(self) -> None:
        super().startWriting()
        if self.listener is not None:
            self.listener.busy()

    def stopWriting(self) -> None:
        super().stopWriting()
        # An abort stops writing, too, and with it the bytes that wait: nothing may go out in their place.
        if self.listener is not None and self.connected and not self._aborting:
            self.listener.idle()


def write_eagerly(port: IListeningPort) -> None:
    """Let the connections that a listening port accepts from now on write at once."""
    if isinstance(port, tcp.Port) and port.transport is tcp.Server:
        port.transport = EagerServer
