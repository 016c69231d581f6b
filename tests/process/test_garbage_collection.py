"""Tests of `wsrelay.process.garbage_collection`. The collector of this process stays as it is."""

from __future__ import annotations

import gc
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.garbage_collection import COLLECTOR_THRESHOLD, tune_garbage_collector


class GarbageCollectionTests(SynchronousTestCase):
    """The settings of the collector."""

    def test_garbage_is_collected_before_the_rest_is_frozen_and_thresholds_are_raised(self) -> None:
        calls: list[tuple[Any, ...]] = []
        for name in ("collect", "freeze", "set_threshold"):
            self.patch(gc, name, lambda *given, name=name: calls.append((name, *given)))
        tune_garbage_collector()
        self.assertEqual(calls, [("collect",), ("freeze",), ("set_threshold", COLLECTOR_THRESHOLD, 20, 50)])
