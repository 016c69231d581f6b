"""Tests of wsrelay.transports.listening.eager_tcp: connections that write at once, on real sockets."""

from __future__ import annotations

import inspect
import socket
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

from tests.support.edge import DEADLINE_SECONDS, REACTOR, Caller, RealEdgeCase
from tests.support.fake_socket import FakeSocket, FakeTCPConnection
from wsrelay.transports.listening.eager_tcp import EagerServer, write_eagerly


class Listening:
    """Writes down what it is told about a transport."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.caught_up: Deferred[None] | None = None

    def busy(self) -> None:
        """Bytes wait; said again for every write meanwhile."""
        if self.told[-1:] != ["busy"]:
            self.told.append("busy")

    def idle(self) -> None:
        """None do."""
        self.told.append("idle")
        if self.caught_up is not None:
            caught_up, self.caught_up = self.caught_up, None
            caught_up.callback(None)


class Counting:
    """A socket that counts what is sent through it."""

    def __init__(self, handle: socket.socket) -> None:
        self.handle = handle
        self.sends: list[int] = []

    def send(self, data: bytes) -> int:
        """Count, and send."""
        self.sends.append(len(data))
        return self.handle.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)


class Serving(Protocol):
    """The relay's end of a connection: it writes down what comes and how it ends."""

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


class Serves(Factory):
    """Makes a known protocol, and says when its connection is there."""

    noisy = False

    def __init__(self) -> None:
        self.serving = Serving()
        self.connected: Deferred[None] = Deferred()
        self.connected.addTimeout(DEADLINE_SECONDS, REACTOR)

    def buildProtocol(self, _address: Any) -> Protocol:
        REACTOR.callLater(0, self.connected.callback, None)
        return self.serving


class RealCase(RealEdgeCase):
    """A listening port of loopback that writes at once, and one connection to it."""

    async def pair(self, *, tls: bool = False) -> tuple[Serving, Caller, Listening]:
        """Both ends of a connection; kernel buffers are small."""
        serves = Serves()
        factory: Any = serves
        if tls:
            self._authority = trustme.CA()
            leaf = self._authority.issue_cert("relay.example")
            pem = leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()
            factory = TLSMemoryBIOFactory(PrivateCertificate.loadPEM(pem).options(), False, serves)
        self._port = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(self._port.stopListening)
        write_eagerly(self._port)
        caller = await self.connect()
        await serves.connected
        serving = serves.serving
        self.addCleanup(self._end, serving)
        listening = Listening()
        if not tls:
            caller.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            serving.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            serving.transport.listener = listening
            serving.transport.socket = Counting(serving.transport.socket)
        return serving, caller, listening

    async def _end(self, serving: Serving) -> None:
        if not serving.ended.called:
            serving.transport.abortConnection()
        await serving.ended


