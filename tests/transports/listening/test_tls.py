"""Tests of wsrelay.transports.listening.tls: real handshakes, in memory where that shows the same."""

from __future__ import annotations

import contextlib
import gc
import shutil
import socket
import ssl
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, TCP4ServerEndpoint, serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

from devtools.harness.certificates import Issuer, chain_of, key_of
from tests.support.edge import DEADLINE_SECONDS, REACTOR, EdgeCase, RealEdgeCase
from tests.support.in_memory_relay import InMemoryRelay
from tests.transports.listening.test_certificates import KUBERNETES
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.eager_tcp import EagerServer, write_eagerly
from wsrelay.transports.listening.proxy_protocol import ProxyHeaderFactory, behind_proxy
from wsrelay.transports.listening.socket_options import underlying
from wsrelay.transports.listening.tls import LOOK_SECONDS, ReloadingTLS, under_tls

HEADER = b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443\r\n"
"""What a balancer sends in front of TLS."""

NOW = datetime.now(UTC)


class Echo(Protocol):
    """Says it again."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Guest:
    """A client of Python's own TLS, on a protocol that a factory of ours makes, without a socket.

    Args:
        factory: What makes the relay's side.
        clock: Time of the relay's side.
        context: What the client trusts and speaks.
        name: The server name that it asks for. None: it asks for none.
        session: One of an earlier connection that it would like to go on with.
    """

    def __init__(
        self,
        factory: Any,
        clock: Clock,
        context: ssl.SSLContext,
        name: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._clock = clock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=name, session=session)
        self.protocol = factory.buildProtocol(None)
        self.transport = MemoryTransport(self.protocol)
        self.protocol.makeConnection(self.transport)

    def shake_hands(self) -> Guest:
        """Until both sides are content; raises what the client does where they are not."""
        for _ in range(4):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
            except ssl.SSLError:
                self.exchange()
                raise
        return self

    def exchange(self) -> None:
        """What each side has to say reaches the other."""
        if (data := self._out.read()) and self.transport.connected:
            self.protocol.dataReceived(data)
        self._clock.advance(0)
        self._in.write(self.transport.drain())

    def echo(self, data: bytes) -> bytes:
        """What comes back for what is sent."""
        self.tls.write(data)
        self.exchange()
        return self.tls.read(1000)

    def hosts(self) -> list[str]:
        """Whom the certificate that was shown is for."""
        shown: Any = self.tls.getpeercert()
        return [host for _, host in shown["subjectAltName"]]


class TLSCase(SynchronousTestCase):
    """With an authority, a folder, a clock, and a log that is looked at."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.issuer = Issuer(self.folder)
        self.clock = Clock()
        self.events: Any = self.enterContext(capturedLogs())

    def logged(self) -> list[str]:
        """The lines of the log since this was last asked, with their levels and with short names of files."""
        events, self.events[:] = list(self.events), []
        lines = [f"{event['log_level'].name}: {formatEvent(event)}" for event in events]
        return [line.replace(f"{self.folder}/", "") for line in lines]

    def creator(self, *paths: Path, minimum: str = "1.2") -> ReloadingTLS:
        """Certificates of these paths, else of the whole folder."""
        given: Any = self.clock
        return ReloadingTLS(paths or [self.folder], minimum, given, datetime.now(UTC).timestamp)

    def watching(self, *paths: Path) -> ReloadingTLS:
        """The same, watching their files, and a log that has nothing about it yet."""
        creator = self.creator(*paths)
        creator.start()
        self.addCleanup(creator.stop)
        self.logged()
        return creator

    def client(self, *, checks_name: bool = True) -> ssl.SSLContext:
        """A client that trusts the authority."""
        context = ssl.create_default_context()
        self.issuer.authority.configure_trust(context)
        context.check_hostname = checks_name
        return context

    def comes(self, creator: ReloadingTLS, name: str | None, context: Any = None, session: Any = None) -> Guest:
        """A client that has connected and said nothing."""
        given: Any = self.clock
        factory = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(Echo), given)
        return Guest(factory, self.clock, context or self.client(checks_name=False), name, session)

    def hosts(self, creator: ReloadingTLS, name: str | None) -> list[str]:
        """Whom the certificate is for that a client gets for a name."""
        return self.comes(creator, name).shake_hands().hosts()


