"""Tests of wsrelay.transports.websocket.handshaking, with the raw dialect."""

from __future__ import annotations

from websockets.protocol import State

from devtools.harness.http import answers, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.testing.brokers import FakeBroker


class HandshakeTests(EdgeCase):
    """From the head to the open connection."""

    def test_101_names_no_server_no_extension_and_no_subprotocol(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual(answer.status, 101)
        self.assertEqual(
            answer.headers,
            {
                "upgrade": "WebSocket",
                "connection": "Upgrade",
                "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            },
        )

    def test_handshake_is_completed_when_the_broker_has_confirmed_the_channel(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker)
        client = WebSocketClient(relay)
        client.send_handshake()
        client.read()
        self.assertIs(client.protocol.state, State.CONNECTING)
        self.assertEqual(relay.connections.open_connections(), ())
        relay.node.subscribed("room")
        client.read()
        self.assertIs(client.protocol.state, State.OPEN)

    def test_unconfirmed_channel_is_rejected_with_503_and_retry_after(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        relay.pass_time(5.5)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertTrue(wire.closed)

    def test_malformed_channel_is_rejected_with_400_and_unknown_one_with_404(self) -> None:
        relay = self.relay(channels=("room",))
        for path, status in (("/ws/", 400), ("/ws/a/b", 400), ("/ws/%ff", 400), ("/ws/other", 404)):
            wire = ClientWire(relay)
            wire.send(upgrade(path))
            self.assertEqual([answer.status for answer in answers(wire.read())], [status])
            self.assertTrue(wire.closed)

    def test_drain_rejects_a_pending_handshake_with_503_and_retry_after_1(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.connection.close(Disconnect.RESTART)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))

    def test_handshake_confirmed_after_the_drain_began_is_rejected_with_503(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        relay.connections.start_draining()
        relay.node.subscribed("room")
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertEqual(len(relay.connections), 0)

    def test_exception_in_a_handshake_is_logged_and_answered_with_500_without_its_text(self) -> None:
        class _Broken(FakeBroker):
            def subscribe(self, channels: object) -> None:
                raise ValueError("secret")

        wire = ClientWire(InMemoryRelay(_Broken()))
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.body), (500, b"The relay failed; its log has the traceback.\n"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_factory_builds_no_protocol_for_a_port(self) -> None:
        self.assertIsNone(self.relay().websockets.buildProtocol(None))  # type: ignore[arg-type, func-returns-value]

    def test_client_that_ends_its_direction_during_its_handshake_is_answered_and_closed(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.send(upgrade())
        wire.half_close()
        self.assertFalse(wire.closed)
        relay.node.subscribed("room")
        self.assertTrue(wire.read().startswith(b"HTTP/1.1 101 "))
        self.assertEqual((wire.closed, wire.transport.aborted), (True, False))
