"""Tests of wsrelay.transports.writer: the way out of one connection, on kernels that take what they like."""

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
from wsrelay.dialects import DIALECTS
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.timers import TimerWheel
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports import writer as module
from wsrelay.transports.writer import PIECE_BYTES, ConnectionWriter

CLOSE, DROP, LATEST = SlowPolicy
LIMIT = 1024
"""How much may wait in these tests, in bytes: the least that an operator can ask for."""

SECONDS = 5.0
"""How long it may."""


class Owner(Protocol):
    """The connection of an outlet of its own: it says goodbye in three bytes.

    Attributes:
        disconnects: What it was closed with.
        drops: How many batches it was told that its client did not get.
    """

    def __init__(self, outlet_of: Any) -> None:
        self.drops = 0
        self.disconnects: list[Disconnect] = []
        self.outlet: ConnectionWriter = outlet_of(self)

    def connectionLost(self, reason: Any = None) -> None:
        """The outlet is told."""
        self.outlet.lost()

    def dropped(self) -> None:
        """Count."""
        self.drops += 1

    def close(self, disconnect: Disconnect) -> None:
        """Say goodbye, once."""
        if self.outlet.is_open:
            self.disconnects.append(disconnect)
            self.outlet.shut()
            self.outlet.control(b"bye")


class OutletCase(SynchronousTestCase):
    """An outlet on a kernel that the test plays. Whatever happened, no timer outlives its connection."""

    def setUp(self) -> None:
        """Open a connection on a kernel with endless room."""
        self.clock: Any = Clock()
        self.pipe = FakeTCPConnection(self.clock)
        self.kernel = self.pipe.kernel
        self.outlet = self.connect(self.pipe)
        self.addCleanup(self.all_gone)

    def connect(self, transport: Any) -> ConnectionWriter:
        """An open outlet on a transport."""
        self.wheel = TimerWheel(self.clock)
        settings = Settings(max_outbox_bytes=LIMIT, max_outbox_seconds=SECONDS)
        encoding = Encoding(DIALECTS["raw"])
        self.owner = Owner(lambda owner: ConnectionWriter(owner, encoding, settings, self.wheel))
        self.assertIs(self.owner.outlet.encoding, encoding)
        transport.protocol = self.owner
        self.owner.outlet.connect(transport)
        self.owner.outlet.open()
        return self.owner.outlet

    def all_gone(self) -> None:
        """The connection is lost, once and again."""
        if self.pipe.connected:
            self.pipe.hang_up()
        self.outlet.lost()
        self.outlet.close(Disconnect.RESTART)
        self.assertEqual([bucket for bucket in self.wheel._buckets.values() if bucket], [])

    def read(self) -> bytes:
        """The kernel has room for ever, and the peer reads all."""
        self.kernel.room = self.kernel.most = 2**40
        self.pipe.turn()
        return self.pipe.drain()

    def stall(self, room: int = 0) -> None:
        """The kernel has room for so much and no more, and a first batch of a hundred bytes has filled it."""
        self.kernel.room = room
        self.outlet.send(b"-" * 100)
        self.kernel.sends.clear()


class ClearTests(OutletCase):
    """While nothing waits."""

    def test_one_call(self) -> None:
        """A batch that the kernel takes costs one system call, and leaves nothing to do."""
        for size in (1, 100_000):
            self.outlet.send(b"x" * size)
            self.assertEqual((self.kernel.sends, self.pipe.loop.writers), ([size], set()))
            self.assertEqual((self.outlet.clear, self.pipe.drain()), (True, b"x" * size))
            self.kernel.sends.clear()

    def test_only_while_it_is_open(self) -> None:
        """Before the handshake is complete control frames are sent and nothing else; after the end nothing is."""
        self.outlet.is_open = self.outlet.clear = False
        self.outlet.control(b"101")
        self.outlet.send(b"early")
        self.outlet.open()
        self.outlet.send(b"now")
        self.outlet.shut()
        self.outlet.send(b"late")
        self.assertEqual(self.pipe.drain(), b"101now")
        self.pipe.hang_up()
        for policy in SlowPolicy:
            self.outlet.send(b"late", policy, "a", b"late")
        self.assertEqual(self.kernel.taken, b"")

    def test_busy_before_it_is_open(self) -> None:
        """If the kernel has not even taken the answer to the handshake, messages wait behind it."""
        self.outlet.is_open = self.outlet.clear = False
        self.kernel.room = 1
        self.outlet.control(b"101")
        self.outlet.open()
        self.assertFalse(self.outlet.clear)
        self.outlet.send(b"message")
        self.assertEqual((self.kernel.taken, self.kernel.room), (b"1", 0))
        self.assertEqual(self.read(), b"101message")
        self.assertTrue(self.outlet.clear)

    def test_caught_up_before_it_is_open(self) -> None:
        """A transport that is idle before the handshake is complete makes no connection clear."""
        self.outlet.is_open = self.outlet.clear = False
        self.kernel.room = 1
        self.outlet.control(b"101")
        self.assertEqual((self.read(), self.outlet.clear), (b"101", False))
        self.outlet.open()
        self.assertTrue(self.outlet.clear)

    def test_nothing(self) -> None:
        """A batch of no bytes is no batch, and holds nothing up behind it."""
        self.outlet.send(b"")
        self.stall()
        self.outlet.send(b"")
        self.outlet.send(b"", LATEST, "a", b"")
        self.outlet.send(b"1")
        self.assertEqual((self.read(), self.outlet.clear), (b"-" * 100 + b"1", True))


