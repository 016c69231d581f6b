"""The metrics by name, in the text format of Prometheus.

Nothing here is on the path of a message: the numbers are plain attributes elsewhere, read when a client asks for them.
Names are stable; changing one is a breaking change in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wsrelay.metrics.counters import Counters, counter_table

__all__ = ["GAUGES", "STATES", "exposition"]

GAUGES = {
    "connections": "Connections that are open.",
    "handshakes_waiting": "Handshakes that wait until the reactor has time for them.",
    "channels": "Channels that this process is subscribed to.",
    "streams": "Channels with history whose streams this process reads.",
    "presence_members": "Members of channels with presence, joins and leaves, or events: one for each connection and "
    "channel.",
    "paused_connections": "Open connections that are not read for a while, because their clients send too much to do.",
    "authenticated_connections": "Open connections of authenticated clients.",
    "certificate_expiry_timestamp_seconds": "Expiry of the certificate that expires first, in seconds since 1970; 0 "
    "without TLS.",
    "ready": "1 while messages flow between this process and the broker, else 0.",
    "reactor_lag_seconds": "Largest delay of the reactor in the last minute.",
}
"""The gauges by name, with their help texts. The metric is ``wsrelay_<name>``."""


STATES = {
    "history_way": (
        "way",
        "1 with the way in which entries of streams that other programs add are noticed; no sample if there is none.",
    ),
}
"""The label and the help text of states that are texts, by name. The metric is ``wsrelay_<name>``."""


def exposition(
    counters: Counters, gauges: Mapping[str, Callable[[], float]], states: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Return all metrics in the text format of Prometheus.

    Args:
        counters: The counters of this process.
        gauges: A function that reads the present value, for each name in `GAUGES`.
        states: The present value of each name in `STATES`; an empty text if there is none.
    """
    registry = CollectorRegistry()
    registry.register(_ProcessCollector(counters, gauges, states))
    return generate_latest(registry)


class _ProcessCollector(Collector):
    """Makes metric families of the numbers of this process."""

    def __init__(
        self, counters: Counters, gauges: Mapping[str, Callable[[], float]], states: Mapping[str, str]
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """Return a family for each counter and gauge."""
        for name, text, label in counter_table():
            count = getattr(self._counters, name)
            if label is None:
                yield CounterMetricFamily(f"wsrelay_{name}", text, value=count)
                continue
            family = CounterMetricFamily(f"wsrelay_{name}", text, labels=[label])
            for value, number in sorted(count.items()):
                family.add_metric([str(value)], number)
            yield family
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"wsrelay_{name}", text, value=self._gauges[name]())
        for name, (label, text) in STATES.items():
            state = GaugeMetricFamily(f"wsrelay_{name}", text, labels=[label])
            if value := self._states.get(name):
                state.add_metric([value], 1)
            yield state
