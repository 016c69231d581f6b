"""What starts and stops in which order."""

from __future__ import annotations

import itertools
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.websocket_client import WebSocketClient
from wsrelay.app.service import RelayService
from wsrelay.config import Settings
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.testing.brokers import FakeBroker


class Port:
    """A port that listens nowhere."""

    def __init__(self, address: Any) -> None:
        self._address = address
        self.stopped = False

    def getHost(self) -> Any:
        return self._address

    def stopListening(self) -> Deferred[None] | None:
        self.stopped = True
        return None


class Endpoint:
    """Gives a port, or a failure."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.port = Port(IPv4Address("TCP", "127.0.0.1", 8080))
        self.factory: Any = None

    def listen(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        return succeed(self.port) if self.failure is None else fail(self.failure)


class ServiceTests(SynchronousTestCase):
    """One process, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = FakeBroker()
        self.endpoint = Endpoint()
        self.make(Settings(host="127.0.0.1", drain_timeout_seconds=10.0, close_timeout_seconds=20.0))

    def make(self, settings: Settings) -> None:
        """A service with these settings."""
        given: Any = (settings, self.broker, [self.endpoint], self.clock, Random(1))
        self.service = RelayService(*given)

    def start(self) -> None:
        """Listen and connect."""
        self.service.privilegedStartService()
        self.service.startService()

    def visitor(self) -> WebSocketClient:
        """A client that has knocked; it is let in when the broker confirms."""
        house: Any = SimpleNamespace(wires=[], door=self.endpoint.factory)
        visitor = WebSocketClient(house, "/ws/chat")
        visitor.knock()
        return visitor

    def confirm(self) -> None:
        """The broker confirms the channel."""
        self.broker.sink.subscribed("chat")

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.05] * round(seconds * 20))

    def test_listens_first(self) -> None:
        """The port is there before the broker is asked for anything."""
        self.service.privilegedStartService()
        self.assertIsNotNone(self.endpoint.factory)
        self.assertFalse(self.broker.started)
        self.service.startService()
        self.assertTrue(self.broker.started)

    def test_port_taken(self) -> None:
        """A port that cannot be had is a mistake of the operator's, told with address and reason."""
        self.endpoint.failure = CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))
        with self.assertRaisesRegex(ConfigError, r"^cannot listen on 127\.0\.0\.1:8080: Address already in use$"):
            self.service.privilegedStartService()

    def test_strange_address(self) -> None:
        """An address without a strerror, and one that is everywhere, are told as well as they can be."""
        self.endpoint.failure = CannotListenError("", "/run/x", ValueError("no"))
        with self.assertRaisesRegex(ConfigError, r"^cannot listen on \*:/run/x: no$"):
            self.service.privilegedStartService()

    def test_unix_port(self) -> None:
        """A port without a number is listened on all the same."""
        self.endpoint.port = Port(UNIXAddress("/run/x"))
        self.start()
        self.assertEqual(self.service.readiness(), (200, "ready"))

    def test_readiness(self) -> None:
        """Ready follows the broker and ends with the drain; why not is told."""
        self.start()
        self.assertEqual(self.service.readiness(), (200, "ready"))
        self.broker.ready, self.broker.problem = False, "Connection was refused"
        self.assertEqual(self.service.readiness(), (503, "not ready: fake: Connection was refused"))
        self.service.stopService()
        self.assertEqual(self.service.readiness(), (503, "not ready: stopping"))

    def test_nobody_there(self) -> None:
        """Without clients stopping takes no time at all."""
        self.start()
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.endpoint.port.stopped)
        self.assertFalse(self.broker.started)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_started(self) -> None:
        """Stopping what never listened is fine."""
        self.successResultOf(self.service.stopService())

    def test_goodbye(self) -> None:
        """Every client is told 1012; when all have left the process may go, long before the deadline."""
        self.start()
        visitors = [self.visitor() for _ in range(20)]
        self.confirm()
        stopped = self.service.stopService()
        for visitor in visitors:
            visitor.read()
            self.assertEqual(visitor.goodbye, (1012, "service restart"))
            visitor.flush()
        self.assertNoResult(stopped)
        self.pass_time(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_stays_is_aborted(self) -> None:
        """Clients that do not answer are aborted just before the drain time is over, and only then Redis is left."""
        self.start()
        visitor = self.visitor()
        self.confirm()
        stopped = self.service.stopService()
        self.pass_time(9.0)
        self.assertNoResult(stopped)
        self.assertTrue(self.broker.started)
        self.assertFalse(visitor.wire.closed)
        self.pass_time(0.6)
        self.successResultOf(stopped)
        self.assertTrue(visitor.wire.closed)
        self.assertFalse(self.broker.started)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_messages_flow_until_the_end(self) -> None:
        """A message that comes during the drain reaches who has not been told goodbye yet."""
        self.start()
        visitors = [self.visitor() for _ in range(2000)]
        self.confirm()
        stopped = self.service.stopService()
        self.pass_time(1.0)
        self.broker.sink.publications_received([Publication("chat", b"late")])
        self.pass_time(4.0)
        told = 0
        for visitor in visitors:
            messages = visitor.messages()
            self.assertEqual(visitor.goodbye, (1012, "service restart"))
            told += messages == [b"late"]
            visitor.flush()
        self.assertTrue(1000 < told < 2000, told)
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_spread(self) -> None:
        """Two thousand clients are told over seconds, not at once, so that they do not come back at once."""
        self.start()
        visitors = [self.visitor() for _ in range(2000)]
        self.confirm()
        stopped = self.service.stopService()
        told = []
        for _ in range(5):
            for visitor in visitors:
                visitor.read()
            told.append(sum(visitor.goodbye is not None for visitor in visitors))
            self.pass_time(1.0)
        self.assertEqual((told[0], told[4]), (0, 2000))
        self.assertTrue(all(300 < later - sooner < 700 for sooner, later in itertools.pairwise(told)), told)
        for visitor in visitors:
            visitor.flush()
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_latecomer(self) -> None:
        """A handshake that waited for the broker when the drain began is turned away with 503, and holds nothing up."""
        self.start()
        visitor = self.visitor()
        stopped = self.service.stopService()
        self.assertIn(b"503", visitor.wire.read()[:20])
        self.confirm()
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_failure_of_the_drain(self) -> None:
        """A drain that fails is logged and does not keep the process."""
        self.start()
        self.endpoint.port.stopListening = lambda: fail(RuntimeError("broken"))  # type: ignore[method-assign]
        self.successResultOf(self.service.stopService())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_certificates(self) -> None:
        """Certificates are watched while the service runs, and read again when they are asked to be."""

        class Certificates:
            expires = 4711.0

            def __init__(self) -> None:
                self.calls: list[str] = []

            def __getattr__(self, name: str) -> Any:
                return lambda: self.calls.append(name)

        certificates = Certificates()
        settings = Settings(host="127.0.0.1", metrics=True)
        given: Any = (settings, self.broker, [self.endpoint], self.clock, Random(1), 10, certificates)
        self.service = RelayService(*given)
        self.start()
        self.service.reload()
        self.assertEqual(certificates.calls, ["start", "reload"])
        self.assertIn(b"wsrelay_certificate_expiry_timestamp_seconds 4711.0", self.service.metrics())
        stopping = self.service.stopService()
        self.clock.pump([0.1] * 20)
        self.successResultOf(stopping)
        self.assertEqual(certificates.calls, ["start", "reload", "stop"])

    def test_nothing_to_read_again(self) -> None:
        """Without certificates there is nothing to read again, and that is fine."""
        self.service.reload()
        self.assertIn(b"wsrelay_certificate_expiry_timestamp_seconds 0.0", self.service.metrics())

    def test_no_way_in(self) -> None:
        """Who asks for credentials that nobody can have is told."""
        for more, told in (({}, 1), ({"api_keys": (Secret("k" * 20),)}, 0), ({"broker": "redis"}, 0)):
            given: dict[str, Any] = {"host": "127.0.0.1", "access": Access.TOKEN, **more}
            self.make(Settings(**given))
            with capturedLogs() as events:
                self.start()
            said = [event for event in events if "no way to have one" in (event["log_format"] or "")]
            self.assertEqual(len(said), told, more)

    def test_endpoint_that_cannot_be(self) -> None:
        """What the system says about an endpoint is told in one line."""
        self.endpoint.failure = FileNotFoundError(2, "No such file or directory")
        with self.assertRaisesRegex(ConfigError, "^cannot listen: "):
            self.service.privilegedStartService()

    def test_calls_under_way(self) -> None:
        """Requests that are under way have a moment to end before the broker is gone."""
        self.start()
        self.endpoint.factory.http_connections.add(object())
        stopping = self.service.stopService()
        self.clock.pump([0.1] * 25)
        self.assertNoResult(stopping)
        self.assertTrue(self.broker.started)
        self.clock.pump([0.1] * 10)
        self.successResultOf(stopping)

    def test_tokens_for_nothing(self) -> None:
        """Who configures tokens and leaves every channel public is told: nobody would be asked for one."""
        for access, told in ((Access.PUBLIC, 1), (Access.TOKEN, 0)):
            self.make(Settings(host="127.0.0.1", token_keys=Secret("s" * 40), access=access))
            with capturedLogs() as events:
                self.start()
            said = [event for event in events if "every channel is public" in (event["log_format"] or "")]
            self.assertEqual(len(said), told)
