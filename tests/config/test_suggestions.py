"""Tests of `wsrelay.config.suggestions`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config import setting_table
from wsrelay.config.suggestions import suggestion

KEYS = [row.name for row in setting_table()]


class SuggestionTests(SynchronousTestCase):
    """Hints at the name that was meant."""

    def test_misspelt_name_is_answered_with_the_nearest_one(self) -> None:
        self.assertEqual(suggestion("drain_timeout", KEYS), "; did you mean drain_timeout_seconds?")
        self.assertEqual(suggestion("--acces", ["--access", "--port"]), "; did you mean --access?")

    def test_name_like_no_other_gets_no_hint(self) -> None:
        self.assertEqual(suggestion("zzz", KEYS), "")