class BehindTests(OutletCase):
    """While something waits."""

    def test_order(self) -> None:
        """What the kernel did not take of a batch goes first, then all else in its order, control frames too."""
        self.stall(room=30)
        self.outlet.send(b"one")
        self.outlet.control(b"ping")
        self.outlet.send(b"two")
        self.assertEqual((self.kernel.taken, self.kernel.sends, self.outlet.clear), (b"-" * 30, [], False))
        self.assertEqual(self.read(), b"-" * 100 + b"onepingtwo")
        self.assertEqual((self.outlet.clear, self.outlet._outbox, self.outlet._timer), (True, None, None))

    def test_moods(self) -> None:
        """A kernel that says EAGAIN and one that takes nothing are met the same way."""
        for mood in ("full", "idle"):
            self.setUp()
            self.kernel.mood = mood
            self.stall()
            self.outlet.send(b"one")
            self.assertEqual(self.read(), b"-" * 100 + b"one")

    def test_trickle(self) -> None:
        """A kernel that takes a byte at a time gets every byte once, and the connection is clear when it has."""
        self.kernel.most = 1
        self.stall(room=2**40)
        self.outlet.send(b"one")
        turns = 0
        while not self.outlet.clear:
            self.pipe.turn()
            turns += 1
        self.assertEqual(self.kernel.taken, b"-" * 100 + b"one")
        self.assertLess(turns, 103)

    def test_pieces(self) -> None:
        """Of a batch that is longer than a piece the transport is given one piece at a time."""
        self.kernel.room = 10
        giant = bytes(range(256)) * 1000
        self.outlet.send(giant)
        outbox: Any = self.outlet._outbox
        self.assertEqual((self.pipe.waiting, outbox.size), (PIECE_BYTES, len(giant) - 10 - PIECE_BYTES))
        received = self.pipe.drain()
        while self.kernel.room == 10 and self.outlet._outbox is not None:
            received += self.pipe.drain()
            self.assertLessEqual(self.pipe.waiting, PIECE_BYTES)
        self.assertEqual(received + self.read(), giant)

    def test_broken(self) -> None:
        """A connection that turns out to be broken while it is sent to is lost in its turn, once."""
        self.kernel.mood = "broken"
        self.outlet.send(b"one")
        self.outlet.send(b"two")
        self.assertTrue(self.pipe.connected)
        self.pipe.turn()
        self.assertFalse(self.pipe.connected)
        self.assertEqual((self.outlet._outbox, self.outlet._timer, self.owner.disconnects), (None, None, []))

    def test_shut(self) -> None:
        """What waits when it is closed is forgotten, but for the rest of a batch that the peer has a part of."""
        for room, expected in ((30, b"-" * 100 + b"bye"), (0, b"-" * 100 + b"bye")):
            self.setUp()
            self.stall(room)
            self.outlet.send(b"never")
            self.outlet.close(Disconnect.RESTART)
            self.outlet.send(b"late")
            self.outlet.on_blocked()
            self.assertEqual((self.read(), self.outlet.clear), (expected, False))

    def test_shut_with_a_giant(self) -> None:
        """The rest of a batch that is begun is sent whole, however long it is, and then the goodbye."""
        self.kernel.room = 10
        giant = b"x" * (3 * PIECE_BYTES)
        self.outlet.send(giant)
        self.outlet.send(b"never", LATEST, "a", b"never")
        self.outlet.close(Disconnect.RESTART)
        self.assertEqual(self.read(), giant + b"bye")

    def test_finish(self) -> None:
        """All that is left is given to a transport that is about to be closed, and goes out before the end."""
        self.stall(room=30)
        self.outlet.send(b"one")
        self.outlet.control(b"bye")
        self.outlet.finish()
        self.outlet.finish()
        self.pipe.loseConnection()
        self.assertEqual((self.outlet._outbox, self.pipe.waiting), (None, 70 + 3 + 3))
        self.assertEqual((self.read(), self.pipe.connected), (b"-" * 100 + b"onebye", 0))

    def test_abort(self) -> None:
        """Between an abort and the end nothing goes out, for it would take the place of what was thrown away."""
        self.stall(room=30)
        self.outlet.send(b"one")
        self.kernel.room = 2**40
        self.pipe.abortConnection()
        self.outlet.send(b"two")
        self.outlet.control(b"ping")
        self.assertEqual(self.kernel.taken, b"-" * 30)
        self.clock.advance(0)
        self.assertFalse(self.pipe.connected)


