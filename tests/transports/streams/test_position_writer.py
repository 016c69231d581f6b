"""Tests of `wsrelay.transports.streams.position_writer`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.event_stream import EventBatch, PositionedLines
from wsrelay.testing.subscribers import RecordingSubscriber, SendArguments
from wsrelay.transports.streams.position_writer import PositionWriter


def batch(channel: str, *positions: str) -> EventBatch:
    """Return a batch of one event for each position."""
    return EventBatch([PositionedLines(b"data: %b\n" % each.encode(), channel, each.encode()) for each in positions])


class PositionWriterTests(SynchronousTestCase):
    """The ids of one stream."""

    def setUp(self) -> None:
        self.inner = RecordingSubscriber()
        inner: Any = self.inner
        self.writer = PositionWriter(inner, {"a": b"-", "b": b"7"})

    def test_positions_move_with_what_is_sent(self) -> None:
        self.writer.send(batch("a", "1", "2"))
        self.writer.send(batch("b", "8"))
        self.assertEqual(self.inner.sent, [b"id: 1,7\ndata: 1\n\nid: 2,7\ndata: 2\n\n", b"id: 2,8\ndata: 8\n\n"])

    def test_streams_with_the_same_batch_have_each_their_own_positions(self) -> None:
        inner: Any = RecordingSubscriber()
        shared = batch("a", "1")
        self.writer.send(shared)
        PositionWriter(inner, {"a": b"-"}).send(shared)
        self.assertEqual((self.inner.sent, inner.sent), ([b"id: 1,7\ndata: 1\n\n"], [b"id: 1\ndata: 1\n\n"]))

    def test_what_has_no_ids_is_passed_on_as_it_is(self) -> None:
        data = b": comment\n\n"
        self.writer.send(data)
        self.assertIs(self.inner.sent[0], data)

    def test_policy_and_channel_are_passed_on_and_the_newest_has_its_id(self) -> None:
        data = batch("a", "1", "2")
        self.writer.send(data, SlowPolicy.LATEST, "a", batch("a", "2"))
        self.writer.send(one := batch("b", "8"), SlowPolicy.LATEST, "b", one)
        self.assertEqual(
            self.inner.send_arguments,
            [
                SendArguments(SlowPolicy.LATEST, "a", b"id: 2,7\ndata: 2\n\n"),
                SendArguments(SlowPolicy.LATEST, "b", b"id: 2,8\ndata: 8\n\n"),
            ],
        )

    def test_closes_and_gaps_are_those_of_the_connection(self) -> None:
        self.writer.close(Disconnect.SLOW)
        self.writer.report_gap("a")
        self.assertEqual((self.inner.disconnects, self.inner.gaps), ([Disconnect.SLOW], ["a"]))
