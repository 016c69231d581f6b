"""Tests of `wsrelay.engine.operations.history`."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.history.offsets import BASE_MS, EPOCH, empty_offset, entry_offset
from wsrelay.core.history.pages import HistoryPage, KeptPublication
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ChannelError, PositionError, RejectedError
from wsrelay.engine.operations.history import ENTRIES_PER_READ, MAX_PAGE_BYTES, MAX_PAGE_SIZE, HistoryOperations
from wsrelay.testing.brokers import FakeBroker

KEPT = Namespace("kept", ("chat*",), history_size=5000, history_seconds=60)
RULES = Namespaces((Namespace("plain", ("news",)), KEPT))
BORN_MS = BASE_MS + 1000


class HistoryCase(SynchronousTestCase):
    """History in the memory broker, a second after the base of offsets."""

    def setUp(self) -> None:
        self.now = BORN_MS / 1000
        self.broker = MemoryBroker(Clock(), lambda: self.now)
        self.broker.start()
        self.history = HistoryOperations(self.broker, RULES)

    def add(self, *messages: bytes) -> list[int]:
        """Add messages to `chat`, each a millisecond later, and return their offsets."""
        offsets = []
        for data in messages:
            self.now = round(self.now * 1000 + 1) / 1000
            result = self.successResultOf(self.broker.history.append("chat", data, KEPT.retention))
            ms, _, number = result.position.partition("-")
            offsets.append(entry_offset((int(ms), int(number))))
        return offsets

    def page(self, *arguments: Any, **options: Any) -> HistoryPage:
        """Return a page of `chat`."""
        return self.successResultOf(self.history.page("chat", *arguments, **options))

    def data(self, *arguments: Any, **options: Any) -> list[bytes]:
        """Return the messages of a page of `chat`."""
        return [each.data for each in self.page(*arguments, **options).publications]

    def error(self, expected: type[Exception], *arguments: Any, **options: Any) -> Any:
        """Return the error of a page that fails."""
        return self.failureResultOf(self.history.page(*arguments, **options), expected).value


class PageTests(HistoryCase):
    """`HistoryOperations.page`, forwards."""

    def test_limit_0_gives_the_newest_position_alone(self) -> None:
        *_, last = self.add(b"1", b"2")
        self.assertEqual(self.page(), HistoryPage((), last, EPOCH))

    def test_page_holds_the_oldest_publications_with_their_offsets(self) -> None:
        first, second, third = self.add(b"1", b"2", b"3")
        kept = KeptPublication(first, b"1"), KeptPublication(second, b"2")
        self.assertEqual(self.page(2), HistoryPage(kept, third))

    def test_publications_have_their_publisher_and_tags_whose_length_counts(self) -> None:
        half = b"t" * (MAX_PAGE_BYTES // 4)
        for _ in range(4):
            self.successResultOf(self.broker.history.append("chat", b"", KEPT.retention, "", half, half))
        found = self.page(9).publications
        self.assertEqual([each[1:] for each in found], [(b"", half, half)] * 2)

    def test_negative_limit_gives_as_many_as_a_page_holds(self) -> None:
        self.add(*[b"x"] * (MAX_PAGE_SIZE + 5))
        self.assertEqual((len(self.data(-1)), len(self.data(10**9))), (MAX_PAGE_SIZE, MAX_PAGE_SIZE))

    def test_since_is_exclusive(self) -> None:
        first, _, third = self.add(b"1", b"2", b"3")
        self.assertEqual((self.data(9, first), self.data(9, third)), ([b"2", b"3"], []))
        self.assertEqual(self.data(9, first - 3), [b"1", b"2", b"3"])

    def test_since_0_begins_with_the_oldest(self) -> None:
        self.add(b"1")
        self.assertEqual((self.data(9, 0), self.data(9, 0, EPOCH)), ([b"1"], [b"1"]))

    def test_position_without_an_entry_is_followed_by_what_came_later(self) -> None:
        self.add(b"1", b"2")
        self.assertEqual(self.data(9, empty_offset(BORN_MS)), [b"1", b"2"])
        self.assertEqual(self.data(9, empty_offset(BORN_MS + 1)), [b"2"])

    def test_publications_of_one_millisecond_are_kept_apart(self) -> None:
        for data in (b"1", b"2", b"3"):
            self.successResultOf(self.broker.history.append("chat", data, KEPT.retention))
        offsets = [each.offset for each in self.page(9).publications]
        self.assertEqual([self.data(9, offset) for offset in offsets], [[b"2", b"3"], [b"3"], []])

    def test_page_ends_where_it_holds_too_much_data(self) -> None:
        self.add(*[b"x" * (MAX_PAGE_BYTES // 2)] * 4)
        self.assertEqual(len(self.data(9)), 2)

    def test_channel_without_entries_has_a_position_and_the_same_one_a_moment_later(self) -> None:
        page = self.page(9)
        self.assertEqual(page.publications, ())
        self.now += 1
        self.assertEqual(self.page(9), page)

    def test_removed_history_keeps_its_position(self) -> None:
        (offset,) = self.add(b"1")
        self.successResultOf(self.history.remove("chat"))
        self.assertEqual(self.page(9), HistoryPage((), offset))

    def test_other_epoch_and_offset_that_names_nothing_are_unrecoverable(self) -> None:
        (offset,) = self.add(b"1")
        for since, epoch in ((offset, "other"), (0, "other"), (4095, ""), (-1, ""), (2**53 - 1, ""), (2**70, "")):
            self.error(PositionError, "chat", 9, since, epoch)

    def test_unknown_channel_and_one_without_history_are_told_apart(self) -> None:
        self.assertIs(self.error(RejectedError, "other", 1).client_error, ClientError.UNKNOWN_CHANNEL)
        self.assertIs(self.error(RejectedError, "news", 1).client_error, ClientError.NO_HISTORY)
        self.error(ChannelError, "$control", 1)

    def test_broker_without_history_has_none(self) -> None:
        history = HistoryOperations(FakeBroker(), RULES)
        error: Any = self.failureResultOf(history.page("chat", 1), RejectedError).value
        self.assertIs(error.client_error, ClientError.NO_HISTORY)

    def test_outage_fails(self) -> None:
        self.broker.stop()
        self.error(BrokerUnavailable, "chat", 9)
        self.failureResultOf(self.history.remove("chat"), BrokerUnavailable)

    def test_history_of_a_plain_channel_cannot_be_removed(self) -> None:
        self.failureResultOf(self.history.remove("news"), RejectedError)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 250), st.integers(1, 130))
    def test_pages_one_after_the_other_hold_each_publication_once(self, count: int, size: int) -> None:
        self.setUp()
        messages = [b"%d" % number for number in range(count)]
        self.add(*messages)
        found: list[bytes] = []
        since = 0
        while publications := self.page(size, since).publications:
            found += [each.data for each in publications]
            since = publications[-1].offset
        self.assertEqual(found, messages)


class ReversePageTests(HistoryCase):
    """`HistoryOperations.page`, backwards."""

    def test_newest_publications_come_first(self) -> None:
        *_, last = self.add(b"1", b"2", b"3")
        page = self.page(2, reverse=True)
        self.assertEqual(([each.data for each in page.publications], page.offset), ([b"3", b"2"], last))

    def test_since_is_exclusive(self) -> None:
        first, _, third = self.add(b"1", b"2", b"3")
        self.assertEqual(self.data(9, third, reverse=True), [b"2", b"1"])
        self.assertEqual(self.data(1, third, reverse=True), [b"2"])
        self.assertEqual(self.data(9, first, reverse=True), [])

    def test_page_ends_where_it_holds_too_much_data(self) -> None:
        self.add(*[b"x" * (MAX_PAGE_BYTES // 2)] * 4)
        self.assertEqual(len(self.data(9, reverse=True)), 2)

    def test_no_more_is_read_than_a_page_of_long_messages_takes(self) -> None:
        history, counts = self.broker.history, []
        look = history.look_at_newest

        def look_at_newest(channel: str, count: int) -> Any:
            counts.append(count)
            return look(channel, count)

        self.patch(history, "look_at_newest", look_at_newest)
        offsets = self.add(*[b"x" * 65536] * 400)
        self.assertEqual(len(self.data(-1, reverse=True)), 16)
        self.assertEqual(counts, [ENTRIES_PER_READ])
        counts.clear()
        error = self.error(RejectedError, "chat", 3, offsets[90], reverse=True)
        self.assertEqual((error.client_error, counts), (ClientError.NOT_SUPPORTED, [ENTRIES_PER_READ]))

    def test_position_too_far_from_the_newest_is_refused_and_not_answered_with_nothing(self) -> None:
        offsets = self.add(*[b"%d" % number for number in range(MAX_PAGE_SIZE + 10)])
        self.assertEqual(self.data(2, offsets[100], reverse=True), [b"99", b"98"])
        error = self.error(RejectedError, "chat", 2, offsets[11], reverse=True)
        self.assertIs(error.client_error, ClientError.NOT_SUPPORTED)
