"""Tests of wsrelay.transports.listening.tls: real handshakes, in memory where that shows the same."""

from __future__ import annotations

import asyncio
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
from websockets.asyncio.client import connect

from devtools.harness.certificates import Issuer, chain_of, key_of
from tests.support.edge import REACTOR, EdgeCase, RealEdgeCase
from tests.support.in_memory_relay import InMemoryRelay
from tests.support.polling import DEADLINE_SECONDS
from tests.transports.listening.test_certificates import KUBERNETES
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.eager_tcp import EagerServer, write_eagerly
from wsrelay.transports.listening.proxy_protocol import ProxyHeaderFactory, behind_proxy
from wsrelay.transports.listening.socket_options import underlying
from wsrelay.transports.listening.tls import (
    CHECK_INTERVAL_SECONDS,
    EXPIRY_WARNING_INTERVAL_SECONDS,
    ReloadingTLS,
    under_tls,
)
from wsrelay.transports.listening.tls_policy import INTERMEDIATE, TLSPolicy

PROXY_HEADER = b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443\r\n"
"""Sent by a proxy in front of TLS."""

NOW = datetime.now(UTC)


class Echo(Protocol):
    """Sends back what it receives."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class TLSClient:
    """A client on Python's own TLS, without a socket.

    Args:
        factory: Makes the relay's side.
        clock: The clock of the relay's side.
        context: The client's configuration.
        name: The server name that it asks for. If None, it asks for none.
        session: The session of an earlier connection to resume.
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

    def handshake(self) -> TLSClient:
        """Complete the handshake. Raises the client's error if it fails."""
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
        """Pass the output of each side to the other."""
        if (data := self._out.read()) and self.transport.connected:
            self.protocol.dataReceived(data)
        self._clock.advance(0)
        self._in.write(self.transport.drain())

    def echo(self, data: bytes) -> bytes:
        """Send data, and return what comes back."""
        self.tls.write(data)
        self.exchange()
        return self.tls.read(1000)

    def hosts(self) -> list[str]:
        """Return the DNS names of the certificate that the relay sent."""
        shown: Any = self.tls.getpeercert()
        return [host for _, host in shown["subjectAltName"]]


