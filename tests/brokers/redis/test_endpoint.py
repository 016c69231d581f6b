"""Tests of `wsrelay.brokers.redis.endpoint`: above all TLS, with a real server behind a TLS port of ours."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet import endpoints, protocol, reactor, ssl
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols import portforward
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial import unittest

from devtools.harness.odd_certificates import ODD_NAMES, odd_certificate, pem
from devtools.harness.redis_server import RedisServer
from tests.brokers.contract import WaitingSink, until
from tests.support.resolver import resolve_to_loopback
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.connection import RedisConnection, connection_factory
from wsrelay.brokers.redis.endpoint import RedisTLS, redis_endpoint
from wsrelay.brokers.redis.pubsub_listener import NullListener
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.outgoing.tls import unverified_tls


class PlainTests(unittest.TestCase):
    """Without TLS."""

    def test_connection_in_a_tls_handshake_points_at_tls(self) -> None:
        """A server without TLS either waits for the end of a line, or ends the connection."""
        lost: list[RedisConnection] = []
        factory = TLSMemoryBIOFactory(unverified_tls("h"), True, connection_factory(NullListener(), lost.append))
        wrapped = factory.buildProtocol(None)
        assert wrapped is not None
        wrapped.makeConnection(StringTransport())
        inner: Any = wrapped.wrappedProtocol
        self.assertIn("does not answer the TLS handshake", inner.silence.summary)
        wrapped.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(lost, [inner])
        self.assertIn("ended the connection during the TLS handshake", inner.problem.summary)

    async def test_host_that_cannot_be_encoded_is_an_error_and_asks_no_resolver(self) -> None:
        factory: Any = None
        with self.assertRaisesRegex(ValueError, "invalid hostname"):
            await redis_endpoint(reactor, RedisURL(host="a" * 64)).connect(factory)

    def test_host_is_reached_by_name_and_path_by_unix_socket(self) -> None:
        self.assertIsInstance(redis_endpoint(reactor, RedisURL.parse("redis://h:1")), HostnameEndpoint)
        self.assertIsInstance(redis_endpoint(reactor, RedisURL.parse("unix:///tmp/x")), UNIXClientEndpoint)


class TLSTests(unittest.TestCase):
    """``rediss://`` with a certificate of an authority that the platform does not trust, as hosters have it."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        server = RedisServer().start()
        self.addCleanup(server.close)
        self.server = server
        self.authority = authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.ca_file = self.folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate = ssl.PrivateCertificate.loadPEM(issued.private_key_and_cert_chain_pem.bytes())
        self.fingerprint = certificate.original.digest("sha256").decode()
        await self.listen(certificate)

    async def listen(self, certificate: ssl.PrivateCertificate, *client_authorities: ssl.Certificate) -> None:
        """Put Redis behind a new TLS port with this certificate, which demands one of these authorities if any."""
        factory: Any = portforward.ProxyFactory("127.0.0.1", self.server.port)
        factory.noisy = portforward.ProxyClientFactory.noisy = False
        endpoint = endpoints.SSL4ServerEndpoint(
            reactor, 0, certificate.options(*client_authorities), interface="127.0.0.1"
        )
        port: Any = await endpoint.listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        self.port = port.getHost().port

    async def listen_as(self, *names: str) -> None:
        """Put Redis behind a new TLS port with a certificate of our authority for these names."""
        await self.listen(ssl.PrivateCertificate.loadPEM(pem(*odd_certificate(self.authority, names))))

    def broker(self, host: str = "localhost", scheme: str = "rediss", **trust: Any) -> tuple[RedisBroker, WaitingSink]:
        url = RedisURL.parse(f"{scheme}://{host}:{self.port}")
        clock: Any = reactor
        address = RedisAddress(url, lambda url: redis_endpoint(reactor, url, RedisTLS(**trust)))
        broker, sink = RedisBroker(address, "p:", clock, Random(1)), WaitingSink()
        broker.attach(sink)
        broker.subscribe(["chat"])
        broker.start()
        self.addCleanup(self.disconnect, broker)
        return broker, sink

    async def disconnect(self, broker: RedisBroker) -> None:
        await broker.stop()
        # The sockets of the TLS port belong to this process: wait for their end.
        await until(lambda: not any(isinstance(each, portforward.ProxyServer) for each in self.protocols()))

    def protocols(self) -> list[protocol.Protocol]:
        found = []
        for reader in reactor.getReaders():
            inner = getattr(reader, "protocol", None)
            found.append(getattr(inner, "wrappedProtocol", inner))
        return [each for each in found if each is not None]

    async def works(self, broker: RedisBroker, sink: WaitingSink) -> None:
        await sink.when(lambda: sink.confirmations == ["chat"])
        await until(lambda: broker.ready)
        await broker.publish("chat", b"x")
        await sink.when(lambda: sink.delivered == [Publication("chat", b"x")])

    async def has_problem(self, broker: RedisBroker, text: str) -> None:
        await until(lambda: text in broker.problem)

    async def test_certificate_of_an_unknown_authority_is_rejected_by_default(self) -> None:
        broker, sink = self.broker()
        await until(lambda: "its authority is not trusted" in broker.problem)
        self.assertEqual(sink.confirmations, [])

    async def test_unverified_connection_accepts_any_certificate(self) -> None:
        await self.works(*self.broker(verify=False))

    async def test_unverified_connection_to_an_address_accepts_any_certificate(self) -> None:
        await self.works(*self.broker("127.0.0.1", verify=False))

    async def test_certificate_of_an_authority_in_ca_file_is_accepted(self) -> None:
        await self.works(*self.broker(ca_file=self.ca_file))

    async def test_certificate_with_the_pinned_fingerprint_is_accepted(self) -> None:
        """Whichever authority signed it."""
        await self.works(*self.broker(fingerprint=self.fingerprint))

    async def test_certificate_with_another_fingerprint_is_rejected(self) -> None:
        broker, _ = self.broker(fingerprint="00" * 32)
        await until(lambda: "another fingerprint" in broker.problem)

    async def test_certificate_of_another_host_is_rejected_whatever_else_is_in_it(self) -> None:
        for odd in ((), *((name,) for name in ODD_NAMES)):
            await self.listen_as(*odd)
            broker, sink = self.broker(ca_file=self.ca_file)
            await self.has_problem(broker, "another name")
            self.assertEqual((broker.ready, sink.confirmations), (False, []), odd)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_right_name_beside_an_odd_one_is_accepted(self) -> None:
        for odd in ("DNS:*.internal", "DNS:192.0.2.1", "DNS:*"):
            await self.listen_as(odd, "DNS:localhost")
            broker, sink = self.broker(ca_file=self.ca_file)
            await self.works(broker, sink)
            await broker.stop()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_certificate_of_an_authority_not_in_ca_file_is_rejected(self) -> None:
        authority = trustme.CA()
        other = self.folder / "other.pem"
        authority.cert_pem.write_to_path(str(other))
        broker, _ = self.broker(ca_file=other)
        await until(lambda: "its authority is not trusted" in broker.problem)

    async def test_name_of_a_container_is_resolved_and_verified(self) -> None:
        """IDNA does not allow it, and every resolver knows it."""
        resolve_to_loopback(self, "redis_cache", "my--redis", "other_cache")
        await self.listen_as("DNS:redis_cache", "DNS:my--redis")
        for host in ("redis_cache", "my--redis"):
            broker, sink = self.broker(host, ca_file=self.ca_file)
            await self.works(broker, sink)
            await broker.stop()
        broker, sink = self.broker("other_cache", ca_file=self.ca_file)
        await self.has_problem(broker, "another name")
        await broker.stop()
        await self.works(*self.broker("other_cache", verify=False))
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_client_certificate_is_shown_to_a_server_that_demands_one(self) -> None:
        mine = self.authority.issue_cert("relay.example")
        both = self.write("both.pem", mine.private_key_and_cert_chain_pem.bytes())
        chain = self.write("chain.pem", b"# Unser Schl\xc3\xbcssel\r\n" + mine.cert_chain_pems[0].bytes())
        key = self.write("key.pem", mine.private_key_pem.bytes())
        await self.listen_for_clients()
        trusts: list[dict[str, Any]] = [
            {"ca_file": self.ca_file},
            {"verify": False},
            {"fingerprint": self.fingerprint},
        ]
        for trust in trusts:
            for files in ({"client_certificate": both}, {"client_certificate": chain, "client_key": key}):
                broker, sink = self.broker(**{**trust, **files})
                await self.works(broker, sink)
                await broker.stop()

    async def test_missing_or_foreign_client_certificate_is_the_problem(self) -> None:
        await self.listen_for_clients()
        broker, _ = self.broker(ca_file=self.ca_file)
        await self.has_problem(broker, "demands a client certificate")
        foreign = trustme.CA().issue_cert("relay.example").private_key_and_cert_chain_pem.bytes()
        broker, _ = self.broker(ca_file=self.ca_file, client_certificate=self.write("foreign.pem", foreign))
        await self.has_problem(broker, "client certificate")

    async def test_renewed_client_certificate_is_used_by_the_next_connection(self) -> None:
        """Where the new file cannot be used, the old one stays in use."""
        foreign = trustme.CA().issue_cert("relay.example").private_key_and_cert_chain_pem.bytes()
        path = self.write("mine.pem", foreign)
        await self.listen_for_clients()
        broker, sink = self.broker(ca_file=self.ca_file, client_certificate=path)
        await self.has_problem(broker, "client certificate")
        path.write_bytes(self.authority.issue_cert("relay.example").private_key_and_cert_chain_pem.bytes())
        await self.works(broker, sink)
        path.write_bytes(b"")
        interruptions = sink.interruptions
        with capturedLogs() as events:
            self.server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            self.server.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await sink.when(lambda: sink.interruptions > interruptions)
            await until(lambda: broker.ready)
        reasons = {event.get("reason") for event in events} - {None}
        self.assertEqual(reasons, {f"redis_tls_client_certificate: {path} contains no certificate"})

    async def listen_for_clients(self) -> None:
        """Put Redis behind a new TLS port that demands certificates of our authority."""
        issued = self.authority.issue_cert("localhost")
        certificate = ssl.PrivateCertificate.loadPEM(issued.private_key_and_cert_chain_pem.bytes())
        self.fingerprint = certificate.original.digest("sha256").decode()
        await self.listen(certificate, ssl.Certificate.loadPEM(self.authority.cert_pem.bytes()))

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    async def test_url_without_tls_to_a_port_with_tls_is_the_problem(self) -> None:
        broker, _ = self.broker(scheme="redis")
        await self.has_problem(broker, "a port with TLS needs a rediss:// URL")

    async def test_ca_file_with_comments_of_any_encoding_is_read(self) -> None:
        authority = self.ca_file.read_bytes()
        for number, data in enumerate(
            (
                "# Főtanúsítvány\n".encode() + authority,
                authority + "# Müller\n".encode("latin-1") + authority,
                b"\xef\xbb\xbf" + authority.replace(b"\n", b"\r\n"),
            )
        ):
            broker, sink = self.broker(ca_file=self.write(f"ca-{number}.pem", data))
            await self.works(broker, sink)
            await broker.stop()

    def test_unusable_client_certificate_is_rejected_with_the_reason(self) -> None:
        """Each text names the setting and the file."""
        url = RedisURL.parse("rediss://localhost")
        chain = self.write("chain.pem", self.authority.issue_cert("a.example").cert_chain_pems[0].bytes())
        other = self.write("other.pem", self.authority.issue_cert("a.example").private_key_pem.bytes())
        for tls, text in (
            (RedisTLS(client_certificate=chain), f"redis_tls_client_certificate: {chain} contains no private key"),
            (RedisTLS(client_certificate=other), f"redis_tls_client_certificate: {other} contains no certificate"),
            (
                RedisTLS(client_certificate=chain, client_key=other),
                f"redis_tls_client_key: {other} contains a private key that does not belong to the first certificate "
                f"of {chain}",
            ),
            (
                RedisTLS(client_certificate=chain, client_key=self.folder / "missing"),
                f"redis_tls_client_key: {self.folder / 'missing'} cannot be read: No such file or directory",
            ),
        ):
            with self.assertRaises(ConfigError) as caught:
                redis_endpoint(reactor, url, tls)
            self.assertEqual(str(caught.exception), text)

    def test_client_certificate_that_openssl_rejects_is_named(self) -> None:
        weak = rsa.generate_private_key(65537, 1024)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(weak.public_key())
        builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        path = self.write("weak.pem", pem(builder.sign(weak, hashes.SHA256()), weak))
        with self.assertRaises(ConfigError) as caught:
            redis_endpoint(reactor, RedisURL.parse("rediss://h"), RedisTLS(client_certificate=path))
        self.assertEqual(
            str(caught.exception),
            f"redis_tls_client_certificate: {path} is rejected by OpenSSL: ee key too small",
        )

    def test_unusable_ca_file_is_rejected_with_the_reason(self) -> None:
        """Missing, without a certificate, or with a malformed one."""
        url = RedisURL.parse("rediss://localhost")
        cases = {
            "cannot be read": self.folder / "missing",
            "contains no certificate": self.folder / "empty",
            "malformed certificate": self.folder / "broken",
        }
        (self.folder / "empty").write_text("nothing")
        (self.folder / "broken").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        for text, path in cases.items():
            with self.assertRaisesRegex(ConfigError, text):
                redis_endpoint(reactor, url, RedisTLS(ca_file=path))
