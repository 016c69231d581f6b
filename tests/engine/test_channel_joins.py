"""Tests of `wsrelay.engine.channel_joins`: joins without a hole or a double."""

from __future__ import annotations

from tests.engine.history_harness import RETENTION, HistoryCase
from wsrelay.core.history.positions import EntryPosition
from wsrelay.core.messaging.publications import GapReason
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_output import RECOVERY_LIMIT
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS


class StartTests(HistoryCase):
    """The start of a subscription."""

    def test_first_client_begins_at_the_end_of_the_stream(self) -> None:
        self.add(b"1", b"2")
        subscriber, start = self.subscribe()
        self.assertRegex(start.position, r"\A1000000000-2\.[0-9a-f]{8}\Z")
        self.assertEqual((start.publications, start.recovered, start.gap), ((), False, None))
        self.add(b"3")
        self.assertEqual(self.lines(subscriber), [b"3"])

    def test_client_of_a_channel_without_entries_gets_a_position_that_it_can_resume_from(self) -> None:
        _, start = self.subscribe()
        self.assertRegex(start.position, r"\A~1000000000")
        self.add(b"1")
        subscriber, again = self.subscribe(since=start.position)
        self.assertEqual((self.data_of(again), again.recovered), ([b"1"], True))
        self.add(b"2")
        self.assertEqual(self.lines(subscriber), [b"2"])

    def test_client_that_resumes_gets_what_it_missed_and_then_what_follows(self) -> None:
        _, start = self.subscribe()
        self.add(*(b"%d" % number for number in range(10)))
        subscriber, again = self.subscribe(since=start.position)
        self.assertEqual((self.data_of(again), again.recovered), ([b"%d" % number for number in range(10)], True))
        self.add(b"more")
        self.assertEqual(self.lines(subscriber), [b"more"])

    def test_client_that_missed_nothing_has_recovered_nothing(self) -> None:
        self.add(b"1")
        _, start = self.subscribe()
        _, again = self.subscribe(since=start.position)
        self.assertEqual((again.publications, again.recovered, again.position), ((), True, start.position))

    def test_newest_publications_come_first_where_they_are_asked_for(self) -> None:
        self.add(*(b"%d" % number for number in range(5)))
        for newest, expected in (
            (2, [b"3", b"4"]),
            (5, [b"0", b"1", b"2", b"3", b"4"]),
            (9, [b"0", b"1", b"2", b"3", b"4"]),
        ):
            subscriber, start = self.subscribe(newest=newest)
            self.assertEqual((self.data_of(start), start.recovered), (expected, False))
        self.add(b"5")
        self.assertEqual(self.lines(subscriber), [b"5"])

    def test_newest_publications_of_a_channel_without_entries_are_none(self) -> None:
        self.assertEqual(self.subscribe(newest=3)[1].publications, ())

    def test_plain_channel_has_no_position_and_tells_a_returning_client_of_a_gap(self) -> None:
        self.assertEqual(self.subscribe("plain")[1].position, "")
        self.assertEqual(self.subscribe("plain", since="-")[1].gap, GapReason.NO_HISTORY)


