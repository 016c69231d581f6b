"""Writes bytes to a connection without waiting for the next turn of the reactor.

Twisted's `transport.write` asks to be told when the kernel accepts bytes, sends them in the next turn, and asks to be
told no more: three system calls and a turn for one. That is nearly all that a read of a stream costs the process when
messages come one by one. For connections that clients make, `wsrelay.transports.listening.eager_tcp` does the same.

This depends on `dataBuffer` and `_tempDataBuffer` of `twisted.internet.abstract.FileDescriptor`;
tests/brokers/redis/test_eager_write.py fails if they change.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp

__all__ = ["write_at_once"]


def write_at_once(transport: Any, data: bytes) -> None:
    """Write bytes, in the order of all writes, as soon as the transport is able to.

    Args:
        transport: The transport of a protocol. One that is no plain socket, such as TLS, writes as it always does.
        data: The bytes.
    """
    if isinstance(transport, tcp.Connection) and transport.connected and not _has_bytes_waiting(transport):
        try:
            sent = transport.socket.send(data)
        except OSError:
            # The buffer is full, or the connection is broken: the transport finds that again, and reports it.
            sent = 0
        data = data[sent:]
    if data:
        transport.write(data)


def _has_bytes_waiting(transport: tcp.Connection) -> bool:
    return bool(transport.dataBuffer or transport._tempDataBuffer)  # noqa: SLF001 -- no public way
