"""Tests of `wsrelay.core.history.retention`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.history.retention import Retention


class RetentionTests(SynchronousTestCase):
    """How long a stream is kept."""

    def test_key_outlives_its_entries_by_a_day(self) -> None:
        self.assertEqual(Retention(10, 300).key_seconds, 300 + 86400)
