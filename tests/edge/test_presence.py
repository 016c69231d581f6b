"""Presence at the edge: how a WebSocket ends, as the application is told."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.in_memory_relay import InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.testing.event_logs import RecordingEventLog


class EndingTests(SynchronousTestCase):
    """The code and the reason of ``client_gone``."""

    def setUp(self) -> None:
        self.event_log = RecordingEventLog()
        clock = Clock()
        broker = MemoryBroker(clock)
        broker.events = self.event_log  # type: ignore[assignment]  # as the broker of Redis has one
        broker.start()
        self.room = InMemoryRelay(broker, clock=clock, namespaces=(Namespace("room", ("room",), events=True),))

    def connect(self) -> WebSocketClient:
        """Return a client that is subscribed."""
        client = WebSocketClient(self.room).connect()
        self.room.turn()
        self.event_log.batches.clear()
        return client

    def assert_gone(self, code: int, reason: str) -> None:
        """Assert that the end of one client was told."""
        self.room.turn()
        gone = [(each["code"], each["reason"]) for each in self.event_log.events if each["event"] == "client_gone"]
        self.assertEqual(gone, [(str(code), reason)])
        presence = self.room.node.presence
        assert presence is not None
        self.assertEqual((len(presence), presence._clients), (0, {}))
        self.room.node.stop()

    def test_close_of_the_client_is_told_with_its_code(self) -> None:
        client = self.connect()
        client.protocol.send_close(1001, "secret")
        client.flush()
        client.read()
        client.wire.hang_up()
        self.assert_gone(1001, "closed by the client")

    def test_lost_connection_is_told_as_1006(self) -> None:
        self.connect().wire.hang_up()
        self.assert_gone(1006, "connection lost")

    def test_close_of_the_relay_is_told_with_its_reason(self) -> None:
        """Whatever the client answers."""
        client = self.connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        client.flush()
        client.wire.hang_up()
        self.assert_gone(1012, "service restart")
