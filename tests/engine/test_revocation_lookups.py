"""Tests of `wsrelay.engine.revocation_lookups`."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.revocation_lookups import MAX_TOGETHER, RevocationLookups
from wsrelay.testing.credential_stores import FakeCredentialStore

TIMEOUT_SECONDS = 15.0
MOMENT = 0.001


class Waiter:
    """Waits, and has another one leave when it gets its outcome.

    Attributes:
        outcomes: What it got; of a failure the kind of exception.
        ends: The one that leaves then.
    """

    def __init__(self, lookups: RevocationLookups) -> None:
        self._lookups = lookups
        self.outcomes: list[bool | type[BaseException] | None] = []
        self.ends: Waiter | None = None

    def looked_up(self, outcome: bool | Failure) -> None:
        """See `LookupWaiter.looked_up`."""
        self.outcomes.append(outcome.type if isinstance(outcome, Failure) else outcome)
        if self.ends is not None:
            self._lookups.leave(self.ends)


class RevocationLookupsTests(SynchronousTestCase):
    """Lookups of a crowd, with a store that answers when the test likes."""

    def setUp(self) -> None:
        self.clock, self.store = Clock(), FakeCredentialStore()
        self.store.is_slow = True
        self.lookups = RevocationLookups(self.store.are_revoked, self.clock, TIMEOUT_SECONDS)

    def look_up(self, *users: str) -> Waiter:
        """Look up users, and return the one who waits."""
        waiter = Waiter(self.lookups)
        self.lookups.look_up(waiter, [f"user:{user}" for user in users])
        return waiter

    def answer(self, *answers: bool) -> None:
        """Answer the oldest question."""
        self.store.answers.pop(0).callback(list(answers))

    def assert_idle(self) -> None:
        """Assert that nobody waits, and no timer is left."""
        self.assertEqual((len(self.lookups), self.clock.getDelayedCalls()), (0, []))

    def test_first_lookup_begins_at_once(self) -> None:
        waiter = self.look_up("1", "2")
        self.assertEqual((self.store.lookups, waiter.outcomes, len(self.lookups)), ([["user:1", "user:2"]], [], 1))
        self.answer(False, True)
        self.assertEqual(waiter.outcomes, [True])
        self.assert_idle()
        self.look_up("3")
        self.assertEqual(self.store.lookups[1:], [["user:3"]])

    def test_answer_that_is_there_at_once_needs_no_timer(self) -> None:
        self.store.is_slow = False
        self.store.revoke("user:2", 60)
        self.assertEqual([self.look_up(user).outcomes for user in "123"], [[False], [True], [False]])
        self.assert_idle()

    def test_lookups_of_a_turn_are_one_question_and_each_gets_its_own_answer(self) -> None:
        self.look_up("first")
        waiters = [self.look_up("1", "2"), self.look_up(), self.look_up("3"), self.look_up("4", "3")]
        self.assertEqual(len(self.store.lookups), 1)
        self.clock.advance(0)
        self.assertEqual(self.store.lookups[1:], [["user:1", "user:2", "user:3", "user:4", "user:3"]])
        self.answer(False)
        self.answer(False, False, True, False, True)
        self.assertEqual([each.outcomes for each in waiters], [[False], [False], [True], [True]])
        self.assert_idle()

    def test_full_batch_does_not_wait_for_the_end_of_the_turn(self) -> None:
        self.look_up("first")
        waiters = [self.look_up(str(number)) for number in range(MAX_TOGETHER + 1)]
        self.assertEqual([len(each) for each in self.store.lookups], [1, MAX_TOGETHER])
        self.clock.advance(0)
        self.assertEqual([len(each) for each in self.store.lookups], [1, MAX_TOGETHER, 1])
        self.answer(False)
        self.answer(*[number % 2 == 1 for number in range(MAX_TOGETHER)])
        self.answer(True)
        self.assertEqual([each.outcomes for each in waiters], [[n % 2 == 1] for n in range(MAX_TOGETHER)] + [[True]])
        self.assert_idle()

    def test_failure_is_that_of_everybody_in_the_batch_and_of_nobody_else(self) -> None:
        first, others = self.look_up("first"), [self.look_up("1"), self.look_up("2")]
        self.clock.advance(0)
        last = self.look_up("last")
        self.clock.advance(0)
        self.store.answers[1].errback(BrokerUnavailable("the test says so"))
        self.assertEqual([each.outcomes for each in others], [[BrokerUnavailable]] * 2)
        self.assertEqual((first.outcomes, last.outcomes), ([], []))
        del self.store.answers[1]
        self.answer(False)
        self.answer(False)
        self.assertEqual((first.outcomes, last.outcomes), ([False], [False]))
        self.assert_idle()

    def test_store_that_fails_at_once_is_no_exception_here(self) -> None:
        self.store.failure = ZeroDivisionError()
        self.assertEqual(self.look_up("1").outcomes, [ZeroDivisionError])
        self.assert_idle()

    def test_missing_answer_is_given_up_after_the_timeout(self) -> None:
        waiter = self.look_up("1")
        self.clock.advance(TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(waiter.outcomes, [])
        self.clock.advance(MOMENT)
        self.assertEqual(waiter.outcomes, [CancelledError])
        self.assert_idle()
        # The next one waits for nothing again.
        self.look_up("2")
        self.assertEqual(len(self.store.lookups), 2)

    def test_one_that_leaves_gets_nothing_and_the_others_their_own(self) -> None:
        self.look_up("first")
        waiters = [self.look_up(str(number)) for number in range(3)]
        self.lookups.leave(waiters[0])
        self.clock.advance(0)
        self.lookups.leave(waiters[1])
        self.lookups.leave(waiters[1])
        self.answer(False)
        self.answer(False, False, True)
        self.assertEqual([each.outcomes for each in waiters], [[], [], [True]])
        self.assert_idle()

    def test_one_that_leaves_because_of_the_outcome_of_another_gets_nothing(self) -> None:
        self.look_up("first")
        waiters = [self.look_up("1"), self.look_up("2"), self.look_up("3")]
        waiters[0].ends = waiters[1]
        self.clock.advance(0)
        self.answer(False)
        self.answer(False, False, False)
        self.assertEqual([each.outcomes for each in waiters], [[False], [], [False]])
        self.assert_idle()

    def test_question_is_given_up_where_all_have_left(self) -> None:
        self.lookups.leave(self.look_up("1"))
        self.assert_idle()
        self.look_up("2")
        self.lookups.leave(self.look_up("3"))
        self.clock.advance(0)
        self.assertEqual(self.store.lookups, [["user:1"], ["user:2"]])
        self.store.answers[1].callback([False])
        self.assert_idle()
