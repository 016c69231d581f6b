"""Tests of `wsrelay.core.messaging.switch`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.control import read_control
from wsrelay.core.messaging.switch import (
    MAX_EXPLANATION_CHARACTERS,
    MAX_VALUE_BYTES,
    SwitchChanged,
    SwitchState,
    check_explanation,
    read_switch_state,
)
from wsrelay.core.outcomes.errors import ClaimError

OFF = SwitchState(is_disabled=True)


class SwitchTests(SynchronousTestCase):
    """The value of the key, and the control message."""

    def test_without_a_key_websockets_are_on(self) -> None:
        self.assertEqual(read_switch_state(b""), SwitchState(is_disabled=False, explanation=""))

    def test_values_that_programs_write_for_a_flag_explain_nothing(self) -> None:
        for value in (b"1", b"0", b"true", b"True", b"YES", b"on", b"  ", b" 1\n"):
            self.assertEqual(read_switch_state(value), OFF, value)

    def test_text_is_the_explanation(self) -> None:
        self.assertEqual(
            read_switch_state(b" Back at 14:00 \n"), SwitchState(is_disabled=True, explanation="Back at 14:00")
        )
        longest = "\N{GRINNING FACE}" * MAX_EXPLANATION_CHARACTERS
        self.assertEqual(read_switch_state(longest.encode()).explanation, longest)

    def test_value_that_cannot_be_shown_turns_websockets_off_all_the_same(self) -> None:
        for value in (
            b"\xff",
            b"a\nb",
            b"a\r\nX-Header: b",
            b"\x1b[31m",
            b"a" * 201,
            b"a" * 10_000_000,
            b"\xe2\x80\xae",
        ):
            self.assertEqual(read_switch_state(value), OFF, value[:20])

    @given(st.binary())
    def test_any_value_turns_websockets_off_with_an_explanation_on_one_line(self, value: bytes) -> None:
        state = read_switch_state(value)
        self.assertEqual(state.is_disabled, bool(value))
        self.assertTrue(state.explanation.isprintable())
        self.assertLessEqual(len(state.explanation), MAX_EXPLANATION_CHARACTERS)

    @given(st.text(max_size=MAX_EXPLANATION_CHARACTERS))
    def test_explanation_that_is_accepted_is_read_as_it_was_written(self, text: str) -> None:
        try:
            explanation = check_explanation(text)
        except ClaimError as error:
            self.assertIn("printable", str(error))
            return
        self.assertLessEqual(len(explanation.encode()), MAX_VALUE_BYTES)
        if len(explanation) > 4:
            self.assertEqual(read_switch_state(explanation.encode()).explanation, explanation)

    def test_explanation_that_cannot_be_shown_is_rejected(self) -> None:
        for text in ("a\nb", "\ud800", "a" * 201):
            self.assertRaises(ClaimError, check_explanation, text)

    def test_control_message_is_read_whatever_later_versions_say_in_it(self) -> None:
        for payload in (SwitchChanged().to_bytes(), b'{"switch": {"later": 1}}'):
            self.assertEqual(read_control(payload), SwitchChanged())
        self.assertRaises(ClaimError, read_control, b'{"switch": 1}')
