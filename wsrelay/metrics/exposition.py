"""The metrics by name, in the text format of Prometheus.

Nothing here is on the path of a message: the numbers are plain attributes elsewhere, read when a client asks for them.
Names are stable; changing one is a breaking change in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wsrelay.metrics.counters import Counters, counter_table
from wsrelay.metrics.snapshot import Family, Merge, Snapshot

__all__ = ["GAUGES", "STATES", "exposition", "take_snapshot"]


class _Gauge(NamedTuple):
    """A row of the table: the help text, and how the values of several workers become one."""

    help: str
    merge: Merge = "sum"


GAUGES = {
    "connections": _Gauge("Connections that are open."),
    "handshakes_waiting": _Gauge("Handshakes that wait until the reactor has time for them."),
    "channels": _Gauge("Channels that the process is subscribed to, those of all workers together."),
    "streams": _Gauge("Channels with history whose streams the process reads, those of all workers together."),
    "presence_members": _Gauge(
        "Members of channels with presence, joins and leaves, or events: one for each connection and channel."
    ),
    "paused_connections": _Gauge(
        "Open connections that are not read for a while, because their clients send too much to do."
    ),
    "authenticated_connections": _Gauge("Open connections of authenticated clients."),
    "certificate_expiry_timestamp_seconds": _Gauge(
        "Expiry of the certificate that expires first, in seconds since 1970; 0 without TLS.", "earliest"
    ),
    "ready": _Gauge("1 while messages flow between the process, each worker, and the broker, else 0.", "min"),
    "disabled": _Gauge("1 while the operator has turned websockets off, else 0.", "max"),
    "reactor_lag_seconds": _Gauge("Largest delay of the reactor in the last minute.", "max"),
}
"""The gauges by name. The metric is ``wsrelay_<name>``."""


STATES = {
    "history_way": (
        "way",
        "1 with the way in which entries of streams that other programs add are noticed; no sample if there is none.",
    ),
}
"""The label and the help text of states that are texts, by name. The metric is ``wsrelay_<name>``."""


def take_snapshot(
    counters: Counters, gauges: Mapping[str, Callable[[], float]], states: Mapping[str, str] = MappingProxyType({})
) -> Snapshot:
    """Return the numbers of this process.

    Args:
        counters: Its counters.
        gauges: A function that reads the present value, for each name in `GAUGES`.
        states: The present value of each name in `STATES`; an empty text if there is none.
    """
    families: list[Family] = []
    for name, text, label in counter_table():
        count = getattr(counters, name)
        samples = {"": count} if label is None else {str(value): number for value, number in count.items()}
        families.append(Family(f"wsrelay_{name}", "counter", text, label, "sum", samples))
    for name, gauge in GAUGES.items():
        families.append(Family(f"wsrelay_{name}", "gauge", gauge.help, None, gauge.merge, {"": gauges[name]()}))
    for name, (label, text) in STATES.items():
        state = states.get(name)
        families.append(Family(f"wsrelay_{name}", "gauge", text, label, "max", {state: 1} if state else {}))
    return tuple(families)


def exposition(snapshot: Snapshot) -> bytes:
    """Return the numbers in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(snapshot))
    return generate_latest(registry)


class _SnapshotCollector(Collector):
    """Makes the library's metric families of ours."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Return all of them."""
        for each in self._snapshot:
            kind = CounterMetricFamily if each.kind == "counter" else GaugeMetricFamily
            family = kind(each.name, each.help, labels=[] if each.label is None else [each.label])
            for value, number in sorted(each.samples.items()):
                family.add_metric([] if each.label is None else [value], number)
            yield family
