"""Tests of wsrelay.transports.websocket.fast_reads."""

from __future__ import annotations

import dataclasses
import zlib
from itertools import pairwise
from random import Random
from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.core.messaging.messages import Message, is_text
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.transports.ping_schedule import Ping
from wsrelay.transports.websocket import pausing
from wsrelay.transports.websocket.fast_reads import has_known_state, read_frames, unmask

SEQUENCES = 1500
"""How many sequences of frames each fuzz test sends, both ways."""

SIZES = (0, 1, 2, 3, 4, 5, 20, 124, 125, 126, 127, 300, 999, 1000, 1001)
CLOSING = b"close me"


class _Client:
    """In place of a connection's client: records what it is given, and has it closed on request."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.real = connection._client
        self.session = self.real.session
        self.connection_id = self.real.connection_id
        self.messages: list[Message] = []

    def received(self, message: Message) -> None:
        self.messages.append(message)
        if message.data == CLOSING:
            self.connection.close(Disconnect.RESTART)

    def connection_closing(self, disconnect: Any) -> None:
        self.real.connection_closing(disconnect)

    def connection_lost(self, code: int | None = None) -> None:
        self.real.connection_lost(code)


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    """The state that a connection has come to."""

    messages: list[Message]
    written: bytes
    state: int
    close_code: int | None
    was_clean: bool
    has_ended: bool
    was_reset: bool
    inside_message: bool
    ping_pending: bool
    left: tuple[float, float] | None


class _Way:
    """A relay whose reads go the fast way, or all the ordinary way."""

    def __init__(self, relay: InMemoryRelay, *, is_fast: bool, offer: tuple[str, ...] = ()) -> None:
        assert relay.websockets.reads_fast
        relay.websockets.reads_fast = is_fast
        self.relay = relay
        self.offer = offer
        self.wire = ClientWire(relay)
        self.client: Any = None

    def connect(self) -> None:
        """Have an open connection that is new, or as good as new."""
        connection: Any = self.wire.connection if self.client is not None and not self.wire.closed else None
        if connection is not None and connection.state == WebSocketProtocol.STATE_OPEN:
            pings, rate_limits = self.relay.websockets.pings, self.relay.websockets.rate_limits
            if not connection.inside_message and not connection.data and connection.current_frame is None:
                pings.stop(connection)
                pings.start(connection)
                rate_limits.remove(connection)
                self.client.messages = []
                self.wire.read()
                return
        self.wire.hang_up()
        self.relay.wires.clear()
        self.wire = ClientWire(self.relay)
        self.wire.send(upgrade("/ws/room", *self.offer))
        assert b" 101 " in self.wire.read()
        self.wire.connection._client = self.client = _Client(self.wire.connection)  # type: ignore[assignment]

    def ping(self, payload: bytes) -> None:
        """Let a ping of ours be pending."""
        group = self.wire.connection.ping_group
        assert group is not None
        for connection in tuple(group.connections):
            if connection is not self.wire.connection:
                self.relay.websockets.pings.stop(connection)
        if group.timer is not None:
            group.timer.cancel()
        self.relay.websockets.pings._ping(group)
        group.ping = Ping(payload)

    def send(self, parts: list[bytes]) -> _Outcome:
        connection: Any = self.wire.connection
        for part in parts:
            self.wire.send(part)
        bucket: Any = self.relay.websockets.rate_limits._buckets.get(connection)
        group = connection.ping_group
        return _Outcome(
            self.client.messages,
            self.wire.transport.value(),
            connection.state,
            connection.remoteCloseCode,
            connection.wasClean,
            self.wire.closed,
            self.wire.transport.aborted,
            connection.inside_message,
            group is not None and group.ping is not None,
            # What is too much is counted in part the ordinary way; then the connection ends.
            None
            if bucket is None or connection.state == WebSocketProtocol.STATE_CLOSED
            else (bucket._frames, bucket._size),
        )


def _payload(rng: Random) -> bytes:
    size = rng.choice(SIZES)
    kind = rng.random()
    if kind < 0.5:
        return b"x" * size
    if kind < 0.8:
        return ("aé€\U0001f600" * size).encode()[:size]
    if kind < 0.85:
        return CLOSING
    return rng.randbytes(size)


def _text(rng: Random) -> bytes:
    data = _payload(rng)
    return data if is_text(data) or rng.random() < 0.1 else b"y" * len(data)


def _compressed(rng: Random) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(_text(rng)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _simple_frame(rng: Random, pong: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.4:
        return client_frame(0x81, _text(rng))
    if kind < 0.6:
        return client_frame(0x82, _payload(rng))
    if kind < 0.7:
        return client_frame(0x89, _payload(rng)[:125])
    return client_frame(0x8A, pong if rng.random() < 0.5 else _payload(rng)[:125])


def _odd_frames(rng: Random, compresses: bool) -> bytes:
    """Return frames that are not simple; half of them are errors."""
    kind = rng.randrange(16)
    payload = _text(rng)
    if kind < 4:
        middle = client_frame(rng.choice((0x89, 0x8A)), payload[:125]) if rng.random() < 0.5 else b""
        half = rng.randrange(len(payload) + 1)
        return client_frame(rng.choice((1, 1, 2)), payload[:half]) + middle + client_frame(0x80, payload[half:])
    if kind < 6:
        code = rng.choice((1000, 1001, 3000, 4999, 1005, 999, 5000)).to_bytes(2, "big")
        return client_frame(0x88, rng.choice((b"", code, code + payload[:123], b"\x03")))
    if kind < 8 and compresses:
        return client_frame(0xC1, _compressed(rng))
    if kind == 8:
        # A length in more bytes than it needs.
        return bytes((0x81, 0xFE)) + (5).to_bytes(2, "big") + b"\0\0\0\0hello"
    if kind == 9:
        return bytes((0x82, 0xFF)) + rng.choice((5, 200, 65_535)).to_bytes(8, "big") + b"\0\0\0\0hello"
    if kind == 10:
        return client_frame(rng.choice((0x81, 0x82, 0x89, 0x8A)), payload[:125], masked=False)
    if kind == 11:
        return client_frame(rng.choice((0x89, 0x8A)), b"z" * rng.choice((126, 300)))
    if kind == 12:
        return client_frame(rng.choice((0x82, 0x81)), b"w" * rng.choice((1199, 1200, 1201, 66_000)))
    return client_frame(rng.randrange(256), payload)


def _sequence(rng: Random, pong: bytes, *, compresses: bool) -> list[bytes]:
    """Return the frames of a client, most of them simple."""
    return [
        _odd_frames(rng, compresses) if rng.random() < 0.12 else _simple_frame(rng, pong)
        for _ in range(rng.choice((1, 1, 2, 3, 8)))
    ]


def _cut(rng: Random, frames: list[bytes]) -> list[bytes]:
    """Return the bytes of frames as they may be read: whole, one by one, or cut anywhere."""
    data = b"".join(frames)
    kind = rng.random()
    if kind < 0.3:
        return [data]
    if kind < 0.6:
        return frames
    places = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(rng.randrange(1, 5)))})
    return [data[start:end] for start, end in pairwise(places)]


class BothWaysTests(EdgeCase):
    """The fast way has the effects of the ordinary one, whatever a client sends and however it is cut."""

    def compare(self, seed: int, *, offer: tuple[str, ...] = (), pings: bool = True, **settings: Any) -> None:
        rng = Random(seed)
        settings = {"max_message_bytes": 1200, **settings}
        ways = [_Way(self.relay(**settings), is_fast=is_fast, offer=offer) for is_fast in (True, False)]
        taken = self.count_fast_reads()
        states = set()
        for number in range(SEQUENCES):
            pong = rng.randbytes(4)
            parts = _cut(rng, _sequence(rng, pong, compresses=bool(offer)))
            is_pinged = pings and rng.random() < 0.3
            outcomes = []
            for way in ways:
                way.connect()
                if is_pinged:
                    way.ping(pong)
                outcome = way.send(parts)
                # A pong that is waited for is not counted where it comes by itself.
                outcomes.append(dataclasses.replace(outcome, left=None) if is_pinged else outcome)
            self.assertEqual(outcomes[0], outcomes[1], f"seed {seed}, sequence {number}: {parts!r}")
            states.add(outcomes[0].state)
        self.assertEqual({WebSocketProtocol.STATE_OPEN, WebSocketProtocol.STATE_CLOSED} - states, set())
        self.assertGreater(len(taken), SEQUENCES / 2)

    def count_fast_reads(self) -> list[int]:
        """Return a list to which the length of each read is added that is taken in whole by the fast way."""
        taken: list[int] = []

        def read(connection: Any, data: bytes) -> int:
            count = read_frames(connection, data)
            if count == len(data):
                taken.append(count)
            return count

        self.patch(pausing, "read_frames", read)
        return taken

    def test_plain_connection(self) -> None:
        self.compare(1)

    def test_compressed_connection(self) -> None:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover"
        self.compare(2, offer=(offer,), compress=True)

    def test_connection_with_hardly_any_rate(self) -> None:
        self.compare(3, pings=False, max_frames_per_second=1, max_bytes_per_second=1200)

    def test_reads_in_any_cut_have_the_effects_of_one(self) -> None:
        rng = Random(4)
        relay = self.relay(max_handshakes_per_second=0, max_message_bytes=1200)
        way = _Way(relay, is_fast=True)
        for number in range(SEQUENCES):
            # Autobahn does not answer every error the same in all cuts.
            frames = [_simple_frame(rng, b"") for _ in range(5)]
            outcomes = []
            for parts in ([b"".join(frames)], _cut(rng, frames), _cut(rng, frames)):
                way.connect()
                outcomes.append(dataclasses.replace(way.send(parts), left=None))
                self.assertEqual(outcomes[-1], outcomes[0], f"sequence {number}: {frames!r}")


class FastReadTests(EdgeCase):
    """The reads that go the fast way, and their effects."""

    def read(self, data: bytes, **settings: Any) -> tuple[int, _Way]:
        """Have an open connection read data; return how many bytes went the fast way, and its relay."""
        way = _Way(self.relay(**settings), is_fast=True)
        way.connect()
        taken: list[int] = []

        def read(connection: Any, data: bytes) -> int:
            taken.append(read_frames(connection, data))
            return taken[-1]

        self.patch(pausing, "read_frames", read)
        way.send([data])
        return sum(taken), way

    def test_complete_simple_frames_are_taken(self) -> None:
        for first in (0x81, 0x82, 0x89, 0x8A):
            for size in (0, 1, 125):
                data = client_frame(first, b"x" * size) * 3
                self.assertEqual(self.read(data)[0], len(data))
        for size in (126, 1000, 1001, 60_000):
            data = client_frame(0x81, b"x" * size)
            taken, way = self.read(data)
            self.assertEqual((taken, way.client.messages), (len(data), [Message(b"x" * size)]))

    def test_frames_before_the_first_that_is_not_simple_are_taken(self) -> None:
        simple = client_frame(0x82, b"\xff") + client_frame(0x89, b"p")
        odd = (
            client_frame(0x01, b"fragment"),
            client_frame(0x80, b"continuation"),
            client_frame(0x88, b""),
            client_frame(0xC1, b"reserved bit"),
            client_frame(0x83, b"reserved opcode"),
            client_frame(0x81, b"\xed\xa0\x80"),
            client_frame(0x81, b"unmasked", masked=False),
            client_frame(0x81, b"x" * 2001),
            client_frame(0x8A, b"x" * 126),
            bytes((0x81, 0xFE, 0, 5)) + b"\0\0\0\0hello",
            client_frame(0x82, b"x" * 65_536),
            client_frame(0x81, b"incomplete")[:-1],
            b"\x81",
        )
        for rest in odd:
            taken, way = self.read(simple + rest, max_message_bytes=2000)
            self.assertEqual((taken, way.client.messages[0]), (len(simple), Message(b"\xff", True)), rest)

    def test_nothing_is_taken_while_a_frame_is_incomplete(self) -> None:
        simple = client_frame(0x81, b"hello")
        for begun in (b"\x81", simple[:-1]):
            way = _Way(self.relay(), is_fast=True)
            way.connect()
            way.send([begun])
            taken: list[bytes] = []
            self.patch(pausing, "read_frames", lambda _connection, data, taken=taken: taken.append(data))
            way.send([simple[len(begun) :]])
            self.assertEqual((taken, way.client.messages), ([], [Message(b"hello")]))

    def test_pong_that_is_waited_for_is_not_counted(self) -> None:
        way = _Way(self.relay(), is_fast=True)
        way.connect()
        way.ping(b"1234")
        outcome = way.send([client_frame(0x8A, b"1234")])
        self.assertEqual((outcome.ping_pending, outcome.left), (False, None))
        self.assertIsNotNone(way.send([client_frame(0x8A, b"1234")]).left)

    def test_client_that_sends_too_many_simple_frames_is_closed_with_1008_and_no_more_of_them_are_taken(self) -> None:
        _, way = self.read(client_frame(0x81, b"x") * 40, max_frames_per_second=10)
        self.assertEqual((len(way.client.messages), way.wire.connection.state), (30, WebSocketProtocol.STATE_CLOSED))
        self.assertIn((1008).to_bytes(2, "big"), way.wire.read())

    def test_frames_behind_the_one_that_closes_the_connection_reach_nobody(self) -> None:
        _, way = self.read(client_frame(0x81, CLOSING) + client_frame(0x81, b"more") * 2)
        self.assertEqual(way.client.messages, [Message(CLOSING)])

    def test_pings_behind_the_one_whose_answer_found_no_room_are_not_answered(self) -> None:
        way = _Way(self.relay(), is_fast=True)
        way.connect()
        connection: Any = way.wire.connection
        pings: list[bytes] = []

        def no_room(payload: bytes) -> None:
            pings.append(payload)
            connection.close(Disconnect.SLOW)

        connection.onPing = no_room
        frames = client_frame(0x89, b"one") + client_frame(0x89, b"two")
        self.assertEqual((read_frames(connection, frames), pings), (len(frames) // 2, [b"one"]))

    def test_every_mask_and_size_is_unmasked(self) -> None:
        rng = Random(5)
        for size in (*range(1, 20), 999, 1000, 1001, 5000):
            mask, payload = rng.randbytes(4), rng.randbytes(size)
            masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
            self.assertEqual(unmask(b"head" + mask + masked + b"rest", 8, 8 + size), payload)


class ValidityTests(SynchronousTestCase):
    """Text that is valid for the fast way is valid for Autobahn, and the reverse."""

    def assert_agreed(self, data: bytes) -> None:
        is_valid, is_complete, _, _ = Utf8Validator().validate(data)
        self.assertEqual(is_text(data), is_valid and is_complete, data)

    def test_sequences_at_every_boundary(self) -> None:
        edges = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED]
        edges += [0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF]
        for first in edges:
            for second in edges:
                self.assert_agreed(bytes((first, second)))
                for third in edges:
                    self.assert_agreed(bytes((first, second, third)))
                    if first >= 0xF0:
                        self.assert_agreed(bytes((first, second, third, 0x80)))

    def test_random_mixtures_of_valid_and_invalid_text(self) -> None:
        rng = Random(6)
        for _ in range(3000):
            data = bytearray("".join(chr(rng.choice((65, 0xE9, 0x20AC, 0x10FFFF))) for _ in range(8)).encode())
            if rng.random() < 0.7:
                data[rng.randrange(len(data))] = rng.randrange(256)
            self.assert_agreed(bytes(data[: rng.randrange(len(data)) + 1]))


class KnownStateTests(EdgeCase):
    """A version of Autobahn that keeps its state in another form."""

    def test_state_of_this_version_is_known(self) -> None:
        self.assertTrue(self.relay().websockets.reads_fast)

    def test_version_that_keeps_what_it_has_read_elsewhere_is_not_known(self) -> None:
        relay = self.relay()

        def elsewhere(sample: Any) -> bool:
            sample.buffer, sample.data = sample.data, b""
            return False

        self.patch(WebSocketProtocol, "processData", elsewhere)
        self.assertFalse(has_known_state(relay.websockets))

    def test_version_without_an_attribute_is_not_known(self) -> None:
        relay = self.relay()

        def without(sample: Any) -> bool:
            del sample.current_frame
            return False

        self.patch(WebSocketProtocol, "processData", without)
        self.assertFalse(has_known_state(relay.websockets))

    def test_relay_of_such_a_version_reads_the_ordinary_way(self) -> None:
        way = _Way(self.relay(), is_fast=False)
        way.connect()
        self.patch(pausing, "read_frames", None)
        self.assertEqual(way.send([client_frame(0x81, b"hello")]).messages, [Message(b"hello")])
