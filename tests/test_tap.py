"""The command line, and what is built from it. What ends the process is tested with real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme
from twisted.application.service import IService, IServiceMaker
from twisted.internet import reactor
from twisted.internet.defer import fail
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wsrelay import tap
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.transports.listening.proxy_protocol import behind_proxy

REACTOR: Any = reactor
ADD_TRIGGER = REACTOR.addSystemEventTrigger


class TapTests(SynchronousTestCase):
    """Options in, service out."""

    def options(self, *flags: str, **environ: str) -> tap.Options:
        """What these flags and variables amount to."""
        options = tap.Options(environ)
        options.parseOptions(list(flags))
        return options

    def service(self, *flags: str, **environ: str) -> Any:
        """The service built from them; its triggers are taken back."""
        triggers: list[Any] = []
        # The reactor of the tests keeps its clock.
        self.patch(REACTOR, "seconds", REACTOR.seconds)
        self.patch(REACTOR, "addSystemEventTrigger", lambda *given: triggers.append(ADD_TRIGGER(*given)))
        service = tap.makeService(self.options(*flags, **environ))
        for trigger in triggers:
            REACTOR.removeSystemEventTrigger(trigger)
        return service

    def test_plugin(self) -> None:
        """Twistd finds the plugin, and the plugin the module."""
        names = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        self.assertIs(names["wsrelay"].options, tap.Options)

    def test_memory(self) -> None:
        """With nothing said it is the embedded broker on the default port."""
        service = self.service()
        verifyObject(IService, service)
        self.assertIsInstance(service._broker, MemoryBroker)
        self.assertIsInstance(service._endpoints[0], TCP4ServerEndpoint)
        self.assertEqual((service._endpoints[0]._interface, service._endpoints[0]._port), ("127.0.0.1", 8080))

    def test_redis(self) -> None:
        """With REDIS_URL it is Redis."""
        service = self.service(REDIS_URL="redis://localhost")
        self.assertIsInstance(service._broker, RedisBroker)

    def test_listen(self) -> None:
        """An endpoint string takes the place of host and port."""
        service = self.service("--listen", r"tcp6:0:interface=\:\:1")
        self.assertIsInstance(service._endpoints[0], TCP6ServerEndpoint)

    def test_several_endpoints(self) -> None:
        """A list may be given by one flag or by several, and each endpoint is listened on."""
        service = self.service("--listen", "tcp:0", "--listen", "tcp:1,unix:relay")
        self.assertEqual(service._settings.listen, ("tcp:0", "tcp:1", "unix:relay"))
        self.assertEqual(len(service._endpoints), 3)
        self.assertEqual(self.service("--channels", "a", "--channels", "b")._settings.channels, ("a", "b"))

    def test_proxy_protocol(self) -> None:
        """Twisted's prefix for the PROXY protocol means our own reader of it."""
        (endpoint,) = self.service("--listen", "haproxy:tcp:0")._endpoints
        self.assertEqual(type(endpoint), type(behind_proxy(endpoint)))

    def test_tls(self) -> None:
        """With certificates TLS is listened on, alone or beside a port that somebody asked for."""
        flags = ("--listen-tls", "tcp:0", "--tls-certificates", self.certificate())
        self.assertEqual(len(self.service(*flags)._endpoints), 1)
        service = self.service(*flags, "--port", "8081")
        self.assertEqual(len(service._endpoints), 2)
        self.assertIsInstance(service._endpoints[0], TCP4ServerEndpoint)

    def certificate(self) -> str:
        """A path of a certificate with its key."""
        path = Path(self.mktemp())
        path.write_bytes(trustme.CA().issue_cert("relay.example").private_key_and_cert_chain_pem.bytes())
        return str(path)

    def test_endpoints_that_are_never_read_again(self) -> None:
        """Who takes Twisted's own endpoints with TLS is told what they do not do."""
        path = self.certificate()
        with capturedLogs() as events:
            self.service("--listen", f"ssl:0:privateKey={path}")
        self.assertIn("listen_tls", "".join(event["log_format"] or "" for event in events))

    def test_secrets_have_no_flags(self) -> None:
        """What may hold a credential is taken from the environment or a file, and help says so."""
        said = f"{self.options()}"
        for name in ("token-keys", "hook-secret", "api-keys", "redis-url"):
            self.assertNotIn(f"--{name}", said)
        self.assertIn("WSRELAY_API_KEYS", said)
        self.assertIn("_FILE", said)

    def test_flags_of_secrets(self) -> None:
        """Who gives a secret by a flag is told why there is none, and what to set instead."""
        for flag, name in (("--token-keys", "WSRELAY_TOKEN_KEYS"), ("--redis-url", "WSRELAY_REDIS_URL")):
            with self.assertRaisesRegex(SystemExit, f"has no flag.* set {name} or {name}_FILE"):
                self.options(flag, "x")

    def test_mistakes(self) -> None:
        """What only building the service can find ends with one line as well."""
        for flags, environ in (
            (("--listen", "nonsense"), {}),
            ((), {"REDIS_URL": "rediss://h", "WSRELAY_REDIS_CA_FILE": "/nonexistent"}),
            (("--listen-tls", "tcp:0", "--tls-certificates", "/nonexistent"), {}),
            ((), {"WSRELAY_TOKEN_KEYS": "too-short"}),
            (("--hook-url", "http://example.com/"), {}),
            (("--token-jwks-url", "ftp://example.com/"), {}),
            (("--token-algorithms", "RS256"), {"WSRELAY_TOKEN_KEYS": "s" * 40}),
            (("--token-algorithms", "none"), {"WSRELAY_TOKEN_KEYS": "s" * 40}),
        ):
            with self.assertRaisesRegex(SystemExit, "^wsrelay: "):
                self.service(*flags, **environ)

    def test_bad_options(self) -> None:
        """What the flags say wrongly ends with one line."""
        for flags in (["--prot", "1"], ["--port", "x"], ["extra"], ["--port"]):
            with self.assertRaisesRegex(SystemExit, "^wsrelay: "):
                self.options(*flags)

    def test_version(self) -> None:
        """The version is shown."""
        with self.assertRaises(SystemExit) as caught:
            self.options("--version")
        self.assertEqual(caught.exception.code, 0)

    def test_port_taken(self) -> None:
        """A port that is taken ends the start with one line."""
        service = self.service()
        taken = CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))
        service._endpoints[0].listen = lambda _factory: fail(taken)
        with self.assertRaisesRegex(SystemExit, "^wsrelay: cannot listen on 127.0.0.1:8080: Address already in use$"):
            service.privilegedStartService()
