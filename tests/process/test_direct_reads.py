"""Tests of wsrelay.process.direct_reads."""

from __future__ import annotations

import ast
import errno
import inspect
import socket
import struct
import textwrap
from types import SimpleNamespace
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.direct_reads import DirectReads, read_directly
from wsrelay.transports.listening.accepting import AcceptedConnection, accept_cheaply
from wsrelay.transports.listening.eager_tcp import EagerServer, write_eagerly

TWISTEDS_TURN = """
def doPoll(self, timeout):
    if timeout is None:
        timeout = -1
    try:
        l = self._poller.poll(timeout, len(self._selectables))
    except OSError as err:
        if err.errno == errno.EINTR:
            return
        raise
    _drdw = self._doReadOrWrite
    for fd, event in l:
        try:
            selectable = self._selectables[fd]
        except KeyError:
            pass
        else:
            log.callWithLogger(selectable, _drdw, selectable, fd, event)
"""

WHAT_IT_DOES_WITH_AN_EVENT = """
def _doReadOrWrite(self, selectable, fd, event):
    why = None
    inRead = False
    if event & self._POLL_DISCONNECTED and (not event & self._POLL_IN):
        if fd in self._reads:
            inRead = True
            why = CONNECTION_DONE
        else:
            why = CONNECTION_LOST
    else:
        try:
            if selectable.fileno() == -1:
                why = _NO_FILEDESC
            else:
                if event & self._POLL_IN:
                    why = selectable.doRead()
                    inRead = True
                if not why and event & self._POLL_OUT:
                    why = selectable.doWrite()
                    inRead = False
        except BaseException:
            why = sys.exc_info()[1]
            log.err()
    if why:
        self._disconnectSelectable(selectable, why, inRead)
"""


