"""Tests of wsrelay.transports.listening.eager_tcp: connections that write at once, on real sockets."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from typing import Any

import trustme
from twisted.internet import abstract, tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock, deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.edge import REACTOR, RealEdgeCase, TCPClient
from tests.support.fake_socket import FakeSocket, FakeTCPConnection
from tests.support.polling import DEADLINE_SECONDS
from wsrelay.transports.listening.eager_tcp import EagerServer, write_eagerly


class RecordingListener:
    """Records the changes of a transport's buffer."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.caught_up: Deferred[None] | None = None

    def on_blocked(self) -> None:
        """Record that bytes wait, once however often it is called meanwhile."""
        if self.events[-1:] != ["blocked"]:
            self.events.append("blocked")

    def on_closing(self) -> None:
        """Record that the socket is about to be closed."""
        self.events.append("closing")

    def on_drained(self) -> None:
        """Record that no bytes wait, and fire."""
        self.events.append("drained")
        if self.caught_up is not None:
            caught_up, self.caught_up = self.caught_up, None
            caught_up.callback(None)


class CountingSocket:
    """A socket that records the sizes of what is sent through it."""

    def __init__(self, handle: socket.socket) -> None:
        self.handle = handle
        self.sends: list[int] = []

    def send(self, data: bytes) -> int:
        """Record the size, and send."""
        self.sends.append(len(data))
        return self.handle.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)


class ServerProtocol(Protocol):
    """The relay's end of a connection: it records what it receives and how it ends."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.reasons: list[Any] = []
        self.ended: Deferred[None] = Deferred()
        self.ended.addTimeout(DEADLINE_SECONDS, REACTOR)

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason.type)
        if not self.ended.called:
            self.ended.callback(None)


class ServerFactory(Factory):
    """Makes one known protocol, and fires when its connection is made."""

    noisy = False

    def __init__(self) -> None:
        self.server = ServerProtocol()
        self.connected: Deferred[None] = Deferred()
        self.connected.addTimeout(DEADLINE_SECONDS, REACTOR)

    def buildProtocol(self, _address: Any) -> Protocol:
        REACTOR.callLater(0, self.connected.callback, None)
        return self.server


class RealCase(RealEdgeCase):
    """A listening port of loopback that writes immediately, and one connection to it."""

    async def pair(self, *, tls: bool = False) -> tuple[ServerProtocol, TCPClient, RecordingListener]:
        """Return both ends of a connection with small kernel buffers, and the listener of the relay's end."""
        servers = ServerFactory()
        factory: Any = servers
        if tls:
            self._authority = trustme.CA()
            leaf = self._authority.issue_cert("relay.example")
            pem = leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()
            factory = TLSMemoryBIOFactory(PrivateCertificate.loadPEM(pem).options(), False, servers)
        self._port = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(self._port.stopListening)
        write_eagerly(self._port)
        caller = await self.connect()
        await servers.connected
        server = servers.server
        self.addCleanup(self._end, server)
        listener = RecordingListener()
        if not tls:
            caller.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            server.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            server.transport.set_write_listener(listener)
            server.transport.socket = CountingSocket(server.transport.socket)
        return server, caller, listener

    async def _end(self, server: ServerProtocol) -> None:
        if not server.ended.called:
            server.transport.abortConnection()
        await server.ended


