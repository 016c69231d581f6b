"""Tests of `wsrelay.engine.survey`: questions to all processes, and their replies."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail

from tests.engine.harness import EngineCase
from wsrelay.core.access.identity import Identity
from wsrelay.core.messaging.surveys import NodeNumbers, SurveyQuestion, SurveyReply
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.survey import CHANNELS_PER_TURN, MAX_CHANNELS, MAX_SURVEYS, SURVEY_SECONDS, SurveyOutcome

OUTAGE = BrokerUnavailable("the test says so")


class SurveyCase(EngineCase):
    """A node that asks and replies, over a broker that only records."""

    def setUp(self) -> None:
        """Let the test say how many processes there are."""
        super().setUp()
        self.processes: Deferred[int] = Deferred()
        self.sent: list[tuple[dict[str, Any], str | None]] = []

        def send_control(payload: bytes, node_id: str | None = None) -> Deferred[int]:
            self.sent.append((json.loads(payload), node_id))
            return self.processes

        self.patch(self.broker, "send_control", send_control)

    def reply(self, node: str, number: int = 1, **channels: int) -> None:
        """Let the reply of a process arrive."""
        self.broker.sink.control_received(SurveyReply(number, node, None, channels).to_bytes())


class AskTests(SurveyCase):
    """`Survey.ask`."""

    def test_question_goes_to_all_processes_with_the_name_of_this_one(self) -> None:
        asked = self.node.survey.ask("room:*")
        self.assertEqual(self.sent, [({"survey": {"id": 1, "node": "fake-node", "pattern": "room:*"}}, None)])
        self.processes.callback(0)
        self.assertEqual(self.successResultOf(asked), SurveyOutcome((), 0))

    def test_last_reply_ends_the_wait_whether_or_not_the_broker_has_counted_before(self) -> None:
        for counts_first in (True, False):
            self.setUp()
            asked = self.node.survey.ask("")
            if counts_first:
                self.processes.callback(2)
            self.reply("a", room=1)
            self.assertNoResult(asked)
            self.reply("b", room=2)
            if not counts_first:
                self.assertNoResult(asked)
                self.processes.callback(2)
            replies = (SurveyReply(1, "a", None, {"room": 1}), SurveyReply(1, "b", None, {"room": 2}))
            self.assertEqual(self.successResultOf(asked), SurveyOutcome(replies, 2))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadline_ends_the_wait_with_the_replies_that_came(self) -> None:
        asked = self.node.survey.ask("")
        self.processes.callback(3)
        self.reply("a")
        self.clock.advance(SURVEY_SECONDS - 0.1)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(asked), SurveyOutcome((SurveyReply(1, "a", None, {}),), 3))

    def test_reply_that_comes_twice_counts_once_and_one_to_another_question_not_at_all(self) -> None:
        asked = self.node.survey.ask("")
        self.processes.callback(2)
        self.reply("a")
        self.reply("a")
        self.reply("b", 7)
        self.assertNoResult(asked)
        self.reply("b")
        self.assertEqual(len(self.successResultOf(asked).replies), 2)
        self.reply("c")

    def test_more_replies_than_the_broker_counted_are_more_processes(self) -> None:
        asked = self.node.survey.ask("")
        self.reply("a")
        self.reply("b")
        self.processes.callback(1)
        self.assertEqual(self.successResultOf(asked).processes, 2)

    def test_outage_fails_and_leaves_room_for_the_next(self) -> None:
        self.processes = fail(OUTAGE)
        for _ in range(MAX_SURVEYS + 1):
            self.failureResultOf(self.node.survey.ask(), BrokerUnavailable)
            self.processes = fail(OUTAGE)
        self.processes.addErrback(lambda _failure: None)

    def test_too_many_questions_at_the_same_time_are_refused(self) -> None:
        asked = [self.node.survey.ask("") for _ in range(MAX_SURVEYS)]
        self.failureResultOf(self.node.survey.ask(""), BrokerUnavailable)
        self.processes.callback(1)
        self.reply("a", 1)
        self.successResultOf(asked[0])
        another = self.node.survey.ask("")
        self.assertNoResult(another)
        self.node.survey.stop()
        for each in (*asked[1:], another):
            self.failureResultOf(each)


class ReplyTests(SurveyCase):
    """The replies of this process."""

    def ask(self, pattern: str | None, number: int = 7) -> None:
        """Let the question of another process arrive."""
        self.broker.sink.control_received(SurveyQuestion(number, "other", pattern).to_bytes())

    def add_channels(self, count: int) -> None:
        """Subscribe this process to channels with one subscriber each."""
        hub: Any = self.node._hub
        connection, _ = self.join_anonymous("public")
        for number in range(count):
            hub.add(connection, f"room:{number}", connection.encoding())
        self.addCleanup(lambda: [hub.remove(connection, f"room:{number}") for number in range(count)])

    def channels(self) -> dict[str, Any]:
        """Return the one reply that was sent, to the process that asked."""
        ((document, node),) = self.sent
        self.assertEqual(node, "other")
        reply: dict[str, Any] = document["survey_reply"]
        self.assertEqual((reply["id"], reply["node"]), (7, "fake-node"))
        return reply

    def test_channels_with_their_subscribers(self) -> None:
        for channel in ("public1", "public1", "public2", "talk"):
            self.join_anonymous(channel)
        self.ask("public*")
        reply = self.channels()
        self.assertEqual((reply["channels"], reply["complete"]), ({"public1": 2, "public2": 1}, True))

    def test_empty_pattern_stands_for_all(self) -> None:
        self.join_anonymous("public1")
        self.ask("")
        self.assertEqual(self.channels()["channels"], {"public1": 1})

    def test_numbers(self) -> None:
        self.join(Identity("42"), connection_id="c1")
        self.join(Identity("42"), connection_id="c2")
        self.join(Identity("43"), connection_id="c3")
        self.join_anonymous("public")
        self.patch(self.node.survey, "_count_connections", lambda: 4)
        self.clock.advance(3)
        self.ask(None)
        numbers = self.channels()["numbers"]
        names = ("clients", "users", "channels", "subscriptions", "uptime")
        self.assertEqual([numbers[name] for name in names], [4, 3, 2, 4, 3])
        self.assertEqual(set(numbers), set(NodeNumbers.__slots__))

    def test_many_channels_are_looked_at_in_several_turns(self) -> None:
        self.add_channels(2 * CHANNELS_PER_TURN + 1)
        for pattern in (None, "room:*"):
            self.sent.clear()
            self.ask(pattern)
            self.assertEqual(self.sent, [])
            self.clock.advance(0)
            reply = self.channels()
            found = reply["numbers"]["subscriptions"] - 1 if pattern is None else len(reply["channels"])
            self.assertEqual(found, 2 * CHANNELS_PER_TURN + 1)

    def test_channels_beyond_the_bound_are_left_out_and_the_reply_says_so(self) -> None:
        self.add_channels(MAX_CHANNELS + 1)
        self.ask("room:*")
        self.clock.pump([0.0] * (MAX_CHANNELS // CHANNELS_PER_TURN + 1))
        reply = self.channels()
        self.assertEqual((len(reply["channels"]) <= MAX_CHANNELS, reply["complete"]), (True, False))

    def test_question_while_too_many_are_worked_on_has_no_reply(self) -> None:
        self.add_channels(CHANNELS_PER_TURN)
        for _ in range(MAX_SURVEYS + 5):
            self.ask("room:*")
        self.clock.pump([0.0] * 3)
        self.assertEqual(len(self.sent), MAX_SURVEYS)
        self.processes.callback(1)
        self.ask("room:*")
        self.clock.pump([0.0] * 3)
        self.assertEqual(len(self.sent), MAX_SURVEYS + 1)

    def test_outage_is_no_error_here_and_a_defect_is_logged(self) -> None:
        for error, logged in ((OUTAGE, 0), (ZeroDivisionError(), 1)):
            self.processes = fail(error)
            self.ask("")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), logged)

    def test_stop_ends_replies(self) -> None:
        self.add_channels(CHANNELS_PER_TURN)
        self.ask("room:*")
        self.node.stop()
        self.clock.advance(0)
        self.assertEqual(self.sent, [])
