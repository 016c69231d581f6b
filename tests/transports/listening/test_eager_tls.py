"""Tests of wsrelay.transports.listening.eager_tls: TLS that sends at once, mostly on a kernel that the test plays."""

from __future__ import annotations

import inspect
import ssl
from pathlib import Path
from typing import Any

import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, _util
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.certificates import chain_of, key_of
from tests.support.edge import REACTOR, RealEdgeCase
from tests.support.fake_socket import FakeTCPConnection
from tests.support.tls_client import KEY_UPDATE, MemoryTLSClient
from wsrelay.config import Settings
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.timers import TimerWheel
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening import eager_tls
from wsrelay.transports.listening.eager_tcp import write_eagerly
from wsrelay.transports.listening.eager_tls import MAX_RECORD_BYTES, EagerTLS, EagerTLSFactory
from wsrelay.transports.writer import PIECE_BYTES, ConnectionWriter, ConnectionWriters

OVERHEAD = 22
"""The bytes that TLS 1.3 adds to a record: its header, the kind of its content, and the tag."""

LIMIT = 4096
"""The most bytes that may wait in an outbox of these tests."""

AUTHORITY = trustme.CA()
LEAF = AUTHORITY.issue_cert("a.example", "relay.example")
OPTIONS = PrivateCertificate.loadPEM(key_of(LEAF) + chain_of(LEAF)).options()


class Application(Protocol):
    """The protocol above TLS: the owner of a writer, or one that records what it is told.

    Attributes:
        received: What it received.
        events: What it was told of its transport, as a `WriteListener`.
        reasons: How its connection ended.
        disconnects: What its writer closed it with.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.events: list[str] = []
        self.reasons: list[Any] = []
        self.disconnects: list[Disconnect] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason.type)

    def on_blocked(self) -> None:
        """Record that bytes wait, once however often it is called meanwhile."""
        if self.events[-1:] != ["blocked"]:
            self.events.append("blocked")

    def on_drained(self) -> None:
        """Record that no bytes wait."""
        self.events.append("drained")

    def on_closing(self) -> None:
        """Record that the socket is about to be closed."""
        self.events.append("closing")

    def outbox_emptied(self) -> None:
        """Record that the client has caught up."""
        self.events.append("emptied")

    def close(self, disconnect: Disconnect) -> None:
        """Record why, and end the connection at once."""
        self.disconnects.append(disconnect)
        self.transport.abortConnection()


class Line:
    """Both ends of a connection, and a kernel that the test plays.

    Args:
        secrets: The file for the client's secrets.
        version: The version of TLS.
        factory: Makes the relay's side.

    Attributes:
        clock: Time.
        tcp: The relay's transport.
        application: The protocol above TLS.
        tls: The relay's TLS.
        client: The client.
        received: What the client has received.
    """

    def __init__(
        self,
        secrets: Path,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        factory: type[TLSMemoryBIOFactory] = EagerTLSFactory,
    ) -> None:
        self.clock = Clock()
        self.tcp: Any = FakeTCPConnection(self.clock)
        self.application = Application()
        above = Factory.forProtocol(lambda: self.application)
        given_clock: Any = self.clock
        self.tls: Any = factory(OPTIONS, False, above, given_clock).buildProtocol(None)
        self.tcp.protocol = self.tls
        self.tls.makeConnection(self.tcp)
        self.client = MemoryTLSClient(AUTHORITY, secrets, version)
        self.received = b""

    def connect(self) -> Line:
        """Complete the handshake, and follow the buffers of the relay's side."""
        while data := self.client.handshake():
            self.send(data)
            self.client.receive(self.tcp.drain())
        if isinstance(self.tls, EagerTLS):
            self.tls.set_write_listener(self.application)
        self.tcp.kernel.sends.clear()
        return self

    def send(self, data: bytes) -> None:
        """Let bytes of the client arrive."""
        self.tls.dataReceived(data)

    def read(self, size: int = 2**40) -> bytes:
        """Let the client read so many bytes of ciphertext, and return all that it has received."""
        self.clock.advance(0)
        self.received += self.client.decrypt(self.tcp.drain(size))
        return self.received

    def read_all(self) -> bytes:
        """Let the client read all there is and comes, and return all that it has received."""
        self.tcp.kernel.capacity = 2**40
        self.tcp.turn()
        self.clock.advance(0)
        while self.tcp.kernel.taken:
            self.read()
        return self.received


