"""Tests of `wsrelay.core.wire.frames`."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode as TheirOpcode

from tests.support.frames import read_frames
from wsrelay.core.wire.frames import Opcode, frame, message_frame

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 70000)
# What decoders have been fooled with, whole and cut off.
NOT_UTF8 = {
    "lone continuation": b"\x80",
    "truncated two": b"\xc3",
    "truncated three": b"\xe2\x82",
    "truncated four": b"\xf0\x9f\x98",
    "overlong slash": b"\xc0\xaf",
    "overlong slash in three": b"\xe0\x80\xaf",
    "overlong NUL": b"\xc0\x80",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "surrogate pair (CESU-8)": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "never a byte": b"\xff",
}
# RFC 3629 section 4, letter by letter.
RFC3629 = re.compile(
    rb"(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})*"
)
UTF8 = (
    b"",
    b"a",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    "\u00fc\u20ac\U0001f600".encode(),
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
)


class FrameTests(SynchronousTestCase):
    """Frames, read by an independent parser."""

    def test_sizes(self) -> None:
        """Every way to write a length is read back as one final frame of that length."""
        for opcode in (Opcode.TEXT, Opcode.BINARY):
            for size in SIZES:
                (read,) = read_frames(frame(opcode, b"x" * size))
                self.assertEqual((read.opcode, read.data, read.fin), (TheirOpcode(opcode), b"x" * size, True))

    def test_header_is_the_shortest(self) -> None:
        """The length is written in the fewest bytes, as RFC 6455 section 5.2 demands."""
        overheads = [len(frame(Opcode.BINARY, b"x" * size)) - size for size in SIZES]
        self.assertEqual(overheads, [2, 2, 2, 4, 4, 4, 10, 10])

    def test_control_frames(self) -> None:
        """Close, ping and pong frames are read back as such."""
        for opcode, payload in ((Opcode.PING, b"p"), (Opcode.PONG, b""), (Opcode.CLOSE, b"\x03\xe8bye")):
            (read,) = read_frames(frame(opcode, payload))
            self.assertEqual((read.opcode, read.data), (TheirOpcode(opcode), payload))

    @given(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.lists(st.binary(max_size=300), max_size=8))
    def test_joined(self, opcode: Opcode, payloads: list[bytes]) -> None:
        """Frames written one behind the other are read back one by one."""
        frames = read_frames(b"".join(frame(opcode, payload) for payload in payloads))
        self.assertEqual([(read.opcode, read.data) for read in frames], [(TheirOpcode(opcode), p) for p in payloads])


class MessageFrameTests(SynchronousTestCase):
    """Text or binary."""

    def test_sizes(self) -> None:
        """A message of any size arrives whole: ASCII and other UTF-8 as text, the rest as binary."""
        for letter, opcode in (
            (b"x", TheirOpcode.TEXT),
            (b"\xc3\xbc", TheirOpcode.TEXT),
            (b"\xff", TheirOpcode.BINARY),
        ):
            for size in SIZES[1:]:
                payload = (letter * size)[: size - size % len(letter)] or letter
                (read,) = read_frames(message_frame(payload))
                self.assertEqual((read.opcode, read.data), (opcode, payload))

    def test_text(self) -> None:
        """Valid UTF-8, the empty message included, is text."""
        for payload in UTF8:
            (read,) = read_frames(message_frame(payload))
            self.assertEqual((read.opcode, read.data), (TheirOpcode.TEXT, payload))

    def test_binary(self) -> None:
        """What only looks like UTF-8 is binary: a client must fail the connection on such text."""
        for what, bad in NOT_UTF8.items():
            for payload in (bad, b"text " + bad, bad + b" text", b"x" * 200 + bad):
                (read,) = read_frames(message_frame(payload))
                self.assertEqual((read.opcode, read.data), (TheirOpcode.BINARY, payload), what)

    @given(st.text().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary())
    @example("\ud83d\ude00".encode("utf-8", "surrogatepass"))
    def test_any_payload(self, payload: bytes) -> None:
        """Any payload arrives byte for byte, as text exactly where the grammar of UTF-8 says so."""
        text = RFC3629.fullmatch(payload) is not None
        (read,) = read_frames(message_frame(payload))
        self.assertEqual(
            (read.opcode, read.data, read.fin, read.rsv1, read.rsv2, read.rsv3),
            (TheirOpcode.TEXT if text else TheirOpcode.BINARY, payload, True, False, False, False),
        )