class _Received(Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        if data == b"raise":
            raise ValueError("raised")
        if data == b"leave":
            self.transport.loseConnection()  # type: ignore[union-attr]
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class DirectReadsTests(SynchronousTestCase):
    """A reactor of its own with one port and one client."""

    def setUp(self) -> None:
        self.reactor: Any = EPollReactor()
        self.wrapped: list[object] = []
        read_directly(self.reactor)
        real: Any = log.callWithLogger

        def call(selectable: object, *args: object) -> None:
            self.wrapped.append(selectable)
            real(selectable, *args)

        self.patch(log, "callWithLogger", call)
        self.received: list[_Received] = []

        def build(_address: object) -> _Received:
            self.received.append(_Received())
            return self.received[-1]

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[assignment, method-assign]
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.address = ("127.0.0.1", self.port.getHost().port)
        write_eagerly(self.port)
        self.addCleanup(self.close)

    def close(self) -> None:
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(Failure(ConnectionAbortedError()))
        self.reactor._poller.close()

    def connect(self) -> socket.socket:
        """Connect a client."""
        client = socket.create_connection(self.address)
        self.addCleanup(client.close)
        count = len(self.received)
        while len(self.received) == count:
            self.reactor.doIteration(5)
        self.wrapped.clear()
        return client

    def turn(self) -> _Received:
        """Make a turn; returns what the newest connection has received."""
        self.reactor.doIteration(5)
        return self.received[-1]

    def test_input_is_received_without_a_context(self) -> None:
        client = self.connect()
        client.send(b"hello")
        self.assertEqual((self.turn().data, self.wrapped), (b"hello", []))

    def test_end_of_the_client_loses_the_connection(self) -> None:
        client = self.connect()
        client.close()
        received = self.turn()
        assert received.lost is not None
        self.assertIs(received.lost.type, ConnectionDone)

    def test_exception_is_logged_and_costs_the_connection_alone(self) -> None:
        first, second = self.connect(), self.connect()
        first.send(b"raise")
        second.send(b"hello")
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        assert self.received[0].lost is not None
        self.assertIs(self.received[0].lost.type, ValueError)
        if not self.received[1].data:
            self.turn()
        self.assertEqual((self.received[1].data, self.received[1].lost), (b"hello", None))

    def test_connection_that_is_left_while_it_is_read_is_lost(self) -> None:
        client = self.connect()
        client.send(b"leave")
        self.turn()
        self.turn()
        self.assertIsNotNone(self.received[-1].lost)

    def test_reset_is_met_without_a_context(self) -> None:
        client = self.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        received = self.turn()
        assert received.lost is not None
        self.assertEqual((received.lost.type, self.wrapped), (ConnectionLost, []))

    def test_connections_are_accepted_and_those_that_are_accepted_cheaply_read_without_a_context(self) -> None:
        accept_cheaply(self.port, 0, lambda: 1000)
        client = socket.create_connection(self.address)
        self.addCleanup(client.close)
        self.turn()
        client.send(b"hello")
        self.assertEqual((self.turn().data, self.wrapped), (b"hello", []))
        (server,) = (each for each in self.reactor.getReaders() if isinstance(each, EagerServer))
        self.assertIsInstance(server, AcceptedConnection)

    def test_connections_of_our_own_are_read_without_a_context(self) -> None:
        received, clients = _Received(), ClientFactory()
        clients.buildProtocol = lambda _address: received  # type: ignore[assignment, method-assign]
        self.reactor.connectTCP(*self.address, clients)
        # What a reactor does when it runs: the attempt to connect waits for that.
        while not self.received or not received.connected:
            self.reactor.iterate(0.01)
        self.wrapped.clear()
        self.received[0].transport.write(b"hello")  # type: ignore[union-attr]
        self.turn()
        self.assertEqual((received.data, self.wrapped), (b"hello", []))

    def test_descriptors_of_other_kinds_go_twisteds_way(self) -> None:
        self.reactor.wakeUp()
        self.reactor.doIteration(5)
        self.assertEqual(self.wrapped, [self.reactor.waker])

    def test_other_events_go_twisteds_way(self) -> None:
        self.connect()
        (server,) = (each for each in self.reactor.getReaders() if isinstance(each, EagerServer))
        server.startWriting()
        self.turn()
        self.assertEqual(self.wrapped, [server])

    def test_connection_that_an_event_before_has_closed_is_left_alone(self) -> None:
        turns: Any = DirectReads(
            SimpleNamespace(
                _poller=SimpleNamespace(poll=lambda timeout, _count: [(7, 1), (8, 4)] if timeout == -1 else []),
                _selectables={},
                _doReadOrWrite=None,
                _disconnectSelectable=None,
            )
        )
        turns.iterate(None)
        self.assertEqual(self.wrapped, [])

    def test_interrupted_wait_is_a_turn_without_events_and_other_errors_are_raised(self) -> None:
        for code, is_raised in ((errno.EINTR, False), (errno.EBADF, True)):
            turns: Any = DirectReads(self.reactor)

            def poll(_timeout: float, _count: int, code: int = code) -> None:
                raise OSError(code, "failed")

            turns._poll = poll
            if is_raised:
                self.assertRaises(OSError, turns.iterate, None)
            else:
                turns.iterate(None)

    def test_reactor_of_another_kind_is_left_as_it_is(self) -> None:
        other = SimpleNamespace(doIteration=len)
        read_directly(other)
        self.assertIs(other.doIteration, len)

    def test_the_turn_that_it_replaces_is_the_one_it_was_written_for(self) -> None:
        source: Any = ast.parse(textwrap.dedent(inspect.getsource(EPollReactor.doPoll))).body[0]
        # Without its docstring.
        source.body = source.body[1:]
        self.assertEqual(ast.unparse(source), ast.unparse(ast.parse(TWISTEDS_TURN)))
        self.assertIs(EPollReactor.doIteration, EPollReactor.doPoll)

    def test_what_that_calls_is_what_it_was_written_for(self) -> None:
        source: Any = ast.parse(textwrap.dedent(inspect.getsource(EPollReactor._doReadOrWrite))).body[0]
        source.body = source.body[1:]
        self.assertEqual(ast.unparse(source), ast.unparse(ast.parse(WHAT_IT_DOES_WITH_AN_EVENT)))
