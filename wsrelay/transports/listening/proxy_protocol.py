"""PROXY headers: where a client comes from, said by the balancer in front before anything else.

The protocol is https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, versions 1 and 2. A port that reads these
headers believes them: nobody but the balancer may reach it.

Twisted's own wrapper, the endpoint prefix `haproxy:`, is not used. It turns away Google's health checks, which are
`PROXY UNKNOWN` and no more (https://github.com/envoyproxy/envoy/issues/1728), and headers that arrive in pieces; it
raises where one is malformed, and takes any text for an address. Where it no longer does, test_proxied.py fails.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

__all__ = ["Proxied", "ProxiedFactory", "behind_proxy", "read_header"]

_FIRST = b"PROXY "
_SECOND = b"\r\n\r\n\0\r\nQUIT\n"

_MOST_FIRST_BYTES = 107
"""As long as a header of version 1 can be."""

_MOST_SECOND_BYTES = 4096
"""As long as a header of version 2 may be: 52 bytes say where from, the rest is what balancers add about TLS."""

_ADDRESS_BYTES = {0x11: 4, 0x21: 16}
"""The size of an address by its kind: TCP over IPv4, and over IPv6."""

Header = tuple[IAddress | None, bytes]
"""Where the client comes from, and what stands behind the header. None: it is the balancer itself, or nobody knows."""


def read_header(data: bytes) -> Header | None:
    """Read the header at the beginning of a connection. None: it has not ended.

    Raises:
        ValueError: There is none, or it is malformed.
    """
    if data.startswith(_SECOND[: len(data)]):
        return _read_second(data)
    if data.startswith(_FIRST[: len(data)]):
        return _read_first(data)
    raise ValueError("no PROXY header")


def _read_first(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _MOST_FIRST_BYTES)
    if end < 0:
        if len(data) >= _MOST_FIRST_BYTES:
            raise ValueError("too long")
        return None
    words = data[:end].decode("ascii").split(" ")
    rest = data[end + 2 :]
    if words[1] == "UNKNOWN":
        return None, rest
    _, family, source, _, port, _ = words
    if family != f"TCP{ip_address(source).version}":
        raise ValueError("not what it says")
    return _address(source, int(port)), rest


def _read_second(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    command, kind, size = struct.unpack_from("!BBH", data, 12)
    end = 16 + size
    if command not in (0x20, 0x21) or end > _MOST_SECOND_BYTES:
        raise ValueError("unknown, or too long")
    if len(data) < end:
        return None
    width = _ADDRESS_BYTES.get(kind)
    # 0x20 is the balancer's own connection. Of what is neither TCP over IPv4 nor over IPv6 nothing need be known.
    if command == 0x20 or width is None:
        return None, data[end:]
    if size < 2 * width + 4:
        raise ValueError("too short")
    (port,) = struct.unpack_from("!H", data, 16 + 2 * width)
    return _address(data[16 : 16 + width], port), data[end:]


def _address(host: str | bytes, port: int) -> IAddress:
    """An address in the one form that stands for it, so that a client is counted as one."""
    address = ip_address(host)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    kind = IPv4Address if address.version == 4 else IPv6Address
    return kind("TCP", str(address), port)


class Proxied(ProtocolWrapper):
    """A connection that begins with a PROXY header."""

    factory: ProxiedFactory

    _peer: IAddress | None = None
    _header: bytes | None = b""
    """What came of the header. None: it has ended."""

    def dataReceived(self, data: bytes) -> None:
        if self._header is None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._header += data
        try:
            found = read_header(self._header)
        except ValueError:
            self.factory.turned_away(self.getPeer())
            self.loseConnection()
            return
        if found is not None:
            self._header = None
            self._peer, rest = found
            if rest:
                self.wrappedProtocol.dataReceived(rest)

    def getPeer(self) -> IAddress:
        """Where the client comes from; where the connection comes from as long as nobody has said better."""
        return self._peer or super().getPeer()


class ProxiedFactory(WrappingFactory[Proxied]):
    """Makes connections that begin with a PROXY header.

    Args:
        wrappedFactory: Makes the protocols for what follows it.
    """

    log = Logger()
    noisy = False
    protocol = Proxied

    _told = False

    def turned_away(self, peer: IAddress) -> None:
        """A connection began with something else; the log says so the first time."""
        # Once: whoever reaches the port could fill the disk with more.
        if not self._told:
            self._told = True
            self.log.warn("{peer} sent no good PROXY header and was turned away, as will all who do that", peer=peer)


@implementer(IStreamServerEndpoint)
class _Endpoint:
    def __init__(self, below: IStreamServerEndpoint) -> None:
        self._below = below

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803 -- Twisted's
        return self._below.listen(ProxiedFactory(protocolFactory))


def behind_proxy(endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """An endpoint whose connections begin with a PROXY header, and come from where it says."""
    return _Endpoint(endpoint)
