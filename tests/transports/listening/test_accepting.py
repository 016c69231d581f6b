"""Tests of wsrelay.transports.listening.accepting: connections are as Twisted would have accepted them."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.edge import REACTOR, RealEdgeCase
from tests.support.in_memory_relay import InMemoryRelay
from tests.support.polling import DEADLINE_SECONDS
from wsrelay.transports.listening import accepting
from wsrelay.transports.listening.accepting import AcceptedConnection, accept_cheaply
from wsrelay.transports.listening.socket_options import peer_host, tune_socket

SEND_BUFFER_BYTES = 32768


class _Accepted(Protocol):
    """The accepting end of a connection."""

    transport: Any

    def __init__(self, factory: _Acceptor) -> None:
        self._factory = factory
        self.ended: Deferred[None] = Deferred()
        self.ended.addTimeout(DEADLINE_SECONDS, REACTOR)

    def connectionMade(self) -> None:
        self._factory.accepted.append(self)
        if len(self._factory.accepted) == self._factory.expected:
            self._factory.all_accepted.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class _Acceptor(Factory):
    """Fires when all expected connections have been accepted."""

    noisy = False

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.addresses: list[Any] = []
        self.needs_address = True
        self.accepted: list[_Accepted] = []
        self.all_accepted: Deferred[None] = Deferred()
        self.all_accepted.addTimeout(DEADLINE_SECONDS, REACTOR)

    def buildProtocol(self, address: Any) -> Protocol:
        self.addresses.append(address)
        return _Accepted(self)


class FailingOnce:
    """A socket that listens. A connection was aborted while it waited; another one waits behind it.

    Args:
        listener: The socket.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.accept = listener.accept

    def _accept(self) -> None:
        raise OSError(errno.ECONNABORTED, "aborted")


