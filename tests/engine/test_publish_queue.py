"""Tests of `wsrelay.engine.publish_queue`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.engine.publish_queue import MOST_WAITING, PublishQueue

NO = RejectedError(ClientError.PUBLISH_DENIED)


class ApprovalsTests(SynchronousTestCase):
    """Messages, questions and answers."""

    def setUp(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.responses: list[Failure] = []
        self.approvals = PublishQueue(
            lambda channel, payload: self.published.append((channel, payload)), self.responses.append
        )

    def add(self, *payloads: bytes) -> list[Deferred[None]]:
        """More messages, and the questions about them."""
        answers: list[Deferred[None]] = []
        for payload in payloads:
            answers.append(Deferred())
            self.approvals.add("room", payload, answers[-1])
        return answers

    @property
    def payloads(self) -> list[bytes]:
        """What was published."""
        return [payload for _, payload in self.published]

    def test_approved(self) -> None:
        """A message is published when the answer is yes, and not before."""
        (answer,) = self.add(b"1")
        self.assertEqual(self.published, [])
        answer.callback(None)
        self.assertEqual((self.published, self.responses), ([("room", b"1")], []))

    def test_answered_at_once(self) -> None:
        """A message whose answer is known already is published at once."""
        self.approvals.add("talk", b"1", succeed(None))
        self.assertEqual(self.published, [("talk", b"1")])

    def test_order(self) -> None:
        """Messages are published in the order in which they came, whatever the order of the answers."""
        answers = self.add(b"1", b"2", b"3")
        answers[2].callback(None)
        answers[1].callback(None)
        self.assertEqual(self.payloads, [])
        self.approvals.add("room", b"4", succeed(None))
        self.assertEqual(self.payloads, [])
        answers[0].callback(None)
        self.assertEqual(self.payloads, [b"1", b"2", b"3", b"4"])

    def test_refused(self) -> None:
        """The first refusal is told, once; nothing that waits is published any more, whatever the answers are."""
        answers = self.add(b"1", b"2", b"3", b"4")
        answers[0].callback(None)
        answers[2].errback(NO)
        for answer in (answers[1], answers[3]):
            answer.callback(None)
        self.assertEqual((self.payloads, [failure.value for failure in self.responses]), ([b"1"], [NO]))

    def test_refused_twice(self) -> None:
        """Of more refusals only the first one is told, and none is left for the garbage collector to complain about."""
        answers = self.add(b"1", b"2")
        answers[1].errback(NO)
        answers[0].errback(ZeroDivisionError())
        self.assertEqual([failure.value for failure in self.responses], [NO])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refused_at_once(self) -> None:
        """A refusal that is known already is told as well."""
        self.approvals.add("room", b"1", fail(NO))
        self.assertEqual((self.published, len(self.responses)), ([], 1))

    def test_other_failures(self) -> None:
        """Whatever kind of failure it is, it is told, and is no approval."""
        (answer,) = self.add(b"1")
        answer.errback(ZeroDivisionError())
        self.assertEqual((self.published, [failure.type for failure in self.responses]), ([], [ZeroDivisionError]))

    def test_after_a_refusal(self) -> None:
        """What comes after a refusal is not published, whatever is said about it."""
        (answer,) = self.add(b"1")
        answer.errback(NO)
        self.approvals.add("room", b"2", succeed(None))
        (later,) = self.add(b"3")
        later.callback(None)
        self.approvals.add("room", b"4", fail(NO))
        self.assertEqual((self.published, len(self.responses)), ([], 1))

    def test_stopped(self) -> None:
        """After the stop nothing is published or told, whatever is answered then or added; stopping twice is fine."""
        answers = self.add(b"1", b"2")
        self.approvals.stop()
        self.approvals.stop()
        answers[0].callback(None)
        answers[1].errback(NO)
        (later,) = self.add(b"3")
        later.callback(None)
        self.approvals.add("room", b"4", fail(NO))
        self.assertEqual((self.published, self.responses, self.flushLoggedErrors()), ([], [], []))

    def test_full(self) -> None:
        """There is room for so many that wait: what is published makes room, what has only its answer does not."""
        answers = self.add(*(b"%d" % number for number in range(MOST_WAITING - 1)))
        self.assertFalse(self.approvals.is_full)
        answers += self.add(b"last")
        self.assertTrue(self.approvals.is_full)
        answers[1].callback(None)
        self.assertTrue(self.approvals.is_full)
        answers[0].callback(None)
        self.assertFalse(self.approvals.is_full)
        self.assertEqual(self.payloads, [b"0", b"1"])

    def test_stops_while_publishing(self) -> None:
        """Publishing one message may end it all: those behind it, approved or not, stay unpublished."""
        published: list[bytes] = []

        def publish(_channel: str, payload: bytes) -> None:
            published.append(payload)
            approvals.stop()

        approvals = PublishQueue(publish, self.responses.append)
        answers: list[Deferred[None]] = [Deferred(), Deferred()]
        for number, answer in enumerate(answers):
            approvals.add("room", b"%d" % number, answer)
        answers[1].callback(None)
        answers[0].callback(None)
        self.assertEqual((published, self.responses), ([b"0"], []))

    @given(st.lists(st.booleans(), max_size=8), st.randoms())
    def test_model(self, verdicts: list[bool], random: object) -> None:
        """Whatever is answered in whatever order: what came first is published, and all of it if all of it may be."""
        self.setUp()
        answers = self.add(*(b"%d" % number for number in range(len(verdicts))))
        order = sorted(range(len(verdicts)), key=lambda _: random.random())  # type: ignore[attr-defined]  # hypothesis'
        answered: set[int] = set()
        for number in order:
            if verdicts[number]:
                answered.add(number)
                answers[number].callback(None)
            else:
                answers[number].errback(NO)
            self.assertEqual(self.payloads, [b"%d" % each for each in range(len(self.payloads))])
            self.assertLessEqual(len(self.payloads), len(answered))
        if all(verdicts):
            self.assertEqual(len(self.payloads), len(verdicts))
        self.assertEqual(len(self.responses), 0 if all(verdicts) else 1)
