"""Tests of `wsrelay.workers.link`: two ends joined in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.workers.link import ANSWER_SECONDS, MAX_QUESTIONS, LinkClosedError, WorkerLink


class LinkTests(SynchronousTestCase):
    """Reports, questions and answers."""

    def setUp(self) -> None:
        """Join two ends."""
        self.clock = Clock()
        self.reports: list[Any] = []
        self.closed: list[str] = []
        self.answer: Any = lambda question: question.upper()
        self.parent = self.end("parent")
        self.worker = self.end("worker")

    def end(self, name: str) -> WorkerLink:
        """Return one end."""
        link = WorkerLink(
            self.clock,
            answer=lambda question: self.answer(question),
            reported=self.reports.append,
            closed=lambda: self.closed.append(name),
        )
        link.makeConnection(StringTransport())
        return link

    def carry(self) -> None:
        """Carry what either end has sent to the other, until nothing is left."""
        sent = True
        while sent:
            sent = False
            for one, other in ((self.parent, self.worker), (self.worker, self.parent)):
                transport: Any = one.transport
                data = transport.value()
                transport.clear()
                if data:
                    sent = True
                    other.dataReceived(data)

    def test_report_arrives(self) -> None:
        self.worker.report(readiness=[200, "ready"])
        self.carry()
        self.assertEqual(self.reports, [{"readiness": [200, "ready"]}])

    def test_questions_of_both_ends_are_answered(self) -> None:
        asked = [self.parent.ask("numbers"), self.worker.ask("metrics"), self.parent.ask("more")]
        self.carry()
        self.assertEqual([self.successResultOf(each) for each in asked], ["NUMBERS", "METRICS", "MORE"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answer_may_come_later(self) -> None:
        later: Deferred[Any] = Deferred()
        self.answer = lambda _: later
        asked = self.worker.ask("metrics")
        self.carry()
        self.assertNoResult(asked)
        later.callback([1])
        self.carry()
        self.assertEqual(self.successResultOf(asked), [1])

    def test_question_without_an_answer_fails_at_its_deadline(self) -> None:
        def fail(_: str) -> None:
            raise ValueError("no such question")

        self.answer = fail
        asked = self.worker.ask("weather")
        self.carry()
        self.clock.advance(ANSWER_SECONDS)
        self.failureResultOf(asked, DeferredTimeout)

    def test_answer_after_the_deadline_is_ignored(self) -> None:
        later: Deferred[Any] = Deferred()
        self.answer = lambda _: later
        asked = self.worker.ask("metrics")
        self.carry()
        self.clock.advance(ANSWER_SECONDS)
        self.failureResultOf(asked, DeferredTimeout)
        later.callback(1)
        self.carry()

    def test_questions_are_bounded(self) -> None:
        asked = [self.worker.ask("metrics") for _ in range(MAX_QUESTIONS)]
        self.failureResultOf(self.worker.ask("metrics"), LinkClosedError)
        self.carry()
        self.assertEqual(len([self.successResultOf(each) for each in asked]), MAX_QUESTIONS)

    def test_end_of_the_other_process_fails_all_questions(self) -> None:
        asked = self.worker.ask("metrics")
        self.worker.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asked, LinkClosedError)
        self.failureResultOf(self.worker.ask("metrics"), LinkClosedError)
        self.worker.report(lost=True)
        self.assertEqual(self.closed, ["worker"])

    def test_what_cannot_be_read_ends_the_link(self) -> None:
        for text in (b"{", b"[]", b'{"answer":1}'):
            link = self.end("parent")
            link.stringReceived(text)
            transport: Any = link.transport
            self.assertTrue(transport.disconnecting, text)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_end_that_is_not_connected_yet_can_be_closed(self) -> None:
        link = WorkerLink(self.clock, answer=str, reported=self.reports.append, closed=lambda: None)
        link.close()
        link.report(early=True)
