"""Tests of wsrelay.transports.writer: the way out of one connection, on kernels that take any part of a batch."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from devtools.harness.http import client_frame
from tests.support.edge import EdgeCase
from tests.support.fake_socket import FakeSocket, FakeTCPConnection
from tests.support.frames import read_frames
from tests.support.in_memory_relay import InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.config import Settings
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.frames import Opcode, frame, message_frame
from wsrelay.engine.timers import TimerWheel
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports import writer as module
from wsrelay.transports.writer import PIECE_BYTES, ConnectionWriter, ConnectionWriters

CLOSE, DROP, LATEST = SlowPolicy
LIMIT = 1024
"""The most bytes that may wait in these tests: the least that an operator can set."""

SECONDS = 5.0
"""The longest time that they may wait."""


class Owner(Protocol):
    """The connection of a writer. Its close frame has three bytes.

    Args:
        timers: Timers.

    Attributes:
        disconnects: What it was closed with.
        drops: How many batches its client did not get.
        gaps: The channels of which messages may have been lost.
        writer: Its writer.
    """

    def __init__(self, timers: TimerWheel) -> None:
        self.drops = 0
        self.disconnects: list[Disconnect] = []
        self.gaps: list[str] = []
        settings = Settings(max_outbox_bytes=LIMIT, max_outbox_seconds=SECONDS)
        self.writer = ConnectionWriter(self, ConnectionWriters(settings, timers))

    def connectionLost(self, reason: Any = None) -> None:
        """Pass it on to the writer."""
        self.writer.connection_lost()

    def outbox_emptied(self) -> None:
        """See `Owner.outbox_emptied`."""

    def batch_dropped(self) -> None:
        """Count it."""
        self.drops += 1

    def report_gap(self, channel: str) -> None:
        """Record it."""
        self.gaps.append(channel)

    def close(self, disconnect: Disconnect) -> None:
        """Send the close frame, once."""
        if self.writer.is_open:
            self.disconnects.append(disconnect)
            self.writer.shut()
            self.writer.send_control(b"bye")


class WriterCase(SynchronousTestCase):
    """A writer on a kernel that the test plays. No timer outlives its connection."""

    def setUp(self) -> None:
        """Open a connection on a kernel that takes everything."""
        self.clock: Any = Clock()
        self.pipe = FakeTCPConnection(self.clock)
        self.kernel = self.pipe.kernel
        self.writer = self.connect(self.pipe)
        self.addCleanup(self.check_end)

    def connect(self, transport: Any) -> ConnectionWriter:
        """Return an open writer on a transport."""
        self.timers = TimerWheel(self.clock)
        self.owner = Owner(self.timers)
        transport.protocol = self.owner
        self.owner.writer.connect(transport)
        self.owner.writer.open()
        return self.owner.writer

    def check_end(self) -> None:
        """Lose the connection, twice; from then on nothing has an effect."""
        if self.pipe.connected:
            self.pipe.hang_up()
        self.writer.connection_lost()
        self.writer.close(Disconnect.RESTART)
        gaps = list(self.owner.gaps)
        self.writer.report_gap("late")
        self.assertEqual(self.owner.gaps, gaps)
        self.assertEqual([bucket for bucket in self.timers._buckets.values() if bucket], [])

    def read(self) -> bytes:
        """Let the kernel take everything and the peer read all; returns that."""
        self.kernel.capacity = self.kernel.max_per_send = 2**40
        self.pipe.turn()
        return self.pipe.drain()

    def stall(self, capacity: int = 0) -> None:
        """Let the kernel take only so many bytes, and fill it with a batch of a hundred bytes."""
        self.kernel.capacity = capacity
        self.writer.send(b"-" * 100)
        self.kernel.sends.clear()


class WritableTests(WriterCase):
    """A writer for which nothing waits."""

    def test_batch_that_the_kernel_takes_costs_one_system_call(self) -> None:
        for size in (1, 100_000):
            self.writer.send(b"x" * size)
            self.assertEqual((self.kernel.sends, self.pipe.loop.writers), ([size], set()))
            self.assertEqual((self.writer.is_writable, self.pipe.drain()), (True, b"x" * size))
            self.kernel.sends.clear()

    def test_messages_are_sent_only_while_it_is_open_and_control_frames_before_too(self) -> None:
        self.writer.is_open = self.writer.is_writable = False
        self.writer.send_control(b"101")
        self.writer.send(b"early")
        self.writer.open()
        self.writer.send(b"now")
        self.writer.shut()
        self.writer.send(b"late")
        self.assertEqual(self.pipe.drain(), b"101now")
        self.pipe.hang_up()
        for policy in SlowPolicy:
            self.writer.send(b"late", policy, "a", b"late")
        self.assertEqual(self.kernel.taken, b"")

    def test_messages_wait_behind_an_unsent_answer_to_the_handshake(self) -> None:
        self.writer.is_open = self.writer.is_writable = False
        self.kernel.capacity = 1
        self.writer.send_control(b"101")
        self.writer.open()
        self.assertFalse(self.writer.is_writable)
        self.writer.send(b"message")
        self.assertEqual((self.kernel.taken, self.kernel.capacity), (b"1", 0))
        self.assertEqual(self.read(), b"101message")
        self.assertTrue(self.writer.is_writable)

    def test_drained_transport_makes_a_writer_writable_only_when_it_is_open(self) -> None:
        self.writer.is_open = self.writer.is_writable = False
        self.kernel.capacity = 1
        self.writer.send_control(b"101")
        self.assertEqual((self.read(), self.writer.is_writable), (b"101", False))
        self.writer.open()
        self.assertTrue(self.writer.is_writable)

    def test_empty_batch_is_no_batch(self) -> None:
        self.writer.send(b"")
        self.stall()
        self.writer.send(b"")
        self.writer.send(b"", LATEST, "a", b"")
        self.writer.send(b"1")
        self.assertEqual((self.read(), self.writer.is_writable), (b"-" * 100 + b"1", True))


class BlockedTests(WriterCase):
    """A writer for which something waits."""

    def test_rest_of_a_batch_goes_first_and_control_frames_keep_their_order(self) -> None:
        self.stall(capacity=30)
        self.writer.send(b"one")
        self.writer.send_control(b"ping")
        self.writer.send(b"two")
        self.assertEqual((self.kernel.taken, self.kernel.sends, self.writer.is_writable), (b"-" * 30, [], False))
        self.assertEqual(self.read(), b"-" * 100 + b"onepingtwo")
        self.assertEqual((self.writer.is_writable, self.writer._outbox, self.writer._timer), (True, None, None))

    def test_kernel_that_raises_eagain_and_one_that_takes_nothing_are_equal(self) -> None:
        for mode in ("full", "idle"):
            self.setUp()
            self.kernel.mode = mode
            self.stall()
            self.writer.send(b"one")
            self.assertEqual(self.read(), b"-" * 100 + b"one")

    def test_every_byte_is_sent_once_to_a_kernel_that_takes_one_at_a_time(self) -> None:
        self.kernel.max_per_send = 1
        self.stall(capacity=2**40)
        self.writer.send(b"one")
        turns = 0
        while not self.writer.is_writable:
            self.pipe.turn()
            turns += 1
        self.assertEqual(self.kernel.taken, b"-" * 100 + b"one")
        self.assertLess(turns, 103)

    def test_transport_is_given_one_piece_at_a_time(self) -> None:
        self.kernel.capacity = 10
        giant = bytes(range(256)) * 1000
        self.writer.send(giant)
        outbox: Any = self.writer._outbox
        self.assertEqual((self.pipe.waiting, outbox.size), (PIECE_BYTES, len(giant) - 10 - PIECE_BYTES))
        received = self.pipe.drain()
        while self.kernel.capacity == 10 and self.writer._outbox is not None:
            received += self.pipe.drain()
            self.assertLessEqual(self.pipe.waiting, PIECE_BYTES)
        self.assertEqual(received + self.read(), giant)

    def test_broken_connection_is_lost_once_and_later(self) -> None:
        self.kernel.mode = "broken"
        self.writer.send(b"one")
        self.writer.send(b"two")
        self.assertTrue(self.pipe.connected)
        self.pipe.turn()
        self.assertFalse(self.pipe.connected)
        self.assertEqual((self.writer._outbox, self.writer._timer, self.owner.disconnects), (None, None, []))

    def test_shut_drops_what_waits_but_the_rest_of_a_begun_batch(self) -> None:
        for capacity, expected in ((30, b"-" * 100 + b"bye"), (0, b"-" * 100 + b"bye")):
            self.setUp()
            self.stall(capacity)
            self.writer.send(b"never")
            self.writer.close(Disconnect.RESTART)
            self.writer.send(b"late")
            self.writer.on_blocked()
            self.assertEqual((self.read(), self.writer.is_writable), (expected, False))

    def test_shut_sends_the_whole_rest_of_a_large_begun_batch(self) -> None:
        self.kernel.capacity = 10
        giant = b"x" * (3 * PIECE_BYTES)
        self.writer.send(giant)
        self.writer.send(b"never", LATEST, "a", b"never")
        self.writer.close(Disconnect.RESTART)
        self.assertEqual(self.read(), giant + b"bye")

    def test_finish_gives_the_transport_all_that_is_left(self) -> None:
        self.stall(capacity=30)
        self.writer.send(b"one")
        self.writer.send_control(b"bye")
        self.writer.finish()
        self.writer.finish()
        self.pipe.loseConnection()
        self.assertEqual((self.writer._outbox, self.pipe.waiting), (None, 70 + 3 + 3))
        self.assertEqual((self.read(), self.pipe.connected), (b"-" * 100 + b"onebye", 0))

    def test_nothing_is_sent_between_an_abort_and_the_end(self) -> None:
        """It would take the place of what was thrown away."""
        self.stall(capacity=30)
        self.writer.send(b"one")
        self.kernel.capacity = 2**40
        self.pipe.abortConnection()
        self.writer.send(b"two")
        self.writer.send_control(b"ping")
        self.assertEqual(self.kernel.taken, b"-" * 30)
        self.clock.advance(0)
        self.assertFalse(self.pipe.connected)


class PolicyTests(WriterCase):
    """Slow-consumer policies."""

    def test_policy_close_closes_as_slow_when_the_outbox_is_full(self) -> None:
        self.stall(capacity=30)
        for _ in range(4):
            self.writer.send(b"x" * (LIMIT // 4))
        self.assertEqual(self.owner.disconnects, [])
        self.writer.send(b"x")
        self.writer.send(b"x")
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])
        self.assertEqual(self.read(), b"-" * 100 + b"bye")

    def test_policy_drop_drops_what_does_not_fit(self) -> None:
        self.stall()
        for name in (b"1", b"2", b"3", b"4", b"5"):
            self.writer.send(name * (LIMIT // 4 + 10), DROP)
        self.writer.send(b"6", DROP)
        self.assertEqual(self.read()[100:], b"".join(name * 266 for name in (b"1", b"2", b"3")) + b"6")
        self.writer.send(b"7", DROP)
        self.assertEqual((self.read(), self.owner.disconnects), (b"7", []))
        self.assertEqual(self.owner.drops, 2)

    def test_policy_latest_keeps_the_newest_message_of_each_channel(self) -> None:
        self.writer.send(b"a1a2", LATEST, "a", b"a2")
        self.stall()
        self.writer.send(b"a3a4", LATEST, "a", b"a4")
        self.writer.send(b"b1", LATEST, "b", b"b1")
        for number in range(5, 1000):
            self.writer.send(b"a-a%03d" % number, LATEST, "a", b"a%03d" % number)
        self.assertEqual((self.read(), self.owner.disconnects), (b"a1a2" + b"-" * 100 + b"b1a999", []))

    def test_policy_latest_closes_as_slow_when_even_the_newest_do_not_fit(self) -> None:
        self.stall()
        self.writer.send(b"x" * LIMIT, LATEST, "a", b"x" * LIMIT)
        self.writer.send(b"x", LATEST, "b", b"x")
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])


class AgeTests(WriterCase):
    """The longest time that anything may wait."""

    def test_waiting_too_long_closes_as_slow_once(self) -> None:
        self.stall()
        self.writer.send(b"one", DROP)
        self.clock.advance(SECONDS - 0.25)
        self.assertEqual(self.owner.disconnects, [])
        self.clock.pump([0.25] * 3)
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])
        self.clock.pump([0.25] * 100)
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])

    def test_only_what_waits_in_the_outbox_grows_old(self) -> None:
        self.stall(capacity=30)
        self.clock.pump([0.25] * 100)
        self.writer.send(b"one")
        self.assertEqual(self.owner.disconnects, [])
        self.clock.pump([0.25] * 44)
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])

    def test_client_that_is_always_behind_but_reads_is_kept(self) -> None:
        self.stall()
        sent = b"-" * 100
        for number in range(40):
            sent += b"%02d" % number * 50
            self.writer.send(b"%02d" % number * 50)
            self.kernel.max_per_send = self.kernel.capacity = 100
            self.pipe.turn()
            self.kernel.capacity = 0
            self.clock.pump([0.25] * 4)
            self.assertIsNotNone(self.writer._outbox)
        self.assertEqual(self.owner.disconnects, [])
        self.assertEqual(self.read(), sent)

    def test_message_that_is_replaced_by_newer_ones_never_grows_old(self) -> None:
        self.stall()
        self.writer.send(b"a", LATEST, "a", b"a")
        for number in range(100):
            self.clock.pump([0.25] * 2)
            self.writer.send(b"%02d" % number, LATEST, "a", b"%02d" % number)
        self.assertEqual(self.owner.disconnects, [])
        self.assertEqual(self.read(), b"-" * 100 + b"99")

    def test_closing_connection_is_not_closed_for_its_age(self) -> None:
        for end in ("shut", "finish"):
            self.setUp()
            self.stall(capacity=30)
            getattr(self.writer, end)()
            self.clock.pump([0.25] * 100)
            self.assertEqual(self.owner.disconnects, [])
            self.assertIsNone(self.writer._timer)


class OwnerTests(WriterCase):
    """The owner of a writer, a connection of any transport."""

    def test_gap_is_reported_to_the_owner(self) -> None:
        self.writer.report_gap("news")
        self.assertEqual((self.owner.gaps, self.owner.disconnects), (["news"], []))

    def test_close_is_the_owners(self) -> None:
        self.writer.close(Disconnect.RESTART)
        self.assertEqual((self.owner.disconnects, self.pipe.drain()), ([Disconnect.RESTART], b"bye"))


class ProducerTests(WriterCase):
    """A writer on a transport that pauses a push producer, such as TLS."""

    def setUp(self) -> None:
        """Open a connection on a transport in memory, which is full above 64 KiB."""
        super().setUp()
        self.transport = MemoryTransport()
        self.writer = self.connect(self.transport)

    def test_messages_go_to_the_transport_until_it_is_full_and_wait_then(self) -> None:
        self.writer.send(b"-" * (self.transport.high_water + 1))
        self.writer.send(b"one")
        self.writer.send_control(b"ping")
        self.assertEqual(self.transport.drain(), b"-" * (self.transport.high_water + 1))
        self.assertEqual((self.transport.drain(), self.writer.is_writable), (b"oneping", True))

    def test_rest_waits_if_the_transport_is_full_again(self) -> None:
        self.transport.high_water = 10
        self.writer.send(b"-" * 11)
        for number in range(5):
            self.writer.send(b"%d" % number * 8)
        self.assertEqual(self.transport.drain(), b"-" * 11)
        self.assertEqual(self.transport.drain(), b"0" * 8 + b"1" * 8)
        self.assertEqual(self.transport.drain(), b"2" * 8 + b"3" * 8)
        self.assertEqual((self.transport.drain(), self.writer.is_writable), (b"4" * 8, True))

    def test_stopped_producer_changes_nothing_until_the_connection_is_lost(self) -> None:
        producer: Any = self.transport.producer
        producer.stopProducing()
        self.writer.send(b"one")
        self.assertEqual(self.transport.drain(), b"one")
        self.writer.connection_lost()
        producer.pauseProducing()
        producer.resumeProducing()
        self.assertFalse(self.writer.is_writable)


SIZES = st.integers(0, 400)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("close policy"), SIZES),
        st.tuples(st.just("drop"), SIZES),
        st.tuples(st.sampled_from(("latest a", "latest b")), SIZES),
        st.tuples(st.just("read"), st.integers(1, 600)),
        st.tuples(st.just("room"), st.sampled_from((0, 0, 1, 50, 500))),
        st.tuples(st.just("most"), st.sampled_from((1, 7, 2**40))),
        st.tuples(st.sampled_from(("full", "idle")), st.just(0)),
        st.tuples(st.just("broken"), st.just(0)),
        st.tuples(st.just("ping"), st.just(0)),
        st.tuples(st.just("control"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 12)),
        st.tuples(st.just("close"), st.just(0)),
        st.tuples(st.just("their close"), st.just(0)),
    ),
    max_size=50,
)


class Schedule:
    """A connection to a whole relay during a schedule of events, and what its client must receive."""

    def __init__(self, relay: InMemoryRelay, transport: Any) -> None:
        self.relay = relay
        self.transport = transport
        self.client = WebSocketClient(relay, transport=transport).connect()
        self.connection = self.client.wire.connection
        self.writer = self.connection.writer
        self.received = b""
        self.number = 0
        self.must: set[int] = set()
        self.newest: dict[str, int] = {}
        self.controls = self.largest = 0
        if isinstance(transport, FakeTCPConnection):
            transport.kernel.capacity = 0

    @property
    def is_open(self) -> bool:
        """True if a message that is sent now has to arrive."""
        return bool(self.connection.state == self.connection.STATE_OPEN)

    def message(self, size: int) -> bytes:
        """Return the frame of the next message."""
        self.number += 1
        data = message_frame(b"%06d" % self.number + b"x" * size)
        self.largest = max(self.largest, 2 * len(data))
        return data

    def fits(self, size: int) -> bool:
        """Return whether a batch certainly fits into the outbox."""
        outbox = self.writer._outbox
        return outbox is None or not outbox.size or outbox.size + size <= LIMIT

    def do(self, event: str, size: int) -> None:
        """Carry out one event."""
        if event == "close policy":
            if self.is_open:
                self.must.add(self.number + 1)
            self.writer.send(self.message(size))
        elif event == "drop":
            data = self.message(size)
            if self.is_open and (self.writer.is_writable or self.fits(len(data))):
                self.must.add(self.number)
            self.writer.send(data, DROP)
        elif event.startswith("latest"):
            self.latest(event[-1], size)
        elif event == "ping":
            self.number += 1
            if self.is_open:
                self.must.add(self.number)
            self.client.wire.send(client_frame(0x89, b"%06d" % self.number))
        elif event == "control" and self.is_open:
            self.number += 1
            self.must.add(self.number)
            self.controls += 8
            self.writer.send_control(frame(Opcode.PING, b"%06d" % self.number))
        elif event == "wait":
            self.relay.pass_time(size / 4)
        elif event == "close":
            self.connection.close(Disconnect.RESTART)
        elif event == "their close":
            self.client.wire.send(client_frame(0x88, b"\x03\xe8"))
        else:
            self.play(event, size)

    def latest(self, channel: str, size: int) -> None:
        """Send a batch of two messages, the second of which is the newest."""
        first, second = self.message(size), self.message(size)
        if self.is_open:
            self.newest[channel] = self.number
            if self.writer.is_writable:
                self.must |= {self.number - 1, self.number}
        self.writer.send(first + second, LATEST, channel, second)

    def play(self, event: str, size: int) -> None:
        """Carry out an event of the kernel or the peer."""
        pipe = self.transport
        if event == "read":
            self.received += pipe.drain(size) if isinstance(pipe, FakeTCPConnection) else pipe.drain()
        elif event == "broken" and not isinstance(pipe, FakeTCPConnection):
            self.client.wire.hang_up()
        elif isinstance(pipe, FakeTCPConnection):
            if event == "room":
                pipe.kernel.capacity += size
            elif event == "most":
                pipe.kernel.max_per_send = size
            elif event in ("full", "idle", "broken") and pipe.kernel.mode != "broken":
                pipe.kernel.mode = event
            pipe.turn()

    def end(self) -> list[Frame]:
        """Let the peer read all there is, and return the frames that it received."""
        # An abort ends the connection in the next turn.
        self.relay.turn()
        if isinstance(self.transport, FakeTCPConnection):
            self.transport.kernel.capacity = self.transport.kernel.max_per_send = 2**40
            self.transport.turn()
        while more := self.transport.drain():
            self.received += more
        return read_frames(self.received, torn=self.client.wire.closed)


class ScheduleTests(EdgeCase):
    """Any schedule of events."""

    def setUp(self) -> None:
        """Small pieces, so that batches have several."""
        self.patch(module, "PIECE_BYTES", 97)

    def run_schedule(self, transport: Any, clock: Any, events: list[tuple[str, int]], held: Any) -> None:
        """Carry out a schedule and check bounds after each event, and what was received at the end."""
        relay = InMemoryRelay(
            clock=clock,
            max_outbox_bytes=LIMIT,
            max_outbox_seconds=SECONDS,
            ping_interval_seconds=10_000,
            close_timeout_seconds=10_000,
        )
        run = Schedule(relay, transport)
        for event, size in events:
            run.do(event, size)
            outbox = run.writer._outbox
            if outbox is not None:
                self.assertLessEqual(outbox.size, max(LIMIT, run.largest) + run.controls + 64)
                age = 0.0 if outbox.oldest is None else clock.seconds() - outbox.oldest
                self.assertTrue(age <= SECONDS + 0.5 or not run.is_open)
            self.assertLessEqual(held(), run.largest + run.controls + 64)
        frames = run.end()
        self.judge(run, frames)
        run.client.wire.hang_up()
        run.writer.connection_lost()
        run.writer.close(Disconnect.INTERNAL_ERROR)
        relay.node.stop()
        self.assertEqual(
            (
                [bucket for bucket in relay.node.timers._buckets.values() if bucket],
                relay.connections.open_connections(),
            ),
            ([], ()),
        )

    def judge(self, run: Schedule, frames: list[Frame]) -> None:
        """Check that all that had to be received was."""
        closes = [frame for frame in frames if frame.opcode is FrameOpcode.CLOSE]
        self.assertEqual(closes, frames[len(frames) - len(closes) :][:1])
        numbers = [int(bytes(frame.data[:6])) for frame in frames if frame.opcode is not FrameOpcode.CLOSE]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertLessEqual(max(numbers, default=0), run.number)
        if run.is_open:
            self.assertEqual(closes, [])
            self.assertEqual(run.must - set(numbers), set())
            self.assertEqual(set(run.newest.values()) - set(numbers), set())
            self.assertTrue(run.writer.is_writable)
        else:
            # All that had to be received before the last message that was.
            last = max(numbers, default=0)
            self.assertEqual({number for number in run.must if number <= last} - set(numbers), set())
            codes = [int.from_bytes(bytes(frame.data[:2]), "big") for frame in closes]
            self.assertTrue(set(codes) <= {1000, 1012, 4008})
            self.assertTrue(codes or run.client.wire.closed)

    @given(EVENTS)
    def test_eager_transport_gets_whole_frames_in_order(self, events: list[tuple[str, int]]) -> None:
        clock: Any = Clock()
        pipe = FakeTCPConnection(clock, FakeSocket())
        self.run_schedule(pipe, clock, events, lambda: pipe.waiting - 97)

    @given(EVENTS, st.integers(10, 500))
    def test_producing_transport_gets_whole_frames_in_order(
        self, events: list[tuple[str, int]], high_water: int
    ) -> None:
        clock: Any = Clock()
        transport = MemoryTransport()
        transport.high_water = high_water
        self.run_schedule(transport, clock, events, lambda: len(transport.value()) - high_water)
