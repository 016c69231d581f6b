"""Tests of the estimate of the time that a run takes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devtools.bench.progress import USUAL_SECONDS, Progress, Step, minutes
from devtools.bench.scenarios import SCENARIOS


class ProgressTests(SynchronousTestCase):
    """The work that is left, and for how long."""

    def setUp(self) -> None:
        self.steps = [
            Step(number, scenario, server)
            for number in (0, 1)
            for scenario in ("fanout", "growth")
            for server in ("wsrelay", "ws")
        ]
        self.progress = Progress(list(self.steps))

    def test_first_estimate_is_what_is_usual(self) -> None:
        expected = 4 * (USUAL_SECONDS["fanout"] + USUAL_SECONDS["growth"])
        self.assertEqual(self.progress.seconds_left(), expected)

    def test_same_measurement_then_same_scenario_then_usual_time_at_this_speed(self) -> None:
        self.progress.done(self.steps[0], 2 * USUAL_SECONDS["fanout"])
        self.assertEqual(self.progress.seconds_left(), 2 * (3 * USUAL_SECONDS["fanout"] + 4 * USUAL_SECONDS["growth"]))
        self.progress.done(self.steps[1], 1.0)
        self.progress.done(self.steps[2], 10.0)
        self.progress.done(self.steps[3], 30.0)
        self.assertEqual(self.progress.seconds_left(), 2 * USUAL_SECONDS["fanout"] + 1 + 10 + 30)

    def test_failed_server_is_left_out_of_all_rounds(self) -> None:
        self.progress.drop("growth", "ws")
        self.assertEqual(len(self.progress.left), 6)
        self.assertTrue(self.progress.text().startswith("2 of 8 done, about "))

    def test_every_scenario_has_a_usual_time(self) -> None:
        self.assertEqual(set(USUAL_SECONDS), set(SCENARIOS))

    def test_long_times_are_in_minutes(self) -> None:
        self.assertEqual([minutes(90), minutes(600)], ["90 s", "10 min"])
