"""Tests of `wsrelay.core.flow.restarts`."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.restarts import GIVE_UP_AFTER, STEADY_SECONDS, RestartSchedule


class RestartScheduleTests(SynchronousTestCase):
    """Delays, and the end of hope."""

    def setUp(self) -> None:
        """Make a schedule."""
        self.schedule = RestartSchedule(Random(1))

    def test_steady_worker_is_started_again_at_once(self) -> None:
        self.assertEqual(self.schedule.ended(STEADY_SECONDS, has_started=True), 0)

    def test_delays_grow_to_a_bound_and_begin_anew_after_a_steady_one(self) -> None:
        delays = [self.schedule.ended(1, has_started=True) for _ in range(50)]
        self.assertTrue(all(0.5 <= delay <= 30 for delay in delays))
        self.assertLessEqual(delays[0], 1)
        self.assertGreater(max(delays), 10)
        self.schedule.ended(STEADY_SECONDS, has_started=True)
        self.assertLessEqual(self.schedule.ended(0, has_started=True), 1)

    def test_it_is_hopeless_when_none_of_several_in_a_row_has_started(self) -> None:
        for _ in range(GIVE_UP_AFTER - 1):
            self.schedule.ended(60, has_started=False)
        self.assertFalse(self.schedule.is_hopeless)
        self.schedule.ended(1, has_started=True)
        for _ in range(GIVE_UP_AFTER):
            self.assertFalse(self.schedule.is_hopeless)
            self.assertGreater(self.schedule.ended(60, has_started=False), 0)
        self.assertTrue(self.schedule.is_hopeless)