class EagerTests(RealCase):
    """Connections of loopback."""

    async def test_small_write_is_one_immediate_system_call(self) -> None:
        server, caller, listener = await self.pair()
        self.assertIsInstance(server.transport, EagerServer)
        started: list[object] = []
        self.patch(tcp.Server, "startWriting", started.append)
        for number in range(100):
            server.transport.write(b"%03d" % number)
        self.assertEqual((server.transport.socket.sends, started, listener.events), ([3] * 100, [], []))
        self.assertEqual(await caller.until(b"099"), b"".join(b"%03d" % number for number in range(100)))

    async def test_empty_write_does_nothing_and_text_is_rejected(self) -> None:
        server, _, listener = await self.pair()
        server.transport.write(b"")
        self.assertRaises(TypeError, server.transport.write, "text")
        self.assertEqual(listener.events, [])

    async def test_listener_is_called_when_the_peer_stops_reading_and_when_it_has_caught_up(self) -> None:
        """The order of the bytes is kept."""
        server, caller, listener = await self.pair()
        caller.transport.pauseProducing()
        sent = b""
        while not listener.events:
            piece = b"%08d" % len(sent) * 1000
            sent += piece
            server.transport.write(piece)
        calls = len(server.transport.socket.sends)
        for number in range(10):
            piece = b"more%04d" % number
            sent += piece
            server.transport.write(piece)
        # What is full is not asked again.
        self.assertEqual((len(server.transport.socket.sends), listener.events), (calls, ["blocked"]))
        listener.caught_up = Deferred()
        listener.caught_up.addTimeout(DEADLINE_SECONDS, REACTOR)
        caught_up = listener.caught_up
        caller.transport.resumeProducing()
        await caught_up
        self.assertEqual(listener.events, ["blocked", "drained"])
        server.transport.write(b"again")
        self.assertEqual(await caller.until(b"again"), sent + b"again")
        self.assertEqual(listener.events, ["blocked", "drained"])

    async def test_all_bytes_written_before_the_close_arrive(self) -> None:
        server, caller, _ = await self.pair()
        server.transport.write(b"first")
        server.transport.write(b"x" * 1_000_000)
        server.transport.write(b"last")
        server.transport.loseConnection()
        await caller.ended
        await server.ended
        self.assertEqual(caller.data, b"first" + b"x" * 1_000_000 + b"last")
        self.assertEqual(server.reasons, [ConnectionDone])

    async def test_write_after_the_close_is_harmless(self) -> None:
        server, caller, _ = await self.pair()
        transport = server.transport
        transport.write(b"first")
        transport.loseConnection()
        transport.write(b" last")
        await caller.ended
        await server.ended
        transport.write(b"late")
        transport.writeSequence([b"late"])
        transport.loseConnection()
        transport.abortConnection()
        self.assertIn(caller.data, (b"first", b"first last"))
        self.assertEqual(server.reasons, [ConnectionDone])

    async def test_bytes_before_a_half_close_arrive_and_none_after(self) -> None:
        server, caller, _ = await self.pair()
        transport = server.transport
        transport.write(b"last")
        transport.loseWriteConnection()
        self.assertEqual(await caller.until(b"last"), b"last")
        await caller.ended
        transport.write(b"late")
        await server.ended
        self.assertEqual((caller.data, len(server.reasons)), (b"", 1))

    async def test_abort_discards_waiting_bytes_and_does_not_report_drained(self) -> None:
        server, caller, listener = await self.pair()
        caller.transport.pauseProducing()
        server.transport.write(b"x" * 10_000_000)
        self.assertEqual(listener.events, ["blocked"])
        server.transport.abortConnection()
        server.transport.write(b"late")
        await server.ended
        self.assertEqual((listener.events, server.reasons), (["blocked", "closing"], [ConnectionAborted]))
        caller.transport.resumeProducing()
        await caller.ended

    async def test_reset_connection_is_lost_once_and_never_during_a_write(self) -> None:
        server, caller, _ = await self.pair()
        transport = server.transport
        # Else it might be read before it is written to.
        transport.pauseProducing()
        caller.transport.abortConnection()
        await caller.ended
        for _ in range(3):
            transport.write(b"x" * 1000)
            self.assertEqual(server.reasons, [])
        await server.ended
        await deferLater(REACTOR, 0)
        self.assertEqual(server.reasons, [ConnectionLost])

    async def test_order_is_kept_under_tls(self) -> None:
        server, caller, _ = await self.pair(tls=True)
        self.assertIsInstance(server.transport.transport, EagerServer)
        self.assertIsNone(server.transport.transport._write_listener)
        sent = b"".join(b"%04d" % number * size for number, size in enumerate((1, 10, 100_000, 1, 50_000, 1)))
        for start in range(0, len(sent), 70_000):
            server.transport.write(sent[start : start + 70_000])
        server.transport.write(b"end")
        self.assertEqual(await caller.until(b"end"), sent + b"end")
        caller.write(b"hello")
        server.transport.loseConnection()
        await caller.ended
        await server.ended
        self.assertEqual(server.reasons, [ConnectionDone])


class PortTests(TestCase):
    """Listening ports."""

    async def test_unix_port_keeps_its_own_transport(self) -> None:
        servers = ServerFactory()
        path = f"{self.mktemp()[-40:].replace('/', '-')}.sock"
        port = REACTOR.listenUNIX(path, servers)
        self.addCleanup(port.stopListening)
        write_eagerly(port)
        self.assertIs(port.transport, unix.Server)
        caller = TCPClient()
        await connectProtocol(UNIXClientEndpoint(REACTOR, path), caller)
        await servers.connected
        self.assertNotIsInstance(servers.server.transport, EagerServer)
        servers.server.transport.write(b"hello")
        self.assertEqual(await caller.until(b"hello"), b"hello")
        caller.transport.loseConnection()
        await servers.server.ended
        await caller.ended

    def test_port_with_another_transport_is_left_as_it_is(self) -> None:
        class Own(tcp.Server):
            """Somebody else's idea."""

        port = tcp.Port(0, Factory())
        port.transport = Own
        write_eagerly(port)
        self.assertIs(port.transport, Own)
        stranger: Any = object()
        write_eagerly(stranger)


