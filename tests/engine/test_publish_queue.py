"""Tests of `wsrelay.engine.publish_queue`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.sessions.effects import PublishMessage
from wsrelay.engine.inflow import Inflow, Pressure
from wsrelay.engine.publish_queue import MAX_ASKED, MAX_BYTES_IN_FLIGHT, PublishQueue
from wsrelay.testing.connections import RecordingConnection

REJECTION = RejectedError(ClientError.PUBLISH_DENIED)


class QueueCase(SynchronousTestCase):
    """A queue that records what it does."""

    def setUp(self) -> None:
        """Make one."""
        self.published: list[PublishMessage] = []
        self.rejected: list[tuple[PublishMessage, Failure]] = []
        clock: Any = Clock()
        self.clock = clock
        self.connection = RecordingConnection()
        self.inflow = Inflow(self.clock)
        self.questions: list[tuple[PublishMessage, Deferred[None]]] = []
        self.asks = True
        self.queue = self.make_queue(self.published.append)

    def make_queue(
        self,
        publish: Callable[[PublishMessage], None],
        rejected: Callable[[PublishMessage, Failure], None] | None = None,
    ) -> PublishQueue:
        """Return a queue that publishes by a function, and records what is rejected unless another one is given."""
        record = rejected or (lambda message, failure: self.rejected.append((message, failure)))
        return PublishQueue(self.connection, self.inflow, self.ask, publish, record)

    def ask(self, message: PublishMessage) -> Deferred[None] | None:
        """Return an answer that is still to come, or None if nobody has to be asked."""
        if not self.asks:
            return None
        self.questions.append((message, Deferred()))
        return self.questions[-1][1]

    def add(self, *messages: bytes, command_id: int = 0) -> list[Deferred[None]]:
        """Add messages; returns the answers that are still to be given.

        Args:
            *messages: The data.
            command_id: The id of the first command, or 0 for messages without replies. Those behind it count on.
        """
        answers: list[Deferred[None]] = []
        for number, data in enumerate(messages):
            answers.append(Deferred())
            message = PublishMessage(command_id + number if command_id else 0, "room", data)
            self.queue.add(message, answers[-1])
        return answers

    def add_answered(self, data: bytes, answer: Deferred[None]) -> None:
        """Add a message whose answer is known already."""
        self.queue.add(PublishMessage(0, "room", data), answer)

    @property
    def data(self) -> list[bytes]:
        """Return the messages that were published."""
        return [message.data for message in self.published]

    @property
    def rejections(self) -> list[tuple[int, BaseException | None]]:
        """The ids of the commands that were rejected, and why."""
        return [(message.id, failure.value) for message, failure in self.rejected]


class PublishQueueTests(QueueCase):
    """Messages without replies: the first rejection ends it."""

    def test_message_is_published_when_it_is_authorized_and_not_before(self) -> None:
        (answer,) = self.add(b"1")
        self.assertEqual(self.published, [])
        answer.callback(None)
        self.assertEqual((self.published, self.rejected), ([PublishMessage(0, "room", b"1")], []))

    def test_message_whose_answer_is_known_is_published_at_once(self) -> None:
        self.add_answered(b"1", succeed(None))
        self.assertEqual(self.data, [b"1"])

    def test_messages_are_published_in_the_order_in_which_they_came(self) -> None:
        answers = self.add(b"1", b"2", b"3")
        answers[2].callback(None)
        answers[1].callback(None)
        self.assertEqual(self.data, [])
        self.add_answered(b"4", succeed(None))
        self.assertEqual(self.data, [])
        answers[0].callback(None)
        self.assertEqual(self.data, [b"1", b"2", b"3", b"4"])

    def test_first_rejection_ends_the_queue_whatever_the_other_answers_are(self) -> None:
        answers = self.add(b"1", b"2", b"3", b"4")
        answers[0].callback(None)
        answers[2].errback(REJECTION)
        for answer in (answers[1], answers[3]):
            answer.callback(None)
        self.assertEqual((self.data, self.rejections), ([b"1"], [(0, REJECTION)]))
        self.assertEqual(self.rejected[0][0].data, b"3")

    def test_questions_that_wait_are_cancelled_by_a_rejection(self) -> None:
        answers = self.add(b"1", b"2")
        answers[0].errback(REJECTION)
        self.assertTrue(answers[1].called)

    def test_second_rejection_is_neither_reported_nor_logged(self) -> None:
        answers = self.add(b"1", b"2")
        answers[1].errback(REJECTION)
        answers[0].errback(ZeroDivisionError())
        self.assertEqual(self.rejections, [(0, REJECTION)])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_rejection_that_is_known_already_is_reported(self) -> None:
        self.add_answered(b"1", fail(REJECTION))
        self.assertEqual((self.published, self.rejections), ([], [(0, REJECTION)]))

    def test_any_other_failure_is_reported_and_is_no_permission(self) -> None:
        (answer,) = self.add(b"1")
        answer.errback(ZeroDivisionError())
        self.assertEqual((self.published, [failure.type for _, failure in self.rejected]), ([], [ZeroDivisionError]))

    def test_nothing_is_published_after_a_rejection(self) -> None:
        (answer,) = self.add(b"1")
        answer.errback(REJECTION)
        self.add_answered(b"2", succeed(None))
        (later,) = self.add(b"3")
        later.callback(None)
        self.add_answered(b"4", fail(REJECTION))
        self.assertEqual((self.published, len(self.rejected), self.queue.is_stopped), ([], 1, True))

    def test_stopped_queue_publishes_and_reports_nothing(self) -> None:
        answers = self.add(b"1", b"2")
        self.assertFalse(self.queue.is_stopped)
        self.queue.stop()
        self.queue.stop()
        self.assertTrue(self.queue.is_stopped)
        answers[0].callback(None)
        answers[1].errback(REJECTION)
        (later,) = self.add(b"3")
        later.callback(None)
        self.add_answered(b"4", fail(REJECTION))
        self.assertEqual((self.published, self.rejected, self.flushLoggedErrors()), ([], [], []))

    def test_queue_that_is_stopped_while_it_publishes_publishes_no_more(self) -> None:
        published: list[bytes] = []

        def publish(message: PublishMessage) -> None:
            published.append(message.data)
            self.queue.stop()

        self.queue = self.make_queue(publish)
        answers = self.add(b"0", b"1")
        answers[1].callback(None)
        answers[0].callback(None)
        self.assertEqual((published, self.rejected), ([b"0"], []))

    @given(st.lists(st.booleans(), max_size=8), st.data())
    def test_what_came_first_is_published_in_order_until_a_rejection(
        self, permitted: list[bool], data: st.DataObject
    ) -> None:
        self.setUp()
        answers = self.add(*(b"%d" % number for number in range(len(permitted))))
        answered: set[int] = set()
        for number in data.draw(st.permutations(range(len(permitted)))):
            if permitted[number]:
                answered.add(number)
                answers[number].callback(None)
            else:
                answers[number].errback(REJECTION)
            self.assertEqual(self.data, [b"%d" % each for each in range(len(self.data))])
            self.assertLessEqual(len(self.data), len(answered))
        if all(permitted):
            self.assertEqual(len(self.data), len(permitted))
        self.assertEqual(len(self.rejected), 0 if all(permitted) else 1)


class RepliedTests(QueueCase):
    """Messages with replies: each has an outcome of its own."""

    def test_rejection_costs_its_own_message_only(self) -> None:
        answers = self.add(b"1", b"2", b"3", command_id=7)
        answers[1].errback(REJECTION)
        self.assertEqual((self.data, self.rejections, self.queue.is_stopped), ([], [(8, REJECTION)], False))
        answers[2].callback(None)
        self.assertEqual(self.data, [])
        answers[0].callback(None)
        self.assertEqual(self.data, [b"1", b"3"])

    def test_rejection_of_the_first_lets_those_behind_it_through(self) -> None:
        answers = self.add(b"1", b"2", command_id=7)
        answers[1].callback(None)
        answers[0].errback(REJECTION)
        self.assertEqual((self.data, self.rejections), ([b"2"], [(7, REJECTION)]))

    def test_queue_that_is_stopped_by_a_rejection_publishes_no_more(self) -> None:
        self.queue = self.make_queue(self.published.append, lambda _message, _failure: self.queue.stop())
        answers = self.add(b"1", b"2", command_id=1)
        answers[1].callback(None)
        answers[0].errback(REJECTION)
        self.assertEqual(self.data, [])

    @given(st.lists(st.booleans(), max_size=8), st.data())
    def test_permitted_messages_are_published_in_order_and_the_others_are_reported(
        self, permitted: list[bool], data: st.DataObject
    ) -> None:
        self.setUp()
        answers = self.add(*(b"%d" % number for number in range(len(permitted))), command_id=1)
        for number in data.draw(st.permutations(range(len(permitted)))):
            if permitted[number]:
                answers[number].callback(None)
            else:
                answers[number].errback(REJECTION)
        self.assertEqual(self.data, [b"%d" % number for number, may in enumerate(permitted) if may])
        rejected = sorted(command_id for command_id, _ in self.rejections)
        self.assertEqual(rejected, [number + 1 for number, may in enumerate(permitted) if not may])
        self.assertEqual((len(self.queue), self.connection.is_paused), (0, False))


class PausedTests(QueueCase):
    """A client is paused by the messages of it that wait."""

    def add_unasked(self, *messages: bytes) -> None:
        """Add messages about which the application has not been asked."""
        for data in messages:
            self.queue.add(PublishMessage(0, "room", data))

    def test_application_is_asked_about_a_few_at_a_time_and_the_client_is_paused_meanwhile(self) -> None:
        self.add_unasked(*(b"%d" % number for number in range(MAX_ASKED - 1)))
        self.assertFalse(self.connection.is_paused)
        self.add_unasked(*(b"%d" % number for number in range(MAX_ASKED - 1, 2 * MAX_ASKED)))
        self.assertEqual((len(self.questions), self.connection.is_paused), (MAX_ASKED, True))
        for number in range(2 * MAX_ASKED):
            self.assertEqual(self.connection.is_paused, len(self.queue) > MAX_ASKED // 2)
            self.questions[number][1].callback(None)
        self.assertEqual(self.data, [b"%d" % number for number in range(2 * MAX_ASKED)])
        self.assertEqual((self.connection.pauses, self.connection.is_paused), (1, False))

    def test_denied_message_makes_room_for_the_next_question(self) -> None:
        for number in range(MAX_ASKED + 1):
            self.queue.add(PublishMessage(number + 1, "room", b"%d" % number))
        self.questions[5][1].errback(REJECTION)
        self.assertEqual([message.data for message, _ in self.questions][-1], b"%d" % MAX_ASKED)
        self.assertEqual(len(self.questions), MAX_ASKED + 1)

    def test_message_waits_for_room_in_the_process_and_its_client_is_paused(self) -> None:
        self.asks = False
        self.inflow.set_pressure(Pressure.BROKER, is_high=True)
        self.assertFalse(self.queue.is_clear)
        self.add_unasked(b"1", b"2")
        self.assertEqual((self.data, self.connection.is_paused, len(self.inflow)), ([], True, 1))
        self.inflow.set_pressure(Pressure.BROKER, is_high=False)
        self.clock.advance(0)
        self.assertEqual((self.data, self.connection.is_paused, len(self.inflow)), ([b"1", b"2"], False, 0))
        self.assertTrue(self.queue.is_clear)

    def test_as_many_are_published_as_there_is_room_for_and_the_client_stays_paused(self) -> None:
        self.asks = False

        def publish(message: PublishMessage) -> None:
            self.published.append(message)
            self.inflow.set_pressure(Pressure.BROKER, is_high=True)

        self.queue = self.make_queue(publish)
        self.add_unasked(b"1", b"2", b"3")
        for count in (1, 2, 3):
            self.assertEqual((len(self.data), self.connection.is_paused), (count, count < 3))
            self.inflow.set_pressure(Pressure.BROKER, is_high=False)
            self.clock.advance(0)
        self.assertEqual((self.data, self.connection.pauses), ([b"1", b"2", b"3"], 1))

    def test_authorized_message_waits_for_room_as_well(self) -> None:
        (answer,) = self.add(b"1")
        self.inflow.set_pressure(Pressure.BROKER, is_high=True)
        answer.callback(None)
        self.assertEqual((self.data, self.connection.is_paused), ([], True))
        self.inflow.set_pressure(Pressure.BROKER, is_high=False)
        self.clock.advance(0)
        self.assertEqual((self.data, self.connection.is_paused), ([b"1"], False))

    def test_stopped_queue_leaves_the_line(self) -> None:
        self.asks = False
        self.inflow.set_pressure(Pressure.BROKER, is_high=True)
        self.add_unasked(b"1")
        self.queue.stop()
        self.assertEqual(len(self.inflow), 0)
        self.inflow.set_pressure(Pressure.BROKER, is_high=False)
        self.clock.advance(0)
        self.assertEqual(self.data, [])

    def test_client_whose_own_messages_are_not_taken_yet_waits_for_them(self) -> None:
        self.asks = False
        self.add_unasked(bytes(MAX_BYTES_IN_FLIGHT - 1))
        self.assertTrue(self.queue.is_clear)
        self.add_unasked(b"2", b"3")
        self.assertEqual((self.data[1:], self.connection.is_paused, len(self.inflow)), ([b"2"], True, 0))
        self.assertFalse(self.queue.is_clear)
        self.queue.published(self.published[1])
        self.assertEqual((self.data[2:], self.connection.is_paused), ([b"3"], False))
        for index in (0, 2):
            self.queue.published(self.published[index])
        self.assertEqual(self.queue.bytes_in_flight, 0)

    def test_message_that_waits_for_room_in_the_process_is_not_brought_on_by_those_that_are_taken(self) -> None:
        self.asks = False
        self.add_unasked(b"1")
        self.inflow.set_pressure(Pressure.BROKER, is_high=True)
        self.add_unasked(b"2")
        self.queue.published(self.published[0])
        self.assertEqual((self.data, self.connection.is_paused, len(self.inflow)), ([b"1"], True, 1))
        self.inflow.set_pressure(Pressure.BROKER, is_high=False)
        self.clock.advance(0)
        self.assertEqual((self.data, self.connection.is_paused, len(self.inflow)), ([b"1", b"2"], False, 0))

    @given(st.lists(st.sampled_from(["short", "long", "pressure", "room", "taken", "turn"]), max_size=40))
    def test_nothing_waits_when_there_is_room_and_everything_was_taken(self, steps: list[str]) -> None:
        self.setUp()
        self.asks = False
        added: list[bytes] = []
        taken = 0
        for step in [*steps, "room", "turn"]:
            if step in ("short", "long"):
                added.append(b"%d" % len(added) + bytes(MAX_BYTES_IN_FLIGHT // 2 if step == "long" else 0))
                self.add_unasked(added[-1])
            elif step in ("pressure", "room"):
                self.inflow.set_pressure(Pressure.BROKER, is_high=step == "pressure")
            elif step == "turn":
                self.clock.advance(0)
            elif taken < len(self.published):
                taken += 1
                self.queue.published(self.published[taken - 1])
        while taken < len(self.published):
            taken += 1
            self.queue.published(self.published[taken - 1])
        self.assertEqual((self.data, self.connection.is_paused, len(self.inflow)), (added, False, 0))

    def test_message_of_any_length_is_published_where_nothing_is_in_flight(self) -> None:
        self.asks = False
        self.add_unasked(bytes(2 * MAX_BYTES_IN_FLIGHT))
        self.assertEqual((len(self.published), self.connection.is_paused), (1, False))

    def test_client_that_sends_more_as_soon_as_it_is_read_again_keeps_its_order(self) -> None:
        self.asks = False
        rest = [b"%d" % number for number in range(3, 50)]

        def resume() -> None:
            RecordingConnection.resume_reading(self.connection)
            while rest and not self.connection.is_paused:
                self.add_unasked(rest.pop(0))

        self.patch(self.connection, "resume_reading", resume)
        self.inflow.set_pressure(Pressure.BROKER, is_high=True)
        self.add_unasked(b"1", b"2")
        self.inflow.set_pressure(Pressure.BROKER, is_high=False)
        self.clock.advance(0)
        self.assertEqual(self.data, [b"%d" % number for number in range(1, 50)])
