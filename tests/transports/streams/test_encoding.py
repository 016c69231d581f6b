"""Tests of `wsrelay.transports.streams.encoding`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.publications import ChannelEvent, Gap, GapReason, Publication
from wsrelay.core.wire.framing import EventStreamFraming
from wsrelay.dialects import SSE
from wsrelay.transports.streams.encoding import StreamEncoding

TEXT, BYTES = Publication("a", b"text"), Publication("a", b"\xff")
GAP = Gap("a", GapReason.TRIMMED)


class StreamEncodingTests(SynchronousTestCase):
    """Batches with publications that are no text."""

    def setUp(self) -> None:
        self.reports: list[tuple[str, int]] = []
        self.encoding = self.make(FrameType.AUTO)

    def make(self, frames: FrameType) -> StreamEncoding:
        """Return an encoding for channels with a type of frame."""
        return StreamEncoding(SSE.dialect, EventStreamFraming(), frames, lambda *report: self.reports.append(report))

    def test_what_is_left_out_of_a_batch_is_reported_once_however_often_it_is_encoded(self) -> None:
        batch: list[ChannelEvent] = [BYTES, TEXT, GAP, BYTES]
        data = {self.encoding.encode(batch) for _ in range(3)}
        self.assertEqual(len(data), 1)
        self.assertIn(b"data: text\n", data.pop())
        self.assertEqual(self.reports, [("a", 2)])
        self.assertEqual(self.encoding.encode([BYTES]), b"")
        self.assertEqual(self.reports, [("a", 2), ("a", 1)])

    def test_extract_of_a_batch_and_what_is_for_one_client_are_not_reported(self) -> None:
        self.assertEqual(self.encoding.encode((BYTES,)), b"")
        self.assertEqual(self.reports, [])

    def test_nothing_is_reported_where_all_is_sent(self) -> None:
        self.encoding.encode([TEXT, GAP])
        self.make(FrameType.BINARY).encode([BYTES, TEXT])
        self.assertEqual(self.reports, [])
