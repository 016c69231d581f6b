"""Tests of `wsrelay.core.messaging.surveys`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.control import MAX_CONTROL_BYTES, read_control
from wsrelay.core.messaging.surveys import (
    MAX_PATTERN_CHARACTERS,
    MAX_REPLY_BYTES,
    NodeNumbers,
    SurveyQuestion,
    SurveyReply,
    read_question,
    read_reply,
)
from wsrelay.core.outcomes.errors import ClaimError

COUNTS = st.integers(0, 2**40)
NUMBERS = st.builds(NodeNumbers, st.text(max_size=20), st.text(max_size=20), COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


class RoundTripTests(SynchronousTestCase):
    """Documents come back as they were."""

    @given(st.integers(), st.one_of(st.none(), st.text("abc*?[]", max_size=MAX_PATTERN_CHARACTERS)))
    def test_question(self, number: int, pattern: str | None) -> None:
        question = SurveyQuestion(number, "5f0c", pattern)
        self.assertEqual(read_control(question.to_bytes()), question)

    @given(NUMBERS)
    def test_numbers(self, numbers: NodeNumbers) -> None:
        reply = SurveyReply(7, "5f0c", numbers)
        self.assertEqual(read_control(reply.to_bytes()), reply)

    @given(st.dictionaries(st.text("abc:", min_size=1, max_size=255), COUNTS), st.booleans())
    def test_channels(self, channels: dict[str, int], is_complete: bool) -> None:
        reply = SurveyReply(7, "5f0c", None, channels, is_complete)
        self.assertEqual(read_control(reply.to_bytes()), reply)

    def test_channels_that_do_not_fit_are_left_out_and_the_reply_says_so(self) -> None:
        channels = {f"{number:0200}": 10**12 for number in range(2000)}
        payload = SurveyReply(2**63, "x" * 64, None, channels).to_bytes()
        self.assertTrue(MAX_REPLY_BYTES - 1000 < len(payload) <= MAX_REPLY_BYTES)
        reply: Any = read_control(payload)
        self.assertEqual((reply.is_complete, list(reply.channels)), (False, list(channels)[: len(reply.channels)]))


class ReadTests(SynchronousTestCase):
    """Messages that make no sense."""

    def test_question_that_makes_no_sense_is_rejected(self) -> None:
        good = {"id": 1, "node": "5f0c", "pattern": "*"}
        read_question(good)
        for wrong in (
            {"id": "1"},
            {"id": True},
            {"id": None},
            {"node": ""},
            {"node": 5},
            {"node": "a:b"},
            {"node": "x" * 65},
            {"node": "a\n"},
            {"pattern": 5},
            {"pattern": "x" * (MAX_PATTERN_CHARACTERS + 1)},
        ):
            self.assertRaises(ClaimError, read_question, {**good, **wrong})

    def test_reply_that_makes_no_sense_is_rejected(self) -> None:
        good = {"id": 1, "node": "5f0c"}
        wrongs: tuple[dict[str, Any], ...] = (
            {},
            {"channels": []},
            {"channels": {"a": -1}},
            {"channels": {"a": "1"}},
            {"channels": {"a": True}},
            {"numbers": {"name": 5}},
            {"numbers": {"version": None}},
            {"numbers": {"clients": "1"}},
            {"numbers": {"users": -1}},
            {"id": None, "channels": {}},
        )
        for wrong in wrongs:
            self.assertRaises(ClaimError, read_reply, {**good, **wrong})

    def test_numbers_of_a_version_that_has_fewer_are_zero(self) -> None:
        reply = read_reply({"id": 1, "node": "5f0c", "numbers": {"clients": 3, "of a newer version": []}})
        self.assertEqual(reply, SurveyReply(1, "5f0c", replace(NodeNumbers(), clients=3)))

    def test_only_replies_may_be_longer_than_other_control_messages(self) -> None:
        long = b'{"survey_reply":{"id":1,"node":"5f0c","channels":{%s"a":1}}}'
        read_control(long % (b" " * MAX_CONTROL_BYTES))
        for payload in (
            long % (b" " * MAX_REPLY_BYTES),
            b'{"survey":{"id":1,"node":"5f0c"%s}}' % (b" " * MAX_CONTROL_BYTES),
        ):
            self.assertRaises(ClaimError, read_control, payload)
