"""Tests of `wsrelay.core.wire.framing`, read by an independent client."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode

from tests.support.frames import read_frames
from wsrelay.core.messaging.messages import Message
from wsrelay.core.wire.deflate import LEAST_BYTES
from wsrelay.core.wire.event_stream import EventBatch, PositionedLines
from wsrelay.core.wire.framing import (
    BlockFraming,
    DataEventFraming,
    DeflatedWebSocketFraming,
    EventStreamFraming,
    Framing,
    LineFraming,
    SeveralChannelsFraming,
    WebSocketFraming,
)

SIZES = (0, 1, LEAST_BYTES - 1, LEAST_BYTES, 125, 126, 65535, 65536, 70000)
DENSE = zlib.compress(b"".join(b"%d" % number for number in range(1000)), 9)
MESSAGES = st.lists(
    st.builds(Message, st.text(max_size=400).map(str.encode))
    | st.builds(Message, st.binary(max_size=400), st.just(True))
    | st.builds(Message, st.builds(lambda seed, count: seed * count, st.binary(max_size=20), st.integers(0, 200)),
                st.just(True)),
    max_size=6,
)  # fmt: skip


class EventStreamTests(SynchronousTestCase):
    """The framings of event streams."""

    def test_each_message_is_an_event_that_ends_in_an_empty_line(self) -> None:
        messages = [Message(b"data: a\n"), Message(b"id: 5\n")]
        for framing in (EventStreamFraming(), SeveralChannelsFraming()):
            self.assertEqual(framing.frame([]), b"")
            self.assertEqual(framing.frame(messages[:1]), b"data: a\n\n")
            self.assertEqual(framing.frame(messages), b"data: a\n\nid: 5\n\n")

    def test_events_of_a_channel_are_a_batch_into_which_each_stream_puts_its_ids(self) -> None:
        batch = SeveralChannelsFraming().frame([(PositionedLines(b"data: a\n", "c", b"5"), False)])
        assert isinstance(batch, EventBatch)
        self.assertEqual(batch.with_ids({"b": b"1", "c": b"2"}), b"id: 1,5\ndata: a\n\n")

    def test_names_differ(self) -> None:
        names = [framing.name for framing in (EventStreamFraming(), SeveralChannelsFraming())]
        self.assertEqual(names, ["event-stream", "event-stream-several"])


class FramingTests(SynchronousTestCase):
    """The framings of WebSockets."""

    framings: tuple[tuple[Framing, bool], ...] = ((WebSocketFraming(), False), (DeflatedWebSocketFraming(), True))

    def read(self, framing: Framing, is_deflated: bool, messages: list[Message]) -> list[Message]:
        """Return the messages that a client reads."""
        frames = read_frames(framing.frame(messages), is_deflated=is_deflated)
        self.assertEqual([each.fin for each in frames], [True] * len(frames))
        self.assertLessEqual({each.opcode for each in frames}, {Opcode.TEXT, Opcode.BINARY})
        return [Message(bytes(each.data), each.opcode is Opcode.BINARY) for each in frames]

    def test_names_differ(self) -> None:
        self.assertEqual([framing.name for framing, _ in self.framings], ["websocket", "websocket-deflate"])

    def test_no_messages_are_no_bytes(self) -> None:
        for framing, _ in self.framings:
            self.assertEqual(framing.frame([]), b"")

    def test_message_of_any_size_arrives_as_what_it_is(self) -> None:
        for framing, is_deflated in self.framings:
            for size in SIZES:
                for is_binary in (False, True):
                    message = Message(b"x" * size, is_binary)
                    self.assertEqual(self.read(framing, is_deflated, [message]), [message])

    def test_several_messages_are_one_frame_each_in_their_order(self) -> None:
        messages = [
            Message(b"text"),
            Message(b"\xff" * 500, True),
            Message(b""),
            Message(b"x" * 500),
            Message(DENSE, True),
        ]
        for framing, is_deflated in self.framings:
            self.assertEqual(self.read(framing, is_deflated, messages), messages)
            self.assertEqual(framing.frame(messages), b"".join(framing.frame([each]) for each in messages))

    @given(MESSAGES)
    def test_any_messages_arrive_byte_for_byte(self, messages: list[Message]) -> None:
        for framing, is_deflated in self.framings:
            self.assertEqual(self.read(framing, is_deflated, messages), messages)


class DeflatedFramingTests(SynchronousTestCase):
    """The framing that compresses."""

    def test_message_that_gets_shorter_is_compressed_and_marked(self) -> None:
        for is_binary, first in ((False, 0b1100_0001), (True, 0b1100_0010)):
            framed = DeflatedWebSocketFraming().frame([Message(b"status: all is well; " * 50, is_binary)])
            self.assertLess(len(framed), 100)
            self.assertEqual(framed[0], first)

    def test_message_that_is_short_or_dense_is_sent_as_it_is(self) -> None:
        for message in (Message(b""), Message(b"x" * (LEAST_BYTES - 1)), Message(DENSE, True)):
            self.assertEqual(DeflatedWebSocketFraming().frame([message]), WebSocketFraming().frame([message]))

    def test_client_that_did_not_agree_on_compression_cannot_read_it(self) -> None:
        framed = DeflatedWebSocketFraming().frame([Message(b"x" * 500)])
        self.assertRaises(AssertionError, read_frames, framed)


class StreamFramingTests(SynchronousTestCase):
    """The framings of streams of messages."""

    def test_messages_are_events_lines_or_one_behind_the_other(self) -> None:
        messages = [Message(b"1\n2"), Message(b"3", True)]
        for framing, expected in (
            (DataEventFraming(), b"data: 1\ndata: 2\n\ndata: 3\n\n"),
            (LineFraming(), b"1\n2\n3\n"),
            (BlockFraming(), b"1\n23"),
        ):
            self.assertEqual((framing.frame(messages), framing.frame([])), (expected, b""))
