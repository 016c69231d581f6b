"""Tests of `wsrelay.engine.stream_readers`: when streams are read, and what their readers share."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from tests.engine.harness import log_lines
from tests.engine.history_harness import RETENTION, HistoryCase
from wsrelay.core.history.entries import StreamLook
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.engine.channel_reader import LIVE_PAGE_SIZE
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.stream_readers import MAX_READS_IN_FLIGHT, SWEEP_JITTER, SWEEP_SECONDS
from wsrelay.testing.dialects import LineDialect, LineFraming


class OutageTests(HistoryCase):
    """A broker that is away."""

    def interrupt(self) -> None:
        """Lose the connections to the broker."""
        self.node.disconnected(["kept", "plain"])
        self.node.streams_disconnected()

    def come_back(self) -> None:
        """Have the connections again."""
        for channel in ("kept", "plain"):
            self.node.subscribed(channel)
        self.node.streams_connected()
        self.turn()

    def test_what_was_added_meanwhile_is_delivered_and_nobody_is_told_of_a_gap(self) -> None:
        subscriber, _ = self.subscribe()
        plain, _ = self.subscribe("plain")
        self.add(b"1")
        self.interrupt()
        self.add(b"2", b"3")
        self.assertEqual(self.lines(subscriber), [b"1"])
        self.come_back()
        self.clock.pump([0.05] * 40)
        self.assertEqual((self.lines(subscriber), subscriber.gaps, plain.gaps), ([b"1", b"2", b"3"], [], ["plain"]))

    def test_what_was_trimmed_meanwhile_is_a_gap_and_the_rest_is_delivered(self) -> None:
        teller, _ = self.subscribe(dialect=self.events)
        self.add(b"1")
        self.interrupt()
        self.add(b"2", b"3", b"4")
        self.history._streams["kept"].trim(1)
        self.come_back()
        self.assertEqual(self.lines(teller), [b"1", b"gap trimmed", b"4"])

    def test_nothing_from_behind_a_gap_reaches_those_who_resume_from_their_last_publication(self) -> None:
        """They are told a moment later, and would have recovered from there."""
        dialect = LineDialect("commands")
        dialect.acceptance = Acceptance.AT_ONCE
        dialect.encoding = Encoding(dialect, LineFraming())
        resuming, _ = self.subscribe(dialect=dialect)
        raw, _ = self.subscribe()
        self.add(b"1")
        self.interrupt()
        self.add(b"2", b"3", b"4")
        self.history._streams["kept"].trim(1)
        self.come_back()
        self.assertEqual((self.lines(resuming), self.lines(raw)), ([b"1"], [b"1", b"4"]))
        self.clock.pump([0.05] * 40)
        self.assertEqual((resuming.gaps, raw.gaps), (["kept"], ["kept"]))

    def test_gap_is_not_told_where_the_namespace_says_so(self) -> None:
        teller, _ = self.subscribe("quiet", dialect=self.events)
        raw, _ = self.subscribe("quiet")
        self.add(b"1", channel="quiet")
        self.interrupt()
        self.add(b"2", b"3", channel="quiet")
        self.history._streams["quiet"].trim(1)
        self.come_back()
        self.clock.pump([0.05] * 40)
        self.assertEqual((self.lines(teller), raw.gaps), ([b"1", b"3"], []))
        self.assertEqual(self.counters.history_gaps, {"trimmed": 1})

    def test_client_that_resumes_waits_for_the_connection(self) -> None:
        _, start = self.subscribe()
        self.interrupt()
        self.add(b"1")
        # The channel itself is confirmed again before its stream can be read.
        self.node.subscribed("kept")
        _, outcome = self.begin(since="1-0.00000000")
        self.assertNoResult(outcome)
        self.node.streams_connected()
        self.turn()
        self.assertEqual(self.data_of(self.successResultOf(outcome)), [b"1"])
        self.assertIsNotNone(start)


class PressureTests(HistoryCase):
    """Clients that are behind."""

    def test_nothing_is_read_under_pressure_and_everything_afterwards(self) -> None:
        subscriber, _ = self.subscribe()
        self.node._on_pressure(True)
        self.add(b"1", b"2")
        self.assertEqual(self.lines(subscriber), [])
        self.node._on_pressure(False)
        self.turn()
        self.assertEqual(self.lines(subscriber), [b"1", b"2"])


class SweepTests(HistoryCase):
    """Reading whatever has been reported."""

    def test_every_stream_is_read_within_the_time_of_a_sweep(self) -> None:
        names = [f"kept{number}" for number in range(30)]
        subscribers = {name: self.subscribe(name)[0] for name in names}
        # The broker says nothing from now on.
        self.history._armed.clear()
        for name in names:
            self.history._streams.pop(name, None)
            self.add(b"x", channel=name)
        self.history._armed.clear()
        self.clock.pump([0.25] * round(2 * SWEEP_SECONDS * (1 + SWEEP_JITTER) * 4 + 8))
        self.assertEqual(
            {name: self.lines(each) for name, each in subscribers.items()}, {name: [b"x"] for name in names}
        )

    def test_streams_are_read_a_few_at_a_time(self) -> None:
        for number in range(100):
            self.subscribe(f"kept{number}")
        counts = []
        for reader in ("read", "look"):
            self.patch(self.history, reader, Mock(wraps=getattr(self.history, reader)))
        calls: Any = self.history
        for _ in range(200):
            before = calls.read.call_count + calls.look.call_count
            self.clock.advance(0.25)
            counts.append(calls.read.call_count + calls.look.call_count - before)
        self.assertLessEqual(max(counts), 2)
        self.assertGreaterEqual(sum(counts), 100)

    def test_channel_that_is_not_wanted_any_more_is_not_watched(self) -> None:
        subscriber, _ = self.subscribe()
        self.node.subscriptions.unsubscribe(subscriber, "kept")
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        self.assertEqual((self.history._watched, self.clock.getDelayedCalls()), (set(), []))
        self.add(b"1")
        self.assertEqual(self.counters.broker_messages, 0)


class SlowReadTests(HistoryCase):
    """Many streams that are due at once."""

    is_slow = True

    def test_a_bounded_number_is_read_at_the_same_time(self) -> None:
        outcomes = [self.begin(f"kept{number}")[1] for number in range(MAX_READS_IN_FLIGHT + 10)]
        self.assertEqual(self.slow.waiting, MAX_READS_IN_FLIGHT)
        self.slow.answer()
        self.assertEqual(self.slow.waiting, 10)
        self.slow.answer()
        for outcome in outcomes:
            self.successResultOf(outcome)

    def test_next_page_of_a_long_stream_is_read_when_subscribers_have_caught_up(self) -> None:
        subscriber, _ = self.begin()
        self.slow.answer()
        self.add(b"first")
        self.slow.answer()
        for _ in range(LIVE_PAGE_SIZE + 1):
            self.history.add("kept", (b"data", b"x"), RETENTION)
        self.turn()
        self.node._on_pressure(True)
        self.slow.answer()
        # A page includes the entry that it begins behind, if it is a look.
        self.assertEqual((len(self.lines(subscriber)), self.slow.waiting), (LIVE_PAGE_SIZE, 0))
        self.node._on_pressure(False)
        self.slow.answer()
        self.assertEqual(len(self.lines(subscriber)), 2 + LIVE_PAGE_SIZE)

    def test_those_that_wait_for_a_place_are_read_together(self) -> None:
        channels = [f"kept{number}" for number in range(MAX_READS_IN_FLIGHT + 10)]
        for channel in channels:
            self.begin(channel)
        for payload in (b"1", b"2"):
            while self.slow.waiting:
                self.slow.answer()
            for channel in channels:
                self.history.add(channel, (b"data", payload), RETENTION)
            self.turn()
        while self.slow.waiting:
            self.slow.answer()
        self.slow.calls.clear()
        self.node.streams_changed(channels)
        self.slow.answer()
        self.assertEqual(self.slow.calls, ["read", "read"])
        self.slow.answer()

    def test_failed_read_is_logged_with_its_code_and_tried_again_in_the_sweep(self) -> None:
        _, outcome = self.begin()
        with capturedLogs() as captured:
            self.slow.fail(BrokerUnavailable("WRONGTYPE Operation against a key with s3cret"))
        self.failureResultOf(outcome, BrokerUnavailable)
        self.assertEqual(
            [text for _, text in log_lines(captured)], ["a stream cannot be read: WRONGTYPE [channel 'kept']"]
        )
        self.clock.pump([0.25] * round(2 * SWEEP_SECONDS * 4))
        self.assertEqual(self.slow.calls, ["newest", "newest"])


class JointReadTests(HistoryCase):
    """Streams that have changed at the same time."""

    is_slow = True

    def setUp(self) -> None:
        super().setUp()
        self.channels = ("kept1", "kept2", "kept3")
        self.subscribers = [self.begin(channel)[0] for channel in self.channels]
        self.slow.answer()
        # The first entries of a stream take a look each.
        for payload in (b"0", b"1"):
            self.add_to_each(payload)
            self.slow.answer()
        self.slow.calls.clear()

    def add_to_each(self, payload: bytes) -> None:
        """Add an entry to each channel at the same time."""
        for channel in self.channels:
            self.history.add(channel, (b"data", payload), RETENTION)
        self.turn()

    def test_they_are_read_in_one_call(self) -> None:
        self.add_to_each(b"2")
        self.assertEqual(self.slow.calls, ["read"])
        self.slow.answer()
        self.assertEqual([self.lines(each) for each in self.subscribers], [[b"0", b"1", b"2"]] * 3)

    def test_one_that_cannot_be_read_keeps_nothing_from_the_others(self) -> None:
        self.add_to_each(b"2")
        read_behind = self.history.read_behind

        def read_all_but_the_second(anchors: Any, count: int, came: Any) -> None:
            error = BrokerUnavailable("WRONGTYPE Operation against a key")
            read_behind(anchors, count, lambda results: came([results[0], error, results[2]]))

        self.patch(self.history, "read_behind", read_all_but_the_second)
        with capturedLogs() as captured:
            self.slow.answer()
        self.assertEqual(
            [text for _, text in log_lines(captured)], ["a stream cannot be read: WRONGTYPE [channel 'kept2']"]
        )
        self.assertEqual([self.lines(each)[2:] for each in self.subscribers], [[b"2"], [], [b"2"]])

    def test_failure_of_all_is_one_of_each_and_they_are_read_again(self) -> None:
        self.add_to_each(b"2")
        self.slow.fail(BrokerUnavailable("no connection"))
        self.node.streams_changed(self.channels)
        self.assertEqual([self.lines(each) for each in self.subscribers], [[b"0", b"1"]] * 3)
        self.slow.answer()
        self.assertEqual([self.lines(each) for each in self.subscribers], [[b"0", b"1", b"2"]] * 3)

    def test_mistake_with_one_keeps_nothing_from_the_others(self) -> None:
        self.add_to_each(b"2")
        readers: Any = self.node._readers
        self.patch(readers.open("kept2"), "_take", Mock(side_effect=RuntimeError("a mistake")))
        self.slow.answer()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([self.lines(each)[2:] for each in self.subscribers], [[b"2"], [], [b"2"]])

    def test_read_from_before_an_interruption_is_of_no_use(self) -> None:
        self.add_to_each(b"2")
        self.node.streams_disconnected()
        self.slow.answer()
        self.assertEqual([self.lines(each) for each in self.subscribers], [[b"0", b"1"]] * 3)
        self.node.streams_connected()
        self.slow.answer()
        self.assertEqual([self.lines(each) for each in self.subscribers], [[b"0", b"1", b"2"]] * 3)


class MixedTrafficTests(HistoryCase):
    """Messages that are published past the stream."""

    def publish(self, *payloads: bytes) -> None:
        """Publish plain messages, and let them be delivered."""
        self.node.publications_received([Publication("kept", data) for data in payloads])
        self.turn()

    def test_message_without_xadd_is_delivered_without_a_position_and_counted_and_not_kept(self) -> None:
        subscriber, start = self.subscribe()
        self.publish(b"now")
        self.assertEqual((self.lines(subscriber), self.counters.publications_not_kept), ([b"now"], 1))
        _, again = self.subscribe(since=start.position)
        self.assertEqual((again.publications, again.position), ((), start.position))

    def test_empty_message_is_a_bell(self) -> None:
        subscriber, _ = self.subscribe()
        self.history._armed.clear()
        self.add(b"1")
        self.assertEqual(self.lines(subscriber), [])
        self.publish(b"")
        self.assertEqual((self.lines(subscriber), self.counters.publications_not_kept), ([b"1"], 0))

    def test_other_channels_of_the_same_read_are_delivered(self) -> None:
        subscriber, _ = self.subscribe("plain")
        kept, _ = self.subscribe()
        self.node.publications_received(
            [Publication("kept", b""), Publication("plain", b"1"), Publication("kept", b"2")]
        )
        self.assertEqual((self.lines(subscriber), self.lines(kept)), ([b"1"], [b"2"]))


class LogTests(HistoryCase):
    """Lines for the operator, one a minute."""

    def test_each_kind_of_trouble_has_a_line(self) -> None:
        with capturedLogs() as captured:
            self.subscribe()
            for _ in range(3):
                self.node.publications_received([Publication("kept", b"x")])
                self.history.add("kept", (b"other", b"x"), RETENTION)
                self.turn()
        texts = [text for _, text in log_lines(captured)]
        self.assertEqual(len(texts), 2)
        self.assertIn("add it with XADD to keep it [channel 'kept']", texts[0] + texts[1])
        self.assertIn("has no field named data and is skipped [channel 'kept']", texts[0] + texts[1])


class CertainChangeTests(HistoryCase):
    """A stream that came and went before it was read."""

    is_slow = True

    def test_it_is_a_gap_if_the_server_named_it_and_nothing_otherwise(self) -> None:
        for is_certain, lines in ((False, []), (True, [b"gap expired"])):
            teller, outcome = self.begin(dialect=self.events)
            self.patch(self.slow, "inner", GoneHistory())
            self.slow.answer()
            self.successResultOf(outcome)
            self.node.streams_changed(["kept"], is_certain=is_certain)
            self.slow.answer()
            self.assertEqual(self.lines(teller), lines)
            self.setUp()


class GoneHistory:
    """A server on which no channel has a stream."""

    def look(self, *_arguments: object) -> Deferred[StreamLook]:
        """Find nothing."""
        return succeed(StreamLook((), None, 1_000_000_000))

    look_at_newest = look
