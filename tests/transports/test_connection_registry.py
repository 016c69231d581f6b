"""Tests of wsrelay.transports.connection_registry: connections of any transport are drained alike.

The connection here is a response that streams over HTTP: no frames, no close frame, and a writer like a WebSocket's.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fake_socket import FakeTCPConnection
from wsrelay.config import Settings
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import RAW
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.hub import Hub
from wsrelay.engine.timers import TimerWheel
from wsrelay.metrics.counters import Counters
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.dialects import LineFraming
from wsrelay.transports.connection_registry import DRAINING, ConnectionRegistry
from wsrelay.transports.paused_connections import PausedConnections
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.writer import ConnectionWriter, ConnectionWriters

LIMIT = 1024
SECONDS = 5.0


class StreamingResponse(Protocol):
    """A response that streams. Implements `RegisteredConnection` and `Owner`.

    Args:
        registry: The registry that it stands in.
        timers: Timers.

    Attributes:
        writer: Its way out.
        drops: How many batches its client did not get.
        gaps: The channels of which messages may have been lost.
        closed_with: What it was closed with, if it was.
    """

    transport: Any

    def __init__(self, registry: ConnectionRegistry, timers: TimerWheel) -> None:
        self._registry = registry
        self._is_open = False
        self.writer = ConnectionWriter(
            self, ConnectionWriters(Settings(max_outbox_bytes=LIMIT, max_outbox_seconds=SECONDS), timers)
        )
        self.drops = 0
        self.gaps: list[str] = []
        self.closed_with: Disconnect | None = None

    def connectionMade(self) -> None:
        """Wait for the answer to the request."""
        self._registry.handshake_begun(self)
        self.writer.connect(self.transport)

    def begin(self) -> None:
        """Send the head of the response."""
        self._is_open = True
        self.writer.send_control(b"HTTP/1.1 200 OK\r\n\r\n")
        self.writer.open()
        self._registry.opened(self)

    def close(self, disconnect: Disconnect) -> None:
        """See `RegisteredConnection.close`."""
        if self.closed_with is None:
            self.closed_with = disconnect
            last = f"end {disconnect.code}\n".encode() if self._is_open else DRAINING.to_bytes()
            self.writer.shut()
            self.writer.send_control(last)
            self.writer.finish()
            self.transport.loseConnection()

    def abort(self) -> None:
        """See `RegisteredConnection.abort`."""
        self.transport.abortConnection()

    def outbox_emptied(self) -> None:
        """See `Owner.outbox_emptied`."""

    def batch_dropped(self) -> None:
        """See `Owner.batch_dropped`."""
        self.drops += 1

    def report_gap(self, channel: str) -> None:
        """See `Owner.report_gap`."""
        self.gaps.append(channel)

    def connectionLost(self, reason: Any = None) -> None:
        """Leave the registry."""
        self._registry.closed(self)
        self.writer.connection_lost()


class StreamCase(SynchronousTestCase):
    """A registry, and responses that stream on kernels that the test plays. No timer outlives its connection."""

    def setUp(self) -> None:
        """Make the registry."""
        self.clock: Any = Clock()
        self.timers = TimerWheel(self.clock)
        self.registry = self.make_registry()
        self.pipes: list[FakeTCPConnection] = []
        self.addCleanup(self.check_end)

    def make_registry(self) -> ConnectionRegistry:
        """Return an empty registry."""
        limits = RateLimits(1, 1, self.timers)
        return ConnectionRegistry(PausedConnections(Counters(), limits, self.clock.seconds))

    def check_end(self) -> None:
        """Hang up: nothing is left."""
        for pipe in self.pipes:
            if pipe.connected:
                pipe.hang_up()
        self.clock.pump([0.25] * 50)
        self.assertEqual([bucket for bucket in self.timers._buckets.values() if bucket], [])
        self.assertEqual((len(self.registry), self.registry.open_connections()), (0, ()))

    def response(self, *, is_open: bool = True) -> StreamingResponse:
        """Return a response whose request has come, and that has begun to stream unless it is told otherwise."""
        response = StreamingResponse(self.registry, self.timers)
        pipe = FakeTCPConnection(self.clock)
        self.pipes.append(pipe)
        pipe.protocol = response
        response.makeConnection(pipe)
        if is_open:
            response.begin()
            pipe.drain()
        return response


class RegistryTests(StreamCase):
    """The connections of one process."""

    def test_only_open_connections_are_counted_oldest_first(self) -> None:
        waiting, first, second = self.response(is_open=False), self.response(), self.response()
        self.assertEqual((len(self.registry), self.registry.open_connections()), (2, (first, second)))
        waiting.begin()
        self.assertEqual(self.registry.open_connections(), (first, second, waiting))
        first.transport.hang_up()
        self.assertEqual(self.registry.open_connections(), (second, waiting))

    def test_removing_a_connection_that_is_not_there_is_ignored(self) -> None:
        response = self.response()
        for _ in range(2):
            self.registry.closed(response)
        self.assertEqual(len(self.registry), 0)

    def test_connection_that_opens_without_a_pending_handshake_is_counted(self) -> None:
        registry = self.make_registry()
        registry.opened(self.response())
        self.assertEqual(len(registry), 1)

    def test_draining_is_a_switch_that_closes_nothing(self) -> None:
        response = self.response()
        self.assertFalse(self.registry.is_draining)
        self.registry.start_draining()
        self.assertEqual((self.registry.is_draining, response.closed_with), (True, None))

    def test_pending_requests_are_rejected_and_open_connections_stay(self) -> None:
        waiting, opened = self.response(is_open=False), self.response()
        self.registry.reject_handshakes()
        self.assertEqual((waiting.closed_with, opened.closed_with), (Disconnect.RESTART, None))
        self.assertEqual(waiting.transport.drain(), DRAINING.to_bytes())
        self.registry.reject_handshakes()
        self.assertEqual(self.registry.open_connections(), (opened,))

    def test_draining_answer_is_503_with_retry_after(self) -> None:
        self.assertIsInstance(DRAINING, ErrorResponse)
        self.assertEqual((DRAINING.status, dict(DRAINING.headers)["Retry-After"]), (503, "1"))

    def test_every_open_connection_can_be_closed_and_leaves_the_registry(self) -> None:
        responses = [self.response() for _ in range(3)]
        for connection in self.registry.open_connections():
            connection.close(Disconnect.RESTART)
        self.assertEqual([each.transport.drain() for each in responses], [b"end 1012\n"] * 3)
        self.assertEqual(len(self.registry), 0)

    def test_connection_that_does_not_read_can_be_aborted(self) -> None:
        response = self.response()
        response.transport.kernel.capacity = 0
        response.writer.send(b"waits\n")
        response.close(Disconnect.RESTART)
        self.assertEqual(self.registry.open_connections(), (response,))
        for connection in self.registry.open_connections():
            connection.abort()
        self.clock.advance(0)
        self.assertEqual(len(self.registry), 0)


class WriterTests(StreamCase):
    """The writer of a connection that is no WebSocket."""

    def test_hub_sends_to_it_in_its_own_framing(self) -> None:
        failures: list[object] = []
        hub = Hub(self.clock.callLater, self.clock.seconds, failures.append)
        stream, websocket = self.response(), RecordingConnection()
        hub.add(stream.writer, "news", Encoding(RAW.dialect, LineFraming()))
        hub.add(websocket.writer, "news", websocket.encoding())
        hub.broadcast([Publication("news", b"one"), Publication("news", b"two")])
        self.assertEqual(stream.transport.drain(), b"one\ntwo\n")
        self.assertEqual(websocket.sent, [websocket.encoding().frame([Message(b"one"), Message(b"two")])])
        self.assertEqual(failures, [])

    def test_slow_consumer_is_closed(self) -> None:
        response = self.response()
        response.transport.kernel.capacity = 0
        for _ in range(8):
            response.writer.send(b"x" * (LIMIT // 4))
        self.assertIs(response.closed_with, Disconnect.SLOW)
        response.transport.kernel.capacity = 2**40
        response.transport.turn()
        self.assertTrue(response.transport.drain().endswith(b"end 4008\n"))

    def test_slow_consumer_is_closed_for_the_age_of_what_waits(self) -> None:
        response = self.response()
        response.transport.kernel.capacity = 0
        response.writer.send(b"-" * 10)
        response.writer.send(b"waits\n")
        self.clock.pump([0.25] * round((SECONDS + 1) * 4))
        self.assertIs(response.closed_with, Disconnect.SLOW)

    def test_dropped_batches_are_reported_to_it(self) -> None:
        response = self.response()
        response.transport.kernel.capacity = 0
        for _ in range(8):
            response.writer.send(b"x" * (LIMIT // 4), SlowPolicy.DROP)
        self.assertEqual((response.closed_with, response.drops > 0), (None, True))

    def test_newest_message_of_each_channel_waits(self) -> None:
        response = self.response()
        response.transport.kernel.capacity = 0
        response.writer.send(b"-\n")
        for number in range(1000):
            data = b"%03d\n" % number
            response.writer.send(data, SlowPolicy.LATEST, "news", data)
        response.transport.kernel.capacity = 2**40
        response.transport.turn()
        self.assertEqual((response.transport.drain(), response.closed_with), (b"-\n999\n", None))

    def test_gap_is_reported_to_it(self) -> None:
        response = self.response()
        response.writer.report_gap("news")
        self.assertEqual(response.gaps, ["news"])

    def test_close_by_the_hub_is_its_own(self) -> None:
        response = self.response()
        response.writer.close(Disconnect.INTERNAL_ERROR)
        self.assertEqual(response.transport.drain(), b"end 1011\n")
