"""Tests of wsrelay.app.service: what starts and stops in which order."""

from __future__ import annotations

import itertools
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import answers, head
from tests.support.centrifugo_client import CentrifugoClient
from tests.support.in_memory_relay import ClientWire
from tests.support.websocket_client import WebSocketClient
from wsrelay.app.service import HANDSHAKE_SECONDS, RelayService
from wsrelay.brokers.memory.presence_store import MemoryPresenceStore
from wsrelay.config import Settings
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.testing.brokers import FakeBroker


class Port:
    """A port without a socket."""

    def __init__(self, address: Any) -> None:
        self._address = address
        self.stopped = False

    def getHost(self) -> Any:
        return self._address

    def stopListening(self) -> Deferred[None] | None:
        self.stopped = True
        return None


class Endpoint:
    """An endpoint that listens on a `Port`, or fails.

    Attributes:
        failure: What `listen` fails with. If None, it succeeds.
        port: The port.
        factory: What listens.
    """

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
        """Build a service with these settings."""
        given: Any = (settings, self.broker, [self.endpoint], self.clock, Random(1))
        self.service = RelayService(*given)

    def start(self) -> None:
        """Listen and connect."""
        self.service.privilegedStartService()
        self.service.startService()

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Return status and body of the service's answer to a request."""
        relay: Any = SimpleNamespace(wires=[], router=self.endpoint.factory)
        wire = ClientWire(relay)
        wire.send(head(f"{method} {path} HTTP/1.1", "Host: x", "Content-Length: 0"))
        (answer,) = answers(wire.read())
        return answer.status, answer.body.decode()

    def client(self) -> WebSocketClient:
        """Return a client that has sent its handshake, which waits for the broker."""
        relay: Any = SimpleNamespace(wires=[], router=self.endpoint.factory)
        client = WebSocketClient(relay, "/ws/chat")
        client.send_handshake()
        return client

    def confirm(self) -> None:
        """Let the broker confirm the channel."""
        self.broker.sink.subscribed("chat")

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.05] * round(seconds * 20))

    def test_port_is_open_before_the_broker_is_started(self) -> None:
        self.service.privilegedStartService()
        self.assertIsNotNone(self.endpoint.factory)
        self.assertFalse(self.broker.started)
        self.service.startService()
        self.assertTrue(self.broker.started)

    def test_taken_port_is_a_config_error_with_address_and_reason(self) -> None:
        self.endpoint.failure = CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))
        with self.assertRaisesRegex(ConfigError, r"^cannot listen on 127\.0\.0\.1:8080: Address already in use$"):
            self.service.privilegedStartService()

    def test_ports_that_listen_already_are_closed_when_another_one_cannot(self) -> None:
        first, second, last = Endpoint(), Endpoint(), Endpoint()
        second.failure = CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))
        given: Any = (Settings(host="127.0.0.1"), self.broker, [first, second, last], self.clock, Random(1))
        service = RelayService(*given)
        with self.assertRaisesRegex(ConfigError, "^cannot listen on "):
            service.privilegedStartService()
        self.assertEqual((first.port.stopped, last.port.stopped, service.addresses), (True, True, []))

    def test_bind_error_without_strerror_is_reported_as_far_as_known(self) -> None:
        for port, where in ((8080, r"\*:8080"), (b"/run/x", "/run/x")):
            self.endpoint.failure = CannotListenError("", port, ValueError("no"))
            with self.assertRaisesRegex(ConfigError, f"^cannot listen on {where}: no$"):
                self.service.privilegedStartService()

    def test_ipv6_address_is_in_brackets_in_errors_and_in_the_log(self) -> None:
        self.endpoint.failure = CannotListenError("::1", 8080, OSError(98, "Address already in use"))
        with self.assertRaisesRegex(ConfigError, r"^cannot listen on \[::1\]:8080: "):
            self.service.privilegedStartService()
        self.endpoint.failure = None
        self.endpoint.port = Port(IPv6Address("TCP", "::", 8080))
        self.assertIn("wsrelay listening on http://[::]:8080/ with the fake broker", self.start_log())

    def start_log(self) -> list[str | None]:
        """Start, and return the texts that are logged."""
        with capturedLogs() as events:
            self.start()
        return [formatEvent(event) for event in events]

    def test_port_without_a_number_is_supported(self) -> None:
        self.endpoint.port = Port(UNIXAddress("/run/x"))
        self.assertIn("wsrelay listening on unix:/run/x with the fake broker", self.start_log())
        self.assertEqual(self.get("/readyz"), (200, "ready\n"))

    def test_readiness_follows_the_broker_and_ends_with_the_drain(self) -> None:
        self.start()
        self.assertEqual(self.get("/readyz"), (200, "ready\n"))
        self.broker.ready, self.broker.problem = False, "Connection was refused"
        self.assertEqual(self.get("/readyz"), (503, "not ready: fake: Connection was refused\n"))
        self.service.stopService()
        self.assertEqual(self.get("/readyz"), (503, "not ready: stopping\n"))

    def test_stopping_without_clients_takes_no_time(self) -> None:
        self.start()
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.endpoint.port.stopped)
        self.assertFalse(self.broker.started)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_what_never_listened_succeeds(self) -> None:
        self.successResultOf(self.service.stopService())

    def test_drain_closes_every_client_with_1012_and_ends_when_all_have_left(self) -> None:
        self.start()
        clients = [self.client() for _ in range(20)]
        self.confirm()
        stopped = self.service.stopService()
        for client in clients:
            client.read()
            self.assertEqual(client.close_received, (1012, "service restart"))
            client.flush()
        self.assertNoResult(stopped)
        self.pass_time(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain_closes_centrifugo_clients_with_3001_and_raw_ones_with_1012(self) -> None:
        self.make(Settings(host="127.0.0.1", drain_timeout_seconds=10.0, centrifugo=True))
        self.start()
        relay: Any = SimpleNamespace(wires=[], router=self.endpoint.factory)
        client = CentrifugoClient(relay)
        client.connect()
        client.send({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "chat"}})
        raw = self.client()
        self.confirm()
        self.assertEqual([document["id"] for document in client.documents()], [1, 2])
        stopped = self.service.stopService()
        for each, code in ((client, 3001), (raw, 1012)):
            each.read()
            self.assertEqual(each.close_received, (code, "service restart"))
            each.flush()
        self.pass_time(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clients_that_do_not_answer_are_aborted_before_the_broker_stops(self) -> None:
        self.start()
        client = self.client()
        self.confirm()
        stopped = self.service.stopService()
        self.pass_time(9.0)
        self.assertNoResult(stopped)
        self.assertTrue(self.broker.started)
        self.assertFalse(client.wire.closed)
        self.pass_time(0.6)
        self.successResultOf(stopped)
        self.assertTrue(client.wire.closed)
        self.assertFalse(self.broker.started)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_messages_reach_clients_that_are_not_closed_yet_during_a_drain(self) -> None:
        self.start()
        clients = [self.client() for _ in range(2000)]
        self.confirm()
        stopped = self.service.stopService()
        self.pass_time(1.0)
        self.broker.sink.publications_received([Publication("chat", b"late")])
        self.pass_time(4.0)
        received = 0
        for client in clients:
            messages = client.messages()
            self.assertEqual(client.close_received, (1012, "service restart"))
            received += messages == [b"late"]
            client.flush()
        self.assertTrue(1000 < received < 2000, received)
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_clients_are_accepted_and_served_for_the_shutdown_delay_while_readiness_is_503(self) -> None:
        self.make(Settings(host="127.0.0.1", drain_timeout_seconds=10.0, shutdown_delay_seconds=4.0))
        self.start()
        early = self.client()
        self.confirm()
        stopped = self.service.stopService()
        self.assertEqual(self.get("/readyz"), (503, "not ready: stopping\n"))
        self.pass_time(3.9)
        late = self.client()
        self.confirm()
        self.broker.sink.publications_received([Publication("chat", b"news")])
        for client in (early, late):
            self.assertEqual((client.messages(), client.close_received), ([b"news"], None))
        self.assertEqual((self.endpoint.port.stopped, self.get("/healthz")[0]), (False, 200))
        self.pass_time(0.15)
        self.assertTrue(self.endpoint.port.stopped)
        for client in (early, late):
            client.read()
            self.assertEqual(client.close_received, (1012, "service restart"))
            client.flush()
        self.pass_time(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shutdown_delay_is_a_part_of_the_drain_timeout(self) -> None:
        self.make(
            Settings(
                host="127.0.0.1", drain_timeout_seconds=10.0, shutdown_delay_seconds=4.0, close_timeout_seconds=20.0
            )
        )
        self.start()
        clients = [self.client() for _ in range(2000)]
        self.confirm()
        stopped = self.service.stopService()
        # Closes are spread over a part of the six seconds that are left.
        for at, closed in ((4.0, 0), (4.0 + 6.0 * 0.6 + 0.1, 2000)):
            self.pass_time(at - self.clock.seconds())
            for client in clients:
                client.read()
            self.assertEqual(sum(client.close_received is not None for client in clients), closed, at)
        self.assertNoResult(stopped)
        # None of them answers its close.
        self.pass_time(10.0 - self.clock.seconds())
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_never_listened_stops_without_the_shutdown_delay(self) -> None:
        self.make(Settings(host="127.0.0.1", drain_timeout_seconds=10.0, shutdown_delay_seconds=4.0))
        self.successResultOf(self.service.stopService())

    def test_drain_spreads_its_closes_over_time(self) -> None:
        self.start()
        clients = [self.client() for _ in range(2000)]
        self.confirm()
        stopped = self.service.stopService()
        closed = []
        for _ in range(5):
            for client in clients:
                client.read()
            closed.append(sum(client.close_received is not None for client in clients))
            self.pass_time(1.0)
        self.assertEqual((closed[0], closed[4]), (0, 2000))
        self.assertTrue(all(300 < later - sooner < 700 for sooner, later in itertools.pairwise(closed)), closed)
        for client in clients:
            client.flush()
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_members_are_taken_out_before_the_broker_stops(self) -> None:
        """Also those whose connections did not end in time."""
        store = self.broker.presence = MemoryPresenceStore(self.clock.seconds, lambda: "")
        rules = Namespace("chat", ("chat",), presence=True)
        self.make(Settings(host="127.0.0.1", drain_timeout_seconds=2.0, namespaces=(rules,)))
        self.start()
        self.client()
        self.confirm()
        self.pass_time(0.1)
        self.assertEqual(self.successResultOf(store.presence("chat")).clients, 1)
        stopped = self.service.stopService()
        self.pass_time(2)
        self.successResultOf(stopped)
        self.assertEqual(self.successResultOf(store.presence("chat")).clients, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_events_without_redis_are_warned_about(self) -> None:
        self.make(Settings(host="127.0.0.1", namespaces=(Namespace("chat", ("chat",), events=True),)))
        with capturedLogs() as events:
            self.start()
        self.assertIn("events are kept nowhere without Redis", "".join(map(formatEvent, events)))

    def test_handshake_that_ends_soon_is_answered_and_then_closed_as_others_are(self) -> None:
        self.start()
        client = self.client()
        stopped = self.service.stopService()
        self.pass_time(HANDSHAKE_SECONDS / 2)
        self.confirm()
        self.pass_time(0.1)
        # The answer to its handshake came first.
        client.read()
        self.assertEqual(client.close_received, (1012, "service restart"))
        client.flush()
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_handshake_pending_at_the_drain_is_rejected_with_503(self) -> None:
        self.start()
        client = self.client()
        stopped = self.service.stopService()
        self.pass_time(HANDSHAKE_SECONDS + 0.1)
        self.assertIn(b"503", client.wire.read()[:20])
        self.confirm()
        self.pass_time(0.1)
        self.successResultOf(stopped)

    def test_failed_drain_is_logged_and_does_not_keep_the_process(self) -> None:
        self.start()
        self.broker.stop = lambda: fail(RuntimeError("broken"))  # type: ignore[method-assign]  # it is to fail
        self.successResultOf(self.service.stopService())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_port_that_cannot_be_closed_does_not_keep_clients_from_their_close(self) -> None:
        self.start()
        client = self.client()
        self.confirm()
        self.endpoint.port.stopListening = lambda: fail(RuntimeError("broken"))  # type: ignore[method-assign]  # it is to fail
        stopped = self.service.stopService()
        client.read()
        self.assertEqual(client.close_received, (1012, "service restart"))
        client.flush()
        self.pass_time(0.1)
        self.successResultOf(stopped)
        self.assertFalse(self.broker.started)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_certificates_are_watched_while_the_service_runs_and_reloaded_on_request(self) -> None:
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
        self.assertIn("wsrelay_certificate_expiry_timestamp_seconds 4711.0", self.get("/metrics")[1])
        stopping = self.service.stopService()
        self.clock.pump([0.1] * 20)
        self.successResultOf(stopping)
        self.assertEqual(certificates.calls, ["start", "reload", "stop"])

    def test_metrics_are_read_and_not_posted(self) -> None:
        self.make(Settings(host="127.0.0.1", metrics=True))
        self.start()
        self.assertEqual([self.get("/metrics", method)[0] for method in ("GET", "OPTIONS", "POST")], [200, 200, 405])

    def test_reload_without_certificates_has_no_effect(self) -> None:
        self.make(Settings(host="127.0.0.1", metrics=True))
        self.start()
        self.service.reload()
        self.assertIn("wsrelay_certificate_expiry_timestamp_seconds 0.0", self.get("/metrics")[1])

    def test_access_that_no_credential_can_give_is_logged(self) -> None:
        for more, count in (({}, 1), ({"api_keys": (Secret("k" * 20),)}, 0), ({"broker": "redis"}, 0)):
            given: dict[str, Any] = {"host": "127.0.0.1", "access": Access.TOKEN, **more}
            self.make(Settings(**given))
            with capturedLogs() as events:
                self.start()
            logged = [event for event in events if "clients cannot get one" in (event["log_format"] or "")]
            self.assertEqual(len(logged), count, more)

    def test_redis_in_use_is_logged_without_credentials(self) -> None:
        self.make(Settings(host="127.0.0.1", redis_url=RedisURL.parse("redis://app:hunter2@cache")))
        log = self.start_log()
        self.assertIn("publications travel through Redis at redis://cache:6379", log)
        self.assertNotIn("hunter2", f"{log}")

    def test_missing_redis_is_warned_about_where_other_machines_reach_the_relay(self) -> None:
        for more, is_warned in (
            ({"host": "0.0.0.0"}, True),
            ({"host": "::"}, True),
            ({"host": "relay.example"}, True),
            ({"listen": ("tcp:8080",)}, True),
            ({"host": "0.0.0.0", "broker": "memory"}, False),
            ({"host": "127.0.0.1"}, False),
            ({"host": "::1"}, False),
            ({"host": "[::1]"}, False),
            ({"host": "localhost"}, False),
        ):
            given: dict[str, Any] = more
            self.make(Settings(**given))
            warnings = [text or "" for text in self.start_log() if "no redis_url is set" in (text or "")]
            self.assertEqual(len(warnings), is_warned, more)
        for has_page in (True, False):
            self.make(Settings(host="::", chat_page=has_page))
            self.assertEqual("may use the chat page" in f"{self.start_log()}", has_page)

    def test_any_other_error_of_an_endpoint_is_a_config_error(self) -> None:
        for failure in (FileNotFoundError(2, "No such file or directory"), OverflowError("port must be 0-65535.")):
            self.endpoint.failure = failure
            with self.assertRaisesRegex(ConfigError, "^cannot listen: "):
                self.service.privilegedStartService()

    def test_requests_under_way_may_end_before_the_broker_stops(self) -> None:
        self.start()
        self.endpoint.factory.http_connections.add(object())
        stopping = self.service.stopService()
        self.clock.pump([0.1] * 25)
        self.assertNoResult(stopping)
        self.assertTrue(self.broker.started)
        self.clock.pump([0.1] * 10)
        self.successResultOf(stopping)

    def test_handshakes_that_wait_for_their_turn_are_answered_before_the_broker_stops(self) -> None:
        self.start()
        waiting = self.endpoint.factory.turns = [object()]
        stopping = self.service.stopService()
        self.clock.pump([0.1] * 5)
        self.assertNoResult(stopping)
        self.assertTrue(self.broker.started)
        waiting.clear()
        self.clock.pump([0.1] * 2)
        self.successResultOf(stopping)

    def test_tokens_with_public_channels_only_are_logged(self) -> None:
        for access, count in ((Access.PUBLIC, 1), (Access.TOKEN, 0)):
            self.make(Settings(host="127.0.0.1", token_keys=Secret("s" * 40), access=access))
            with capturedLogs() as events:
                self.start()
            logged = [event for event in events if "every channel is public" in (event["log_format"] or "")]
            self.assertEqual(len(logged), count)