class GapTests(HistoryCase):
    """Positions from which nothing can be recovered, each with what is left."""

    def test_text_that_is_no_position_is_unknown(self) -> None:
        self.add(b"1", b"2")
        for since in ("", "x", "1-1", "\u0661-1.00000000", "9" * 70, "5-0.abcdef0g"):
            _, start = self.subscribe(since=since)
            self.assertEqual((start.gap, self.data_of(start)), (GapReason.UNKNOWN_POSITION, [b"1", b"2"]))
            self.assertFalse(start.recovered)

    def test_position_with_another_fingerprint_is_another_entry(self) -> None:
        self.add(b"1", b"2")
        _, start = self.subscribe(since="1000000000-1.00000000")
        self.assertEqual((start.gap, self.data_of(start)), (GapReason.OTHER_ENTRY, [b"1", b"2"]))

    def test_position_beyond_the_stream_is_unknown(self) -> None:
        self.add(b"1")
        _, start = self.subscribe(since="2000000000-0.00000000")
        self.assertEqual(start.gap, GapReason.UNKNOWN_POSITION)

    def test_what_is_left_behind_a_trimmed_position_is_delivered(self) -> None:
        self.add(b"1")
        subscriber, start = self.subscribe()
        self.node.subscriptions.unsubscribe(subscriber, "kept")
        self.clock.advance(10)
        self.history._streams["kept"].add(1_000_010_000, (b"data", b"2"))
        self.history._streams["kept"].add(1_000_010_000, (b"data", b"3"))
        self.history._streams["kept"].trim(1)
        _, again = self.subscribe(since=start.position)
        self.assertEqual((again.gap, self.data_of(again)), (GapReason.TRIMMED, [b"3"]))

    def test_client_that_missed_too_many_gets_the_newest(self) -> None:
        _, start = self.subscribe()
        for _ in range(2):
            self.add(*(b"%d" % number for number in range(RECOVERY_LIMIT // 2 + 50)))
        _, again = self.subscribe(since=start.position)
        self.assertEqual((again.gap, len(again.publications)), (GapReason.TOO_MANY, RECOVERY_LIMIT))
        self.assertEqual(again.publications[-1].position, again.position)

    def test_outcome_of_each_recovery_is_counted(self) -> None:
        self.add(b"1")
        _, start = self.subscribe()
        for since in (start.position, "x", "y"):
            self.subscribe(since=since)
        self.assertEqual(self.counters.recoveries, {"recovered": 1, "unknown_position": 2})


class SlowTests(HistoryCase):
    """Answers that come late: what is added meanwhile reaches a client once."""

    is_slow = True

    def test_entry_that_is_added_while_a_client_joins_reaches_it_once(self) -> None:
        first, outcome = self.begin()
        self.slow.answer()
        position = self.successResultOf(outcome).position
        self.add(b"1")
        joiner, joining = self.begin(since=position)
        self.add(b"2")
        for _ in range(6):
            self.slow.answer(1)
            self.turn()
            self.add(b"%d" % len(self.slow.calls))
        for _ in range(10):
            self.slow.answer()
            self.turn()
        everything = self.lines(first)
        self.assertEqual(self.data_of(self.successResultOf(joining)) + self.lines(joiner), everything)
        self.assertGreater(len(everything), 3)

    def test_returning_crowd_is_served_by_one_read(self) -> None:
        self.add(*(b"%d" % number for number in range(3)))
        since = str(self.history._streams["kept"].read(None, 1)[0].position)
        crowd = [self.begin(since=since)[1] for _ in range(50)]
        self.slow.answer()
        self.turn()
        self.slow.answer()
        self.turn()
        for outcome in crowd:
            self.assertEqual(self.data_of(self.successResultOf(outcome)), [b"1", b"2"])
        self.assertLessEqual(len(self.slow.calls), 3)
        # Who comes behind them is served from the ring.
        _, late = self.begin(since=since)
        self.assertEqual(self.data_of(self.successResultOf(late)), [b"1", b"2"])
        self.assertLessEqual(len(self.slow.calls), 3)

    def test_client_that_leaves_while_it_joins_is_not_subscribed(self) -> None:
        subscriber, outcome = self.begin()
        self.node.subscriptions.unsubscribe(subscriber, "kept")
        self.failureResultOf(outcome)
        self.slow.answer()
        self.turn()
        self.add(b"1")
        self.slow.answer()
        self.turn()
        self.assertEqual(subscriber.sent, [])

    def test_reader_of_a_channel_that_was_left_tells_nothing_to_those_who_came_after(self) -> None:
        leaver, outcome = self.begin()
        self.slow.answer()
        self.successResultOf(outcome)
        self.add(b"1", b"2")
        self.history._streams["kept"].trim(1)
        self.node.subscriptions.unsubscribe(leaver, "kept")
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        subscriber, joining = self.begin(dialect=self.events)
        for _ in range(4):
            self.slow.answer(1)
            self.turn()
        self.successResultOf(joining)
        self.assertEqual((self.lines(subscriber), self.counters.history_gaps), ([], {}))

    def test_read_that_fails_fails_those_who_wait_for_it(self) -> None:
        _, outcome = self.begin(since="5-0.00000000")
        self.slow.fail(BrokerUnavailable("WRONGTYPE no stream"))
        self.failureResultOf(outcome, BrokerUnavailable)

    def test_client_ahead_of_this_process_waits_for_it(self) -> None:
        _, outcome = self.begin()
        self.slow.answer()
        self.successResultOf(outcome)
        self.history.add("kept", (b"data", b"1"), RETENTION)
        ahead = self.history._streams["kept"].read(None, 1)[0].position
        self.assertIsInstance(ahead, EntryPosition)
        subscriber, joining = self.begin(since=str(ahead))
        self.assertNoResult(joining)
        for _ in range(4):
            self.slow.answer()
            self.turn()
        start = self.successResultOf(joining)
        self.assertEqual((start.recovered, self.data_of(start), self.lines(subscriber)), (True, [], []))
