"""Connections that begin with a PROXY header; `wsrelay.core.wire.proxy_header` reads it.

A port that reads these headers believes them: only the proxy in front may be able to reach it.

Twisted's own wrapper, the endpoint prefix `haproxy:`, is not used. It rejects Google's health checks, which are
`PROXY UNKNOWN` and no more (https://github.com/envoyproxy/envoy/issues/1728), and headers that arrive in pieces; it
raises on a malformed one, and accepts any text as an address. Once it no longer does,
tests/transports/listening/test_proxy_protocol.py fails.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from wsrelay.core.wire.proxy_header import read_proxy_header

__all__ = ["ProxyHeaderFactory", "ProxyHeaderProtocol", "behind_proxy"]


class ProxyHeaderProtocol(ProtocolWrapper):
    """A connection that begins with a PROXY header."""

    factory: ProxyHeaderFactory

    _peer: IAddress | None = None
    _buffer: bytes | None = b""
    """The part of the header that has arrived. If None, the header is complete."""

    def dataReceived(self, data: bytes) -> None:
        if self._buffer is None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._buffer += data
        try:
            header = read_proxy_header(self._buffer)
        except ValueError:
            self.factory.log_rejection(self.getPeer())
            self.loseConnection()
            return
        if header is not None:
            self._buffer = None
            if header.source is not None:
                host, port = header.source
                self._peer = (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
            if header.rest:
                self.wrappedProtocol.dataReceived(header.rest)

    def getPeer(self) -> IAddress:
        """Return the client's address, or the proxy's as long as no header has named the client."""
        return self._peer or super().getPeer()


@implementer(IHalfCloseableProtocol)
class HalfCloseableProxyHeaderProtocol(ProxyHeaderProtocol):
    """The same, whose client may end its direction and still be answered."""

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`."""
        inner: Any = self.wrappedProtocol
        if IHalfCloseableProtocol.providedBy(inner):
            inner.readConnectionLost()
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.writeConnectionLost`."""


class ProxyHeaderFactory(WrappingFactory[ProxyHeaderProtocol]):
    """Makes connections that begin with a PROXY header.

    Args:
        wrappedFactory: Makes the protocols for the bytes behind the header.
    """

    log = Logger()
    noisy = False
    protocol = ProxyHeaderProtocol

    _has_logged = False

    def buildProtocol(self, addr: IAddress | None) -> Any:
        inner = self.wrappedFactory.buildProtocol(addr)
        if inner is None:
            return None
        # TLS has an end of its own, and a connection below it ends with the peer's direction.
        kind: Any = ProxyHeaderProtocol if isinstance(inner, ProtocolWrapper) else HalfCloseableProxyHeaderProtocol
        return kind(self, inner)

    def log_rejection(self, peer: IAddress) -> None:
        """Log that a connection began with something else, the first time only."""
        # Once: every client that reaches the port could fill the disk otherwise.
        if not self._has_logged:
            self._has_logged = True
            self.log.warn(
                "{address} sent no valid PROXY header and was disconnected; later ones are not logged. Let the proxy "
                "in front send PROXY headers, or listen without them",
                address=str(getattr(peer, "host", peer)),
            )


@implementer(IStreamServerEndpoint)
class _ProxyHeaderEndpoint:
    def __init__(self, below: IStreamServerEndpoint) -> None:
        self._below = below

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803 -- Twisted's
        return self._below.listen(ProxyHeaderFactory(protocolFactory))


def behind_proxy(endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """Wrap an endpoint whose connections begin with a PROXY header.

    Args:
        endpoint: Accepts the proxy's connections.

    Returns:
        An endpoint whose connections have the client's address as their peer.
    """
    return _ProxyHeaderEndpoint(endpoint)