class TLSCase(SynchronousTestCase):
    """A test with an authority, a folder, a clock, and captured logs."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.issuer = Issuer(self.folder)
        self.clock = Clock()
        self.events: Any = self.enterContext(capturedLogs())

    def logged(self) -> list[str]:
        """Return the log lines since the last call, with their levels and short file names."""
        events, self.events[:] = list(self.events), []
        lines = [f"{event['log_level'].name}: {formatEvent(event)}" for event in events]
        return [line.replace(f"{self.folder}/", "") for line in lines]

    def creator(self, *paths: Path, min_version: str = "1.2", ciphers: tuple[str, ...] = ()) -> ReloadingTLS:
        """Load certificates of these paths, by default of the whole folder."""
        given: Any = self.clock
        policy = TLSPolicy(min_version, ciphers)
        return ReloadingTLS(paths or [self.folder], policy, given, datetime.now(UTC).timestamp)

    def watching(self, *paths: Path) -> ReloadingTLS:
        """Load certificates, watch their files, and empty the log."""
        creator = self.creator(*paths)
        creator.start()
        self.addCleanup(creator.stop)
        self.logged()
        return creator

    def client_context(self, *, checks_name: bool = True) -> ssl.SSLContext:
        """Return the context of a client that trusts the authority."""
        context = ssl.create_default_context()
        self.issuer.authority.configure_trust(context)
        context.check_hostname = checks_name
        return context

    def connect(self, creator: ReloadingTLS, name: str | None, context: Any = None, session: Any = None) -> TLSClient:
        """Return a client that has connected and sent nothing."""
        given: Any = self.clock
        factory = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(Echo), given)
        return TLSClient(factory, self.clock, context or self.client_context(checks_name=False), name, session)

    def hosts(self, creator: ReloadingTLS, name: str | None) -> list[str]:
        """Return the DNS names of the certificate that a client gets for a name."""
        return self.connect(creator, name).handshake().hosts()


class HandshakeTests(TLSCase):
    """Certificates, versions and extensions of one handshake."""

    def test_client_gets_the_certificate_for_its_name_or_the_first(self) -> None:
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

    def test_chain_is_sent_under_each_name(self) -> None:
        child = self.issuer.authority.create_child_ca()
        for host in ("a.example", "b.example"):
            leaf = child.issue_cert(host)
            self.issuer.write(f"{host}.pem", key_of(leaf), chain_of(leaf))
        creator = self.creator()
        for host in ("a.example", "b.example"):
            client = self.connect(creator, host, self.client_context()).handshake()
            self.assertEqual(client.echo(b"hello"), b"hello")

    def negotiate(self, creator: ReloadingTLS, version: ssl.TLSVersion) -> str | None:
        """Return the version agreed with a client that supports no other."""
        context = self.client_context()
        # Its own library would refuse the older ones.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        self.flushWarnings()
        return self.connect(creator, "a.example", context).handshake().tls.version()

    def test_versions_below_the_minimum_are_rejected(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        both, newest = self.creator(), self.creator(min_version="1.3")
        self.assertEqual(self.negotiate(both, ssl.TLSVersion.TLSv1_2), "TLSv1.2")
        self.assertEqual(self.negotiate(both, ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        self.assertEqual(self.negotiate(newest, ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        for creator, version in ((both, ssl.TLSVersion.TLSv1_1), (newest, ssl.TLSVersion.TLSv1_2)):
            with self.assertRaisesRegex(ssl.SSLError, "(?i)protocol.version"):
                self.negotiate(creator, version)

    def cipher(self, creator: ReloadingTLS, *names: str) -> str:
        """Return the cipher suite agreed on with a client that supports TLS 1.2 with these alone."""
        context = self.client_context()
        context.set_ciphers(":".join(names))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        found = self.connect(creator, "a.example", context).handshake().tls.cipher()
        return "" if found is None else found[0]

    def test_cipher_suites_are_mozillas_intermediate_ones_by_default(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        creator = self.creator()
        for name in INTERMEDIATE:
            if "ECDSA" in name:
                self.assertEqual(self.cipher(creator, name), name)
        for name in ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-CCM"):
            with self.assertRaises(ssl.SSLError, msg=name):
                self.cipher(creator, name)

    def test_cipher_suites_that_are_set_replace_the_default_ones(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        other = "ECDHE-ECDSA-AES128-SHA256"
        creator = self.creator(ciphers=(other,))
        self.assertEqual(self.cipher(creator, other, *INTERMEDIATE), other)
        with self.assertRaises(ssl.SSLError):
            self.cipher(creator, *INTERMEDIATE)

    def test_alpn_selects_http11_or_fails(self) -> None:
        """A client without ALPN is accepted."""
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "b.example")
        creator = self.creator()
        for name in ("a.example", "b.example"):
            context = self.client_context()
            self.assertIsNone(self.connect(creator, name, context).handshake().tls.selected_alpn_protocol())
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.assertEqual(self.connect(creator, name, context).handshake().tls.selected_alpn_protocol(), "http/1.1")
            context.set_alpn_protocols(["h2"])
            self.assertRaises(ssl.SSLError, self.connect(creator, name, context).handshake)

    def test_no_session_is_resumed(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "b.example")
        creator = self.creator()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.client_context()
            context.maximum_version = version
            first = self.connect(creator, "a.example", context).handshake()
            first.echo(b"a session comes with what is read")
            for name in ("a.example", "b.example"):
                client = self.connect(creator, name, context, first.tls.session).handshake()
                self.assertFalse(client.tls.session_reused)
                self.assertEqual(client.hosts(), [name])

    def test_client_renegotiation_is_rejected(self) -> None:
        """TLS 1.2 would let a client repeat handshakes on one connection."""
        self.issuer.pem("a.pem", "a.example")
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context, None)
        client.set_connect_state()
        server = self.connect(self.creator(), None)
        for _ in range(4):
            with contextlib.suppress(SSL.WantReadError):
                client.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                server.protocol.dataReceived(client.bio_read(65536))
            if data := server.transport.drain():
                client.bio_write(data)
        client.renegotiate()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        server.protocol.dataReceived(client.bio_read(65536))
        client.bio_write(server.transport.drain())
        with self.assertRaisesRegex(SSL.Error, "no renegotiation"):
            client.do_handshake()

    def test_bytes_that_are_not_tls_end_the_connection_without_a_log_line(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        creator = self.creator()
        self.logged()
        client = self.connect(creator, "a.example")
        client.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        client.transport.drain()
        self.assertFalse(client.transport.connected)
        self.assertEqual(self.logged(), [])


class ReloadTests(TLSCase):
    """Reloads on demand."""

    def test_reload_applies_to_new_connections_only(self) -> None:
        self.issuer.pem("a.pem", "a.example", "old.example")
        creator = self.creator()
        self.assertEqual(self.logged(), ["info: certificates loaded: 1, names a.example, old.example"])
        client = self.connect(creator, "a.example").handshake()
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "*.b.example")
        creator.reload()
        self.assertEqual(self.logged(), ["info: certificates loaded: 2, names a.example, *.b.example"])
        self.assertEqual(client.echo(b"hello"), b"hello")
        self.assertEqual(client.hosts(), ["a.example", "old.example"])
        self.assertEqual(self.hosts(creator, "a.example"), ["a.example"])
        self.assertEqual(self.hosts(creator, "x.b.example"), ["*.b.example"])

    def test_handshake_begun_before_a_reload_gets_the_new_certificate(self) -> None:
        for name in ("a", "b"):
            self.issuer.pem(f"{name}.pem", f"{name}.example", "old.example")
        creator = self.creator()
        names = ("a.example", "b.example", "unknown.example", "old.example", None)
        clients = [self.connect(creator, name) for name in names]
        for name in ("a", "b"):
            self.issuer.pem(f"{name}.pem", f"{name}.example")
        creator.reload()
        hosts = [client.handshake().hosts() for client in clients]
        self.assertEqual(hosts, [["a.example"], ["b.example"], ["a.example"], ["a.example"], ["a.example"]])

    def test_first_context_lives_as_long_as_its_connection(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pem("b.pem", "b.example")
        creator = self.creator()
        began_with = weakref.ref(creator._certificates.default)
        client = self.connect(creator, "b.example")
        creator.reload()
        client.handshake()
        gc.collect()
        self.assertIsNotNone(began_with())
        self.assertEqual(client.echo(b"hello"), b"hello")
        client.protocol.abortConnection()
        del client
        gc.collect()
        self.assertIsNone(began_with())

    def test_invalid_file_keeps_the_current_certificates_and_is_logged_each_time(self) -> None:
        path = self.issuer.pem("a.pem", "a.example")
        creator = self.creator(path)
        expires = creator.expires
        self.logged()
        self.issuer.write("a.pem", b"nonsense")
        line = (
            "error: certificates not loaded, the old ones stay in use: tls_certificates: a.pem contains no certificate"
        )
        for _ in range(2):
            creator.reload()
            self.assertEqual(self.logged(), [line])
        self.assertEqual(self.hosts(creator, "a.example"), ["a.example"])
        self.assertEqual(creator.expires, expires)

    def test_expired_certificate_does_not_replace_a_valid_one(self) -> None:
        day = timedelta(days=1)
        path = self.issuer.pem("a.pem", "a.example", not_before=NOW - day, not_after=NOW + day)
        creator = self.creator(path)
        self.logged()
        self.issuer.pem("a.pem", "new.example", not_before=NOW - 9 * day, not_after=NOW - day)
        creator.reload()
        (line,) = self.logged()
        self.assertTrue(line.endswith("a new certificate has expired, and those in use are all still valid"), line)
        self.assertEqual(self.hosts(creator, "a.example"), ["a.example"])

    def test_invalid_file_at_the_start_raises(self) -> None:
        with self.assertRaisesRegex(ConfigError, r"^tls_certificates: .*x\.pem cannot be read: No such file"):
            self.creator(self.folder / "x.pem")

    def test_certificate_that_ends_within_14_days_is_warned_about_with_its_names_once_a_day(self) -> None:
        day = timedelta(days=1)
        end = NOW.replace(microsecond=0) + 13 * day
        self.issuer.pem("1.pem", "a.example", "b.example", not_before=NOW - 60 * day, not_after=end)
        self.issuer.pem("2.pem", "good.example", not_before=NOW - 60 * day, not_after=NOW + 15 * day)
        creator = self.creator()
        line = (
            f"warn: 1.pem contains a certificate for a.example, b.example that expires on {end.isoformat()}: renew it"
        )
        _, *warnings = self.logged()
        self.assertEqual(warnings, [line])
        creator.start()
        checks = round(EXPIRY_WARNING_INTERVAL_SECONDS / CHECK_INTERVAL_SECONDS)
        self.clock.pump([CHECK_INTERVAL_SECONDS] * (checks - 1))
        self.assertEqual(self.logged(), [])
        self.clock.pump([CHECK_INTERVAL_SECONDS] * (checks + 1))
        self.assertEqual(self.logged(), [line] * 2)
        creator.stop()

    def test_short_lived_certificate_is_warned_about_in_its_last_quarter(self) -> None:
        hour = timedelta(hours=1)
        self.issuer.pem("1.pem", "new.example", not_before=NOW - hour, not_after=NOW + 159 * hour)
        self.issuer.pem("2.pem", "old.example", not_before=NOW - 130 * hour, not_after=NOW + 30 * hour)
        self.creator()
        _, warning = self.logged()
        self.assertIn("for old.example that expires on", warning)

    def test_expired_and_future_certificates_are_served_with_a_warning(self) -> None:
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
                f"warn: 2.pem contains a certificate for past.example that expired on {past.isoformat()}: renew it",
                "warn: 3.pem contains a certificate for later.example that is not valid before "
                f"{(past + 2 * day).isoformat()}",
            ],
        )
        self.assertEqual(creator.expires, past.timestamp())
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "certificate has expired"):
            self.hosts(creator, "past.example")


class WatchTests(TLSCase):
    """Reloads after changes of files."""

    def check(self, times: int = 1) -> list[str]:
        """Let the files be checked, and return the log lines."""
        for _ in range(times):
            self.clock.advance(CHECK_INTERVAL_SECONDS)
        return self.logged()

    def test_unchanged_files_are_not_read_and_stop_leaves_no_timer(self) -> None:
        self.issuer.pem("a.pem", "a.example")
        creator = self.watching()
        self.assertEqual(self.check(5), [])
        creator.stop()
        creator.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_renewed_certificate_is_loaded_once_at_the_second_equal_check(self) -> None:
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        self.issuer.pair("a", "a.example", "more.example")
        self.assertEqual(self.check(), [])
        self.assertEqual(self.hosts(creator, "more.example"), ["a.example"])
        self.assertEqual(self.check(), ["info: certificates loaded: 1, names a.example, more.example"])
        self.assertEqual(self.hosts(creator, "more.example"), ["a.example", "more.example"])
        self.assertEqual(self.check(5), [])

    def test_half_written_pair_is_not_read(self) -> None:
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        leaf = self.issuer.authority.issue_cert("new.example")
        self.issuer.write("a/privkey.pem", key_of(leaf))
        self.assertEqual(self.check(), [])
        self.issuer.write("a/fullchain.pem", chain_of(leaf)[:100])
        self.assertEqual(self.check(), [])
        self.issuer.write("a/fullchain.pem", chain_of(leaf))
        self.assertEqual(self.check(), [])
        self.assertEqual(self.hosts(creator, None), ["a.example"])
        self.assertEqual(self.check(), ["info: certificates loaded: 1, names new.example"])
        self.assertEqual(self.hosts(creator, None), ["new.example"])

    def test_lasting_mistake_is_logged_once_until_it_is_repaired(self) -> None:
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        leaf = self.issuer.authority.issue_cert("new.example")
        self.issuer.write("a/privkey.pem", key_of(leaf))
        (line,) = self.check(9)
        self.assertTrue(
            line.startswith("error: certificates not loaded, the old ones stay in use: tls_certificates: a/privkey")
        )
        self.assertEqual(self.hosts(creator, None), ["a.example"])
        self.issuer.write("a/fullchain.pem", chain_of(leaf))
        self.assertEqual(self.check(9), ["info: certificates loaded: 1, names new.example"])
        self.assertEqual(self.hosts(creator, None), ["new.example"])

    def test_restored_file_is_a_change(self) -> None:
        path = self.issuer.pem("a.pem", "a.example")
        creator = self.watching(path)
        before = path.read_bytes()
        path.unlink()
        (line,) = self.check(3)
        self.assertTrue(line.endswith("a.pem cannot be read: No such file or directory"))
        path.write_bytes(before)
        self.assertEqual(self.check(3), ["info: certificates loaded: 1, names a.example"])
        self.assertEqual(self.hosts(creator, None), ["a.example"])

    def test_certificates_may_be_added_and_removed_but_the_last_one(self) -> None:
        self.issuer.pair("a", "a.example")
        creator = self.watching()
        self.issuer.pair("b", "b.example")
        self.assertEqual(self.check(3), ["info: certificates loaded: 2, names a.example, b.example"])
        self.assertEqual(self.hosts(creator, "b.example"), ["b.example"])
        shutil.rmtree(self.folder / "a")
        self.assertEqual(self.check(3), ["info: certificates loaded: 1, names b.example"])
        self.assertEqual(self.hosts(creator, "a.example"), ["b.example"])
        shutil.rmtree(self.folder / "b")
        (line,) = self.check(3)
        self.assertIn("the old ones stay in use: tls_certificates: no certificate found in ", line)
        self.assertEqual(self.hosts(creator, None), ["b.example"])

    def test_kubernetes_secret_update_is_a_change(self) -> None:
        """Kubernetes replaces one hidden link."""
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
        self.assertEqual(self.check(3), ["info: certificates loaded: 1, names b.example"])
        self.assertEqual(self.hosts(creator, None), ["b.example"])

    def test_check_does_not_repeat_a_reload_and_retries_one_that_was_too_early(self) -> None:
        path = self.issuer.pair("a", "a.example")
        creator = self.watching(path)
        self.issuer.pair("a", "new.example")
        self.check()
        creator.reload()
        self.assertEqual(self.logged(), ["info: certificates loaded: 1, names new.example"])
        self.assertEqual(self.check(3), [])
        leaf = self.issuer.authority.issue_cert("newer.example")
        self.issuer.write("a/privkey.pem", key_of(leaf))
        creator.reload()
        self.assertEqual(len(self.logged()), 1)
        self.issuer.write("a/fullchain.pem", chain_of(leaf))
        self.assertEqual(self.check(3), ["info: certificates loaded: 1, names newer.example"])


class SilentTests(EdgeCase):
    """Clients that never send a complete request, through TLS and a PROXY header."""

    def test_client_silent_at_any_stage_is_disconnected_after_the_handshake_timeout(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        issuer = Issuer(folder)
        relay = self.relay(handshake_timeout_seconds=5)
        creator = ReloadingTLS(
            [issuer.pem("a.pem", "a.example")], TLSPolicy(), relay.clock, datetime.now(UTC).timestamp
        )
        factory = ProxyHeaderFactory(TLSMemoryBIOFactory(creator, False, relay.router, relay.clock))
        context = ssl.create_default_context()
        issuer.authority.configure_trust(context)
        for header, shakes_hands, words in (
            (b"", False, b""),
            (PROXY_HEADER[:9], False, b""),
            (PROXY_HEADER, False, b""),
            (PROXY_HEADER, True, b""),
            (PROXY_HEADER, True, b"GET / HTTP/1.1\r\n"),
        ):
            client = TLSClient(factory, relay.clock, context, "a.example")
            client.protocol.dataReceived(header)
            if shakes_hands:
                client.handshake()
            if words:
                client.tls.write(words)
                client.exchange()
            relay.pass_time(4.5)
            self.assertTrue(client.transport.connected)
            relay.pass_time(4.5)
            self.assertFalse(client.transport.connected)


class UnderlyingTests(SynchronousTestCase):
    """Transports below wrappers."""

    def test_innermost_transport_is_found_also_after_the_connection_is_lost(self) -> None:
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
    """Real sockets and an independent client: the `websockets` library on Python's own TLS, in a thread."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.issuer = Issuer(folder)
        self.context = ssl.create_default_context()
        self.issuer.authority.configure_trust(self.context)
        self.issuer.pem("1.pem", "a.example")
        self.issuer.pem("2.pem", "b.example")
        self.creator = ReloadingTLS([folder], TLSPolicy(), REACTOR, datetime.now(UTC).timestamp)

    async def listen(self, below: IStreamServerEndpoint, broker: Any = None) -> InMemoryRelay:
        """Return a relay under TLS on an endpoint, until the test is over."""
        relay = InMemoryRelay(broker, clock=REACTOR)
        self._port = await under_tls(self.creator, below).listen(relay.router)
        write_eagerly(self._port)
        self.addCleanup(self._close, relay, self._port)
        return relay

    def visit(self, name: str, messages: int = 1, first: bytes = b"") -> tuple[list[str], list[Any]]:
        """Connect as a WebSocket client; called in a thread.

        Args:
            name: The server name that the client asks for and expects.
            messages: The number of messages to wait for.
            first: Sent before TLS begins.

        Returns:
            The DNS names of the certificate, and the messages.
        """
        with socket.create_connection(self.address(), timeout=DEADLINE_SECONDS) as plain:
            plain.sendall(first)
            return asyncio.run(self._converse(name, messages, plain))

    async def _converse(self, name: str, messages: int, plain: socket.socket) -> tuple[list[str], list[Any]]:
        # One thread for each connection: two threads that read and write one TLS connection at the same time, as the
        # synchronous client does, lost the request of one connection in 130 (CPython 3.11.7).
        plain.setblocking(False)
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            connect(f"wss://{name}/ws/room", sock=plain, ssl=self.context, proxy=None) as client,
        ):
            shown = client.transport.get_extra_info("ssl_object").getpeercert()
            return [host for _, host in shown["subjectAltName"]], [await client.recv() for _ in range(messages)]

    def address(self) -> tuple[str, int]:
        """Return host and port of the relay."""
        host = self._port.getHost()
        return host.host, host.port

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while not happened():
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)

    async def test_client_gets_the_certificate_for_its_name_and_messages(self) -> None:
        relay = await self.listen(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"))
        visits = [deferToThread(self.visit, name) for name in ("a.example", "b.example")]
        await self.until(lambda: len(relay.connections) == 2)
        relay.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visits[0], (["a.example"], ["hello"]))
        self.assertEqual(await visits[1], (["b.example"], ["hello"]))

    async def test_reload_keeps_connections_and_serves_new_ones_with_the_new_certificate(self) -> None:
        relay = await self.listen(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1"))
        first = deferToThread(self.visit, "b.example", 2)
        await self.until(lambda: relay.connections.open_connections())
        relay.node.publications_received([Publication("room", b"before")])
        self.issuer.pem("2.pem", "b.example", "new.example")
        self.creator.reload()
        second = deferToThread(self.visit, "b.example")
        await self.until(lambda: len(relay.connections) == 2)
        relay.node.publications_received([Publication("room", b"after")])
        self.assertEqual(await first, (["b.example"], ["before", "after"]))
        self.assertEqual(await second, (["b.example", "new.example"], ["after"]))

    async def assert_proxied(self, below: IStreamServerEndpoint) -> None:
        """Assert that the address in a PROXY header in front of TLS reaches the handshake."""
        broker = FakeBroker()
        relay = await self.listen(below, broker)
        visit = deferToThread(self.visit, "b.example", first=PROXY_HEADER)
        await self.until(lambda: relay.connections.handshaking_connections())
        (client,) = relay.handshaking_websockets
        handshake: Any = client._handshake
        self.assertEqual(handshake.peer, "198.51.100.7")
        # The router and the socket options reach through all wrappers of the connection.
        server = underlying(client.transport)
        self.assertIsInstance(server, EagerServer)
        self.assertEqual(len(relay.router.http_connections), 0)
        self.assertTrue(server.getTcpNoDelay())
        self.assertEqual(server.getPeer().host, "127.0.0.1")
        relay.node.subscribed("room")
        await self.until(lambda: relay.connections.open_connections())
        relay.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visit, (["b.example"], ["hello"]))

    async def test_address_in_a_proxy_header_reaches_the_handshake(self) -> None:
        await self.assert_proxied(behind_proxy(TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1")))

    async def test_address_through_the_haproxy_endpoint_of_twisted_reaches_the_handshake(self) -> None:
        await self.assert_proxied(serverFromString(REACTOR, "haproxy:tcp:0:interface=127.0.0.1"))

    async def test_adopted_socket_writes_eagerly(self) -> None:
        """Such a socket comes from systemd."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            descriptor = listening.detach()
        relay = await self.listen(AdoptedStreamServerEndpoint(REACTOR, descriptor, socket.AF_INET))
        visit = deferToThread(self.visit, "a.example")
        await self.until(lambda: relay.connections.open_connections())
        (client,) = relay.open_websockets
        self.assertIsInstance(underlying(client.transport), EagerServer)
        relay.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visit, (["a.example"], ["hello"]))


class UpstreamTests(TLSCase):
    """The reason not to use Twisted's endpoint `tls:`. Where this fails, it may be considered again."""

    def test_twisted_never_serves_a_renewed_certificate(self) -> None:
        self.issuer.pem("a.pem", "a.example", "old.example")
        reactor: Any = MemoryReactorClock()
        endpoint = serverFromString(reactor, f"tls:{self.folder.absolute()}:port=443")
        endpoint.listen(Factory.forProtocol(Echo))
        factory = reactor.tcpServers[0][1]
        for _ in range(2):
            client = TLSClient(factory, reactor, self.client_context(), "a.example").handshake()
            self.assertEqual(client.hosts(), ["a.example", "old.example"])
            self.issuer.pem("a.pem", "a.example")
            reactor.advance(3600)