class PolicyTests(OutletCase):
    """What is done with messages for a connection that is behind."""

    def test_close(self) -> None:
        """Everything waits until the outbox is full; what does not fit closes the connection as too slow."""
        self.stall(room=30)
        for _ in range(4):
            self.outlet.send(b"x" * (LIMIT // 4))
        self.assertEqual(self.owner.disconnects, [])
        self.outlet.send(b"x")
        self.outlet.send(b"x")
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])
        self.assertEqual(self.read(), b"-" * 100 + b"bye")

    def test_drop(self) -> None:
        """What does not fit is dropped, and what fits afterwards is sent."""
        self.stall()
        for name in (b"1", b"2", b"3", b"4", b"5"):
            self.outlet.send(name * (LIMIT // 4 + 10), DROP)
        self.outlet.send(b"6", DROP)
        self.assertEqual(self.read()[100:], b"".join(name * 266 for name in (b"1", b"2", b"3")) + b"6")
        self.outlet.send(b"7", DROP)
        self.assertEqual((self.read(), self.owner.disconnects), (b"7", []))
        self.assertEqual(self.owner.drops, 2)

    def test_latest(self) -> None:
        """Only the newest message of each channel waits, alone and not with its batch."""
        self.outlet.send(b"a1a2", LATEST, "a", b"a2")
        self.stall()
        self.outlet.send(b"a3a4", LATEST, "a", b"a4")
        self.outlet.send(b"b1", LATEST, "b", b"b1")
        for number in range(5, 1000):
            self.outlet.send(b"a-a%03d" % number, LATEST, "a", b"a%03d" % number)
        self.assertEqual((self.read(), self.owner.disconnects), (b"a1a2" + b"-" * 100 + b"b1a999", []))

    def test_latest_does_not_fit(self) -> None:
        """Where even the newest messages are too much the connection is closed as too slow."""
        self.stall()
        self.outlet.send(b"x" * LIMIT, LATEST, "a", b"x" * LIMIT)
        self.outlet.send(b"x", LATEST, "b", b"x")
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])


class AgeTests(OutletCase):
    """How long anything may wait."""

    def test_too_long(self) -> None:
        """A connection of which anything has waited too long is closed as too slow, once."""
        self.stall()
        self.outlet.send(b"one", DROP)
        self.clock.advance(SECONDS - 0.25)
        self.assertEqual(self.owner.disconnects, [])
        self.clock.pump([0.25] * 3)
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])
        self.clock.pump([0.25] * 100)
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])

    def test_behind_for_long(self) -> None:
        """Where only the transport holds something no outbox grows old; what comes to wait behind it does."""
        self.stall(room=30)
        self.clock.pump([0.25] * 100)
        self.outlet.send(b"one")
        self.assertEqual(self.owner.disconnects, [])
        self.clock.pump([0.25] * 44)
        self.assertEqual(self.owner.disconnects, [Disconnect.SLOW])

    def test_it_reads(self) -> None:
        """A connection that is always behind, and never by so long, is left alone."""
        self.stall()
        sent = b"-" * 100
        for number in range(40):
            sent += b"%02d" % number * 50
            self.outlet.send(b"%02d" % number * 50)
            self.kernel.most = self.kernel.room = 100
            self.pipe.turn()
            self.kernel.room = 0
            self.clock.pump([0.25] * 4)
            self.assertIsNotNone(self.outlet._outbox)
        self.assertEqual(self.owner.disconnects, [])
        self.assertEqual(self.read(), sent)

    def test_newest_of_all(self) -> None:
        """Of a channel whose newest message is enough, one that is always new never waits too long."""
        self.stall()
        self.outlet.send(b"a", LATEST, "a", b"a")
        for number in range(100):
            self.clock.pump([0.25] * 2)
            self.outlet.send(b"%02d" % number, LATEST, "a", b"%02d" % number)
        self.assertEqual(self.owner.disconnects, [])
        self.assertEqual(self.read(), b"-" * 100 + b"99")

    def test_looked_at_after_the_end(self) -> None:
        """A connection that is being closed is not closed for its age."""
        for end in ("shut", "finish"):
            self.setUp()
            self.stall(room=30)
            getattr(self.outlet, end)()
            self.clock.pump([0.25] * 100)
            self.assertEqual(self.owner.disconnects, [])
            self.assertIsNone(self.outlet._timer)


