"""Test cases at the edge: without a port, and with one."""

from __future__ import annotations

from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.in_memory_relay import InMemoryRelay
from wsrelay.transports.listening.eager_tcp import write_eagerly

__all__ = ["Caller", "EdgeCase", "RealEdgeCase"]

REACTOR: Any = reactor

DEADLINE_SECONDS = 20.0


class EdgeCase(SynchronousTestCase):
    """A test at the edge: whatever happened in it, when everyone has left no timer and no connection remains."""

    def house(self, broker: Any = None, **settings: Any) -> InMemoryRelay:
        """A relay that is looked at once more when the test is over."""
        house = InMemoryRelay(broker, **settings)
        self.addCleanup(self._all_gone, house)
        return house

    def _all_gone(self, house: InMemoryRelay) -> None:
        self.assertEqual(house.leftovers(), [])


class Caller(Protocol):
    """The client's end of a real connection: it collects what comes, and can be waited for.

    Attributes:
        data: All that came since the last `until`.
        ended: Fires when the connection is gone.
    """

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[None] = Deferred()
        self.ended.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._end = b""
        self._waiting: Deferred[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended.called:
            self.ended.callback(None)

    def until(self, end: bytes) -> Deferred[bytes]:
        """All that came, as soon as it ends like this."""
        self._end = end
        result = self._waiting = Deferred[bytes]()
        result.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._look()
        return result

    def _look(self) -> None:
        if self._waiting is not None and self.data.endswith(self._end):
            waiting, self._waiting = self._waiting, None
            data, self.data = self.data, b""
            waiting.callback(data)


class RealEdgeCase(TestCase):
    """A test with a relay on a free port of loopback."""

    _port: Any
    _authority: trustme.CA | None = None

    async def open(self, *, tls: bool = False, **settings: Any) -> InMemoryRelay:
        """A relay on a port, until the test is over."""
        house = InMemoryRelay(clock=REACTOR, **settings)
        factory: Any = house.door
        self._authority = None
        if tls:
            self._authority = trustme.CA()
            leaf = self._authority.issue_cert("relay.example")
            pem = leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()
            factory = TLSMemoryBIOFactory(PrivateCertificate.loadPEM(pem).options(), False, factory)
        self._port = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        write_eagerly(self._port)
        self.addCleanup(self._close, house, self._port)
        return house

    async def connect(self) -> Caller:
        """A client of the port, until the test is over."""
        endpoint: Any = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self._port.getHost().port)
        if self._authority is not None:
            root = trustRootFromCertificates([Certificate.loadPEM(self._authority.cert_pem.bytes())])
            endpoint = wrapClientTLS(optionsForClientTLS("relay.example", trustRoot=root), endpoint)
        caller = Caller()
        await connectProtocol(endpoint, caller)
        self.addCleanup(self._hang_up, caller)
        return caller

    def later(self) -> Deferred[None]:
        """The next turn of the reactor."""
        return deferLater(REACTOR, 0)

    async def empty(self, house: InMemoryRelay) -> None:
        """Wait until nobody is connected to the relay's sockets any more."""
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while house.sockets.countConnections:
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)
        self.assertEqual(house.sockets.sockets, {})

    async def _close(self, house: InMemoryRelay, port: Any) -> None:
        await port.stopListening()
        await self.empty(house)
        # Nor may one be left that the door has not yet handed to anybody.
        while any(isinstance(end, Server) for end in (*REACTOR.getReaders(), *REACTOR.getWriters())):
            await deferLater(REACTOR, 0.01)
        house.node.stop()
        house.sockets.wheel.stop()

    async def _hang_up(self, caller: Caller) -> None:
        if not caller.ended.called:
            caller.transport.abortConnection()
        await caller.ended
