"""The innermost transport of a connection, and the options of its socket."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol

from wsrelay.transports.listening.eager_tcp import EagerServer

__all__ = ["is_tls", "limit_unacknowledged", "peer_host", "tune_socket", "underlying"]


def underlying(transport: Any) -> Any:
    """Return the innermost transport, below TLS and PROXY headers. A transport without a wrapper is its own."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def is_tls(transport: Any) -> bool:
    """Return whether TLS ends at this transport."""
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, TLSMemoryBIOProtocol):
            return True
        transport = transport.transport
    return False


def peer_host(transport: Any) -> str:
    """Return the host of a connection's peer; `unix` if it is no network's."""
    # Without the object that `getPeer` would make of it. A wrapper may know of another peer, and passes on what else it
    # is asked for.
    host: str | None = getattr(transport, "hostname", None) if isinstance(transport, EagerServer) else None
    return getattr(transport.getPeer(), "host", "unix") if host is None else host


def tune_socket(transport: Any, send_buffer_bytes: int) -> None:
    """Send small messages immediately, and bound what the kernel buffers for a client that does not read.

    By default the kernel took 1.9 MB for one silent client on loopback before a write blocked.

    Args:
        transport: A transport of a stream socket, wrapped or not. Others are left as they are.
        send_buffer_bytes: SO_SNDBUF, which Linux doubles (socket(7)). If 0, the kernel decides.
    """
    transport = underlying(transport)
    if getattr(transport, "is_tuned", False):
        return
    # Unix sockets have no Nagle algorithm, and transports in memory have no socket.
    with contextlib.suppress(AttributeError, OSError):
        transport.setTcpNoDelay(True)
    if send_buffer_bytes and hasattr(transport, "getHandle"):
        with contextlib.suppress(AttributeError, OSError):
            transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)


def limit_unacknowledged(transport: Any, seconds: float) -> None:
    """End a connection whose peer has acknowledged nothing of what was sent for some time.

    Without this a peer that is gone without a word is noticed when retransmission ends, after a quarter of an hour
    (tcp(7): tcp_retries2).

    Args:
        transport: A transport of a TCP socket on Linux, wrapped or not. Others are left as they are.
        seconds: The time.
    """
    transport = underlying(transport)
    if hasattr(transport, "getHandle"):
        with contextlib.suppress(AttributeError, OSError):
            transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