class PausesTests(OutletCase):
    """On a transport that is not ours: it says itself when it is full."""

    def setUp(self) -> None:
        """Open a connection on a transport in memory, which is full beyond 64 KiB."""
        super().setUp()
        self.transport = MemoryTransport()
        self.outlet = self.connect(self.transport)

    def test_through(self) -> None:
        """What is sent goes to the transport until it is full, and from then on waits here."""
        self.outlet.send(b"-" * (self.transport.high_water + 1))
        self.outlet.send(b"one")
        self.outlet.control(b"ping")
        self.assertEqual(self.transport.drain(), b"-" * (self.transport.high_water + 1))
        self.assertEqual((self.transport.drain(), self.outlet.clear), (b"oneping", True))

    def test_full_again(self) -> None:
        """If the transport is full again while the outbox is emptied, the rest stays here."""
        self.transport.high_water = 10
        self.outlet.send(b"-" * 11)
        for number in range(5):
            self.outlet.send(b"%d" % number * 8)
        self.assertEqual(self.transport.drain(), b"-" * 11)
        self.assertEqual(self.transport.drain(), b"0" * 8 + b"1" * 8)
        self.assertEqual(self.transport.drain(), b"2" * 8 + b"3" * 8)
        self.assertEqual((self.transport.drain(), self.outlet.clear), (b"4" * 8, True))

    def test_stopped(self) -> None:
        """A transport that says that it is gone is heard of again when the connection is lost."""
        producer: Any = self.transport.producer
        producer.stopProducing()
        self.outlet.send(b"one")
        self.assertEqual(self.transport.drain(), b"one")
        self.outlet.lost()
        producer.pauseProducing()
        producer.resumeProducing()
        self.assertFalse(self.outlet.clear)


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


class Run:
    """A connection to the whole relay through any schedule, and what its client is owed."""

    def __init__(self, house: InMemoryRelay, transport: Any) -> None:
        self.house = house
        self.transport = transport
        self.visitor = WebSocketClient(house, transport=transport).enter()
        self.socket = self.visitor.wire.socket
        self.outlet = self.socket.subscriber
        self.received = b""
        self.number = 0
        self.must: set[int] = set()
        self.newest: dict[str, int] = {}
        self.controls = self.largest = 0
        if isinstance(transport, FakeTCPConnection):
            transport.kernel.room = 0

    @property
    def is_open(self) -> bool:
        """Whether anything that is sent now should arrive."""
        return bool(self.socket.state == self.socket.STATE_OPEN)

    def message(self, size: int) -> bytes:
        """The frame of the next message."""
        self.number += 1
        data = message_frame(b"%06d" % self.number + b"x" * size)
        self.largest = max(self.largest, 2 * len(data))
        return data

    def fits(self, size: int) -> bool:
        """Whether a batch surely reaches a client that reads."""
        outbox = self.outlet._outbox
        return outbox is None or not outbox.size or outbox.size + size <= LIMIT

    def do(self, event: str, size: int) -> None:
        """One event."""
        if event == "close policy":
            if self.is_open:
                self.must.add(self.number + 1)
            self.outlet.send(self.message(size))
        elif event == "drop":
            data = self.message(size)
            if self.is_open and (self.outlet.clear or self.fits(len(data))):
                self.must.add(self.number)
            self.outlet.send(data, DROP)
        elif event.startswith("latest"):
            self.latest(event[-1], size)
        elif event == "ping":
            self.number += 1
            if self.is_open:
                self.must.add(self.number)
            self.visitor.wire.send(client_frame(0x89, b"%06d" % self.number))
        elif event == "control" and self.is_open:
            self.number += 1
            self.must.add(self.number)
            self.controls += 8
            self.outlet.control(frame(Opcode.PING, b"%06d" % self.number))
        elif event == "wait":
            self.house.pass_time(size / 4)
        elif event == "close":
            self.socket.close(Disconnect.RESTART)
        elif event == "their close":
            self.visitor.wire.send(client_frame(0x88, b"\x03\xe8"))
        else:
            self.play(event, size)

    def latest(self, channel: str, size: int) -> None:
        """A batch of two of which the second is the newest."""
        first, second = self.message(size), self.message(size)
        if self.is_open:
            self.newest[channel] = self.number
            if self.outlet.clear:
                self.must |= {self.number - 1, self.number}
        self.outlet.send(first + second, LATEST, channel, second)

    def play(self, event: str, size: int) -> None:
        """What the kernel and the peer do."""
        pipe = self.transport
        if event == "read":
            self.received += pipe.drain(size) if isinstance(pipe, FakeTCPConnection) else pipe.drain()
        elif event == "broken" and not isinstance(pipe, FakeTCPConnection):
            self.visitor.wire.leave()
        elif isinstance(pipe, FakeTCPConnection):
            if event == "room":
                pipe.kernel.room += size
            elif event == "most":
                pipe.kernel.most = size
            elif event in ("full", "idle", "broken") and pipe.kernel.mood != "broken":
                pipe.kernel.mood = event
            pipe.turn()

    def end(self) -> list[Frame]:
        """The peer reads all there is; gives the frames that it got."""
        # An abort ends the connection in the next turn.
        self.house.turn()
        if isinstance(self.transport, FakeTCPConnection):
            self.transport.kernel.room = self.transport.kernel.most = 2**40
            self.transport.turn()
        while more := self.transport.drain():
            self.received += more
        return read_frames(self.received, torn=self.visitor.wire.closed)