class UpstreamTests(SynchronousTestCase):
    """The parts of Twisted that the module depends on. If one of these fails, the module needs a review."""

    def test_buffers_and_switches_of_twisted_are_used_as_expected(self) -> None:
        self.assertEqual(abstract.FileDescriptor.dataBuffer, b"")
        self.assertEqual(abstract.FileDescriptor(REACTOR)._tempDataBuffer, [])
        self.assertIs(tcp.Server.TLS, False)
        self.assertIs(tcp.Server._aborting, False)
        for name in ("write", "startWriting", "stopWriting"):
            self.assertTrue(callable(getattr(tcp.Server, name)))
        do_write = inspect.getsource(abstract.FileDescriptor.doWrite)
        for words in ("self.dataBuffer", "self._tempDataBuffer", "self.stopWriting()", "self.writeSomeData("):
            self.assertIn(words, do_write)
        self.assertIn("self.startWriting()", inspect.getsource(abstract.FileDescriptor.write))
        for name in ("writeSequence", "loseConnection"):
            self.assertIs(getattr(EagerServer, name), getattr(tcp.Server, name))
        self.assertIs(tcp.Server.doWrite, abstract.FileDescriptor.doWrite)

    def test_tcp_port_makes_connections_by_its_attribute_transport(self) -> None:
        self.assertIs(tcp.Port.transport, tcp.Server)
        self.assertIn("transport = self.transport(", inspect.getsource(tcp.Port.doRead))


class BufferTests(SynchronousTestCase):
    """A kernel played by the test."""

    def test_bytes_that_the_kernel_does_not_take_wait_in_order(self) -> None:
        pipe = FakeTCPConnection(Clock(), FakeSocket(capacity=4))
        listener = RecordingListener()
        pipe.set_write_listener(listener)
        for data in (b"abc", b"def", b"ghi"):
            pipe.write(data)
        self.assertEqual((pipe.kernel.taken, pipe.waiting, pipe.kernel.sends), (b"abcd", 5, [3, 3]))
        self.assertEqual((pipe.drain(), listener.events), (b"abcd", ["blocked"]))
        self.assertEqual((pipe.drain(), listener.events), (b"efgh", ["blocked", "drained"]))
        self.assertEqual(pipe.drain(), b"i")
        self.assertEqual(pipe.loop.writers, set())

    def test_transport_without_a_listener_writes_the_same(self) -> None:
        pipe = FakeTCPConnection(Clock(), FakeSocket(capacity=4))
        pipe.write(b"abcdef")
        self.assertEqual(pipe.drain() + pipe.drain(), b"abcdef")

    def test_listener_may_write_and_close_when_drained_and_nothing_is_lost(self) -> None:
        for close in (FakeTCPConnection.loseWriteConnection, FakeTCPConnection.loseConnection):
            kernel = FakeSocket(capacity=2)
            pipe = FakeTCPConnection(Clock(), kernel)
            ended: list[bytes] = []

            class Last(RecordingListener):
                """Has one more thing to say, for which the kernel has no room, and nothing behind it."""

                def on_drained(
                    self, pipe: FakeTCPConnection = pipe, close: Callable[[FakeTCPConnection], None] = close
                ) -> None:
                    super().on_drained()
                    if self.events.count("drained") == 1:
                        pipe.kernel.capacity = 1
                        pipe.write(b"def")
                        close(pipe)

            self.patch(kernel, "shutdown", lambda _how, ended=ended, kernel=kernel: ended.append(kernel.taken))
            self.patch(kernel, "close", lambda ended=ended, kernel=kernel: ended.append(kernel.taken))
            pipe.protocol = Protocol()
            pipe.set_write_listener(Last())
            pipe.write(b"abc")
            kernel.capacity = 1
            pipe.turn()
            self.assertEqual((kernel.taken, ended), (b"abcd", []))
            kernel.capacity = 10
            pipe.turn()
            self.assertEqual(ended[0], b"abcdef")

    def test_listener_may_write_when_drained_and_is_called_again(self) -> None:
        pipe = FakeTCPConnection(Clock(), FakeSocket(capacity=1))
        left = [b"cd", b"ef"]

        class More(RecordingListener):
            """Has more to say, until all is said."""

            def on_drained(self) -> None:
                super().on_drained()
                if left:
                    pipe.write(left.pop(0))

        listener = More()
        pipe.set_write_listener(listener)
        pipe.write(b"ab")
        received = b""
        while data := pipe.drain():
            received += data
        self.assertEqual((received, listener.events), (b"abcdef", ["blocked", "drained"] * 3))
