"""Tests of `wsrelay.engine.shared_reads`."""

from __future__ import annotations

from unittest.mock import Mock

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.shared_reads import SharedReads


class SharedReadsTests(SynchronousTestCase):
    """`SharedReads`."""

    def setUp(self) -> None:
        """Begin with none."""
        self.shared = SharedReads()
        self.reads: list[Deferred[str]] = []
        self.cancelled: list[Deferred[str]] = []

    def get(self, key: str = "a") -> Deferred[str]:
        """Ask for something whose answer the test gives."""

        def read() -> Deferred[str]:
            self.reads.append(Deferred(self.cancelled.append))
            return self.reads[-1]

        return self.shared.get(key, read)

    def test_those_who_ask_for_the_same_meanwhile_share_one_read_and_its_outcome(self) -> None:
        waiting = [self.get(), self.get(), self.get("b")]
        self.assertEqual((len(self.reads), len(self.shared)), (2, 2))
        self.reads[0].callback("1")
        self.reads[1].errback(ValueError("the test says so"))
        self.assertEqual([self.successResultOf(each) for each in waiting[:2]], ["1", "1"])
        self.failureResultOf(waiting[2], ValueError)
        self.assertEqual(len(self.shared), 0)

    def test_one_that_is_answered_at_once_is_shared_with_nobody(self) -> None:
        for expected in ("1", "2"):
            self.assertEqual(self.successResultOf(self.shared.get("a", lambda: succeed(expected))), expected)  # noqa: B023 -- called at once

    def test_read_goes_on_until_the_last_of_those_who_wait_has_left(self) -> None:
        first, second = self.get(), self.get()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.cancelled, [])
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual((self.cancelled, len(self.shared)), (self.reads, 0))

    def test_request_behind_a_cancelled_read_has_one_of_its_own(self) -> None:
        self.failureResultOf(self.get_cancelled(), CancelledError)
        found = self.get()
        self.assertEqual(len(self.reads), 2)
        self.reads[1].callback("2")
        self.assertEqual(self.successResultOf(found), "2")

    def get_cancelled(self) -> Deferred[str]:
        """Ask, and leave."""
        left = self.get()
        left.cancel()
        return left

    def test_one_answer_may_make_another_one_leave(self) -> None:
        first, second = self.get(), self.get()
        first.addCallback(lambda _: second.cancel())
        self.reads[0].callback("1")
        self.failureResultOf(second, CancelledError)

    def test_read_that_cannot_begin_fails_for_those_who_wait_and_is_forgotten(self) -> None:
        self.failureResultOf(self.shared.get("a", Mock(side_effect=ZeroDivisionError)), ZeroDivisionError)
        self.assertEqual(len(self.shared), 0)


class FreshReadsTests(SharedReadsTests):
    """`SharedReads` whose results show what was there when they were asked for."""

    def setUp(self) -> None:
        """Begin with none."""
        super().setUp()
        self.shared = SharedReads(is_fresh=True)

    def test_those_who_ask_for_the_same_meanwhile_share_one_read_and_its_outcome(self) -> None:
        first, second, third = self.get(), self.get(), self.get()
        self.assertEqual(len(self.reads), 1)
        self.reads[0].callback("1")
        self.assertEqual(self.successResultOf(first), "1")
        self.assertNoResult(second)
        fourth = self.get()
        self.assertEqual((len(self.reads), len(self.shared)), (2, 1))
        self.reads[1].errback(ValueError("the test says so"))
        self.failureResultOf(second, ValueError)
        self.failureResultOf(third, ValueError)
        self.reads[2].callback("3")
        self.assertEqual((self.successResultOf(fourth), len(self.shared)), ("3", 0))

    def test_read_goes_on_until_the_last_of_those_who_wait_has_left(self) -> None:
        first, second = self.get(), self.get()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual((self.cancelled, len(self.reads)), (self.reads[:1], 2))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual((self.cancelled, len(self.shared)), (self.reads, 0))

    def test_next_read_for_which_nobody_waits_any_more_is_not_made(self) -> None:
        first, second = self.get(), self.get()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.reads[0].callback("1")
        self.assertEqual((self.successResultOf(first), len(self.reads), len(self.shared)), ("1", 1, 0))

    def test_one_answer_may_make_another_one_leave(self) -> None:
        first, second, third = self.get(), self.get(), self.get()
        second.addCallback(lambda _: third.cancel())
        self.reads[0].callback("1")
        self.reads[1].callback("2")
        self.assertEqual(self.successResultOf(first), "1")
        self.failureResultOf(third, CancelledError)

    def test_who_asks_when_it_is_answered_waits_for_a_read_that_begins_afterwards(self) -> None:
        asked: list[Deferred[str]] = []
        self.get().addCallback(lambda _: asked.append(self.get()))
        second = self.get()
        self.reads[0].callback("1")
        self.reads[1].callback("2")
        self.assertEqual((self.successResultOf(second), len(self.reads)), ("2", 3))
        self.reads[2].callback("3")
        self.assertEqual(self.successResultOf(asked[0]), "3")
