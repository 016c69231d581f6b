"""Tests of `wsrelay.engine.recovery_reads`: long recoveries, and large ones."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from tests.engine.history_harness import HistoryCase
from wsrelay.core.messaging.publications import GapReason
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_output import RECOVERY_LIMIT
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS, SUBSCRIBE_TIMEOUT_SECONDS
from wsrelay.engine.recovery_reads import PAGE_SIZE, RECOVERY_BYTES
from wsrelay.engine.stream_readers import MAX_RECOVERIES


class RecoveryReadsCase(HistoryCase):
    """A client that was away while nobody else was on the channel, so that no ring helps it."""

    def away(self, *payloads: bytes) -> str:
        """Return the position of a client that left before these were added."""
        self.add(b"first")
        subscriber, start = self.subscribe()
        self.node.subscriptions.unsubscribe(subscriber, "kept")
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        self.add(*payloads)
        return start.position


class PagesTests(RecoveryReadsCase):
    """More than one page."""

    def test_everything_is_recovered_over_several_pages(self) -> None:
        for count in (PAGE_SIZE - 2, PAGE_SIZE - 1, PAGE_SIZE, 2 * PAGE_SIZE - 1, RECOVERY_LIMIT):
            payloads = [b"%d" % number for number in range(count)]
            subscriber, start = self.subscribe(since=self.away(*payloads))
            self.assertEqual((self.data_of(start), start.recovered), (payloads, True))
            self.add(b"more")
            self.assertEqual(self.lines(subscriber), [b"more"])

    def test_first_entries_of_a_channel_are_recovered_over_several_pages(self) -> None:
        subscriber, start = self.subscribe()
        self.node.subscriptions.unsubscribe(subscriber, "kept")
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        payloads = [b"%d" % number for number in range(3 * PAGE_SIZE)]
        self.add(*payloads)
        _, again = self.subscribe(since=start.position)
        self.assertEqual((self.data_of(again), again.recovered), (payloads, True))

    def test_one_more_than_may_be_recovered_is_a_gap_with_the_newest(self) -> None:
        payloads = [b"%d" % number for number in range(RECOVERY_LIMIT + 1)]
        _, start = self.subscribe(since=self.away(*payloads))
        self.assertEqual((start.gap, self.data_of(start)), (GapReason.TOO_MANY, payloads[1:]))


class SizeTests(RecoveryReadsCase):
    """Large payloads."""

    def test_no_more_is_sent_than_a_slow_client_may_have_waiting(self) -> None:
        payloads = [b"%d" % number * 100_000 for number in range(10)] * 2
        _, start = self.subscribe(since=self.away(*payloads))
        found = self.data_of(start)
        self.assertEqual((start.gap, found), (GapReason.TOO_MANY, payloads[-len(found) :]))
        self.assertLessEqual(sum(map(len, found)), RECOVERY_BYTES)
        self.assertGreaterEqual(sum(map(len, found)), RECOVERY_BYTES - 200_000)

    def test_one_payload_of_any_size_is_recovered(self) -> None:
        large = b"x" * (RECOVERY_BYTES + 1)
        _, start = self.subscribe(since=self.away(large))
        self.assertEqual((self.data_of(start), start.recovered), ([large], True))
        _, newest = self.subscribe(newest=5)
        self.assertEqual(self.data_of(newest), [large])

    def test_newest_are_as_many_as_fit(self) -> None:
        payloads = [b"%03d" % number * 1000 for number in range(600)]
        self.add(*payloads)
        _, start = self.subscribe(newest=1000)
        found = self.data_of(start)
        self.assertEqual(found, payloads[-len(found) :])
        self.assertLessEqual(sum(map(len, found)), RECOVERY_BYTES)
        self.assertGreater(len(found), PAGE_SIZE)


class TurnTests(RecoveryReadsCase):
    """Many who come back at once, from different positions."""

    is_slow = True

    def positions(self, count: int) -> list[str]:
        """Return as many positions on the channel, none of which a ring holds."""
        self.add(*(b"%d" % number for number in range(count + 2)))
        return [str(entry.position) for entry in self.history._streams["kept"].read(None, count)]

    def test_a_bounded_number_reads_at_the_same_time_and_all_recover(self) -> None:
        positions = self.positions(3 * MAX_RECOVERIES)
        outcomes = [self.begin(since=position)[1] for position in positions]
        self.assertLessEqual(self.slow.waiting, MAX_RECOVERIES + 1)
        for _ in range(20):
            self.slow.answer()
            self.turn()
        for position, outcome in zip(positions, outcomes, strict=True):
            start = self.successResultOf(outcome)
            self.assertTrue(start.recovered, position)
            self.assertEqual(len(start.publications), len(positions) + 1 - positions.index(position))

    def test_next_turn_begins_when_the_client_before_is_subscribed(self) -> None:
        readers = self.node._readers
        assert readers is not None
        happened: list[str] = []
        turns = [Deferred[None]() for _ in range(MAX_RECOVERIES)]
        waiting = [*turns]
        for _ in turns:
            readers.in_turn(lambda: waiting.pop(0)).addCallback(lambda _: happened.append("subscribed"))
        readers.in_turn(lambda: succeed("next").addCallback(happened.append))
        turns[0].callback(None)
        self.turn()
        self.assertEqual(happened, ["subscribed", "next"])

    def test_client_that_waits_too_long_takes_no_turn(self) -> None:
        outcomes = [self.begin(since=position)[1] for position in self.positions(MAX_RECOVERIES + 5)]
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        for outcome in outcomes:
            self.failureResultOf(outcome, BrokerUnavailable)
        readers = self.node._readers
        assert readers is not None
        self.assertEqual((readers._turns.tokens, readers._turns.waiting), (MAX_RECOVERIES, []))

    def test_stream_that_changes_between_two_pages_is_read_again(self) -> None:
        self.slow.inner, slow = self.history, self.slow
        payloads = [b"%d" % number for number in range(2 * PAGE_SIZE)]
        self.add(*payloads)
        stream = self.history._streams["kept"]
        since = str(stream.read(None, 1)[0].position)
        _, outcome = self.begin(since=since)
        slow.answer()
        self.turn()
        # The last entry of the first page.
        stream.delete(stream.read(None, PAGE_SIZE)[-1].id)
        for _ in range(10):
            slow.answer()
            self.turn()
        start = self.successResultOf(outcome)
        self.assertEqual((start.recovered, len(start.publications)), (True, 2 * PAGE_SIZE - 2))
