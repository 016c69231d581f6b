"""Tests of `wsrelay.brokers.redis.endpoint`: above all TLS, with a real server behind a TLS port of ours."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import trustme
from twisted.internet import endpoints, protocol, reactor, ssl
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.protocols import portforward
from twisted.trial import unittest

from devtools.harness.odd_certificates import ODD_NAMES, odd_certificate, pem
from devtools.harness.redis_server import RedisServer
from tests.brokers.contract import WaitingSink, until
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ConfigError


class PlainTests(unittest.TestCase):
    """Without TLS."""

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

    async def listen(self, certificate: ssl.PrivateCertificate) -> None:
        """Put Redis behind a new TLS port with this certificate."""
        factory: Any = portforward.ProxyFactory("127.0.0.1", self.server.port)
        factory.noisy = portforward.ProxyClientFactory.noisy = False
        endpoint = endpoints.SSL4ServerEndpoint(reactor, 0, certificate.options(), interface="127.0.0.1")
        port: Any = await endpoint.listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        self.port = port.getHost().port

    async def listen_as(self, *names: str) -> None:
        """Put Redis behind a new TLS port with a certificate of our authority for these names."""
        await self.listen(ssl.PrivateCertificate.loadPEM(pem(*odd_certificate(self.authority, names))))

    def broker(self, host: str = "localhost", **trust: Any) -> tuple[RedisBroker, WaitingSink]:
        url = RedisURL.parse(f"rediss://{host}:{self.port}")
        clock: Any = reactor
        broker, sink = RedisBroker(redis_endpoint(reactor, url, **trust), url, "p:", clock, Random(1)), WaitingSink()
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
        await until(lambda: "certificate verify failed" in broker.problem)
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
        await until(lambda: "certificate verify failed" in broker.problem)

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
        await until(lambda: "certificate verify failed" in broker.problem)

    def test_unusable_ca_file_is_rejected_with_the_reason(self) -> None:
        """Missing, without a certificate, or with a malformed one."""
        url = RedisURL.parse("rediss://localhost")
        cases = {
            "cannot be read": self.folder / "missing",
            "holds no PEM certificate": self.folder / "empty",
            "malformed certificate": self.folder / "broken",
        }
        (self.folder / "empty").write_text("nothing")
        (self.folder / "broken").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        for text, path in cases.items():
            with self.assertRaisesRegex(ConfigError, text):
                redis_endpoint(reactor, url, ca_file=path)
