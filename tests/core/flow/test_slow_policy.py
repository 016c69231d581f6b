"""Tests of `wsrelay.core.flow.slow_policy`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.slow_policy import SlowPolicy


class SlowPolicyTests(SynchronousTestCase):
    """The values of the setting."""

    def test_policies_are_written_close_drop_and_latest(self) -> None:
        self.assertEqual([policy.value for policy in SlowPolicy], ["close", "drop", "latest"])
