"""TCP connections that write immediately.

Twisted's `transport.write` queues, asks epoll for writability, is woken, sends, and asks epoll to stop: three system
calls and much Python for one small message that the kernel would have taken at once. Here the bytes are offered to the
kernel first, and only what it does not take goes the inherited way. Everything else, closing, half-closing, errors,
producers and TLS, remains Twisted's; `wsrelay.transports.listening.eager_tls` is for TLS above it.

This depends on `dataBuffer`, `_tempDataBuffer`, `startWriting` and `doWrite` of Twisted's `abstract.FileDescriptor`,
and on the attribute `transport` of `twisted.internet.tcp.Port`; tests/transports/listening/test_eager_tcp.py fails if
they change. A listening port of another kind than TCP keeps its own transport, which is slower and just as correct.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

__all__ = ["EagerServer", "WriteListener", "write_eagerly"]


class WriteListener(Protocol):
    """Follows the buffer of a transport."""

    def on_blocked(self) -> None:
        """Take note that bytes wait in the transport. Called for every write meanwhile, too."""

    def on_drained(self) -> None:
        """Take note that no bytes wait in the transport any more."""

    def on_closing(self) -> None:
        """Take note that the socket is about to be closed: the next connection may get its number."""


class EagerServer(tcp.Server):
    """An accepted connection that offers bytes to the kernel before it queues them."""

    is_tuned = False
    """True if its socket has the options of `tune_socket`."""

    _write_listener: WriteListener | None = None

    def set_write_listener(self, listener: WriteListener | None) -> None:
        """Set the object that follows the buffer. If None, there is none any more."""
        self._write_listener = listener

    @property
    def is_drained(self) -> bool:
        """True if no bytes wait for the kernel to accept them."""
        return not self._tempDataBuffer and not self.dataBuffer

    def write(self, data: bytes) -> None:
        if self.connected and not self._tempDataBuffer and not self.dataBuffer and not self.TLS:
            try:
                sent = self.socket.send(data)
            except OSError:
                # The buffer is full, or the connection is broken: the inherited code finds that again and reports it.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)

    def startWriting(self) -> None:
        super().startWriting()
        if self._write_listener is not None:
            self._write_listener.on_blocked()

    def doWrite(self) -> Any:
        # By the name of its class: Twisted declares a stand-in of another type for it, on connections that are aborted.
        why = FileDescriptor.doWrite(self)
        # Not before: Twisted ends a connection of which that is asked while it writes, whatever the listener has
        # written meanwhile. An abort discards the bytes that wait: nothing may be sent in their place.
        if why is None and self._write_listener is not None and self.is_drained and not self._aborting:
            self._write_listener.on_drained()
        return why

    def connectionLost(self, reason: Failure) -> None:
        if self._write_listener is not None:
            self._write_listener.on_closing()
        super().connectionLost(reason)


def write_eagerly(port: IListeningPort) -> None:
    """Make the connections that a listening port accepts from now on write immediately.

    Args:
        port: The port. One that is not Twisted's own TCP port is left as it is.
    """
    if isinstance(port, tcp.Port) and port.transport is tcp.Server:
        port.transport = EagerServer
