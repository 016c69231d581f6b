"""Tests of wsrelay.transports.listening.proxy_protocol: connections that begin with a PROXY header."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.in_memory_relay import InMemoryRelay
from tests.support.proxy_headers import INVALID, VALID, addresses, header_v2
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.proxy_protocol import ProxyHeaderFactory, behind_proxy

PROXY = IPv4Address("TCP", "192.168.1.1", 54321)


def address(source: tuple[str, int] | None) -> IAddress:
    """Return the peer that a connection has behind a header."""
    if source is None:
        return PROXY
    return (IPv6Address if ":" in source[0] else IPv4Address)("TCP", *source)


class RecordingProtocol(Protocol):
    """Records the data that it receives, each with the peer that the transport had then.

    Attributes:
        received: Pairs of data and peer; the data of the first, at the connection's beginning, is empty.
        reasons: The reasons of `connectionLost`.
    """

    transport: Any

    def __init__(self) -> None:
        self.received: list[tuple[bytes, IAddress]] = []
        self.reasons: list[Failure] = []

    def connectionMade(self) -> None:
        self.received.append((b"", self.transport.getPeer()))

    def dataReceived(self, data: bytes) -> None:
        self.received.append((data, self.transport.getPeer()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason)


class _NoFactory(Factory):
    """Makes no protocols."""

    def buildProtocol(self, _address: object) -> None:
        """Return None: the connection is not wanted."""


class ConnectionTests(SynchronousTestCase):
    """Connections through the wrapper."""

    def setUp(self) -> None:
        self.events: Any = self.enterContext(capturedLogs())
        self.factory = ProxyHeaderFactory(Factory.forProtocol(RecordingProtocol))

    def connect(self) -> tuple[MemoryTransport, RecordingProtocol]:
        """Return the transport of a new connection, and the protocol behind the wrapper."""
        transport = MemoryTransport(self.factory.buildProtocol(None))
        transport.peerAddr = PROXY
        transport.protocol.makeConnection(transport)
        return transport, transport.protocol.wrappedProtocol

    def test_end_of_the_clients_direction_is_passed_on_to_a_protocol_that_can_answer(self) -> None:
        relay = InMemoryRelay()
        transport = MemoryTransport(ProxyHeaderFactory(relay.router).buildProtocol(PROXY))
        transport.peerAddr = PROXY
        transport.protocol.makeConnection(transport)
        transport.protocol.dataReceived(b"PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        transport.protocol.readConnectionLost()
        self.assertIn(b"HTTP/1.1 200 OK", transport.drain())
        self.assertEqual((transport.connected, transport.aborted), (False, False))
        self.assertEqual(relay.leftovers(), [])

    def test_client_that_ends_its_direction_before_a_protocol_can_answer_is_closed(self) -> None:
        transport, protocol = self.connect()
        transport.protocol.readConnectionLost()
        self.assertEqual((transport.connected, len(protocol.reasons)), (False, 1))

    def test_connection_below_tls_ends_with_the_clients_direction(self) -> None:
        """As it would without the header: each wrapper claims the interfaces of its transport."""
        inner = ProxyHeaderFactory(TLSMemoryBIOFactory(optionsForClientTLS("a.example"), True, self.factory))
        self.assertFalse(IHalfCloseableProtocol.providedBy(inner.buildProtocol(PROXY)))
        self.assertTrue(IHalfCloseableProtocol.providedBy(self.factory.buildProtocol(PROXY)))
        self.assertIsNone(ProxyHeaderFactory(_NoFactory()).buildProtocol(PROXY))

    def test_data_behind_the_header_arrives_with_the_peer_it_names(self) -> None:
        for header, source in VALID.items():
            transport, protocol = self.connect()
            peer = address(source)
            transport.protocol.dataReceived(header + b"hello")
            transport.protocol.dataReceived(b"again")
            self.assertEqual(protocol.received, [(b"", PROXY), (b"hello", peer), (b"again", peer)])

    def test_header_in_single_bytes_is_read_and_not_passed_on(self) -> None:
        for header, source in VALID.items():
            transport, protocol = self.connect()
            for byte in header:
                transport.protocol.dataReceived(bytes((byte,)))
            self.assertEqual(protocol.received, [(b"", PROXY)])
            transport.protocol.dataReceived(b"hello")
            self.assertEqual(protocol.received[1:], [(b"hello", address(source))])

    def test_protocol_that_takes_over_receives_the_data_from_then_on(self) -> None:
        transport, before = self.connect()
        transport.protocol.dataReceived(b"PROXY UNKNOWN\r\n")
        after = transport.protocol.wrappedProtocol = RecordingProtocol()
        after.makeConnection(transport.protocol)
        transport.protocol.dataReceived(b"hello")
        self.assertEqual((len(before.received), after.received[1:]), (1, [(b"hello", PROXY)]))

    def test_invalid_header_is_disconnected_and_not_passed_on(self) -> None:
        for data in INVALID:
            transport, protocol = self.connect()
            transport.protocol.dataReceived(data)
            self.assertEqual((transport.connected, transport.value()), (False, b""))
            self.assertEqual((len(protocol.received), len(protocol.reasons)), (1, 1))

    def test_only_the_first_invalid_header_is_logged(self) -> None:
        for _ in range(3):
            transport, _ = self.connect()
            transport.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        (line,) = [formatEvent(event) for event in self.events]
        self.assertTrue(
            line.startswith(f"{PROXY.host} sent no valid PROXY header and was disconnected; later ones are not ")
        )

    def test_endpoint_wraps_the_factory(self) -> None:
        reactor: Any = MemoryReactorClock()
        wrapped = self.factory.wrappedFactory
        port: Any = self.successResultOf(behind_proxy(TCP4ServerEndpoint(reactor, 8080)).listen(wrapped))
        ((number, factory, *_),) = reactor.tcpServers
        self.assertEqual((number, port.getHost().port), (8080, 8080))
        self.assertIsInstance(factory, ProxyHeaderFactory)
        self.assertIs(factory.wrappedFactory, wrapped)


class UpstreamTests(SynchronousTestCase):
    """Defects of Twisted's own wrapper. Where one of these fails, it may be considered again."""

    def received(self, *pieces: bytes) -> tuple[list[tuple[bytes, IAddress]], bool]:
        """Return what arrives behind Twisted's wrapper, and whether the connection stays."""
        reactor: Any = MemoryReactorClock()
        protocol = RecordingProtocol()
        serverFromString(reactor, "haproxy:tcp:8080").listen(Factory.forProtocol(lambda: protocol))
        transport = MemoryTransport(reactor.tcpServers[0][1].buildProtocol(None))
        transport.protocol.makeConnection(transport)
        for piece in pieces:
            if transport.connected:
                transport.protocol.dataReceived(piece)
        return protocol.received[1:], transport.connected

    def test_twisted_rejects_short_health_checks_and_headers_in_two_pieces(self) -> None:
        self.assertEqual(self.received(b"PROXY UNKNOWN\r\n", b"hello"), ([], False))
        header = b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443\r\n"
        self.assertEqual(self.received(header[:7], header[7:], b"hello"), ([], False))
        header = header_v2(0x21, 0x11, addresses("198.51.100.7", "203.0.113.9"))
        self.assertEqual(self.received(header[:15], header[15:], b"hello"), ([], False))

    def test_twisted_raises_on_a_malformed_port_and_accepts_any_text_as_address(self) -> None:
        header = b"PROXY TCP4 %s 203.0.113.9 %s 443\r\nhello"
        self.assertRaises(ValueError, self.received, header % (b"198.51.100.7", b"abc"))
        (received,), _ = self.received(header % (b"<b>", b"1234"))
        self.assertEqual(received, (b"hello", IPv4Address("TCP", "<b>", 1234)))
