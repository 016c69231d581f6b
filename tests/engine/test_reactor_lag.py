"""Tests of `wsrelay.engine.reactor_lag`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.reactor_lag import INTERVAL_SECONDS, MEMORY, LagMeter


class LagMeterTests(SynchronousTestCase):
    """The meter."""

    def test_stall_is_the_worst_delay_for_a_minute(self) -> None:
        clock = Clock()
        given: Any = clock
        meter = LagMeter(given)
        self.assertEqual(meter.worst, 0.0)
        meter.start()
        clock.advance(INTERVAL_SECONDS)
        self.assertAlmostEqual(meter.worst, 0.0)
        clock.advance(INTERVAL_SECONDS + 0.2)
        self.assertAlmostEqual(meter.worst, 0.2)
        clock.pump([INTERVAL_SECONDS] * MEMORY)
        self.assertAlmostEqual(meter.worst, 0.0)
        meter.stop()
        meter.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
