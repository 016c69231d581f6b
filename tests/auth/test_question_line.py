"""Tests of `wsrelay.auth.question_line`, by itself and through the hook."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.hook_case import HookCase, response
from wsrelay.auth import question_line
from wsrelay.auth.hook_client import MAX_IN_FLIGHT, MAX_IN_FLIGHT_PER_PARTY, MAX_PATIENT_IN_FLIGHT
from wsrelay.auth.question_line import WAIT_SECONDS, QuestionLine
from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError


class QuestionLineTests(SynchronousTestCase):
    """A line, and room as the test says."""

    def setUp(self) -> None:
        clock: Any = Clock()
        self.clock = clock
        self.room: dict[str, int] = {}
        self.asked: list[str] = []
        self.looked: list[str] = []
        self.line = QuestionLine(self.has_room, lambda: self.room.get("any", 1) < 1, clock)
        self.addCleanup(lambda: self.assertEqual((len(self.line), self.clock.getDelayedCalls()), (0, [])))

    def has_room(self, party: str) -> bool:
        """Return whether there is room for a party, and note that it was looked for."""
        self.looked.append(party)
        return self.room.get(party, self.room.get("any", 0)) > 0

    def ask(self, name: str) -> Deferred[None]:
        """Wait with a question, whose name begins with that of its party."""

        async def wait() -> None:
            await self.line.wait(name[0])
            self.asked.append(name)
            if "any" in self.room:
                self.room["any"] -= 1

        return Deferred.fromCoroutine(wait())

    def test_question_for_which_there_is_room_does_not_wait(self) -> None:
        self.room = {"any": 1}
        self.successResultOf(self.ask("a1"))

    def test_questions_wait_in_their_order_and_parties_have_turns(self) -> None:
        asked = [self.ask(name) for name in ("a1", "a2", "a3", "b1", "b2")]
        self.line.serve()
        self.assertEqual(self.asked, [])
        self.room = {"any": 3}
        self.line.serve()
        self.assertEqual(self.asked, ["a1", "b1", "a2"])
        self.room = {"any": 9}
        self.line.serve()
        self.assertEqual(self.asked, ["a1", "b1", "a2", "b2", "a3"])
        for each in asked:
            self.successResultOf(each)

    def test_line_is_not_looked_through_where_there_is_room_for_none(self) -> None:
        asked = [self.ask(name) for name in ("a1", "b1", "c1")]
        self.room = {"any": 1}
        self.looked.clear()
        self.line.serve()
        self.line.serve()
        self.assertEqual((self.asked, self.looked), (["a1"], ["a"]))
        self.room = {"any": 2}
        self.line.serve()
        for each in asked:
            self.successResultOf(each)

    def test_party_without_room_does_not_keep_others_waiting(self) -> None:
        first, second = self.ask("a1"), self.ask("b1")
        self.room = {"a": 0, "any": 1}
        self.line.serve()
        self.successResultOf(second)
        self.assertNoResult(first)
        first.cancel()
        self.failureResultOf(first, CancelledError)

    def test_question_does_not_overtake_those_of_its_party(self) -> None:
        first = self.ask("a1")
        self.room = {"any": 5}
        second = self.ask("a2")
        self.assertEqual(self.asked, [])
        self.line.serve()
        self.assertEqual(self.asked, ["a1", "a2"])
        for each in (first, second):
            self.successResultOf(each)

    def test_question_waits_for_a_bounded_time(self) -> None:
        first, second = self.ask("a1"), self.ask("a2")
        self.clock.advance(WAIT_SECONDS)
        for each in (first, second):
            self.successResultOf(each)

    def test_question_that_is_cancelled_leaves_the_line(self) -> None:
        first, second = self.ask("a1"), self.ask("a2")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.room = {"any": 5}
        self.line.serve()
        self.successResultOf(second)
        self.assertEqual(self.asked, ["a2"])

    def test_no_more_than_so_many_wait(self) -> None:
        self.patch(question_line, "MAX_WAITING", 10)
        waiting = [self.ask("a") for _ in range(10)]
        self.successResultOf(self.ask("b"))
        self.room = {"any": 10}
        self.line.serve()
        for each in waiting:
            self.successResultOf(each)

    def test_one_that_ends_at_once_lets_the_next_go_on(self) -> None:
        self.ask("a1").addCallback(lambda _: self.line.serve())
        self.ask("a2")
        self.room = {"any": 2}
        self.line.serve()
        self.assertEqual(self.asked, ["a1", "a2"])


class PatienceTests(HookCase):
    """Messages, which wait to be asked about."""

    def publish_as(self, user: str) -> Deferred[None]:
        """Publish a message of a user."""
        return self.hook.publish(Identity(user), "room", b"hi")

    def test_message_waits_while_too_much_is_asked_about_its_user(self) -> None:
        messages = [self.publish() for _ in range(2 * MAX_IN_FLIGHT_PER_PARTY)]
        self.assertEqual((len(self.endpoint.requests), self.counters), (MAX_IN_FLIGHT_PER_PARTY, {}))
        for number in range(len(messages)):
            self.endpoint.respond(response(204), number)
        for message in messages:
            self.successResultOf(message)

    def test_messages_leave_room_for_clients_that_connect(self) -> None:
        messages = [self.publish_as(str(number)) for number in range(MAX_IN_FLIGHT)]
        self.assertEqual(len(self.endpoint.requests), MAX_PATIENT_IN_FLIGHT)
        client = self.connect()
        self.assertEqual(len(self.endpoint.requests), MAX_PATIENT_IN_FLIGHT + 1)
        for number in range(MAX_IN_FLIGHT + 1):
            self.endpoint.respond(response(204), number)
        for message in messages:
            self.successResultOf(message)
        self.successResultOf(client)

    def test_message_that_waits_too_long_is_not_published(self) -> None:
        for number in range(MAX_PATIENT_IN_FLIGHT):
            self.publish_as(str(number))
        late = self.publish_as("late")
        self.clock.advance(WAIT_SECONDS)
        for number in range(MAX_IN_FLIGHT - MAX_PATIENT_IN_FLIGHT - 1):
            self.connect(peer=str(number))
        very_late = self.publish_as("very-late")
        self.clock.advance(WAIT_SECONDS)
        self.assertEqual(self.client_error(very_late), ClientError.NOT_CHECKED)
        self.assertNoResult(late)

    def test_messages_that_wait_are_rejected_as_soon_as_the_application_fails(self) -> None:
        messages = [self.publish() for _ in range(4 * MAX_IN_FLIGHT_PER_PARTY)]
        answered = 0
        while answered < len(self.endpoint.requests):
            self.endpoint.respond(FetchError("it is down"), answered)
            answered += 1
        for message in messages:
            self.assertEqual(self.client_error(message), ClientError.NOT_CHECKED)
        self.assertLess(len(self.endpoint.requests), 2 * MAX_IN_FLIGHT_PER_PARTY)