class LineCase(SynchronousTestCase):
    """A test with connections."""

    def line(self, **arguments: Any) -> Line:
        """Return a connection before its handshake, which is lost when the test is over."""
        line = Line(Path(self.mktemp()), **arguments)
        self.addCleanup(self.hang_up, line)
        return line

    def hang_up(self, line: Line) -> None:
        """Let the client end the connection without a word. Nothing may come of a message from then on."""
        if line.tcp.connected:
            line.tcp.hang_up()
        if isinstance(line.tls, EagerTLS):
            self.assertEqual(line.tls.write_now(b"late"), 0)
        line.tls.write(b"late")
        self.assertEqual(len(line.application.reasons), 1)


class SendingTests(LineCase):
    """Messages on an open connection."""

    def test_message_is_one_record_and_one_immediate_system_call(self) -> None:
        line = self.line().connect()
        for size in (1, 100, MAX_RECORD_BYTES):
            self.assertEqual(line.tls.write_now(b"x" * size), size)
            self.assertEqual(line.tcp.kernel.sends, [size + OVERHEAD])
            self.assertEqual(line.read(), b"x" * size)
            line.tcp.kernel.sends.clear()
            line.received = b""
        self.assertEqual((line.clock.getDelayedCalls(), line.application.events), ([], []))

    def test_what_is_written_is_sent_at_once_too(self) -> None:
        line = self.line().connect()
        line.tls.write(b"one")
        line.tls.writeSequence([b"two", b"three"])
        line.tls.write(b"")
        self.assertEqual(line.tcp.kernel.sends, [3 + OVERHEAD, 8 + OVERHEAD])
        self.assertEqual(line.read(), b"onetwothree")

    def test_more_than_a_record_is_for_the_inherited_way(self) -> None:
        line = self.line().connect()
        data = bytes(range(256)) * 400
        self.assertEqual(line.tls.write_now(data), 0)
        self.assertEqual(line.tcp.kernel.sends, [])
        line.tls.write(data)
        self.assertEqual(line.read(), data)

    def test_client_that_asks_for_smaller_records_gets_them_in_order(self) -> None:
        """RFC 6066 section 4: OpenSSL takes a part of the message then."""
        line = self.line().connect()
        write = eager_tls._ssl_write
        self.patch(eager_tls, "_ssl_write", lambda tls, data, size: write(tls, data, min(size, 512)))
        self.assertEqual(line.tls.write_now(b"x" * 1000), 512)
        line.tls.write(b"y" * 1000)
        self.assertEqual(line.read(), b"x" * 512 + b"y" * 1000)

    def test_ciphertext_beyond_the_buffer_is_read_in_pieces(self) -> None:
        self.patch(eager_tls, "_BUFFER_BYTES", 100)
        line = self.line().connect()
        for size in (1, 77, 78, 79, 300):
            line.tls.write_now(b"x" * size)
        self.assertEqual(line.read(), b"x" * 535)

    def test_nothing_of_the_buffer_is_sent_if_openssl_gave_no_ciphertext(self) -> None:
        line = self.line().connect()
        self.patch(eager_tls, "_bio_read", lambda *arguments: -1)
        line.tls.write_now(b"hello")
        self.assertEqual(line.tcp.kernel.sends, [])

    def test_ciphertext_that_the_kernel_does_not_take_waits_in_order(self) -> None:
        line = self.line().connect()
        line.tcp.kernel.capacity = 10
        self.assertEqual(line.tls.write_now(b"first"), 5)
        self.assertEqual((line.tcp.waiting, line.application.events), (5 + OVERHEAD - 10, ["blocked"]))
        line.tls.write(b"second")
        self.assertEqual(line.tls.write_now(b"third"), 5)
        self.assertEqual(line.read_all(), b"firstsecondthird")
        self.assertEqual(line.application.events, ["blocked", "drained"])