class EagerTests(RealCase):
    """On loopback."""

    async def test_small_writes(self) -> None:
        """Each small write is one system call, made at once: nothing waits for the reactor."""
        serving, caller, listening = await self.pair()
        self.assertIsInstance(serving.transport, EagerServer)
        started: list[object] = []
        self.patch(tcp.Server, "startWriting", started.append)
        for number in range(100):
            serving.transport.write(b"%03d" % number)
        self.assertEqual((serving.transport.socket.sends, started, listening.told), ([3] * 100, [], []))
        self.assertEqual(await caller.until(b"099"), b"".join(b"%03d" % number for number in range(100)))

    async def test_nothing(self) -> None:
        """Nothing to write is nothing to do, and what is no bytes is refused as ever."""
        serving, _, listening = await self.pair()
        serving.transport.write(b"")
        self.assertRaises(TypeError, serving.transport.write, "text")
        self.assertEqual(listening.told, [])

    async def test_silent_peer(self) -> None:
        """A peer that does not read is told of once, and once more when it has read all; the order is kept."""
        serving, caller, listening = await self.pair()
        caller.transport.pauseProducing()
        sent = b""
        while not listening.told:
            piece = b"%08d" % len(sent) * 1000
            sent += piece
            serving.transport.write(piece)
        calls = len(serving.transport.socket.sends)
        for number in range(10):
            piece = b"more%04d" % number
            sent += piece
            serving.transport.write(piece)
        # What is full is not asked again.
        self.assertEqual((len(serving.transport.socket.sends), listening.told), (calls, ["busy"]))
        listening.caught_up = Deferred()
        listening.caught_up.addTimeout(DEADLINE_SECONDS, REACTOR)
        caught_up = listening.caught_up
        caller.transport.resumeProducing()
        await caught_up
        self.assertEqual(listening.told, ["busy", "idle"])
        serving.transport.write(b"again")
        self.assertEqual(await caller.until(b"again"), sent + b"again")
        self.assertEqual(listening.told, ["busy", "idle"])

    async def test_lose_connection(self) -> None:
        """What was written before the end of a connection reaches the peer, however much it is, and then the end."""
        serving, caller, _ = await self.pair()
        serving.transport.write(b"first")
        serving.transport.write(b"x" * 1_000_000)
        serving.transport.write(b"last")
        serving.transport.loseConnection()
        await caller.ended
        await serving.ended
        self.assertEqual(caller.data, b"first" + b"x" * 1_000_000 + b"last")
        self.assertEqual(serving.reasons, [ConnectionDone])

    async def test_written_after_the_end(self) -> None:
        """Writing to a connection that has ended is nothing, and between the wish and the end it breaks nothing."""
        serving, caller, _ = await self.pair()
        transport = serving.transport
        transport.write(b"first")
        transport.loseConnection()
        transport.write(b" last")
        await caller.ended
        await serving.ended
        transport.write(b"late")
        transport.writeSequence([b"late"])
        transport.loseConnection()
        transport.abortConnection()
        self.assertIn(caller.data, (b"first", b"first last"))
        self.assertEqual(serving.reasons, [ConnectionDone])

    async def test_half_closed(self) -> None:
        """What was written before our side is closed reaches the peer, nothing does afterwards, and we still hear."""
        serving, caller, _ = await self.pair()
        transport = serving.transport
        transport.write(b"last")
        transport.loseWriteConnection()
        self.assertEqual(await caller.until(b"last"), b"last")
        await caller.ended
        transport.write(b"late")
        await serving.ended
        self.assertEqual((caller.data, len(serving.reasons)), (b"", 1))

    async def test_abort(self) -> None:
        """An abort throws away what waits, tells nobody that the transport is idle, and ends in the next turn."""
        serving, caller, listening = await self.pair()
        caller.transport.pauseProducing()
        serving.transport.write(b"x" * 10_000_000)
        self.assertEqual(listening.told, ["busy"])
        serving.transport.abortConnection()
        serving.transport.write(b"late")
        await serving.ended
        self.assertEqual((listening.told, serving.reasons), (["busy"], [ConnectionAborted]))
        caller.transport.resumeProducing()
        await caller.ended

    async def test_broken(self) -> None:
        """A connection that the peer has reset is reported lost once, and never while it is written to."""
        serving, caller, _ = await self.pair()
        transport = serving.transport
        # Else it might be read before it is written to.
        transport.pauseProducing()
        caller.transport.abortConnection()
        await caller.ended
        for _ in range(3):
            transport.write(b"x" * 1000)
            self.assertEqual(serving.reasons, [])
        await serving.ended
        await deferLater(REACTOR, 0)
        self.assertEqual(serving.reasons, [ConnectionLost])

    async def test_tls(self) -> None:
        """Under TLS the order is kept and nothing is lost, in small writes and in large ones."""
        serving, caller, _ = await self.pair(tls=True)
        self.assertIsInstance(serving.transport.transport, EagerServer)
        self.assertIsNone(serving.transport.transport.listener)
        sent = b"".join(b"%04d" % number * size for number, size in enumerate((1, 10, 100_000, 1, 50_000, 1)))
        for start in range(0, len(sent), 70_000):
            serving.transport.write(sent[start : start + 70_000])
        serving.transport.write(b"end")
        self.assertEqual(await caller.until(b"end"), sent + b"end")
        caller.write(b"hello")
        serving.transport.loseConnection()
        await caller.ended
        await serving.ended
        self.assertEqual(serving.reasons, [ConnectionDone])


