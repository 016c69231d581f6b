"""Tests of `wsrelay.core.wire.frames`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode as TheirOpcode

from tests.support.frames import read_frames
from wsrelay.core.wire.frames import Opcode, frame, message_frame

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 70000)


class FrameTests(SynchronousTestCase):
    """Frames, read by an independent parser."""

    def test_every_way_to_write_a_length_is_read_back_as_one_final_frame_of_that_length(self) -> None:
        for opcode in (Opcode.TEXT, Opcode.BINARY):
            for size in SIZES:
                (read,) = read_frames(frame(opcode, b"x" * size))
                self.assertEqual((read.opcode, read.data, read.fin), (TheirOpcode(opcode), b"x" * size, True))

    def test_length_is_written_in_the_fewest_bytes(self) -> None:
        """RFC 6455 section 5.2."""
        overheads = [len(frame(Opcode.BINARY, b"x" * size)) - size for size in SIZES]
        self.assertEqual(overheads, [2, 2, 2, 4, 4, 4, 10, 10])

    def test_close_ping_and_pong_frames_are_read_back_as_such(self) -> None:
        for opcode, payload in ((Opcode.PING, b"p"), (Opcode.PONG, b""), (Opcode.CLOSE, b"\x03\xe8bye")):
            (read,) = read_frames(frame(opcode, payload))
            self.assertEqual((read.opcode, read.data), (TheirOpcode(opcode), payload))

    @given(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.lists(st.binary(max_size=300), max_size=8))
    def test_frames_written_one_behind_the_other_are_read_back_one_by_one(
        self, opcode: Opcode, payloads: list[bytes]
    ) -> None:
        frames = read_frames(b"".join(frame(opcode, payload) for payload in payloads))
        self.assertEqual([(read.opcode, read.data) for read in frames], [(TheirOpcode(opcode), p) for p in payloads])


class MessageFrameTests(SynchronousTestCase):
    """Text or binary, as the caller says."""

    def test_message_of_any_size_is_one_frame_of_its_kind(self) -> None:
        for is_binary, opcode in ((False, TheirOpcode.TEXT), (True, TheirOpcode.BINARY)):
            for size in SIZES:
                (read,) = read_frames(message_frame(b"x" * size, is_binary))
                self.assertEqual((read.opcode, read.data), (opcode, b"x" * size))

    def test_message_is_text_if_nothing_is_said(self) -> None:
        for data in (b"", b"text", "\u00fc\u20ac\U0001f600".encode(), "\u00fc".encode() * 200):
            (read,) = read_frames(message_frame(data))
            self.assertEqual((read.opcode, read.data), (TheirOpcode.TEXT, data))

    @given(st.text().map(str.encode), st.binary())
    def test_any_message_arrives_byte_for_byte_in_a_frame_that_is_not_compressed(
        self, text: bytes, data: bytes
    ) -> None:
        for payload, is_binary, opcode in ((text, False, TheirOpcode.TEXT), (data, True, TheirOpcode.BINARY)):
            (read,) = read_frames(message_frame(payload, is_binary))
            self.assertEqual(
                (read.opcode, read.data, read.fin, read.rsv1, read.rsv2, read.rsv3),
                (opcode, payload, True, False, False, False),
            )