class StateTests(LineCase):
    """Connections that do not send at once."""

    def test_message_before_the_end_of_the_handshake_is_sent_behind_it(self) -> None:
        line = self.line()
        line.tls.set_write_listener(line.application)
        self.assertEqual(line.tls.write_now(b"hello"), 0)
        line.tls.write(b"hello")
        self.assertEqual(line.application.events, ["blocked"])
        line.connect()
        self.assertEqual((line.read(), line.application.events), (b"hello", ["blocked", "drained"]))

    def test_close_says_goodbye_and_sends_nothing_more(self) -> None:
        line = self.line().connect()
        line.tls.write_now(b"last")
        line.tls.loseConnection()
        self.assertEqual(line.tls.write_now(b"late"), 0)
        line.tls.write(b"late")
        self.assertEqual(line.read(), b"last")
        line.send(line.client.close())
        line.tcp.turn()
        self.assertEqual(line.application.reasons, [ConnectionDone])

    def test_what_waits_is_sent_before_the_goodbye(self) -> None:
        line = self.line().connect()
        line.tcp.kernel.capacity = 0
        line.tls.write_now(b"last")
        line.tls.loseConnection()
        self.assertEqual(line.read_all(), b"last")
        line.send(line.client.close())
        line.tcp.turn()
        self.assertEqual(line.application.reasons, [ConnectionDone])

    def test_client_that_says_goodbye_is_answered_and_sent_nothing_more(self) -> None:
        line = self.line().connect()
        line.send(line.client.close())
        self.assertEqual(line.tls.write_now(b"late"), 0)
        line.tcp.turn()
        self.assertEqual((line.read(), line.application.reasons), (b"", [ConnectionDone]))

    def test_garbage_ends_the_connection(self) -> None:
        line = self.line().connect()
        line.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        self.assertEqual(line.tls.write_now(b"late"), 0)
        line.tcp.turn()
        self.assertEqual(line.application.reasons, [SSL.Error])

    def test_listener_is_told_before_the_socket_is_closed(self) -> None:
        line = self.line().connect()
        line.tcp.hang_up()
        self.assertEqual(line.application.events, ["closing"])

    def test_listener_that_is_taken_away_is_told_nothing(self) -> None:
        line = self.line().connect()
        line.tls.set_write_listener(None)
        line.tcp.kernel.capacity = 0
        line.tls.write_now(b"hello")
        self.assertEqual((line.read_all(), line.application.events), (b"hello", []))

    def test_transport_that_is_not_tcp_is_written_to_by_twisted(self) -> None:
        line = self.line()
        self.assertTrue(line.tls.is_eager)
        transport = MemoryTransport(line.tls)
        other = line.tls.factory.buildProtocol(None)
        other.makeConnection(transport)
        self.assertFalse(other.is_eager)
        client = MemoryTLSClient(AUTHORITY, Path(self.mktemp()))
        while data := client.handshake():
            other.dataReceived(data)
            client.receive(transport.drain())
        self.assertEqual(other.write_now(b"hello"), 0)
        other.set_write_listener(None)
        other.write(b"hello")
        self.assertEqual(client.decrypt(transport.drain()), b"hello")