class AcceptingTests(TestCase):
    """Listening ports of loopback."""

    room = 1000

    async def accept(self, endpoint: Any, count: int = 1, *, cheaply: bool = True) -> _Acceptor:
        """Return a factory whose port has accepted so many connections."""
        factory = _Acceptor(count)
        port: Any = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        if cheaply:
            accept_cheaply(port, SEND_BUFFER_BYTES, lambda: self.room)
        for _ in range(count):
            client = socket.socket(port.socket.family)
            self.addCleanup(client.close)
            # The kernel completes it before the port accepts.
            client.connect(port.socket.getsockname())
        await factory.all_accepted
        for each in factory.accepted:
            self.addCleanup(self._end, each)
        return factory

    async def _end(self, accepted: _Accepted) -> None:
        accepted.transport.abortConnection()
        await accepted.ended

    def endpoints(self) -> list[Any]:
        """Return endpoints of both address families, as far as there are any here."""
        found: list[Any] = [TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1")]
        if socket.has_ipv6:
            found.append(TCP6ServerEndpoint(REACTOR, 0, interface="::1"))
        return found

    async def test_connection_is_as_twisted_makes_it_but_for_its_texts(self) -> None:
        for endpoint in self.endpoints():
            ours = (await self.accept(endpoint)).accepted[0].transport
            theirs = (await self.accept(endpoint, cheaply=False)).accepted[0].transport
            self.assertIsInstance(ours, AcceptedConnection)
            self.assertNotIsInstance(theirs, AcceptedConnection)
            texts = {"logstr", "repstr"}
            self.assertEqual(set(vars(ours)), set(vars(theirs)) - texts)
            own = texts | {"client", "fileno", "protocol", "server", "socket"}
            for name in set(vars(theirs)) - own:
                self.assertEqual(getattr(ours, name), getattr(theirs, name), name)
            self.assertEqual(len(ours.client), len(theirs.client))
            self.assertEqual(type(ours.getPeer()), type(theirs.getPeer()))
            self.assertEqual(ours.getPeer().host, theirs.getPeer().host)
            self.assertEqual(peer_host(ours), theirs.getPeer().host)
            self.assertEqual(repr(ours), f"<_Accepted #0 on {ours.server._realPortNumber}>")
            self.assertEqual(ours.logPrefix(), accepting.LOG_PREFIX)
            for handle, other in ((ours.socket, theirs.socket),):
                self.assertEqual((handle.family, handle.type, handle.proto), (other.family, other.type, other.proto))
                self.assertEqual((handle.gettimeout(), os.get_inheritable(handle.fileno())), (0.0, False))
                self.assertEqual(other.gettimeout(), 0.0)

    async def test_connections_inherit_the_options_that_they_would_be_given(self) -> None:
        for endpoint in self.endpoints():
            ours = (await self.accept(endpoint)).accepted[0].transport
            theirs = (await self.accept(endpoint, cheaply=False)).accepted[0].transport
            tune_socket(theirs, SEND_BUFFER_BYTES)
            for level, option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_SNDBUF)):
                found = ours.socket.getsockopt(level, option)
                self.assertEqual(found, theirs.socket.getsockopt(level, option))
                self.assertGreater(found, 0)

    async def test_many_connections_are_accepted_a_bounded_number_at_a_time(self) -> None:
        self.patch(accepting, "MAX_ACCEPTS", 3)
        factory = await self.accept(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"), 10)
        self.assertEqual([each.transport.sessionno for each in factory.accepted], list(range(10)))
        ports = {each.transport.client[1] for each in factory.accepted}
        self.assertEqual({each.port for each in factory.addresses}, ports)

    async def test_protocol_that_is_still_talked_to_behind_the_first_read_is_told_to_wait(self) -> None:
        waiting: list[Any] = []

        class Patient(_Accepted):
            def dataReceived(self, data: bytes) -> None:
                if data == b"other":
                    self.transport.protocol = Protocol()

            def wait(self) -> None:
                waiting.append(self)

        factory = _Acceptor(3)
        factory.needs_address = False

        def build(address: Any) -> Protocol:
            factory.addresses.append(address)
            return Patient(factory)

        self.patch(factory, "buildProtocol", build)
        port: Any = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        accept_cheaply(port, 0, lambda: self.room)
        for data in (b"some", b"other", b""):
            client = socket.create_connection(port.socket.getsockname())
            self.addCleanup(client.close)
            client.send(data)
        port.doRead()
        self.assertEqual(waiting, [factory.accepted[0], factory.accepted[2]])
        self.assertEqual(factory.addresses, [None] * 3)
        for each in factory.accepted:
            each.transport.protocol = each
            self.addCleanup(self._end, each)

    async def test_crowd_waits_outside_the_queue_of_the_kernel_and_is_served_in_its_order(self) -> None:
        self.patch(accepting, "MAX_ACCEPTS", 2)
        waited: list[int] = []
        begin = accepting._Acceptor._begin

        def count(acceptor: Any, *connection: Any) -> None:
            waited.append(len(acceptor._waiting))
            begin(acceptor, *connection)

        self.patch(accepting._Acceptor, "_begin", count)
        factory = await self.accept(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"), 8)
        self.assertEqual([each.transport.sessionno for each in factory.accepted], list(range(8)))
        self.assertEqual(waited, [7, 6, 5, 4, 3, 2, 1, 0])

    async def test_no_more_wait_than_there_may_be_connections(self) -> None:
        self.patch(accepting, "MAX_ACCEPTS", 2)
        self.room = 3
        most: list[int] = []
        empty = accepting._Acceptor._empty_queue

        def look(acceptor: Any) -> None:
            empty(acceptor)
            most.append(len(acceptor._waiting))

        self.patch(accepting._Acceptor, "_empty_queue", look)
        await self.accept(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"), 8)
        self.assertEqual(max(most), 3)

    async def test_those_that_wait_are_served_when_the_port_listens_no_more(self) -> None:
        self.patch(accepting, "MAX_ACCEPTS", 1)
        factory = _Acceptor(5)
        port: Any = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        accept_cheaply(port, 0, lambda: self.room)
        for _ in range(5):
            client = socket.create_connection(port.socket.getsockname())
            self.addCleanup(client.close)
        port.doRead()
        await port.stopListening()
        await factory.all_accepted
        for each in factory.accepted:
            self.addCleanup(self._end, each)

    async def test_connection_that_fails_at_once_costs_no_other(self) -> None:
        make = _Acceptor.buildProtocol
        failures = iter((ValueError("no"),))

        def fail_once(factory: _Acceptor, address: Any) -> Protocol:
            for failure in failures:
                raise failure
            return make(factory, address)

        self.patch(_Acceptor, "buildProtocol", fail_once)
        factory = _Acceptor(2)
        port: Any = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        accept_cheaply(port, 0, lambda: self.room)
        for _ in range(3):
            client = socket.create_connection(port.socket.getsockname())
            self.addCleanup(client.close)
        await factory.all_accepted
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        for each in factory.accepted:
            self.addCleanup(self._end, each)

    async def test_failure_to_accept_is_left_to_twisted(self) -> None:
        factory = _Acceptor(1)
        factory.all_accepted.callback(None)
        port: Any = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        accept_cheaply(port, 0, lambda: self.room)
        asked: list[Any] = []
        self.patch(tcp.Port, "doRead", asked.append)

        class Failing:
            def _accept(self) -> None:
                raise OSError(errno.EMFILE, "too many open files")

        ordinary, port.socket = port.socket, Failing()
        port.doRead()
        port.socket = ordinary
        self.assertEqual((asked, factory.accepted), ([port], []))

    async def test_connection_that_twisted_accepts_behind_a_failure_does_not_block(self) -> None:
        factory = _Acceptor(1)
        port: Any = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        accept_cheaply(port, 0, lambda: self.room)
        client = socket.create_connection(port.socket.getsockname())
        self.addCleanup(client.close)
        listener = port.socket
        port.socket = FailingOnce(listener)
        try:
            port.doRead()
        finally:
            port.socket = listener
        (accepted,) = factory.accepted
        self.addCleanup(self._end, accepted)
        self.assertEqual(accepted.transport.socket.gettimeout(), 0.0)

    async def test_connection_whose_protocol_fails_at_once_is_closed(self) -> None:
        class Breaking(Protocol):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        factory = _Acceptor(1)
        ordinary, first = factory.buildProtocol, [Breaking()]
        self.patch(factory, "buildProtocol", lambda address: first.pop() if first else ordinary(address))
        port: Any = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        accept_cheaply(port, 0, lambda: self.room)
        clients = [socket.create_connection(port.socket.getsockname()) for _ in range(2)]
        for client in clients:
            self.addCleanup(client.close)
        await factory.all_accepted
        self.addCleanup(self._end, factory.accepted[0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        clients[0].settimeout(DEADLINE_SECONDS)
        self.assertEqual(clients[0].recv(1), b"")

    async def test_unix_socket_is_accepted_by_twisted(self) -> None:
        factory = await self.accept(UNIXServerEndpoint(REACTOR, self.mktemp()))
        self.assertNotIsInstance(factory.accepted[0].transport, AcceptedConnection)
        self.assertEqual(peer_host(factory.accepted[0].transport), "unix")

    async def test_twisted_accepts_where_its_connections_have_other_attributes(self) -> None:
        ordinary: Any = tcp.Server.__init__

        def grown(connection: Any, *arguments: Any) -> None:
            ordinary(connection, *arguments)
            connection.novelty = None

        self.patch(tcp.Server, "__init__", grown)
        factory = await self.accept(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"))
        self.assertNotIsInstance(factory.accepted[0].transport, AcceptedConnection)


class DeadlineTests(RealEdgeCase):
    """Connections of a relay that have sent no request yet: each has a slot and a deadline."""

    async def assert_slot(self, relay: InMemoryRelay) -> None:
        """Assert that one connection is among those that are aborted to make room, and ended if nothing comes."""
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while not len(relay.router.http_connections) and REACTOR.seconds() < deadline:
            await self.next_turn()
        self.assertEqual(len(relay.router.http_connections), 1)

    async def test_connection_has_them_below_tls_and_without(self) -> None:
        for tls in (False, True):
            relay = await self.open(tls=tls)
            accept_cheaply(self._port, 0, lambda: 10)
            client = socket.create_connection(self._port.socket.getsockname())
            await self.assert_slot(relay)
            client.close()
            while len(relay.router.http_connections):
                await self.next_turn()

    async def test_connection_that_twisted_accepts_behind_a_failure_has_them(self) -> None:
        relay = await self.open()
        port = self._port
        accept_cheaply(port, 0, lambda: 10)
        client = socket.create_connection(port.socket.getsockname())
        listener = port.socket
        port.socket = FailingOnce(listener)
        try:
            port.doRead()
        finally:
            port.socket = listener
        await self.assert_slot(relay)
        client.close()
        while len(relay.router.http_connections):
            await self.next_turn()