class HandshakeTests(TLSCase):
    """What a client is shown, and what is spoken with it."""

    def test_names(self) -> None:
        """A client gets the certificate for the name it asks for, else the first one; so does who asks for none."""
        self.issuer.pem("1.pem", "first.example")
        self.issuer.pem("2.pem", "*.wild.example")
        self.issuer.pem("3.pem", "third.example", "in.wild.example")
        creator = self.creator()
        for name, expected in (
            ("first.example", ["first.example"]),
            ("third.example", ["third.example", "in.wild.example"]),
            ("THIRD.example", ["third.example", "in.wild.example"]),
            ("in.wild.example", ["third.example", "in.wild.example"]),
            ("any.wild.example", ["*.wild.example"]),
            ("a.b.wild.example", ["first.example"]),
            ("unknown.example", ["first.example"]),
            (None, ["first.example"]),
        ):
            self.assertEqual(self.hosts(creator, name), expected)

    def test_chain(self) -> None:
        """The certificates behind the first are sent with it, so that who trusts the root believes; under each name."""
        child = self.issuer.authority.create_child_ca()
        for host in ("a.example", "b.example"):
            leaf = child.issue_cert(host)
            self.issuer.write(f"{host}.pem", key_of(leaf), chain_of(leaf))
        creator = self.creator()
        for host in ("a.example", "b.example"):
            guest = self.comes(creator, host, self.client()).shake_hands()
            self.assertEqual(guest.echo(b"hello"), b"hello")

    def version(self, creator: ReloadingTLS, version: ssl.TLSVersion) -> str | None:
        """What is spoken with a client that speaks nothing else."""
        context = self.client()
        # Its own library would refuse the older ones.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        self.flushWarnings()
        return self.comes(creator, "a.example", context).shake_hands().tls.version()

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, or 1.3 alone, and what is older never."""
        self.issuer.pem("a.pem", "a.example")
        both, newest = self.creator(), self.creator(minimum="1.3")
        self.assertEqual(self.version(both, ssl.TLSVersion.TLSv1_2), "TLSv1.2")
        self.assertEqual(self.version(both, ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        self.assertEqual(self.version(newest, ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        for creator, version in ((both, ssl.TLSVersion.TLSv1_1), (newest, ssl.TLSVersion.TLSv1_2)):
            with self.assertRaisesRegex(ssl.SSLError, "(?i)protocol.version"):
                self.version(creator, version)

    def test_application_protocol(self) -> None:
        """HTTP/1.1 is what is agreed on, under each name, also with who would rather have HTTP/2; none is no matter."""
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "b.example")
        creator = self.creator()
        for name in ("a.example", "b.example"):
            context = self.client()
            self.assertIsNone(self.comes(creator, name, context).shake_hands().tls.selected_alpn_protocol())
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.assertEqual(self.comes(creator, name, context).shake_hands().tls.selected_alpn_protocol(), "http/1.1")
            context.set_alpn_protocols(["h2"])
            self.assertRaises(ssl.SSLError, self.comes(creator, name, context).shake_hands)

    def test_resumption(self) -> None:
        """No session is resumed: under the same name, or another, each connection is shown its certificate."""
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "b.example")
        creator = self.creator()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.client()
            context.maximum_version = version
            first = self.comes(creator, "a.example", context).shake_hands()
            first.echo(b"a session comes with what is read")
            for name in ("a.example", "b.example"):
                guest = self.comes(creator, name, context, first.tls.session).shake_hands()
                self.assertFalse(guest.tls.session_reused)
                self.assertEqual(guest.hosts(), [name])

    def test_renegotiation(self) -> None:
        """A client cannot have the relay shake hands again and again on one connection, as TLS 1.2 would have it."""
        self.issuer.pem("a.pem", "a.example")
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context, None)
        client.set_connect_state()
        guest = self.comes(self.creator(), None)
        for _ in range(4):
            with contextlib.suppress(SSL.WantReadError):
                client.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                guest.protocol.dataReceived(client.bio_read(65536))
            if data := guest.transport.drain():
                client.bio_write(data)
        client.renegotiate()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        guest.protocol.dataReceived(client.bio_read(65536))
        client.bio_write(guest.transport.drain())
        with self.assertRaisesRegex(SSL.Error, "no renegotiation"):
            client.do_handshake()

    def test_nonsense(self) -> None:
        """What is no TLS at all ends with the connection, and nothing is written about it."""
        self.issuer.pem("a.pem", "a.example")
        creator = self.creator()
        self.logged()
        guest = self.comes(creator, "a.example")
        guest.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        guest.transport.drain()
        self.assertFalse(guest.transport.connected)
        self.assertEqual(self.logged(), [])


class ReloadTests(TLSCase):
    """Certificates that change."""

    def test_at_once(self) -> None:
        """A reload is at once for who comes then, and one line says what there is; who is there is not touched."""
        self.issuer.pem("a.pem", "a.example", "old.example")
        creator = self.creator()
        self.assertEqual(self.logged(), ["info: certificates loaded: 1, names a.example, old.example"])
        guest = self.comes(creator, "a.example").shake_hands()
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "*.b.example")
        creator.reload()
        self.assertEqual(self.logged(), ["info: certificates loaded: 2, names a.example, *.b.example"])
        self.assertEqual(guest.echo(b"hello"), b"hello")
        self.assertEqual(guest.hosts(), ["a.example", "old.example"])
        self.assertEqual(self.hosts(creator, "a.example"), ["a.example"])
        self.assertEqual(self.hosts(creator, "x.b.example"), ["*.b.example"])

    def test_amid_handshakes(self) -> None:
        """Who connected before a reload and speaks after it gets the new certificate, whichever it asks for."""
        for name in ("a", "b"):
            self.issuer.pem(f"{name}.pem", f"{name}.example", "old.example")
        creator = self.creator()
        names = ("a.example", "b.example", "unknown.example", "old.example", None)
        guests = [self.comes(creator, name) for name in names]
        for name in ("a", "b"):
            self.issuer.pem(f"{name}.pem", f"{name}.example")
        creator.reload()
        hosts = [guest.shake_hands().hosts() for guest in guests]
        self.assertEqual(hosts, [["a.example"], ["b.example"], ["a.example"], ["a.example"], ["a.example"]])

    def test_what_openssl_refers_to(self) -> None:
        """The context that a connection began with lives as long as the connection, and no longer."""
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "b.example")
        creator = self.creator()
        began_with = weakref.ref(creator._certificates.default)
        guest = self.comes(creator, "b.example")
        creator.reload()
        guest.shake_hands()
        gc.collect()
        self.assertIsNotNone(began_with())
        self.assertEqual(guest.echo(b"hello"), b"hello")
        guest.protocol.abortConnection()
        del guest
        gc.collect()
        self.assertIsNone(began_with())

    def test_mistake(self) -> None:
        """What cannot be used changes nothing; each reload that is asked for says why."""
        path = self.issuer.pem("a.pem", "a.example")
        creator = self.creator(path)
        expires = creator.expires
        self.logged()
        self.issuer.write("a.pem", b"nonsense")
        line = "error: certificates not loaded, the old ones stay: tls_certificates: a.pem holds no certificate"
        for _ in range(2):
            creator.reload()
            self.assertEqual(self.logged(), [line])
        self.assertEqual(self.hosts(creator, "a.example"), ["a.example"])
        self.assertEqual(creator.expires, expires)

    def test_expired(self) -> None:
        """A certificate that has expired does not take the place of one that is good."""
        day = timedelta(days=1)
        path = self.issuer.pem("a.pem", "a.example", not_before=NOW - day, not_after=NOW + day)
        creator = self.creator(path)
        self.logged()
        self.issuer.pem("a.pem", "new.example", not_before=NOW - 9 * day, not_after=NOW - day)
        creator.reload()
        (line,) = self.logged()
        self.assertTrue(line.endswith("one of the new ones has expired, and all that are in use are good"), line)
        self.assertEqual(self.hosts(creator, "a.example"), ["a.example"])

    def test_mistake_at_the_start(self) -> None:
        """Without certificates there is no beginning."""
        with self.assertRaisesRegex(ConfigError, r"^tls_certificates: .*x\.pem cannot be read: No such file"):
            self.creator(self.folder / "x.pem")

    def test_dates(self) -> None:
        """What has expired, or is for later, is served all the same, with a warning; when the first ends is known."""
        day = timedelta(days=1)
        past = NOW.replace(microsecond=0) - day
        self.issuer.pem("1.pem", "good.example", not_before=NOW - day, not_after=NOW + day)
        self.issuer.pem("2.pem", "past.example", not_before=NOW - 9 * day, not_after=past)
        self.issuer.pem("3.pem", "later.example", not_before=NOW.replace(microsecond=0) + day, not_after=NOW + 2 * day)
        creator = self.creator()
        _, *warnings = self.logged()
        self.assertEqual(
            warnings,
            [
                f"warn: 2.pem holds a certificate that expired {past.isoformat()}",
                f"warn: 3.pem holds a certificate for later, from {(past + 2 * day).isoformat()}",
            ],
        )
        self.assertEqual(creator.expires, past.timestamp())
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "certificate has expired"):
            self.hosts(creator, "past.example")


class WatchTests(TLSCase):
    """Files that are looked at."""

    def look(self, times: int = 1) -> list[str]:
        """Let the files be looked at so many times; gives what is logged."""
        for _ in range(times):
            self.clock.advance(LOOK_SECONDS)
        return self.logged()

    def test_quiet(self) -> None:
        """While nothing changes nothing is read, and nothing is written; a watch that is stopped leaves no timer."""
        self.issuer.pem("a.pem", "a.example")
        creator = self.watching()
        self.assertEqual(self.look(5), [])
        creator.stop()
        creator.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_renewed(self) -> None:
        """A certificate that is renewed is loaded at the second look that finds the same, and once."""
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        self.issuer.pair("a", "a.example", "more.example")
        self.assertEqual(self.look(), [])
        self.assertEqual(self.hosts(creator, "more.example"), ["a.example"])
        self.assertEqual(self.look(), ["info: certificates loaded: 1, names a.example, more.example"])
        self.assertEqual(self.hosts(creator, "more.example"), ["a.example", "more.example"])
        self.assertEqual(self.look(5), [])

    def test_half_written(self) -> None:
        """Of a pair that is written slowly nothing is read before both files are the same for two looks."""
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        leaf = self.issuer.authority.issue_cert("new.example")
        self.issuer.write("a/privkey.pem", key_of(leaf))
        self.assertEqual(self.look(), [])
        self.issuer.write("a/fullchain.pem", chain_of(leaf)[:100])
        self.assertEqual(self.look(), [])
        self.issuer.write("a/fullchain.pem", chain_of(leaf))
        self.assertEqual(self.look(), [])
        self.assertEqual(self.hosts(creator, None), ["a.example"])
        self.assertEqual(self.look(), ["info: certificates loaded: 1, names new.example"])
        self.assertEqual(self.hosts(creator, None), ["new.example"])

    def test_mistake(self) -> None:
        """A mistake is said once, however long it stays; the old certificates serve until it is mended."""
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        leaf = self.issuer.authority.issue_cert("new.example")
        self.issuer.write("a/privkey.pem", key_of(leaf))
        (line,) = self.look(9)
        self.assertTrue(
            line.startswith("error: certificates not loaded, the old ones stay: tls_certificates: a/privkey")
        )
        self.assertEqual(self.hosts(creator, None), ["a.example"])
        self.issuer.write("a/fullchain.pem", chain_of(leaf))
        self.assertEqual(self.look(9), ["info: certificates loaded: 1, names new.example"])
        self.assertEqual(self.hosts(creator, None), ["new.example"])

    def test_mended_by_what_was_there(self) -> None:
        """A mistake that is taken back is a change, too."""
        path = self.issuer.pem("a.pem", "a.example")
        creator = self.watching(path)
        before = path.read_bytes()
        path.unlink()
        (line,) = self.look(3)
        self.assertTrue(line.endswith("a.pem cannot be read: No such file or directory"))
        path.write_bytes(before)
        self.assertEqual(self.look(3), ["info: certificates loaded: 1, names a.example"])
        self.assertEqual(self.hosts(creator, None), ["a.example"])

    def test_directory(self) -> None:
        """In a directory certificates may come and go; the last one stays."""
        self.issuer.pair("a", "a.example")
        creator = self.watching()
        self.issuer.pair("b", "b.example")
        self.assertEqual(self.look(3), ["info: certificates loaded: 2, names a.example, b.example"])
        self.assertEqual(self.hosts(creator, "b.example"), ["b.example"])
        shutil.rmtree(self.folder / "a")
        self.assertEqual(self.look(3), ["info: certificates loaded: 1, names b.example"])
        self.assertEqual(self.hosts(creator, "a.example"), ["b.example"])
        shutil.rmtree(self.folder / "b")
        (line,) = self.look(3)
        self.assertIn("the old ones stay: tls_certificates: there is no certificate in ", line)
        self.assertEqual(self.hosts(creator, None), ["b.example"])

    def test_kubernetes(self) -> None:
        """A secret that Kubernetes replaces, by turning one hidden link, is a change."""
        self.issuer.pair("mount/..1", "a.example", files=KUBERNETES)
        self.issuer.pair("mount/..2", "b.example", files=KUBERNETES)
        mount = self.folder / "mount"
        (mount / "..data").symlink_to("..1")
        for file in KUBERNETES:
            (mount / file).symlink_to(Path("..data") / file)
        creator = self.watching(mount)
        self.assertEqual(self.hosts(creator, None), ["a.example"])
        (mount / "..data_tmp").symlink_to("..2")
        (mount / "..data_tmp").rename(mount / "..data")
        self.assertEqual(self.look(3), ["info: certificates loaded: 1, names b.example"])
        self.assertEqual(self.hosts(creator, None), ["b.example"])

    def test_reload_meanwhile(self) -> None:
        """What a reload has read already is not read again by the watch; what it came too early for is."""
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        self.issuer.pair("a", "new.example")
        self.look()
        creator.reload()
        self.assertEqual(self.logged(), ["info: certificates loaded: 1, names new.example"])
        self.assertEqual(self.look(3), [])
        leaf = self.issuer.authority.issue_cert("newer.example")
        self.issuer.write("a/privkey.pem", key_of(leaf))
        creator.reload()
        self.assertEqual(len(self.logged()), 1)
        self.issuer.write("a/fullchain.pem", chain_of(leaf))
        self.assertEqual(self.look(3), ["info: certificates loaded: 1, names newer.example"])


class SilentTests(EdgeCase):
    """Those who do not get as far as a request, below which there is TLS and a PROXY header."""

    def test_silence(self) -> None:
        """Whoever stops anywhere before the end of a request head is disconnected when the handshake time is over."""
        folder = Path(self.mktemp())
        folder.mkdir()
        issuer = Issuer(folder)
        house = self.house(handshake_timeout_seconds=5)
        creator = ReloadingTLS([issuer.pem("a.pem", "a.example")], "1.2", house.clock, datetime.now(UTC).timestamp)
        factory = ProxyHeaderFactory(TLSMemoryBIOFactory(creator, False, house.door, house.clock))
        context = ssl.create_default_context()
        issuer.authority.configure_trust(context)
        for header, shakes_hands, words in (
            (b"", False, b""),
            (HEADER[:9], False, b""),
            (HEADER, False, b""),
            (HEADER, True, b""),
            (HEADER, True, b"GET / HTTP/1.1\r\n"),
        ):
            guest = Guest(factory, house.clock, context, "a.example")
            guest.protocol.dataReceived(header)
            if shakes_hands:
                guest.shake_hands()
            if words:
                guest.tls.write(words)
                guest.exchange()
            house.pass_time(4.5)
            self.assertTrue(guest.transport.connected)
            house.pass_time(4.5)
            self.assertFalse(guest.transport.connected)


class UnderlyingTests(SynchronousTestCase):
    """What is below."""

    def test_depths(self) -> None:
        """A transport is below any number of wrappers, or none, also when the connection is gone."""
        transport = MemoryTransport()
        self.assertIs(underlying(transport), transport)
        outer: Any = transport
        for _ in range(3):
            inner, outer = outer, ProtocolWrapper(WrappingFactory(Factory()), Protocol())
            outer.makeConnection(inner)
            self.assertIs(underlying(outer), transport)
        outer.connectionLost(Failure(ConnectionDone()))
        self.assertIs(underlying(outer), transport)
        self.assertIsNone(underlying(None))


class RealTLSTests(RealEdgeCase):
    """Real sockets, and a client that is none of ours: the `websockets` library on Python's own TLS, in a thread."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.issuer = Issuer(folder)
        self.context = ssl.create_default_context()
        self.issuer.authority.configure_trust(self.context)
        self.issuer.pem("1.pem", "a.example")
        self.issuer.pem("2.pem", "b.example")
        self.creator = ReloadingTLS([folder], "1.2", REACTOR, datetime.now(UTC).timestamp)

    async def listen(self, below: IStreamServerEndpoint, broker: Any = None) -> InMemoryRelay:
        """A relay under TLS, on top of an endpoint, until the test is over."""
        house = InMemoryRelay(broker, clock=REACTOR)
        self._port = await under_tls(self.creator, below).listen(house.door)
        write_eagerly(self._port)
        self.addCleanup(self._close, house, self._port)
        return house

    def visit(self, name: str, messages: int = 1, first: bytes = b"") -> tuple[list[str], list[Any]]:
        """Whom the certificate was for, and what came; called in a thread.

        Args:
            name: The server that the client believes to talk to.
            messages: How many it waits for.
            first: What is sent before TLS begins.
        """
        with socket.create_connection(self.address(), timeout=DEADLINE_SECONDS) as plain:
            plain.sendall(first)
            with connect(f"wss://{name}/ws/room", sock=plain, ssl=self.context, proxy=None) as client:
                encrypted: Any = client.socket
                hosts = [host for _, host in encrypted.getpeercert()["subjectAltName"]]
                return hosts, [client.recv(timeout=DEADLINE_SECONDS) for _ in range(messages)]

    def address(self) -> tuple[str, int]:
        """Where the relay listens."""
        host = self._port.getHost()
        return host.host, host.port

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until something is so."""
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while not happened():
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)

    async def test_server_names(self) -> None:
        """Through the front door each client gets the certificate for the name it asks for, and messages."""
        house = await self.listen(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"))
        visits = [deferToThread(self.visit, name) for name in ("a.example", "b.example")]
        await self.until(lambda: len(house.sockets.sockets) == 2)
        house.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visits[0], (["a.example"], ["hello"]))
        self.assertEqual(await visits[1], (["b.example"], ["hello"]))

    async def test_reload(self) -> None:
        """A reload takes nothing from who is there, and gives who comes the new certificate."""
        house = await self.listen(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"))
        first = deferToThread(self.visit, "b.example", 2)
        await self.until(lambda: house.sockets.sockets)
        house.node.publications_received([Publication("room", b"before")])
        self.issuer.pem("2.pem", "b.example", "new.example")
        self.creator.reload()
        second = deferToThread(self.visit, "b.example")
        await self.until(lambda: len(house.sockets.sockets) == 2)
        house.node.publications_received([Publication("room", b"after")])
        self.assertEqual(await first, (["b.example"], ["before", "after"]))
        self.assertEqual(await second, (["b.example", "new.example"], ["after"]))

    async def from_balancer(self, below: IStreamServerEndpoint) -> None:
        """A client of whom a balancer says where it comes from, before TLS begins."""
        broker = FakeBroker()
        house = await self.listen(below, broker)
        visit = deferToThread(self.visit, "b.example", first=HEADER)
        await self.until(lambda: house.sockets.waiting)
        (guest,) = house.sockets.waiting
        handshake: Any = guest._handshake
        self.assertEqual(handshake.peer, "198.51.100.7")
        # What the front door and the kernel are told reaches through all that is wrapped around the connection.
        server = underlying(guest.transport)
        self.assertIsInstance(server, EagerServer)
        self.assertEqual(house.door.guests, 0)
        self.assertTrue(server.getTcpNoDelay())
        self.assertEqual(server.getPeer().host, "127.0.0.1")
        house.node.subscribed("room")
        await self.until(lambda: house.sockets.sockets)
        house.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visit, (["b.example"], ["hello"]))

    async def test_from_balancer(self) -> None:
        """The true address of a client reaches the handshake through TLS and our reading of a PROXY header."""
        await self.from_balancer(behind_proxy(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1")))

    async def test_upstream_haproxy(self) -> None:
        """So it does through Twisted's, for who writes that into a description of an endpoint."""
        await self.from_balancer(serverFromString(REACTOR, "haproxy:tcp:0:interface=127.0.0.1"))

    async def test_adopted(self) -> None:
        """A socket that systemd has opened already writes at once, too."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            descriptor = listening.detach()
        house = await self.listen(AdoptedStreamServerEndpoint(REACTOR, descriptor, socket.AF_INET))
        visit = deferToThread(self.visit, "a.example")
        await self.until(lambda: house.sockets.sockets)
        (guest,) = house.sockets.sockets
        self.assertIsInstance(underlying(guest.transport), EagerServer)
        house.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visit, (["a.example"], ["hello"]))


class GuardTests(TLSCase):
    """Why Twisted's own endpoint `tls:` is not used: where this fails, it may be looked at again."""

    def test_upstream(self) -> None:
        """A certificate that is renewed is never served by it."""
        self.issuer.pem("a.pem", "a.example", "old.example")
        reactor: Any = MemoryReactorClock()
        endpoint = serverFromString(reactor, f"tls:{self.folder.absolute()}:port=443")
        endpoint.listen(Factory.forProtocol(Echo))
        factory = reactor.tcpServers[0][1]
        for _ in range(2):
            guest = Guest(factory, reactor, self.client(), "a.example").shake_hands()
            self.assertEqual(guest.hosts(), ["a.example", "old.example"])
            self.issuer.pem("a.pem", "a.example")
            reactor.advance(3600)