class HandshakeMessageTests(LineCase):
    """Messages of the TLS handshake that come when it is over."""

    def test_client_that_changes_its_keys_gets_messages_under_new_ones(self) -> None:
        line = self.line().connect()
        for number in range(3):
            if number == 1:
                line.send(line.client.forge(KEY_UPDATE))
            self.assertEqual(line.tls.write_now(b"%d" % number), 1)
        self.assertEqual(line.read(), b"012")

    def test_nothing_is_sent_during_an_unfinished_message_and_all_of_it_afterwards(self) -> None:
        line = self.line().connect()
        line.send(line.client.forge(KEY_UPDATE[:4]))
        self.assertEqual(line.tls.write_now(b"first"), 0)
        for data in (b"second", b"third"):
            line.tls.write(data)
        self.assertEqual((line.tcp.kernel.sends, line.application.events), ([], ["blocked"]))
        line.send(line.client.forge(KEY_UPDATE[4:]))
        self.assertEqual(line.application.events, ["blocked", "drained"])
        self.assertEqual(line.tls.write_now(b"fourth"), 6)
        self.assertEqual(line.read(), b"secondthirdfourth")

    def test_unfinished_message_delays_what_is_written_without_a_listener_too(self) -> None:
        line = self.line().connect()
        line.tls.set_write_listener(None)
        line.send(line.client.forge(KEY_UPDATE[:4]))
        line.tls.write(b"hello")
        line.send(line.client.forge(KEY_UPDATE[4:]))
        self.assertEqual((line.read(), line.application.events), (b"hello", []))

    def test_listener_waits_for_the_kernel_behind_an_unfinished_message(self) -> None:
        line = self.line().connect()
        line.send(line.client.forge(KEY_UPDATE[:4]))
        line.tls.write(b"hello")
        line.tcp.kernel.capacity = 0
        line.send(line.client.forge(KEY_UPDATE[4:]))
        self.assertEqual(line.application.events, ["blocked"])
        self.assertEqual(line.read_all(), b"hello")
        self.assertEqual(line.application.events, ["blocked", "drained"])

    def test_kernel_that_catches_up_during_an_unfinished_message_changes_nothing(self) -> None:
        line = self.line().connect()
        line.tcp.kernel.capacity = 0
        line.tls.write_now(b"first")
        line.send(line.client.forge(KEY_UPDATE[:4]))
        line.tls.write(b"second")
        self.assertEqual((line.read_all(), line.application.events), (b"first", ["blocked"]))
        line.send(line.client.forge(KEY_UPDATE[4:]))
        self.assertEqual((line.read(), line.application.events), (b"firstsecond", ["blocked", "drained"]))

    def test_renegotiation_is_refused_and_messages_go_on(self) -> None:
        """Only TLS 1.2 has it."""
        line = self.line(version=ssl.TLSVersion.TLSv1_2)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context)
        client.set_connect_state()
        for _ in range(4):
            self.assert_wants_more(client.do_handshake)
            self.exchange(client, line)
        client.renegotiate()
        self.assert_wants_more(client.do_handshake)
        self.assertEqual(line.tls.write_now(b"hello"), 5)
        self.exchange(client, line)
        self.assertEqual(client.recv(100), b"hello")
        error = self.assertRaises(SSL.Error, client.do_handshake)
        self.assertIn("no renegotiation", str(error))
        self.assertEqual(line.tls.write_now(b"again"), 5)

    def assert_wants_more(self, step: Any) -> None:
        """Carry out a step of a handshake."""
        try:
            step()
        except SSL.WantReadError:
            pass

    def exchange(self, client: SSL.Connection, line: Line) -> None:
        """Pass the output of each side to the other."""
        try:
            line.send(client.bio_read(65536))
        except SSL.WantReadError:
            pass
        if data := line.tcp.drain():
            client.bio_write(data)


