"""Test cases at the edge: without a port, and with one."""

from __future__ import annotations

from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.in_memory_relay import InMemoryRelay
from tests.support.polling import DEADLINE_SECONDS
from wsrelay.transports.listening.eager_tcp import write_eagerly
from wsrelay.transports.listening.eager_tls import EagerTLSFactory

__all__ = ["EdgeCase", "RealEdgeCase", "TCPClient"]

REACTOR: Any = reactor


class EdgeCase(SynchronousTestCase):
    """A test at the edge. When all its clients have hung up, no timer and no connection may be left."""

    def relay(self, broker: Any = None, **settings: Any) -> InMemoryRelay:
        """Build a relay that is checked for leftovers when the test is over."""
        relay = InMemoryRelay(broker, **settings)
        self.addCleanup(self._check_leftovers, relay)
        return relay

    def _check_leftovers(self, relay: InMemoryRelay) -> None:
        self.assertEqual(relay.leftovers(), [])


class TCPClient(Protocol):
    """The client's end of a TCP connection. It collects what it receives, and can be awaited.

    Attributes:
        data: The bytes received since the last `until`.
        ended: Fires with None when the connection is lost, within `DEADLINE_SECONDS`.
        was_reset: Whether it ended in any other way than in order.
    """

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.was_reset = False
        self.ended: Deferred[None] = Deferred()
        self.ended.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._end = b""
        self._waiting: Deferred[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._check_end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.was_reset = reason.check(ConnectionDone) is None
        if not self.ended.called:
            self.ended.callback(None)

    def until(self, end: bytes) -> Deferred[bytes]:
        """Wait until what has been received ends in `end`.

        Returns:
            Fires with all that was received since the last call, within `DEADLINE_SECONDS`.
        """
        self._end = end
        result = self._waiting = Deferred[bytes]()
        result.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._check_end()
        return result

    def _check_end(self) -> None:
        if self._waiting is not None and self.data.endswith(self._end):
            waiting, self._waiting = self._waiting, None
            data, self.data = self.data, b""
            waiting.callback(data)


class RealEdgeCase(TestCase):
    """A test with a relay that listens on a free port of loopback."""

    _port: Any
    _authority: trustme.CA | None = None

    async def open(self, *, tls: bool = False, **settings: Any) -> InMemoryRelay:
        """Build a relay that listens until the test is over."""
        relay = InMemoryRelay(clock=REACTOR, **settings)
        factory: Any = relay.router
        self._authority = None
        if tls:
            self._authority = trustme.CA()
            leaf = self._authority.issue_cert("relay.example")
            pem = leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()
            factory = EagerTLSFactory(PrivateCertificate.loadPEM(pem).options(), False, factory)
        self._port = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        write_eagerly(self._port)
        self.addCleanup(self._close, relay, self._port)
        return relay

    async def connect(self) -> TCPClient:
        """Connect a client that is disconnected when the test is over."""
        endpoint: Any = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self._port.getHost().port)
        if self._authority is not None:
            root = trustRootFromCertificates([Certificate.loadPEM(self._authority.cert_pem.bytes())])
            endpoint = wrapClientTLS(optionsForClientTLS("relay.example", trustRoot=root), endpoint)
        client = TCPClient()
        await connectProtocol(endpoint, client)
        self.addCleanup(self._hang_up, client)
        return client

    def next_turn(self) -> Deferred[None]:
        """Wait for the next turn of the reactor.

        Returns:
            Fires with None in that turn.
        """
        return deferLater(REACTOR, 0)

    async def wait_until_empty(self, relay: InMemoryRelay) -> None:
        """Wait until the relay has no connection of any client."""
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while relay.websockets.countConnections or len(relay.connections):
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)
        self.assertEqual(relay.connections.open_connections(), ())

    async def _close(self, relay: InMemoryRelay, port: Any) -> None:
        await port.stopListening()
        await self.wait_until_empty(relay)
        # Nor may one be left whose request head the router still waits for.
        while any(isinstance(end, Server) for end in (*REACTOR.getReaders(), *REACTOR.getWriters())):
            await deferLater(REACTOR, 0.01)
        relay.node.stop()
        relay.node.timers.stop()

    async def _hang_up(self, client: TCPClient) -> None:
        if not client.ended.called:
            client.transport.abortConnection()
        await client.ended