class ScheduleTests(EdgeCase):
    """Whatever happens, in whatever order."""

    def setUp(self) -> None:
        """Small pieces, so that batches have several."""
        self.patch(module, "PIECE_BYTES", 97)

    def run_schedule(self, transport: Any, clock: Any, events: list[tuple[str, int]], held: Any) -> None:
        """A connection lives through these events, and its client is given what it is owed."""
        house = InMemoryRelay(
            clock=clock,
            max_outbox_bytes=LIMIT,
            max_outbox_seconds=SECONDS,
            ping_interval_seconds=10_000,
            close_timeout_seconds=10_000,
        )
        run = Run(house, transport)
        for event, size in events:
            run.do(event, size)
            outbox = run.outlet._outbox
            if outbox is not None:
                self.assertLessEqual(outbox.size, max(LIMIT, run.largest) + run.controls + 64)
                age = 0.0 if outbox.oldest is None else clock.seconds() - outbox.oldest
                self.assertTrue(age <= SECONDS + 0.5 or not run.is_open)
            self.assertLessEqual(held(), run.largest + run.controls + 64)
        frames = run.end()
        self.judge(run, frames)
        run.visitor.wire.leave()
        run.outlet.lost()
        run.outlet.close(Disconnect.INTERNAL_ERROR)
        house.node.stop()
        self.assertEqual(
            ([bucket for bucket in house.sockets.wheel._buckets.values() if bucket], house.sockets.sockets), ([], {})
        )

    def judge(self, run: Run, frames: list[Frame]) -> None:
        """Compare what came with what was owed."""
        goodbyes = [frame for frame in frames if frame.opcode is FrameOpcode.CLOSE]
        self.assertEqual(goodbyes, frames[len(frames) - len(goodbyes) :][:1])
        numbers = [int(bytes(frame.data[:6])) for frame in frames if frame.opcode is not FrameOpcode.CLOSE]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertLessEqual(max(numbers, default=0), run.number)
        if run.is_open:
            self.assertEqual(goodbyes, [])
            self.assertEqual(run.must - set(numbers), set())
            self.assertEqual(set(run.newest.values()) - set(numbers), set())
            self.assertTrue(run.outlet.clear)
        else:
            # All that was owed until the last that came.
            last = max(numbers, default=0)
            self.assertEqual({number for number in run.must if number <= last} - set(numbers), set())
            codes = [int.from_bytes(bytes(frame.data[:2]), "big") for frame in goodbyes]
            self.assertTrue(set(codes) <= {1000, 1012, 4008})
            self.assertTrue(codes or run.visitor.wire.closed)

    @given(EVENTS)
    def test_eager(self, events: list[tuple[str, int]]) -> None:
        """On our transport the client gets whole frames in their order: all it is owed, unless it is told goodbye."""
        clock: Any = Clock()
        pipe = FakeTCPConnection(clock, FakeSocket())
        self.run_schedule(pipe, clock, events, lambda: pipe.waiting - 97)

    @given(EVENTS, st.integers(10, 500))
    def test_pauses(self, events: list[tuple[str, int]], high_water: int) -> None:
        """So it does on one that says itself when it is full."""
        clock: Any = Clock()
        transport = MemoryTransport()
        transport.high_water = high_water
        self.run_schedule(transport, clock, events, lambda: len(transport.value()) - high_water)