class WriterTests(LineCase):
    """A writer of which the transport is TLS."""

    def open(self, **arguments: Any) -> tuple[Line, ConnectionWriter]:
        """Return a connection, and its open writer."""
        line = self.line(**arguments).connect()
        clock: Any = line.clock
        owner: Any = line.application
        shared = ConnectionWriters(Settings(max_outbox_bytes=LIMIT, max_outbox_seconds=5), TimerWheel(clock))
        writer = ConnectionWriter(owner, shared)
        writer.connect(line.tls)
        writer.open()
        self.addCleanup(writer.connection_lost)
        return line, writer

    def test_messages_are_sent_at_once(self) -> None:
        line, writer = self.open()
        writer.send(b"one")
        writer.send_control(b"two")
        self.assertEqual(line.tcp.kernel.sends, [3 + OVERHEAD] * 2)
        self.assertEqual((line.read(), writer.is_writable, writer.descriptor), (b"onetwo", True, -1))

    def test_messages_wait_in_the_outbox_while_the_kernel_is_full(self) -> None:
        line, writer = self.open()
        line.tcp.kernel.capacity = 0
        for number in range(9):
            writer.send(b"%d" % number * 100)
        writer.send_control(b"ping")
        self.assertEqual((line.tcp.waiting, writer.is_writable), (100 + OVERHEAD, False))
        self.assertEqual(line.read_all(), b"".join(b"%d" % number * 100 for number in range(9)) + b"ping")
        self.assertTrue(writer.is_writable)

    def test_large_message_waits_in_pieces(self) -> None:
        line, writer = self.open()
        data = bytes(range(256)) * 1000
        line.tcp.kernel.capacity = 100
        writer.send(data)
        self.assertLess(line.tcp.waiting, PIECE_BYTES + 8 * OVERHEAD)
        self.assertEqual((line.read_all(), writer.is_writable), (data, True))
        self.assertEqual(line.application.events, ["emptied"])

    def assert_closed_as_slow(self, line: Line, writer: ConnectionWriter) -> None:
        """Assert that messages wait up to the limit, and that the next one closes the connection."""
        for _ in range(LIMIT // 100 + 1):
            self.assertEqual(line.application.disconnects, [])
            writer.send(b"x" * 100)
        writer.send(b"x" * 100)
        self.assertEqual(line.application.disconnects[:1], [Disconnect.SLOW])

    def test_client_that_does_not_read_is_closed_as_slow(self) -> None:
        line, writer = self.open()
        line.tcp.kernel.capacity = 0
        self.assert_closed_as_slow(line, writer)

    def test_client_that_never_ends_a_message_of_the_handshake_is_closed_as_slow(self) -> None:
        line, writer = self.open()
        line.send(line.client.forge(KEY_UPDATE[:4]))
        self.assert_closed_as_slow(line, writer)
        self.assertLessEqual(len(line.tls._appSendBuffer), 1)

    def test_connection_that_is_closed_ends_behind_what_waits_also_where_twisted_writes(self) -> None:
        for factory in (EagerTLSFactory, TLSMemoryBIOFactory):
            line, writer = self.open(factory=factory)
            line.tcp.kernel.capacity = 0
            writer.send(b"x" * PIECE_BYTES)
            writer.send(b"last")
            writer.finish()
            line.tls.loseConnection()
            self.assertEqual(line.read_all()[-5:], b"xlast")
            self.assertTrue(line.tls._tlsConnection.get_shutdown() & SSL.SENT_SHUTDOWN, factory)
            line.send(line.client.close())
            line.tcp.turn()
            self.assertEqual(line.application.reasons, [ConnectionDone])

    def test_lost_connection_is_no_more_told_about_by_twisted(self) -> None:
        line, writer = self.open(factory=TLSMemoryBIOFactory)
        line.tcp.hang_up()
        writer.connection_lost()
        self.assertIsNone(line.tls._producer)

    def test_lost_connection_has_no_listener(self) -> None:
        line, writer = self.open()
        writer.connection_lost()
        self.assertEqual((line.tls._write_listener, line.tcp._write_listener), (None, None))


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.one_of(st.integers(0, 300), st.integers(16_300, 50_000))),
        st.tuples(st.just("now"), st.integers(0, 300)),
        st.tuples(st.just("read"), st.integers(1, 20_000)),
        st.tuples(st.just("room"), st.sampled_from((0, 0, 1, 50, 5000))),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=30,
)


