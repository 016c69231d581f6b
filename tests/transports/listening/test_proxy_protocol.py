"""Tests of wsrelay.transports.listening.proxy_protocol: PROXY headers, and what is no such thing."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.proxy_protocol import ProxiedFactory, behind_proxy, read_header

MAGIC = b"\r\n\r\n\0\r\nQUIT\n"
BALANCER = IPv4Address("TCP", "192.168.1.1", 54321)


def second(command: int, kind: int, body: bytes = b"") -> bytes:
    """A header of version 2."""
    return MAGIC + struct.pack("!BBH", command, kind, len(body)) + body


def ends(source: str, target: str, more: bytes = b"") -> bytes:
    """What version 2 says about a connection, with more that balancers add."""
    return ip_address(source).packed + ip_address(target).packed + struct.pack("!HH", 1234, 443) + more


GOOD: dict[bytes, IAddress | None] = {
    b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443\r\n": IPv4Address("TCP", "198.51.100.7", 1234),
    b"PROXY TCP6 2001:DB8:0::7 2001:db8::9 1234 443\r\n": IPv6Address("TCP", "2001:db8::7", 1234),
    b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1234 443\r\n": IPv4Address("TCP", "198.51.100.7", 1234),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n": None,
    second(0x21, 0x11, ends("198.51.100.7", "203.0.113.9")): IPv4Address("TCP", "198.51.100.7", 1234),
    second(0x21, 0x11, ends("198.51.100.7", "203.0.113.9", b"\3\0\4abcd")): IPv4Address("TCP", "198.51.100.7", 1234),
    second(0x21, 0x21, ends("2001:db8::7", "2001:db8::9")): IPv6Address("TCP", "2001:db8::7", 1234),
    second(0x21, 0x21, ends("::ffff:198.51.100.7", "::1")): IPv4Address("TCP", "198.51.100.7", 1234),
    second(0x20, 0x00): None,
    second(0x20, 0x11, ends("198.51.100.7", "203.0.113.9")): None,
    second(0x21, 0x00): None,
    second(0x21, 0x12, ends("198.51.100.7", "203.0.113.9")): None,
    second(0x21, 0x31, b"/run/client".ljust(108, b"\0") * 2): None,
    second(0x21, 0x00, b"x" * 4080): None,
}
"""Headers, and where they say that the client comes from. None: nowhere."""

BAD = (
    b"G",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"proxy TCP4 198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY TCP6 198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::9 1234 443\r\n",
    b"PROXY TCP4 relay.example 203.0.113.9 1234 443\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 abc 443\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 1234\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443 5\r\n",
    b"PROXY TCP4  198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY TCP4 \xff 203.0.113.9 1234 443\r\n",
    b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    b"PROXY " + b"x" * 101,
    second(0x11, 0x11, ends("198.51.100.7", "203.0.113.9")),
    second(0x22, 0x11, ends("198.51.100.7", "203.0.113.9")),
    second(0x21, 0x11, ends("198.51.100.7", "203.0.113.9")[:-1]),
    second(0x21, 0x21, ends("198.51.100.7", "203.0.113.9")),
    second(0x21, 0x00, b"x" * 4081)[:16],
)
"""What is turned away as soon as these bytes have come."""


class Hears(Protocol):
    """Writes down what comes, and where it seems to come from at each time.

    Attributes:
        heard: Both.
        reasons: How it ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, IAddress]] = []
        self.reasons: list[Failure] = []

    def connectionMade(self) -> None:
        self.heard.append((b"", self.transport.getPeer()))

    def dataReceived(self, data: bytes) -> None:
        self.heard.append((data, self.transport.getPeer()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason)


class ReadTests(SynchronousTestCase):
    """The headers themselves."""

    def test_good(self) -> None:
        """Both versions are read, wherever they are cut: what is not whole is waited for, what follows is left."""
        for header, expected in GOOD.items():
            for cut in range(len(header)):
                self.assertIsNone(read_header(header[:cut]), header[:cut])
            self.assertEqual(read_header(header), (expected, b""))
            self.assertEqual(read_header(header + b"\r\nPROXY"), (expected, b"\r\nPROXY"))

    def test_bad(self) -> None:
        """What is no header, or says what cannot be, is turned away; what never ends as soon as it is too long."""
        for data in BAD:
            self.assertRaises(ValueError, read_header, data)

    @given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", MAGIC, MAGIC + b"\x21\x11\0\x0c"]), st.binary(max_size=120))
    def test_hostile(self, start: bytes, rest: bytes) -> None:
        """Whatever comes, nothing else is raised, and nothing is waited for longer than a header can be."""
        try:
            found = read_header(start + rest)
        except ValueError:
            return
        if found is None:
            self.assertTrue((start + rest).startswith(MAGIC) or len(start + rest) < 107)


class ConnectionTests(SynchronousTestCase):
    """Connections that begin with one."""

    def setUp(self) -> None:
        self.events: Any = self.enterContext(capturedLogs())
        self.factory = ProxiedFactory(Factory.forProtocol(Hears))

    def connect(self) -> tuple[MemoryTransport, Hears]:
        """One more, and who listens to it."""
        transport = MemoryTransport(self.factory.buildProtocol(None))
        transport.peerAddr = BALANCER
        transport.protocol.makeConnection(transport)
        return transport, transport.protocol.wrappedProtocol

    def test_whole(self) -> None:
        """What follows a header is heard, and comes from where it says; what came before comes from the balancer."""
        for header, expected in GOOD.items():
            transport, hears = self.connect()
            peer = expected or BALANCER
            transport.protocol.dataReceived(header + b"hello")
            transport.protocol.dataReceived(b"again")
            self.assertEqual(hears.heard, [(b"", BALANCER), (b"hello", peer), (b"again", peer)])

    def test_in_pieces(self) -> None:
        """A header may come byte by byte, and nothing is heard before what follows it."""
        for header, expected in GOOD.items():
            transport, hears = self.connect()
            for byte in header:
                transport.protocol.dataReceived(bytes((byte,)))
            self.assertEqual(hears.heard, [(b"", BALANCER)])
            transport.protocol.dataReceived(b"hello")
            self.assertEqual(hears.heard[1:], [(b"hello", expected or BALANCER)])

    def test_handed_over(self) -> None:
        """Who takes the connection over hears what comes from then on."""
        transport, before = self.connect()
        transport.protocol.dataReceived(b"PROXY UNKNOWN\r\n")
        after = transport.protocol.wrappedProtocol = Hears()
        after.makeConnection(transport.protocol)
        transport.protocol.dataReceived(b"hello")
        self.assertEqual((len(before.heard), after.heard[1:]), (1, [(b"hello", BALANCER)]))

    def test_turned_away(self) -> None:
        """Who begins with something else is disconnected and never heard."""
        for data in BAD:
            transport, hears = self.connect()
            transport.protocol.dataReceived(data)
            self.assertEqual((transport.connected, transport.value()), (False, b""))
            self.assertEqual((len(hears.heard), len(hears.reasons)), (1, 1))

    def test_said_once(self) -> None:
        """The first of them is written down, for an operator whose balancer sends nothing, and no other."""
        for _ in range(3):
            transport, _ = self.connect()
            transport.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(
            [formatEvent(event) for event in self.events],
            [f"{BALANCER} sent no good PROXY header and was turned away, as will all who do that"],
        )

    def test_endpoint(self) -> None:
        """An endpoint gives all its connections this beginning."""
        reactor: Any = MemoryReactorClock()
        wrapped = self.factory.wrappedFactory
        port: Any = self.successResultOf(behind_proxy(TCP4ServerEndpoint(reactor, 8080)).listen(wrapped))
        ((number, factory, *_),) = reactor.tcpServers
        self.assertEqual((number, port.getHost().port), (8080, 8080))
        self.assertIsInstance(factory, ProxiedFactory)
        self.assertIs(factory.wrappedFactory, wrapped)


class GuardTests(SynchronousTestCase):
    """What Twisted's own wrapper does with the same: where this fails, it may be looked at again."""

    def heard(self, *pieces: bytes) -> tuple[list[tuple[bytes, IAddress]], bool]:
        """What is heard behind Twisted's wrapper, and whether the connection stays."""
        reactor: Any = MemoryReactorClock()
        hears = Hears()
        serverFromString(reactor, "haproxy:tcp:8080").listen(Factory.forProtocol(lambda: hears))
        transport = MemoryTransport(reactor.tcpServers[0][1].buildProtocol(None))
        transport.protocol.makeConnection(transport)
        for piece in pieces:
            if transport.connected:
                transport.protocol.dataReceived(piece)
        return hears.heard[1:], transport.connected

    def test_valid(self) -> None:
        """It turns away a short header of a health check, and headers of both versions that come in two pieces."""
        self.assertEqual(self.heard(b"PROXY UNKNOWN\r\n", b"hello"), ([], False))
        header = b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443\r\n"
        self.assertEqual(self.heard(header[:7], header[7:], b"hello"), ([], False))
        header = second(0x21, 0x11, ends("198.51.100.7", "203.0.113.9"))
        self.assertEqual(self.heard(header[:15], header[15:], b"hello"), ([], False))

    def test_malformed(self) -> None:
        """It raises, which Twisted writes down with a traceback, and takes any text for an address."""
        header = b"PROXY TCP4 %s 203.0.113.9 %s 443\r\nhello"
        self.assertRaises(ValueError, self.heard, header % (b"198.51.100.7", b"abc"))
        (heard,), _ = self.heard(header % (b"<b>", b"1234"))
        self.assertEqual(heard, (b"hello", IPv4Address("TCP", "<b>", 1234)))
