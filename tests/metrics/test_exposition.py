"""The metrics, read by the reader of the library's own."""

from __future__ import annotations

from dataclasses import fields

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.metrics.counters import Counters
from wsrelay.metrics.exposition import BY_LABEL, COUNTERS, GAUGES, exposition


class MetricsTests(SynchronousTestCase):
    """Names and numbers."""

    def test_numbers(self) -> None:
        """Every counter and gauge is there under its name, labels and all."""
        counters = Counters(connections_opened=3)
        counters.connections_closed[4008] += 2
        text = exposition(counters, {name: lambda: 1.5 for name in GAUGES}).decode()
        samples = {
            (sample.name, tuple(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        self.assertEqual(samples["wsrelay_connections_opened_total", ()], 3)
        self.assertEqual(samples["wsrelay_connections_closed_total", (("code", "4008"),)], 2)
        self.assertEqual(samples["wsrelay_connections", ()], 1.5)

    def test_all_counted(self) -> None:
        """Whatever is counted is shown."""
        self.assertEqual({field.name for field in fields(Counters)}, {*COUNTERS, *BY_LABEL})
