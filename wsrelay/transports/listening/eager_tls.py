"""TLS connections that encrypt and send immediately.

Twisted collects small writes until the next turn of the reactor, which is a timer for each connection and message, and
then calls through six layers with a fresh buffer of 32 KiB. That was three times the cost of the message itself. Here a
message becomes one record, which is offered to the kernel at once: two calls of OpenSSL and one of the system. What
does not fit goes the inherited way: more than a record, a handshake that is not complete, a connection that is closing,
an error. Reading, handshakes, alerts and the end remain Twisted's.

Ciphertext that the kernel does not take waits in the TCP transport, in its order, and never more than one record of a
message; a listener follows that buffer as it does without TLS, so that the outbox behind it is bounded and a client
that does not read is closed in the same way. There is one more place where bytes can wait. A client may begin a message
of the TLS handshake (a key update, a renegotiation) and never end it; OpenSSL encrypts nothing meanwhile, and Twisted
keeps what is written. The listener is told of that, too.

Kernel TLS would do without both buffers, but OpenSSL offers it for sockets only, not for memory.

This depends on private names: `_tlsConnection`, `_handshakeDone`, `_lostTLSConnection`, `_appSendBuffer` and six
methods of Twisted's protocol; `_util.lib`, `_util.ffi`, `_ssl`, `_from_ssl` and `_raise_ssl_error` of pyOpenSSL, whose
`send` and `bio_read` would do and cost a quarter more. tests/transports/listening/test_eager_tls.py fails if they
change. The fallback is `TLSMemoryBIOFactory` itself: a `ConnectionWriter` takes the protocols of either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from wsrelay.transports.listening.eager_tcp import EagerServer, WriteListener
from wsrelay.transports.listening.socket_options import underlying

__all__ = ["MAX_RECORD_BYTES", "EagerTLS", "EagerTLSFactory"]

MAX_RECORD_BYTES = 2**14
"""The most that one record carries (RFC 8446 section 5.1)."""

_ssl_write: Any = lib.SSL_write
_bio_read: Any = lib.BIO_read

_BUFFER_BYTES = 2 * MAX_RECORD_BYTES
_buffer: Any = ffi.new("char[]", _BUFFER_BYTES)
"""Ciphertext on its way from OpenSSL to a socket, of one connection after the other: there is one reactor."""
_ciphertext: Any = ffi.buffer(_buffer)


class _RecordSender:
    """Encrypts messages and offers them to the kernel.

    An object of its own, because `ProtocolWrapper.__getattr__` slows down each look at an attribute of a protocol: that
    was a tenth of a delivery.

    Args:
        tcp: Takes the ciphertext.
    """

    __slots__ = ("_connection", "_from_ssl", "_ssl", "_tcp")

    def __init__(self, tcp: EagerServer) -> None:
        self._tcp = tcp
        self.close()

    def open(self, connection: Any) -> None:
        """Begin to send through a connection of pyOpenSSL."""
        # Together: the buffer lives as long as the connection.
        self._connection, self._ssl, self._from_ssl = connection, connection._ssl, connection._from_ssl

    def close(self) -> None:
        """Send nothing from now on. May be called more than once."""
        self._connection = self._ssl = self._from_ssl = None

    def send(self, data: bytes) -> int:
        """See `EagerTLS.write_now`."""
        tls, size = self._ssl, len(data)
        if tls is None or not 0 < size <= MAX_RECORD_BYTES:
            return 0
        sent: int = _ssl_write(tls, data, size)
        if sent <= 0:
            self._clear_error(sent)
            return 0
        _flush(self._from_ssl, self._tcp)
        return sent

    def _clear_error(self, result: int) -> None:
        """Empty OpenSSL's queue of errors: the inherited code meets the error again, and reports it."""
        try:
            self._connection._raise_ssl_error(self._ssl, result)
        except SSL.Error:
            pass


class EagerTLS(TLSMemoryBIOProtocol):
    """The TLS side of an accepted connection. Implements `WriteListener` for the TCP transport below.

    Attributes:
        write_now: Encrypts bytes and offers the ciphertext to the kernel. Returns how many of them were taken: all or
            none, or fewer where the client has asked for smaller records. The others are to be written.
    """

    write_now: Callable[[bytes], int] = staticmethod(lambda _data: 0)

    _tcp: EagerServer | None = None
    _sender: _RecordSender | None = None
    _write_listener: WriteListener | None = None

    def makeConnection(self, transport: Any) -> None:
        below = underlying(transport)
        if isinstance(below, EagerServer):
            self._tcp = below
            self._sender = _RecordSender(below)
            self.write_now = self._sender.send
        super().makeConnection(transport)

    @property
    def is_eager(self) -> bool:
        """True if messages can be sent at once: there is a TCP transport below, which tells when it is full."""
        return self._tcp is not None

    def set_write_listener(self, listener: WriteListener | None) -> None:
        """Set the object that follows the buffers. If None, there is none any more. Only where `is_eager`."""
        self._write_listener = listener
        if self._tcp is not None:
            self._tcp.set_write_listener(None if listener is None else self)

    def write(self, data: bytes) -> None:
        sent = self.write_now(data)
        if sent != len(data):
            super().write(data[sent:] if sent else data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        super().connectionLost(reason)

    def _update_sender(self) -> None:
        """Let messages be sent at once, or not: the state of the connection may have changed."""
        if self._sender is None:
            return
        if self._handshakeDone and not (self._appSendBuffer or self.disconnecting or self._lostTLSConnection):
            self._sender.open(self._tlsConnection)
        else:
            self._sender.close()

    # Twisted's private methods: all that change its state, and the last step of all that it sends

    def _checkHandshakeStatus(self) -> None:  # noqa: N802 -- Twisted's
        super()._checkHandshakeStatus()
        self._update_sender()

    def _shutdownTLS(self) -> None:  # noqa: N802 -- Twisted's
        super()._shutdownTLS()
        self._update_sender()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:  # noqa: N802 -- Twisted's
        super()._tlsShutdownFinished(reason)
        self._update_sender()

    def _bufferedWrite(self, octets: bytes) -> None:  # noqa: N802 -- Twisted's
        super()._bufferedWrite(octets)
        self._update_sender()
        self.on_blocked()

    def _unbufferPendingWrites(self) -> None:  # noqa: N802 -- Twisted's
        super()._unbufferPendingWrites()
        self._update_sender()
        if self._tcp is not None and self._tcp.is_drained:
            self.on_drained()

    def _flushSendBIO(self) -> None:  # noqa: N802 -- Twisted's
        _flush(self._tlsConnection._from_ssl, self._tcp or self.transport)

    # The listener of the transport below

    def on_blocked(self) -> None:
        """See `WriteListener.on_blocked`."""
        if self._write_listener is not None:
            self._write_listener.on_blocked()

    def on_drained(self) -> None:
        """See `WriteListener.on_drained`."""
        if self._write_listener is not None and not self._appSendBuffer:
            self._write_listener.on_drained()

    def on_closing(self) -> None:
        """See `WriteListener.on_closing`."""
        if self._write_listener is not None:
            self._write_listener.on_closing()


class EagerTLSFactory(TLSMemoryBIOFactory):
    """Makes the TLS side of accepted connections."""

    protocol = EagerTLS


def _flush(from_ssl: Any, transport: Any) -> None:
    """Pass all ciphertext on."""
    while (size := _bio_read(from_ssl, _buffer, _BUFFER_BYTES)) > 0:
        transport.write(_ciphertext[:size])
        if size != _BUFFER_BYTES:
            return
