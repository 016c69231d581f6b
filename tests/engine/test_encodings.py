"""Tests of `wsrelay.engine.encodings`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LineDialect
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.wire.frames import message_frame
from wsrelay.dialects.raw import RawDialect
from wsrelay.engine.encodings import Encoding, Encodings

BATCH = [Publication("c", b"text"), Publication("c", b"\xff")]


class EncodingTests(SynchronousTestCase):
    """A dialect and a way to make frames."""

    def test_plain(self) -> None:
        """Where nothing else is said a message is one uncompressed frame, text where it is UTF-8."""
        self.assertEqual(Encoding(RawDialect()).encode(BATCH), message_frame(b"text") + message_frame(b"\xff"))

    def test_frame_maker(self) -> None:
        """The dialect is given the function that makes the frames."""
        self.assertEqual(Encoding(RawDialect(), lambda payload: payload + b"|").encode(BATCH), b"text|\xff|")


class EncodingsTests(SynchronousTestCase):
    """The encodings of a process."""

    def test_shared(self) -> None:
        """Everyone who speaks a dialect has the same encoding; another dialect has another one."""
        encodings = Encodings()
        dialect, other = LineDialect(), LineDialect("other")
        found = [encodings.get(dialect) for _ in range(3)]
        self.assertEqual({id(encoding) for encoding in found}, {id(found[0])})
        self.assertIsNot(encodings.get(other), found[0])
        self.assertEqual((found[0].encode(BATCH), dialect.batches, other.batches), (b"text\n\xff\n", 1, 0))

    def test_processes_are_apart(self) -> None:
        """Two relays in one process share no encoding."""
        dialect = LineDialect()
        self.assertIsNot(Encodings().get(dialect), Encodings().get(dialect))
