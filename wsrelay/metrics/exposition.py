"""The metrics by name, in the text format of Prometheus.

Nothing here is on the path of a message: the numbers are plain attributes elsewhere, and are read when somebody asks.
Names are stable; changing one is a breaking change in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wsrelay.metrics.counters import Counters

__all__ = ["GAUGES", "exposition"]

COUNTERS = {
    "connections_opened": "Connections that completed their handshake.",
    "client_messages": "Messages from clients.",
    "broker_messages": "Messages that the broker delivered to this process.",
    "deliveries": "Messages handed to listeners: one for each message and listener.",
    "batches_dropped": "Batches that a slow listener did not get, by its namespace's policy.",
    "broker_interruptions": "How often messages may have been lost between the broker and this process.",
    "gap_notices": "Listeners that were told so.",
    "send_failures": "Listeners that failed while they were sent to.",
}

BY_LABEL = {
    "requests_rejected": ("status", "Handshakes and requests answered with a refusal, by HTTP status."),
    "auth_rejections": ("reason", "Clients turned away for want of a credential or a permission, by reason."),
    "hook_requests": ("outcome", "Questions to the application's hook, by outcome."),
    "connections_closed": ("code", "Connections that the relay closed, by close code."),
}

GAUGES = {
    "connections": "Connections that are open.",
    "channels": "Channels that this process is subscribed to.",
    "authenticated_connections": "Connections that a credential or the application vouches for.",
    "certificate_expiry_timestamp_seconds": "When the first certificate ends, in seconds since 1970; 0 without TLS.",
    "ready": "1 when messages flow between this process and the broker.",
    "reactor_lag_seconds": "How late the reactor came round at most, in the last minute.",
}


class _Numbers(Collector):
    def __init__(self, counters: Counters, gauges: Mapping[str, Callable[[], float]]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"wsrelay_{name}", text, value=getattr(self._counters, name))
        for name, (label, text) in BY_LABEL.items():
            family = CounterMetricFamily(f"wsrelay_{name}", text, labels=[label])
            for value, count in sorted(getattr(self._counters, name).items()):
                family.add_metric([str(value)], count)
            yield family
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"wsrelay_{name}", text, value=self._gauges[name]())


def exposition(counters: Counters, gauges: Mapping[str, Callable[[], float]]) -> bytes:
    """All metrics as Prometheus reads them.

    Args:
        counters: What has happened.
        gauges: How things stand, by the names in `GAUGES`.
    """
    registry = CollectorRegistry()
    registry.register(_Numbers(counters, gauges))
    return generate_latest(registry)
