"""Tests of `wsrelay.core.presence.lease_book`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.presence.lease_book import LEASE_SECONDS, RENEW_SECONDS, TABLES_PER_ROUND, LeaseBook, Work
from wsrelay.core.presence.tables import LEAVE_SECONDS, OCCUPIED, announced_table, members_table

CHAT, HERE = members_table("chat"), announced_table("chat")
NOTHING = Work()
SLACK = 1.5
"""Collections are half a second late, and in whole seconds."""


class LeaseBookTests(SynchronousTestCase):
    """The leases of one process."""

    def setUp(self) -> None:
        self.book = LeaseBook()

    def test_nothing_is_due_without_leases(self) -> None:
        self.assertEqual((self.book.due_in(0), self.book.take(0)), (None, NOTHING))
        self.assertFalse(NOTHING)

    def test_names_are_held_at_once_and_renewed_twice_before_their_leases_run_out(self) -> None:
        self.book.hold(CHAT, "a", 0)
        self.book.hold(CHAT, "b", 0)
        self.assertEqual(self.book.due_in(0), 0)
        self.assertEqual(self.book.take(0), Work({CHAT: ("a", "b")}))
        now = 0.0
        for _ in range(3):
            self.assertEqual((self.book.due_in(now), self.book.take(now)), (RENEW_SECONDS, NOTHING))
            now += RENEW_SECONDS
            self.assertEqual(self.book.due_in(now), 0)
            self.assertEqual(self.book.take(now), Work({CHAT: ("a", "b")}, collect=(CHAT,)))
        self.assertLess(2 * RENEW_SECONDS, LEASE_SECONDS)

    def test_released_name_is_renewed_no_more_and_collected_when_its_user_has_not_come_back(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.take(0)
        self.book.release(HERE, "a", 1)
        self.assertEqual(self.book.take(1), Work(release={HERE: ("a",)}))
        left = self.book.due_in(1)
        assert left is not None
        self.assertTrue(LEAVE_SECONDS < left <= LEAVE_SECONDS + SLACK, left)
        self.assertEqual(self.book.take(1 + left - 0.1), NOTHING)
        self.assertEqual(self.book.take(1 + left), Work(collect=(HERE,)))
        self.assertEqual((self.book.due_in(100), self.book.take(100)), (None, NOTHING))

    def test_release_of_a_table_without_delay_needs_no_collection(self) -> None:
        self.book.hold(CHAT, "a", 0)
        self.book.take(0)
        self.book.release(CHAT, "a", 1)
        self.assertEqual((self.book.take(1), self.book.due_in(1)), (Work(release={CHAT: ("a",)}), None))

    def test_name_that_comes_and_goes_before_anything_is_done_is_only_released(self) -> None:
        """It may have been there before."""
        self.book.hold(HERE, "a", 0)
        self.book.hold(HERE, "b", 0)
        self.book.release(HERE, "a", 0)
        self.assertEqual(self.book.take(0), Work({HERE: ("b",)}, {HERE: ("a",)}))

    def test_name_that_goes_and_comes_before_anything_is_done_is_only_held(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.take(0)
        self.book.release(HERE, "a", 1)
        self.book.hold(HERE, "a", 1)
        self.assertEqual(self.book.take(1), Work({HERE: ("a",)}))

    def test_release_of_a_name_that_is_not_held_is_ignored(self) -> None:
        self.book.release(HERE, "a", 0)
        self.book.hold(HERE, "b", 0)
        self.book.release(HERE, "a", 0)
        self.assertEqual(self.book.take(0), Work({HERE: ("b",)}))

    def test_names_released_elsewhere_are_renewed_if_they_are_held_here(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.take(0)
        self.book.released_elsewhere(HERE, ["a", "b"], 1)
        self.assertEqual(self.book.take(1), Work({HERE: ("a",)}))
        left = self.book.due_in(1)
        assert left is not None
        self.assertLessEqual(left, LEAVE_SECONDS + SLACK)
        self.assertEqual(self.book.take(1 + left), Work(collect=(HERE,)))

    def test_release_elsewhere_in_a_table_without_names_here_is_ignored(self) -> None:
        self.book.released_elsewhere(HERE, ["a"], 1)
        self.assertEqual((self.book.take(1), self.book.due_in(1)), (NOTHING, None))

    def test_watched_table_is_collected_from_the_start_and_without_names(self) -> None:
        self.book.watch(OCCUPIED, 0)
        self.assertEqual(self.book.take(0), Work(collect=(OCCUPIED,)))
        self.assertEqual(self.book.due_in(0), RENEW_SECONDS)
        self.book.hold(OCCUPIED, "chat", 1)
        self.book.release(OCCUPIED, "chat", 1)
        self.book.take(1)
        self.assertEqual(self.book.take(RENEW_SECONDS), Work(collect=(OCCUPIED,)))

    def test_everything_is_renewed_after_an_outage(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.hold(CHAT, "b", 0)
        self.book.take(0)
        self.book.renew_all(5)
        self.assertEqual(self.book.due_in(5), 0)
        self.assertEqual(self.book.take(5), Work({HERE: ("a",), CHAT: ("b",)}, collect=(HERE, CHAT)))
        self.assertEqual(self.book.due_in(5), RENEW_SECONDS)

    def test_names_that_were_never_confirmed_are_new_if_they_were_not_there(self) -> None:
        for name in ("a", "b"):
            self.book.hold(HERE, name, 0)
        self.assertEqual(self.book.confirm(HERE, ["a", "b"], ["b"], 0), ["b"])

    def test_name_whose_first_step_failed_is_still_new_at_the_next_one(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.take(0)
        self.book.confirm(HERE, ["a"], ["a"], 0)
        self.book.hold(HERE, "b", 1)
        self.book.take(1)
        self.assertEqual(self.book.confirm(HERE, ["a", "b"], ["a", "b"], RENEW_SECONDS), ["b"])

    def test_name_that_vanished_before_its_lease_can_have_run_out_was_lost_and_is_not_new(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.confirm(HERE, ["a"], ["a"], 0)
        last = LEASE_SECONDS - 1
        self.assertEqual(self.book.confirm(HERE, ["a"], ["a"], last), [])
        self.assertEqual(self.book.confirm(HERE, ["a"], ["a"], last + LEASE_SECONDS), ["a"])

    def test_name_that_ended_elsewhere_is_held_again_and_new(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.take(0)
        self.book.confirm(HERE, ["a"], ["a"], 0)
        self.book.ended_elsewhere(HERE, ["a", "b"], 1)
        self.assertEqual(self.book.take(1), Work({HERE: ("a",)}))
        self.assertEqual(self.book.confirm(HERE, ["a"], ["a"], 1), ["a"])

    def test_outcome_of_a_name_that_was_released_meanwhile_leaves_nothing(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.take(0)
        self.book.release(HERE, "a", 0)
        self.assertEqual(self.book.confirm(HERE, ["a"], ["a"], 1), ["a"])
        self.assertEqual((self.book._confirmed_at, self.book._unconfirmed), ({}, {}))

    def test_one_table_is_renewed_on_request(self) -> None:
        self.book.hold(HERE, "a", 0)
        self.book.hold(CHAT, "b", 0)
        self.book.take(0)
        self.book.renew(HERE)
        self.book.renew(OCCUPIED)
        self.assertEqual(self.book.take(1), Work({HERE: ("a",)}))

    def test_work_comes_in_rounds(self) -> None:
        tables = [announced_table(f"{number}") for number in range(2 * TABLES_PER_ROUND + 10)]
        sizes = []
        for table in tables:
            self.book.hold(table, "a", 0)
        while work := self.book.take(0):
            sizes.append(len(work.hold))
        self.assertEqual(sizes, [TABLES_PER_ROUND, TABLES_PER_ROUND, 10])
        for table in tables:
            self.book.release(table, "a", 1)
        sizes.clear()
        while work := self.book.take(1):
            sizes.append(len(work.release))
        self.assertEqual(sizes, [TABLES_PER_ROUND, TABLES_PER_ROUND, 10])
        sizes.clear()
        while work := self.book.take(100):
            sizes.append(len(work.collect))
        self.assertEqual(sizes, [TABLES_PER_ROUND, TABLES_PER_ROUND, 10])

    def test_table_is_collected_once_a_second_at_most(self) -> None:
        for number in range(20):
            self.book.hold(HERE, f"{number}", 0)
        self.book.take(0)
        for number in range(20):
            self.book.release(HERE, f"{number}", number / 20)
        collections = 0
        for step in range(200):
            collections += len(self.book.take(1 + step / 10).collect)
        self.assertLessEqual(collections, 2)

    def test_processes_do_not_work_in_step(self) -> None:
        late = LeaseBook(0.9)
        for book in (self.book, late):
            book.hold(HERE, "a", 0)
            book.take(0)
        early = late.due_in(0)
        assert early is not None
        self.assertLess(early, RENEW_SECONDS)
