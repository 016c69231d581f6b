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

This depends on private names: `_tlsConnection`, `_handshakeDone`, `_lostTLSConnection`, `_appSendBuffer`,
`_flushSendBIO`, `_bufferedWrite` and `_unbufferPendingWrites` of Twisted's protocol, `_util.lib`, `_util.ffi`, `_ssl`,
`_from_ssl` and `_raise_ssl_error` of pyOpenSSL; tests/transports/listening/test_eager_tls.py fails if they change.
pyOpenSSL's `send` and `bio_read` would do, and cost a quarter more. `TLSMemoryBIOFactory` itself is the fallback: a
`ConnectionWriter` takes the protocols of either.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

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


class EagerTLS(TLSMemoryBIOProtocol):
    """The TLS side of an accepted connection. Implements `WriteListener` for the TCP transport below."""

    _tcp: EagerServer | None = None
    _write_listener: WriteListener | None = None

    def makeConnection(self, transport: Any) -> None:
        below = underlying(transport)
        if isinstance(below, EagerServer):
            self._tcp = below
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

    def write_now(self, data: bytes) -> int:
        """Encrypt, and offer the ciphertext to the kernel.

        Args:
            data: What is to be sent.

        Returns:
            How many of its bytes were taken; the others are to be written. All of them, or none; fewer only where the
            client has asked for smaller records.
        """
        tcp, size = self._tcp, len(data)
        if tcp is None or self._appSendBuffer or self.disconnecting or not 0 < size <= MAX_RECORD_BYTES:
            return 0
        if self._lostTLSConnection or not self._handshakeDone:
            return 0
        connection = self._tlsConnection
        sent: int = _ssl_write(connection._ssl, data, size)
        if sent <= 0:
            _clear_error(connection, sent)
            return 0
        self._flushSendBIO()
        return sent

    def write(self, data: bytes) -> None:
        sent = self.write_now(data)
        if sent != len(data):
            super().write(data[sent:] if sent else data)

    # Twisted's private methods

    def _flushSendBIO(self) -> None:  # noqa: N802 -- Twisted's
        bio: Any = self._tlsConnection._from_ssl
        below: Any = self._tcp or self.transport
        while (size := _bio_read(bio, _buffer, _BUFFER_BYTES)) > 0:
            below.write(_ciphertext[:size])
            if size != _BUFFER_BYTES:
                return

    def _bufferedWrite(self, octets: bytes) -> None:  # noqa: N802 -- Twisted's
        super()._bufferedWrite(octets)
        self.on_blocked()

    def _unbufferPendingWrites(self) -> None:  # noqa: N802 -- Twisted's
        super()._unbufferPendingWrites()
        if self._tcp is not None and self._tcp.is_drained:
            self.on_drained()

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


def _clear_error(connection: Any, result: int) -> None:
    """Empty OpenSSL's queue of errors: the inherited code meets the error again, and reports it."""
    try:
        connection._raise_ssl_error(connection._ssl, result)
    except SSL.Error:
        pass
