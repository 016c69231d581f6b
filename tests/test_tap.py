"""The command line, and what is built from it. What ends the process is tested with real ones."""

from __future__ import annotations

import signal
from typing import Any

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
from wsrelay.brokers.memory import MemoryBroker
from wsrelay.brokers.redis import RedisBroker

REACTOR: Any = reactor


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
        add = REACTOR.addSystemEventTrigger
        self.patch(REACTOR, "addSystemEventTrigger", lambda *given: triggers.append(add(*given)))
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

    def test_mistakes(self) -> None:
        """What only building the service can find ends with one line as well."""
        for flags, environ in (
            (("--listen", "nonsense"), {}),
            ((), {"REDIS_URL": "rediss://h", "WSRELAY_REDIS_CA_FILE": "/nonexistent"}),
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

    def test_more_signals(self) -> None:
        """Once stopping has begun, further signals are told and change nothing."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        tap._ignore_more_signals()
        with capturedLogs() as events:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        self.assertEqual([event["log_format"] for event in events], ["already stopping"] * 2)
