"""Tests of wsrelay.transports.websocket.protocol: what a client of a WebSocket sees, and what its slowness costs."""

from __future__ import annotations

from random import Random
from typing import Any

from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State

from devtools.harness.http import answers, client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import Opcode, frame, message_frame
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.websocket.protocol import PING_JITTER


class HandshakeTests(EdgeCase):
    """From the head to the open connection."""

    def test_opened_and_heard(self) -> None:
        """An accepted client hears what is published, text as text and other bytes as binary."""
        house = self.house()
        visitor = WebSocketClient(house).enter()
        house.publish(b"hello", b"\xff")
        frames = visitor.read()
        self.assertEqual([frame.opcode for frame in frames], [FrameOpcode.TEXT, FrameOpcode.BINARY])
        self.assertEqual([bytes(frame.data) for frame in frames], [b"hello", b"\xff"])

    def test_answer(self) -> None:
        """The 101 names no server, no extension and no subprotocol."""
        wire = ClientWire(self.house())
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

    def test_answered_when_subscribed(self) -> None:
        """The handshake is answered when the broker has confirmed the channel, not before."""
        broker = FakeBroker()
        house = self.house(broker)
        visitor = WebSocketClient(house)
        visitor.knock()
        visitor.read()
        self.assertIs(visitor.protocol.state, State.CONNECTING)
        self.assertEqual(house.sockets.sockets, {})
        house.node.subscribed("room")
        visitor.read()
        self.assertIs(visitor.protocol.state, State.OPEN)

    def test_no_broker(self) -> None:
        """A client whose channel is not confirmed in time gets 503 and is told when to come back."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade())
        house.pass_time(5.5)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertTrue(wire.closed)

    def test_bad_channel(self) -> None:
        """A path that names no channel gets 400, one that no namespace rules 404."""
        house = self.house(channels=("room",))
        for path, status in (("/ws/", 400), ("/ws/a/b", 400), ("/ws/%ff", 400), ("/ws/other", 404)):
            wire = ClientWire(house)
            wire.send(upgrade(path))
            self.assertEqual([answer.status for answer in answers(wire.read())], [status])
            self.assertTrue(wire.closed)

    def test_refused_and_silent(self) -> None:
        """A refused client that does not read its answer is reset after the close timeout."""
        house = self.house(close_timeout_seconds=2)
        wire = ClientWire(house)
        wire.send(upgrade("/ws/a/b"))
        house.pass_time(1.75)
        self.assertFalse(wire.closed)
        house.pass_time(0.75)
        self.assertTrue(wire.transport.aborted)

    def test_refused_twice(self) -> None:
        """A client that is refused while it is being refused gets one answer."""
        broker = FakeBroker()
        house = self.house(broker)
        wire = ClientWire(house)
        wire.send(upgrade())
        socket = wire.socket
        socket.close(Disconnect.INTERNAL_ERROR)
        socket.close(Disconnect.RESTART)
        self.assertEqual([answer.status for answer in answers(wire.read())], [500])

    def test_closed_while_waiting(self) -> None:
        """A client that waits for its answer when the relay stops is sent away with 503, to come back at once."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.send(upgrade())
        wire.socket.close(Disconnect.RESTART)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))

    def test_failing_broker(self) -> None:
        """An exception behind the handshake is logged and answered with 500; its text stays here."""

        class _Broken(FakeBroker):
            def subscribe(self, channels: object) -> None:
                raise ValueError("secret")

        wire = ClientWire(InMemoryRelay(_Broken()))
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.body), (500, b"The relay failed; its log has the traceback.\n"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_no_protocol_of_its_own(self) -> None:
        """The socket factory answers no port by itself: connections come through the door."""
        self.assertIsNone(self.house().sockets.buildProtocol(None))  # type: ignore[arg-type, func-returns-value]

    def test_ping_jitter(self) -> None:
        """Ping intervals are spread over the last fifth of what was asked, never longer."""
        house = self.house(ping_interval_seconds=10, rng=Random(1))
        intervals = [house.sockets.next_ping_interval() for _ in range(500)]
        self.assertLessEqual(max(intervals), 10)
        self.assertGreaterEqual(min(intervals), 10 * (1 - PING_JITTER))
        self.assertGreater(max(intervals) - min(intervals), 1.9)


class ConversationTests(EdgeCase):
    """While it is open, and how it ends."""

    def test_publish(self) -> None:
        """What a client sends where it may publish reaches everyone on the channel, fragments put together."""
        house = self.house(publish=("room",))
        one, two = WebSocketClient(house).enter(), WebSocketClient(house).enter()
        one.protocol.send_text(b"hel", fin=False)
        one.protocol.send_continuation(b"lo", fin=True)
        one.flush()
        house.turn()
        self.assertEqual(one.messages(), [b"hello"])
        self.assertEqual(two.messages(), [b"hello"])

    def test_publish_denied(self) -> None:
        """What a client sends where it may not publish ends its connection with 4503."""
        visitor = WebSocketClient(self.house()).enter()
        visitor.protocol.send_text(b"hello")
        visitor.flush()
        visitor.read()
        self.assertEqual(visitor.goodbye, (4503, "publishing is not permitted on this channel"))

    def test_close(self) -> None:
        """Our close is answered by the client and the connection ends; everything is let go."""
        house = self.house()
        visitor = WebSocketClient(house).enter()
        visitor.wire.socket.close(Disconnect.RESTART)
        visitor.wire.socket.close(Disconnect.SLOW)
        visitor.read()
        self.assertEqual(visitor.goodbye, (1012, "service restart"))
        self.assertFalse(visitor.wire.closed)
        visitor.flush()
        self.assertTrue(visitor.wire.closed)
        self.assertEqual(house.sockets.sockets, {})

    def test_no_timer_outlives_its_connection(self) -> None:
        """A client that leaves while either side is closing leaves no timer that waits for its goodbye."""
        for ours in (False, True):
            house = self.house()
            visitor = WebSocketClient(house).enter()
            if ours:
                visitor.wire.socket.close(Disconnect.RESTART)
            else:
                visitor.protocol.send_close(1000)
                visitor.flush()
            self.assertTrue(any(house.sockets.wheel._buckets.values()))
            visitor.wire.leave()
            self.assertFalse(any(house.sockets.wheel._buckets.values()))

    def test_unanswered_close(self) -> None:
        """A client that does not answer our close is reset after the close timeout."""
        house = self.house(close_timeout_seconds=3)
        visitor = WebSocketClient(house).enter()
        visitor.wire.socket.close(Disconnect.RESTART)
        visitor.read()
        house.pass_time(2.75)
        self.assertFalse(visitor.wire.closed)
        house.pass_time(0.75)
        self.assertTrue(visitor.wire.transport.aborted)

    def test_close_by_the_client(self) -> None:
        """A client's close is answered and the connection ends."""
        visitor = WebSocketClient(self.house()).enter()
        visitor.protocol.send_close(1000, "bye")
        visitor.flush()
        visitor.read()
        self.assertEqual(visitor.goodbye, (1000, ""))
        self.assertTrue(visitor.wire.closed)
        self.assertFalse(visitor.wire.transport.aborted)

    def test_after_the_end(self) -> None:
        """Sending, closing, accepting or refusing after the end is nothing."""
        house = self.house()
        visitor = WebSocketClient(house).enter()
        socket, outlet = visitor.wire.socket, visitor.wire.socket.subscriber
        visitor.wire.leave()
        outlet.send(message_frame(b"late"))
        outlet.close(Disconnect.RESTART)
        socket.close(Disconnect.RESTART)
        socket.accept()
        socket.refuse(ErrorResponse(400, "late"))
        outlet.on_blocked()
        outlet.send(message_frame(b"late"))
        outlet.on_drained()
        socket.dataReceived(client_frame(0x81, b"late"))
        self.assertEqual(visitor.wire.read(), b"")


class SlowClientTests(EdgeCase):
    """What waits for a client that does not read."""

    def test_waits_in_the_outbox(self) -> None:
        """While the transport is full, messages wait in the outbox and come in order when it has been read."""
        house = self.house()
        visitor = WebSocketClient(house).enter()
        messages = [bytes((65 + number,)) * 30000 for number in range(10)]
        house.publish(*messages[:3])
        for message in messages[3:]:
            house.publish(message)
        received = []
        while got := visitor.messages():
            received += got
        self.assertEqual(received, messages)

    def test_too_slow(self) -> None:
        """When the outbox is full the client is told 4008, behind what the transport had taken, and nothing else."""
        house = self.house(max_outbox_bytes=100_000)
        visitor = WebSocketClient(house).enter()
        messages = [bytes((65 + number,)) * 40000 for number in range(8)]
        for message in messages:
            house.publish(message)
        outbox: Any = visitor.wire.socket.subscriber._outbox
        goodbye = frame(Opcode.CLOSE, b"\x0f\xa8too slow: messages were lost, come back")
        self.assertEqual(outbox.size, len(goodbye))
        self.assertEqual(visitor.messages(), messages[:2])
        self.assertEqual(visitor.messages(), [])
        self.assertEqual(visitor.goodbye, (4008, "too slow: messages were lost, come back"))

    def test_pings_of_a_client_that_does_not_read(self) -> None:
        """Pongs wait in the outbox like all else: pinging without reading ends with 4008, not with all the memory."""
        house = self.house(max_outbox_bytes=10_000, max_frames_per_second=10_000)
        visitor = WebSocketClient(house).enter()
        ping = client_frame(0x89, b"x" * 125)
        for _ in range(2000):
            visitor.wire.send(ping)
        waiting = len(visitor.wire.transport.value())
        self.assertLess(waiting, visitor.wire.transport.high_water + 1000)
        visitor.read()
        self.assertIsNone(visitor.goodbye)
        visitor.read()
        self.assertEqual(visitor.goodbye, (4008, "too slow: messages were lost, come back"))
