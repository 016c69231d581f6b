"""Tests of `wsrelay.core.wire.event_stream`, read by a parser of the tests' own."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.event_source import Event, EventStreamParser
from wsrelay.core.wire.event_stream import (
    END_OF_EVENT,
    HEARTBEAT,
    EventBatch,
    PositionedLines,
    RetryResponse,
    data_lines,
    event_lines,
    id_line,
    retry_event,
    stream_head,
)
from wsrelay.core.wire.http_response import SECURITY_HEADERS, ErrorResponse

LINE_ENDS = re.compile("\r\n|\r|\n")
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\0: \ufeff"), max_size=40)


def read(data: bytes) -> list[Event]:
    """Return the events of a stream."""
    parser = EventStreamParser()
    parser.feed(data)
    return parser.events


class LineTests(SynchronousTestCase):
    """Lines of single events."""

    @given(TEXTS, st.integers(1, 5))
    @example("", 1)
    @example("\r\n\r\r\n\n", 1)
    @example(" : leading space", 2)
    @example("\ufeffdata: x\n\nid: 5\n\n", 3)
    def test_payload_comes_back_with_line_feeds_in_whatever_pieces_it_arrives(self, text: str, size: int) -> None:
        stream = retry_event(1) + data_lines(text.encode()) + END_OF_EVENT
        parser = EventStreamParser()
        for start in range(0, len(stream), size):
            parser.feed(stream[start : start + size])
        self.assertEqual(parser.events, [Event(LINE_ENDS.sub("\n", text))])

    def test_event_has_a_name_and_a_json_object_in_ascii(self) -> None:
        lines = event_lines("join", {"channel": "a", "user": "\u00fc\n"})
        self.assertEqual(lines, b'event: join\ndata: {"channel":"a","user":"\\u00fc\\n"}\n')

    def test_id_without_data_moves_the_position_and_tells_no_page(self) -> None:
        parser = EventStreamParser()
        parser.feed(id_line(b"5-0.00000000,-") + END_OF_EVENT)
        self.assertEqual((parser.events, parser.last_event_id), ([], "5-0.00000000,-"))

    def test_heartbeat_is_a_comment(self) -> None:
        parser = EventStreamParser("5")
        parser.feed(HEARTBEAT)
        self.assertEqual((parser.events, parser.comments, parser.last_event_id), ([], [""], "5"))

    def test_retry_is_in_whole_milliseconds_and_may_have_a_comment(self) -> None:
        self.assertEqual(retry_event(1.23456), b"retry: 1235\n\n")
        self.assertEqual(retry_event(2, "why"), b"retry: 2000\n: why\n\n")


class ResponseTests(SynchronousTestCase):
    """The heads of streams."""

    def test_head_announces_a_stream_that_ends_with_its_connection_and_is_passed_on_at_once(self) -> None:
        lines = stream_head((("Vary", "Origin"),)).decode().split("\r\n")
        self.assertEqual((lines[0], lines[-2:]), ("HTTP/1.1 200 OK", ["", ""]))
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        self.assertEqual(len(fields), len(lines) - 3)
        self.assertLessEqual(
            {
                "Content-Type": "text/event-stream",
                "Connection": "close",
                "Cache-Control": "no-cache, no-store, no-transform",
                "X-Accel-Buffering": "no",
                "Vary": "Origin",
            }.items(),
            fields.items(),
        )
        self.assertLessEqual({name for name, _ in SECURITY_HEADERS}, fields.keys())
        self.assertFalse(fields.keys() & {"Content-Length", "Transfer-Encoding"})

    def test_temporary_error_is_a_stream_that_ends_with_a_delay_and_the_text(self) -> None:
        response = RetryResponse(503, "Later.", (("Retry-After", "5"), ("Vary", "Origin")), retry_seconds=4.5)
        self.assertIsInstance(response, ErrorResponse)
        top, _, body = response.to_bytes().partition(b"\r\n\r\n")
        self.assertTrue(top.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"))
        self.assertTrue(top.endswith(b"\r\nVary: Origin"))
        self.assertNotIn(b"Retry-After", top)
        parser = EventStreamParser()
        parser.feed(body)
        self.assertEqual((parser.events, parser.retry, parser.comments), ([], 4500, [" Later."]))


class BatchTests(SynchronousTestCase):
    """Batches that streams of several channels share."""

    def test_batch_is_its_events_without_ids(self) -> None:
        batch = EventBatch([PositionedLines(b"data: x\n", "a", b"5-0"), PositionedLines(b"", "a", b"6-0")])
        self.assertEqual(batch, b"data: x\n\n\n")
        self.assertEqual(read(batch), [Event("x")])

    def test_each_event_that_moves_a_position_has_an_id_with_the_positions_of_all_channels(self) -> None:
        batch = EventBatch(
            [
                PositionedLines(b"data: 1\n", "b", b"5"),
                PositionedLines(b"event: gap\ndata: {}\n", "b"),
                PositionedLines(b"data: 2\n", "b", b"6"),
                PositionedLines(b"", "b", b"7"),
            ]
        )
        mine, other = {"a": b"1", "b": b"2", "c": b"-"}, {"b": b"-", "d": b"9"}
        self.assertEqual(
            batch.with_ids(mine),
            b"id: 1,5,-\ndata: 1\n\nevent: gap\ndata: {}\n\nid: 1,6,-\ndata: 2\n\nid: 1,7,-\n\n",
        )
        self.assertEqual(mine, {"a": b"1", "b": b"7", "c": b"-"})
        self.assertEqual(
            read(batch.with_ids(other)),
            [Event("1", last_event_id="5,9"), Event("{}", "gap", "5,9"), Event("2", last_event_id="6,9")],
        )

    def test_events_without_positions_have_no_ids(self) -> None:
        batch = EventBatch([PositionedLines(b"data: 1\n", "b"), PositionedLines(b"data: 2\n", "b")])
        positions = {"a": b"-", "b": b"-"}
        self.assertEqual((batch.with_ids(positions), positions), (batch, {"a": b"-", "b": b"-"}))
