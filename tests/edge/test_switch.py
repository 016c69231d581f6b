"""The switch: clients of every kind while websockets are off, the whole relay in memory."""

from __future__ import annotations

from typing import Any

from devtools.harness.http import Answer, answers, head, upgrade
from tests.edge.test_centrifugo_emulation import EmulatedClient
from tests.support.centrifugo_client import CentrifugoClient
from tests.support.edge import EdgeCase
from tests.support.event_source import StreamClient
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.flow.jitter import DISABLED_RETRY_SECONDS
from wsrelay.testing.brokers import FakeBroker

TEXT = "Websockets are disabled: back at 14:00"
STREAM = ("GET /sse/room HTTP/1.1", "Host: relay.example", "Accept: application/json")


class SwitchCase(EdgeCase):
    """A relay whose switch a test turns."""

    def setUp(self) -> None:
        """Build the relay."""
        self.it = self.relay(centrifugo=True, channels=("*",), publish=("*",))

    def switch(self, value: bytes) -> None:
        """Set the switch, or clear it with an empty value, and tell the relay."""
        store: Any = self.it.broker.switch
        self.successResultOf(store.set(value) if value else store.clear())
        self.successResultOf(self.it.broker.send_control(b'{"switch":{}}'))
        self.it.turn()

    def ask(self, *lines: str) -> Answer:
        """Return the response to a request."""
        return self.answer_to(head(*lines))

    def answer_to(self, data: bytes) -> Answer:
        """Return the response to the bytes of a request."""
        wire = ClientWire(self.it)
        wire.send(data)
        (answer,) = answers(wire.read())
        return answer


class RefusalTests(SwitchCase):
    """Handshakes."""

    def test_handshakes_of_every_kind_get_503_with_the_explanation_until_it_is_on_again(self) -> None:
        # Those that look like one before are known, and not read again.
        for _ in range(2):
            WebSocketClient(self.it).connect().wire.hang_up()
            wire = ClientWire(self.it)
            wire.send(upgrade("/ws/room"))
            self.assertIn(b"101", wire.read())
            wire.hang_up()
        self.switch(b"back at 14:00")
        for data in (
            upgrade("/ws/room"),
            upgrade("/connection/websocket"),
            upgrade("/ws/room", "Sec-WebSocket-Extensions: x"),
            head(*STREAM),
            head("POST /connection/http_stream HTTP/1.1", "Host: x", "Content-Length: 2") + b"{}",
        ):
            answer = self.answer_to(data)
            self.assertEqual((answer.status, answer.body.decode()), (503, f"{TEXT}\n"), data)
            self.assertEqual(answer.headers["retry-after"], "30")
        self.assertEqual(self.it.objects.counters.requests_rejected[503], 5)
        self.switch(b"")
        WebSocketClient(self.it).connect()

    def test_event_source_is_asked_to_wait_for_long(self) -> None:
        """Any other status than 200 would end it for ever."""
        self.switch(b"back at 14:00")
        client = StreamClient(self.it)
        self.assertEqual((client.status, client.wire.closed), (200, True))
        first, last = DISABLED_RETRY_SECONDS
        retry = client.parser.retry
        assert retry is not None
        self.assertTrue(first * 1000 <= retry <= last * 1000, retry)

    def test_messages_of_clients_without_a_socket_get_503(self) -> None:
        client = EmulatedClient(self.it)
        self.switch(b"1")
        answer = client.send({"id": 2, "subscribe": {"channel": "a"}})
        self.assertEqual(
            (answer.status, answer.body), (503, b"Websockets are disabled by the operator. Reconnect later.\n")
        )

    def test_page_that_asks_why_is_told_by_a_plain_get(self) -> None:
        self.switch(b"back at 14:00")
        answer = self.ask("GET /ws/room HTTP/1.1", "Host: relay.example")
        self.assertEqual((answer.status, answer.body.decode()), (503, f"{TEXT}\n"))
        self.switch(b"")
        self.assertEqual(self.ask("GET /ws/room HTTP/1.1", "Host: relay.example").status, 426)

    def test_handshake_that_waits_for_its_answer_is_rejected(self) -> None:
        """Its subscription is not confirmed yet."""
        broker = FakeBroker()
        relay = self.relay(broker)
        client = WebSocketClient(relay)
        client.send_handshake()
        self.successResultOf(broker.switch.set(b"back at 14:00"))
        broker.sink.control_received(b'{"switch":{}}')
        (answer,) = answers(client.wire.read())
        self.assertEqual((answer.status, answer.body.decode()), (503, f"{TEXT}\n"))

    def test_process_that_starts_while_it_is_set_refuses_as_soon_as_redis_has_answered(self) -> None:
        broker: Any = self.it.broker
        self.successResultOf(broker.switch.set(b"back at 14:00"))
        broker.stop()
        relay = self.it = InMemoryRelay(broker, centrifugo=True, channels=("*",))
        self.assertFalse(relay.connections.is_disabled)
        broker.start()
        self.assertEqual(self.answer_to(upgrade("/ws/room")).status, 503)


class DrainTests(SwitchCase):
    """Open connections."""

    def test_open_connections_of_every_kind_are_told_to_reconnect_later(self) -> None:
        raw, sdk = WebSocketClient(self.it).connect(), CentrifugoClient(self.it)
        stream, emulated = StreamClient(self.it), EmulatedClient(self.it)
        sdk.connect()
        sdk.send({"id": 1, "connect": {}})
        stream.read()
        self.switch(b"back at 14:00")
        for client in (raw, sdk):
            client.read()
        self.assertEqual(raw.close_received, (4013, "disabled, reconnect later"))
        self.assertEqual(sdk.close_received, (3001, "disabled, reconnect later"))
        stream.read()
        retry = stream.parser.retry
        self.assertTrue(stream.wire.closed and retry is not None and retry >= DISABLED_RETRY_SECONDS[0] * 1000)
        (last,) = emulated.documents()
        self.assertEqual(last["push"]["disconnect"]["code"], 3001)
        self.assertEqual(self.it.objects.counters.connections_closed[4013], 2)


class OperatorTests(SwitchCase):
    """Probes and metrics."""

    def test_readyz_stays_200_and_says_so(self) -> None:
        self.switch(b"back at 14:00")
        answer = self.ask("GET /readyz HTTP/1.1", "Host: x")
        self.assertEqual((answer.status, answer.body), (200, b"ready; websockets are disabled\n"))
        self.switch(b"")
        self.assertNotIn(b"disabled", self.ask("GET /readyz HTTP/1.1", "Host: x").body)

    def test_gauge_is_1_while_websockets_are_off(self) -> None:
        self.it = self.relay(metrics=True)
        for value, shown in ((b"1", b"wsrelay_disabled 1.0\n"), (b"", b"wsrelay_disabled 0.0\n")):
            self.switch(value)
            self.assertIn(shown, self.ask("GET /metrics HTTP/1.1", "Host: x").body)
