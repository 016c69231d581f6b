"""Tests of `wsrelay.metrics.exposition`, with the parser of the Prometheus library."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.metrics.counters import Counters, counter_table
from wsrelay.metrics.exposition import GAUGES, STATES, exposition, take_snapshot


class ExpositionTests(SynchronousTestCase):
    """Names, labels, help texts and values."""

    def setUp(self) -> None:
        """Parse the metrics of a process in which something has happened."""
        counters = Counters(connections_opened=3)
        counters.connections_closed[4008] += 2
        gauges = {name: lambda: 1.5 for name in GAUGES}
        text = exposition(take_snapshot(counters, gauges, {"history_way": "client tracking"})).decode()
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def test_values_are_exposed_with_their_labels(self) -> None:
        samples = {
            (sample.name, tuple(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }
        self.assertEqual(samples["wsrelay_connections_opened_total", ()], 3)
        self.assertEqual(samples["wsrelay_connections_closed_total", (("code", "4008"),)], 2)
        self.assertEqual(samples["wsrelay_connections", ()], 1.5)
        self.assertEqual(samples["wsrelay_history_way", (("way", "client tracking"),)], 1)

    def test_every_counter_and_gauge_is_exposed_with_its_help_text(self) -> None:
        expected = {f"wsrelay_{row.name}": row.help for row in counter_table()}
        expected |= {f"wsrelay_{name}": gauge.help for name, gauge in GAUGES.items()}
        expected |= {f"wsrelay_{name}": text for name, (_, text) in STATES.items()}
        self.assertEqual({name: family.documentation for name, family in self.families.items()}, expected)
