"""Tests of `wsrelay.engine.subscribe_questions`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.sessions.effects import SubscribeChannel
from wsrelay.engine.subscribe_questions import ANSWER_TIMEOUT_SECONDS, MAX_IN_FLIGHT, SubscribeQuestions
from wsrelay.engine.timers import RESOLUTION_SECONDS, TimerWheel


def question_about(channel: str) -> SubscribeChannel:
    """Return what is asked about."""
    return SubscribeChannel(channel, is_initial=False)


class SubscribeQuestionsTests(SynchronousTestCase):
    """The questions of one client."""

    def setUp(self) -> None:
        """Make them."""
        self.asked: list[tuple[str, Deferred[None]]] = []
        self.answers: list[tuple[str, bool]] = []
        self.late: list[str] = []
        self.on_late: Callable[[], object] = lambda: None
        self.clock = Clock()
        self.questions = SubscribeQuestions(self.ask, self.answered, TimerWheel(self.clock))

    def ask(self, effect: SubscribeChannel) -> Deferred[None] | None:
        """Record a question; nobody has to be asked about `free`, and `broken` raises."""
        channel = effect.channel
        if channel == "broken":
            raise ZeroDivisionError
        if channel == "free":
            return None
        self.asked.append((channel, Deferred()))
        return self.asked[-1][1]

    def answered(self, effect: SubscribeChannel, failure: Failure | None) -> None:
        """Record an answer."""
        self.answers.append((effect.channel, failure is None))
        if failure is not None and failure.check(CancelledError):
            self.late.append(effect.channel)
            self.on_late()

    def test_a_few_are_asked_at_a_time_in_order(self) -> None:
        names = [f"c{number}" for number in range(MAX_IN_FLIGHT + 2)]
        for name in names:
            self.questions.add(question_about(name))
        self.assertEqual([name for name, _ in self.asked], names[:MAX_IN_FLIGHT])
        self.assertEqual(self.questions.pending, tuple(names))
        self.asked[1][1].callback(None)
        self.asked[0][1].errback(ZeroDivisionError())
        self.assertEqual([name for name, _ in self.asked], names)
        self.assertEqual(self.answers, [("c1", True), ("c0", False)])

    def test_channel_that_needs_no_question_or_whose_question_raises_is_answered_at_once(self) -> None:
        self.questions.add(question_about("free"))
        self.questions.add(question_about("broken"))
        self.assertEqual(self.answers, [("free", True), ("broken", False)])
        # Nothing has been subscribed for the second one.
        self.assertEqual((self.questions.pending, self.questions.discard("broken")), (("broken",), True))
        self.assertFalse(self.questions.discard("free"))

    def test_discarded_question_stays_in_flight_and_its_answer_has_no_effect(self) -> None:
        for _ in range(MAX_IN_FLIGHT + 1):
            self.questions.add(question_about("room"))
            self.assertTrue(self.questions.discard("room"))
        self.assertFalse(self.questions.discard("room"))
        self.assertEqual(len(self.asked), MAX_IN_FLIGHT)
        self.questions.add(question_about("room"))
        self.asked[0][1].callback(None)
        self.assertEqual((self.answers, len(self.asked)), ([], MAX_IN_FLIGHT + 1))
        self.asked[-1][1].callback(None)
        self.assertEqual(self.answers, [("room", True)])

    def test_stopping_cancels_every_question_and_reports_nothing(self) -> None:
        for number in range(MAX_IN_FLIGHT + 1):
            self.questions.add(question_about(f"c{number}"))
        self.questions.stop()
        self.assertTrue(all(question.called for _, question in self.asked))
        self.assertEqual((len(self.asked), self.answers, self.questions.pending), (MAX_IN_FLIGHT, [], ()))

    def test_questions_of_one_moment_have_one_deadline_however_many_rounds_they_take(self) -> None:
        names = [f"c{number}" for number in range(5 * MAX_IN_FLIGHT)]
        for name in names:
            self.questions.add(question_about(name))
        # Each round is answered after a third of the time, so that the third one is late.
        for round_ in range(2):
            self.clock.advance(ANSWER_TIMEOUT_SECONDS / 3)
            for _, answer in self.asked[round_ * MAX_IN_FLIGHT :]:
                answer.callback(None)
        self.clock.advance(ANSWER_TIMEOUT_SECONDS / 3 - 0.01)
        self.assertEqual((len(self.answers), self.late), (2 * MAX_IN_FLIGHT, []))
        self.clock.advance(0.01 + RESOLUTION_SECONDS)
        self.assertEqual(self.late, names[2 * MAX_IN_FLIGHT :])
        # Those that waited are not asked any more.
        self.assertEqual(len(self.asked), 3 * MAX_IN_FLIGHT)
        self.assertTrue(all(answer.called for _, answer in self.asked))

    def test_deadline_of_each_question_begins_when_it_comes(self) -> None:
        self.questions.add(question_about("early"))
        self.clock.advance(5)
        self.questions.add(question_about("later"))
        self.clock.advance(ANSWER_TIMEOUT_SECONDS - 5 + RESOLUTION_SECONDS)
        self.assertEqual(self.late, ["early"])
        self.clock.advance(5)
        self.assertEqual(self.late, ["early", "later"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_place_of_a_late_question_is_free_for_the_next_one(self) -> None:
        for number in range(MAX_IN_FLIGHT):
            self.questions.add(question_about(f"c{number}"))
        self.clock.advance(5)
        self.questions.add(question_about("next"))
        self.clock.advance(ANSWER_TIMEOUT_SECONDS - 5 + RESOLUTION_SECONDS)
        self.assertEqual((len(self.late), self.asked[-1][0]), (MAX_IN_FLIGHT, "next"))
        self.asked[-1][1].callback(None)
        self.assertEqual(self.answers[-1], ("next", True))

    def test_question_that_was_answered_is_not_late(self) -> None:
        self.questions.add(question_about("yes"))
        self.questions.add(question_about("no"))
        self.asked[0][1].callback(None)
        self.asked[1][1].errback(ZeroDivisionError())
        self.clock.advance(2 * ANSWER_TIMEOUT_SECONDS)
        self.assertEqual((self.answers, self.late), ([("yes", True), ("no", False)], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_question_that_needs_no_answer_starts_no_timer(self) -> None:
        self.questions.add(question_about("free"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late_question_may_have_the_others_discarded_or_everything_stopped(self) -> None:
        names = [f"c{number}" for number in range(MAX_IN_FLIGHT + 2)]

        def discard() -> None:
            for name in names:
                self.questions.discard(name)

        for on_late in (discard, lambda: self.questions.stop()):
            self.setUp()
            self.on_late = on_late
            for name in names:
                self.questions.add(question_about(name))
            self.clock.advance(ANSWER_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
            self.assertEqual((self.late, self.questions.pending, len(self.asked)), (["c0"], (), MAX_IN_FLIGHT))

    def test_stopping_ends_the_deadline(self) -> None:
        self.questions.add(question_about("room"))
        self.questions.stop()
        self.clock.advance(ANSWER_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((self.answers, self.clock.getDelayedCalls()), ([], []))
