"""Tests of `wsrelay.engine.encodings`."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LineDialect
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message, is_text
from wsrelay.core.messaging.publications import Positioned, Publication
from wsrelay.core.wire.frames import message_frame
from wsrelay.core.wire.framing import (
    BlockFraming,
    DataEventFraming,
    DeflatedWebSocketFraming,
    EventStreamFraming,
    Framing,
    SeveralChannelsFraming,
    WebSocketFraming,
)
from wsrelay.dialects import CENTRIFUGO, RAW
from wsrelay.engine.encodings import Encoding, Encodings
from wsrelay.testing.dialects import LineFraming

BATCH = [Publication("c", b"text"), Publication("c", b"\xff")]


class EncodingTests(SynchronousTestCase):
    """A dialect in a framing."""

    def test_raw_dialect_in_websocket_frames_is_one_frame_for_each_message(self) -> None:
        encoding = Encoding(RAW.dialect, WebSocketFraming())
        self.assertEqual(encoding.encode(BATCH), message_frame(b"text", False) + message_frame(b"\xff", True))

    def test_dialect_with_several_publications_in_one_message_makes_one_frame(self) -> None:
        encoding = Encoding(CENTRIFUGO.dialect, LineFraming())
        self.assertEqual(
            encoding.encode([Publication("c", b"1"), Publication("c", b"2")]),
            b'{"push":{"channel":"c","pub":{"data":1}}}\n{"push":{"channel":"c","pub":{"data":2}}}\n',
        )

    def test_framing_makes_the_bytes(self) -> None:
        self.assertEqual(Encoding(RAW.dialect, LineFraming()).encode(BATCH), b"text\n\xff\n")

    def test_events_without_a_form_are_no_bytes(self) -> None:
        for route in (RAW, CENTRIFUGO):
            for framing in (WebSocketFraming(), DeflatedWebSocketFraming(), LineFraming()):
                self.assertEqual(Encoding(route.dialect, framing).encode([Positioned("c", "5-0.00000000")]), b"")

    def test_one_publication_is_what_dialect_and_framing_make_of_it(self) -> None:
        data = [b"a" * length for length in (0, 1, 124, 125, 126, 127, 65536)]
        data += ["\u00e9".encode(), b"\xff", b"\x00", b"\x7f", b"a" * 123 + "\u00e9".encode(), b"a" * 124 + b"\xff"]
        framings: tuple[Framing, ...] = (
            BlockFraming(),
            DataEventFraming(),
            DeflatedWebSocketFraming(),
            EventStreamFraming(),
            LineFraming(),
            SeveralChannelsFraming(),
            WebSocketFraming(),
        )
        for framing, frames, each in product(framings, FrameType, data):
            if frames is FrameType.TEXT and not is_text(each):
                continue
            batch = [Publication("c", each)]
            expected = framing.frame(RAW.dialect.encode(batch, frames=frames))
            self.assertEqual(
                Encoding(RAW.dialect, framing, frames).encode(batch), expected, (framing.name, frames, each)
            )

    def test_one_publication_in_a_dialect_that_wraps_it_is_wrapped(self) -> None:
        batch = [Publication("c", b"1")]
        expected = WebSocketFraming().frame(CENTRIFUGO.dialect.encode(batch))
        self.assertEqual(Encoding(CENTRIFUGO.dialect, WebSocketFraming()).encode(batch), expected)

    def test_messages_for_one_client_are_framed_alike(self) -> None:
        encoding = Encoding(RAW.dialect, LineFraming())
        self.assertEqual(encoding.frame([Message(b"1"), Message(b"2", is_binary=True)]), b"1\n2\n")


class EncodingsTests(SynchronousTestCase):
    """The encodings of a process."""

    def test_one_encoding_is_shared_by_all_who_use_a_dialect_in_a_framing(self) -> None:
        encodings = Encodings()
        dialect, framing = LineDialect(), LineFraming()
        found = [encodings.get(dialect, framing) for _ in range(3)]
        self.assertEqual({id(encoding) for encoding in found}, {id(found[0])})
        self.assertEqual((found[0].encode(BATCH), dialect.batches), (b"text\n\xff\n", 1))

    def test_another_dialect_or_another_framing_is_another_encoding(self) -> None:
        encodings = Encodings()
        dialect, framing = LineDialect(), LineFraming()
        found = encodings.get(dialect, framing)
        self.assertIsNot(encodings.get(LineDialect("other"), framing), found)
        self.assertIsNot(encodings.get(dialect, WebSocketFraming()), found)
        self.assertIsNot(encodings.get(dialect, DeflatedWebSocketFraming()), encodings.get(dialect, WebSocketFraming()))

    def test_binary_frames_are_another_encoding_and_text_is_the_same_as_either(self) -> None:
        """The hub has left out by then whatever is not text."""
        encodings = Encodings()
        auto, text, binary = (encodings.get(RAW.dialect, WebSocketFraming(), frames) for frames in FrameType)
        self.assertIs(auto, text)
        self.assertEqual(binary.encode(BATCH), message_frame(b"text", True) + message_frame(b"\xff", True))
        self.assertEqual(binary.frame([Message(b"reply")]), message_frame(b"reply", False))

    def test_processes_share_no_encoding(self) -> None:
        dialect, framing = LineDialect(), LineFraming()
        self.assertIsNot(Encodings().get(dialect, framing), Encodings().get(dialect, framing))
