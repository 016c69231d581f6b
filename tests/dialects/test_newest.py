"""Tests of `wsrelay.dialects.newest`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects.newest import MAX_NEWEST, read_newest


def newest(query: str) -> int | None:
    """Return the number in a query, or None if it is answered with 400 and the bounds."""
    try:
        return read_newest(Handshake("/ws/a", "peer", query=query))
    except HTTPError as error:
        response = error.response
    return None if response.status == 400 and str(MAX_NEWEST) in response.text else -1


class NewestTests(SynchronousTestCase):
    """The parameter `history`."""

    def test_number_is_that_of_the_parameter_and_zero_without_one(self) -> None:
        cases = {"": 0, "a=1": 0, "history=1": 1, "a=1&history=20": 20, f"history={MAX_NEWEST}": MAX_NEWEST}
        self.assertEqual({query: newest(query) for query in cases}, cases)

    def test_anything_else_is_answered_with_400(self) -> None:
        for text in ("", "0", "-1", "+1", "1.0", "x", f"{MAX_NEWEST + 1}", "99999", "\u0661", "1&history=1"):
            self.assertIsNone(newest(f"history={text}"), text)

    @given(st.text(max_size=8))
    def test_any_text_is_a_number_within_the_bounds_or_status_400(self, text: str) -> None:
        found = newest(f"history={text}")
        self.assertTrue(found is None or 0 <= found <= MAX_NEWEST)
