"""Presence at the edge: joins and leaves on event streams, and the end of a connection as the application is told."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.event_source import StreamClient
from tests.support.in_memory_relay import InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.presence.tables import LEAVE_SECONDS
from wsrelay.testing.event_logs import RecordingEventLog


class StreamTests(SynchronousTestCase):
    """Joins and leaves on event streams."""

    def setUp(self) -> None:
        rules = Namespace("room", ("room",), presence=True, join_leave=True)
        self.room = InMemoryRelay(namespaces=(rules, Namespace("plain", ("plain",))))
        self.addCleanup(self.room.node.stop)

    def told(self, stream: StreamClient) -> list[tuple[str, dict[str, str]]]:
        """Return the types and the data of the joins and leaves on a stream since the last call."""
        self.room.turn()
        stream.read()
        events, stream.parser.events = stream.parser.events, []
        return [(each.type, json.loads(each.data)) for each in events if each.type in ("join", "leave")]

    def test_stream_is_told_who_comes_and_who_is_gone_and_a_raw_client_is_not(self) -> None:
        stream = StreamClient(self.room, "/sse/room")
        ((kind, own),) = self.told(stream)
        self.assertEqual((kind, own["channel"], own["user"]), ("join", "room", ""))
        raw = WebSocketClient(self.room).connect()
        ((kind, other),) = self.told(stream)
        self.assertNotEqual(other["client"], own["client"])
        raw.wire.hang_up()
        self.room.pass_time(LEAVE_SECONDS + 3)
        self.assertEqual((kind, self.told(stream)), ("join", [("leave", other)]))
        self.assertEqual(raw.messages(), [])

    def test_stream_of_another_namespace_is_told_nothing(self) -> None:
        stream = StreamClient(self.room, "/sse/plain")
        WebSocketClient(self.room).connect()
        self.assertEqual(self.told(stream), [])


class EndingTests(SynchronousTestCase):
    """The code and the reason of ``client_gone``."""

    def setUp(self) -> None:
        self.event_log = RecordingEventLog()
        clock = Clock()
        broker = MemoryBroker(clock)
        broker.events = self.event_log  # type: ignore[assignment]  # as the broker of Redis has one
        broker.start()
        self.room = InMemoryRelay(broker, clock=clock, namespaces=(Namespace("room", ("room",), events=True),))
        self.addCleanup(self.room.node.stop)

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

    def test_event_stream_ends_as_a_websocket_does(self) -> None:
        for code, reason in ((1012, "service restart"), (1006, "connection lost")):
            stream = StreamClient(self.room, "/sse/room")
            self.room.turn()
            self.event_log.batches.clear()
            if code == 1012:
                stream.wire.transport.protocol.close(Disconnect.RESTART)
            stream.wire.hang_up()
            self.assert_gone(code, reason)

    def test_close_of_the_relay_is_told_with_its_reason(self) -> None:
        """The answer of the client makes no difference."""
        client = self.connect()
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        client.flush()
        client.wire.hang_up()
        self.assert_gone(1012, "service restart")