class DifferentialTests(LineCase):
    """The same on Twisted's own transport, which collects small writes."""

    @settings(max_examples=40)
    @given(EVENTS)
    def test_client_receives_the_same_bytes_by_both_ways(self, events: list[tuple[str, int]]) -> None:
        lines = [
            Line(Path(self.mktemp()), factory=factory).connect() for factory in (EagerTLSFactory, TLSMemoryBIOFactory)
        ]
        self.assertEqual([type(line.tls) for line in lines], [EagerTLS, BufferingTLSTransport])
        written = b""
        for event, size in events:
            data = (b"%d," % len(written) * (size // 2 + 1))[:size] if event in ("write", "now") else b""
            written += data
            for line in lines:
                self.do(line, event, size, data)
        for line in lines:
            line.tls.loseConnection()
            self.assertEqual(line.read_all(), written)
            line.send(line.client.close())
            line.tcp.turn()
            self.assertEqual(line.application.reasons, [ConnectionDone])

    def do(self, line: Line, event: str, size: int, data: bytes) -> None:
        """Carry out one event."""
        if event == "now" and isinstance(line.tls, EagerTLS):
            self.assertEqual(line.tls.write_now(data), size)
        elif event in ("write", "now"):
            line.tls.write(data)
        elif event == "read":
            line.read(size)
        elif event == "room":
            line.tcp.kernel.capacity = size
            line.tcp.turn()
        else:
            line.clock.advance(0)


class RealTests(RealEdgeCase):
    """Connections of loopback, and Twisted's client."""

    async def test_client_gets_every_byte_though_it_stalls(self) -> None:
        applications: list[Application] = []

        def build() -> Application:
            applications.append(Application())
            return applications[-1]

        self._authority = AUTHORITY
        endpoint = TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1")
        self._port = await endpoint.listen(EagerTLSFactory(OPTIONS, False, Factory.forProtocol(build)))
        self.addCleanup(self._port.stopListening)
        write_eagerly(self._port)
        caller = await self.connect()
        caller.write(b"hello")
        while not (applications and applications[0].received):
            await self.next_turn()
        (application,) = applications
        tls = application.transport
        self.assertIsInstance(tls, EagerTLS)
        tls.set_write_listener(application)
        sent = b""
        caller.transport.pauseProducing()
        while not application.events:
            piece = b"%08d" % len(sent) * 500
            sent += piece
            self.assertEqual(tls.write_now(piece), 4000)
        caller.transport.resumeProducing()
        self.assertEqual(await caller.until(sent[-4000:]), sent)
        self.assertEqual(application.events, ["blocked", "drained"])
        tls.write_now(b"last")
        tls.loseConnection()
        await caller.ended
        self.assertEqual((caller.data, caller.was_reset), (b"last", False))
        while not application.reasons:
            await self.next_turn()
        self.assertEqual(application.reasons, [ConnectionDone])


class UpstreamTests(SynchronousTestCase):
    """The parts of Twisted and pyOpenSSL that the module depends on. If one fails, the module needs a review."""

    def test_attributes_and_methods_of_twisted_are_used_as_expected(self) -> None:
        for name in ("_handshakeDone", "_lostTLSConnection", "disconnecting"):
            self.assertEqual(getattr(TLSMemoryBIOProtocol, name), 0)
        source = inspect.getsource(TLSMemoryBIOProtocol)
        for words in (
            "self._tlsConnection = self.factory._creatorCallable(self)",
            "self._appSendBuffer = []",
            "self._handshakeDone = True",
            "self._lostTLSConnection = True",
            "self.disconnecting = True",
            "self._checkHandshakeStatus()",
            "self._shutdownTLS()",
            "self._tlsShutdownFinished(",
            "self._bufferedWrite(",
            "self._unbufferPendingWrites()",
            "self._flushSendBIO()",
        ):
            self.assertIn(words, source)
        self.assertIs(TLSMemoryBIOFactory.protocol, BufferingTLSTransport)
        for name in ("dataReceived", "loseConnection", "abortConnection", "writeSequence"):
            self.assertIs(getattr(EagerTLS, name), getattr(TLSMemoryBIOProtocol, name))

    def test_send_of_pyopenssl_does_what_is_done_here(self) -> None:
        for method, words in (
            (SSL.Connection.send, "_lib.SSL_write(self._ssl, data, len(data))"),
            (SSL.Connection.send, "self._raise_ssl_error(self._ssl, result)"),
            (SSL.Connection.bio_read, "_lib.BIO_read(self._from_ssl, buf, bufsiz)"),
            (SSL.Context.__init__, "SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER"),
        ):
            self.assertIn(words, inspect.getsource(method))
        ssl_module: Any = SSL
        self.assertIs(ssl_module._lib, _util.lib)