class PortTests(TestCase):
    """Which ports."""

    async def test_unix(self) -> None:
        """A port of a Unix socket keeps its own transport, and works."""
        serves = Serves()
        path = f"{self.mktemp()[-40:].replace('/', '-')}.sock"
        port = REACTOR.listenUNIX(path, serves)
        self.addCleanup(port.stopListening)
        write_eagerly(port)
        self.assertIs(port.transport, unix.Server)
        caller = Caller()
        await connectProtocol(UNIXClientEndpoint(REACTOR, path), caller)
        await serves.connected
        self.assertNotIsInstance(serves.serving.transport, EagerServer)
        serves.serving.transport.write(b"hello")
        self.assertEqual(await caller.until(b"hello"), b"hello")
        caller.transport.loseConnection()
        await serves.serving.ended
        await caller.ended

    def test_others(self) -> None:
        """A port whose transport is not Twisted's own, or that is no port at all, is left as it is."""

        class Own(tcp.Server):
            """Somebody else's idea."""

        port = tcp.Port(0, Factory())
        port.transport = Own
        write_eagerly(port)
        self.assertIs(port.transport, Own)
        stranger: Any = object()
        write_eagerly(stranger)


class GuardTests(SynchronousTestCase):
    """What the module stands on in Twisted: where one of these fails, it has to be looked at again."""

    def test_attributes(self) -> None:
        """The buffers and the two switches are where we look, and Twisted's own code uses them as we do."""
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
        for name in ("doWrite", "writeSequence", "loseConnection"):
            self.assertIs(getattr(EagerServer, name), getattr(tcp.Server, name))

    def test_port(self) -> None:
        """A port makes its connections by its attribute `transport`, which is `tcp.Server` before we change it."""
        self.assertIs(tcp.Port.transport, tcp.Server)
        self.assertIn("transport = self.transport(", inspect.getsource(tcp.Port.doRead))


class BufferTests(SynchronousTestCase):
    """On a kernel that the test plays."""

    def test_partial(self) -> None:
        """What the kernel does not take waits, in order with all that is written behind it."""
        pipe = FakeTCPConnection(Clock(), FakeSocket(room=4))
        listening = pipe.listener = Listening()
        for data in (b"abc", b"def", b"ghi"):
            pipe.write(data)
        self.assertEqual((pipe.kernel.taken, pipe.waiting, pipe.kernel.sends), (b"abcd", 5, [3, 3]))
        self.assertEqual((pipe.drain(), listening.told), (b"abcd", ["busy"]))
        self.assertEqual((pipe.drain(), listening.told), (b"efgh", ["busy", "idle"]))
        self.assertEqual(pipe.drain(), b"i")
        self.assertEqual(pipe.loop.writers, set())

    def test_without_a_listener(self) -> None:
        """A transport that nobody listens to writes just the same."""
        pipe = FakeTCPConnection(Clock(), FakeSocket(room=4))
        pipe.write(b"abcdef")
        self.assertEqual(pipe.drain() + pipe.drain(), b"abcdef")

    def test_written_when_idle(self) -> None:
        """A listener may write when it is told that nothing waits, and be told again."""
        pipe = FakeTCPConnection(Clock(), FakeSocket(room=1))
        left = [b"cd", b"ef"]

        class More(Listening):
            """Has more to say, until all is said."""

            def idle(self) -> None:
                super().idle()
                if left:
                    pipe.write(left.pop(0))

        listening = pipe.listener = More()
        pipe.write(b"ab")
        received = b""
        while data := pipe.drain():
            received += data
        self.assertEqual((received, listening.told), (b"abcdef", ["busy", "idle"] * 3))
