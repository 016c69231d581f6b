"""Tests of `wsrelay.engine.subscribe_questions`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.sessions.effects import SubscribeChannel
from wsrelay.engine.subscribe_questions import MAX_IN_FLIGHT, SubscribeQuestions


def question_about(channel: str) -> SubscribeChannel:
    """Return what is asked about."""
    return SubscribeChannel(channel, is_initial=False)


class SubscribeQuestionsTests(SynchronousTestCase):
    """The questions of one client."""

    def setUp(self) -> None:
        """Make them."""
        self.asked: list[tuple[str, Deferred[None]]] = []
        self.answers: list[tuple[str, bool]] = []
        self.questions = SubscribeQuestions(self.ask, self.answered)

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
