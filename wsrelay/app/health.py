"""The state of this process, for probes and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from wsrelay.engine.node import Node
from wsrelay.engine.reactor_lag import LagMeter
from wsrelay.interfaces import IBroker, IHistory
from wsrelay.metrics.counters import Counters
from wsrelay.metrics.exposition import exposition, take_snapshot
from wsrelay.metrics.snapshot import Snapshot
from wsrelay.transports.connection_registry import ConnectionRegistry
from wsrelay.transports.listening.handshake_turns import HandshakeTurns

__all__ = ["Health", "Workers"]


class Workers(Protocol):
    """All workers of the relay together, of which this process is one."""

    def readiness(self) -> Deferred[tuple[int, str]]:
        """Ask for their readiness.

        Returns:
            Fires with HTTP status and text.
        """

    def snapshot(self) -> Deferred[Snapshot]:
        """Ask for their numbers.

        Returns:
            Fires with them; fails where the parent does not answer.
        """


class Health:
    """The state of one process, for its operator.

    Args:
        broker: Its broker.
        node: Its node.
        connections: Its connections.
        turns: Where handshakes wait.
        counters: What has happened.
        lag: How late its reactor is.
        certificate_expiry: Returns when its first certificate expires, in seconds since the epoch; 0 without TLS.
        workers: All workers, where this process is one of several. If None, it is the only one.

    Attributes:
        is_stopping: Whether the process has begun to stop. It may still accept clients, for load balancers that have
            not noticed yet.
    """

    def __init__(
        self,
        broker: IBroker,
        node: Node,
        connections: ConnectionRegistry,
        turns: HandshakeTurns,
        counters: Counters,
        lag: LagMeter,
        certificate_expiry: Callable[[], float],
        workers: Workers | None = None,
    ) -> None:
        self._workers = workers
        self.is_stopping = False
        self._broker = broker
        self._node = node
        self._connections = connections
        self._counters = counters
        self._lag = lag
        self._gauges: dict[str, Callable[[], float]] = {
            "connections": lambda: len(connections),
            "handshakes_waiting": lambda: len(turns),
            "channels": lambda: len(node.subscriptions),
            "streams": lambda: node.watched_streams,
            "presence_members": lambda: 0 if node.presence is None else len(node.presence),
            "paused_connections": lambda: len(connections.paused),
            "authenticated_connections": lambda: node.registry.authenticated_clients,
            "certificate_expiry_timestamp_seconds": certificate_expiry,
            "disabled": lambda: float(connections.is_disabled),
            "ready": lambda: float(self.own_readiness()[0] == 200),
            "reactor_lag_seconds": lambda: lag.worst,
        }

    def liveness(self) -> tuple[int, str]:
        """Return HTTP status and text: that the process lives, and how late its reactor was at worst."""
        return 200, f"alive; largest reactor lag in the last minute: {self._lag.worst * 1000:.0f} ms"

    def readiness(self) -> tuple[int, str] | Deferred[tuple[int, str]]:
        """Return HTTP status and text, or a Deferred with them: whether clients should be sent here, and why not."""
        return self.own_readiness() if self._workers is None else self._workers.readiness()

    def own_readiness(self) -> tuple[int, str]:
        """Return HTTP status and text, for this process alone."""
        if self.is_stopping:
            return 503, "not ready: stopping"
        if not self._broker.ready:
            return 503, f"not ready: {self._broker.name}: {self._broker.problem}"
        if self._connections.is_disabled:
            # Not 503: a platform may restart a process that is not ready, which would not help.
            return 200, "ready; websockets are disabled"
        history: IHistory | None = self._broker.history
        if history is None or not history.way or history.way == self._broker.name:
            return 200, "ready"
        return 200, f"ready: added entries are seen by {history.way}"

    def metrics(self) -> bytes | Deferred[bytes]:
        """Return the numbers as Prometheus reads them, or a Deferred with them: those of all workers."""
        if self._workers is None:
            return exposition(self.snapshot())
        # A scrape that fails is better than one that shows a part, in which every counter falls.
        return self._workers.snapshot().addCallback(exposition)

    def snapshot(self) -> Snapshot:
        """Return this process's numbers."""
        # The hub counts on the path of every message, in an attribute of its own.
        self._counters.deliveries = self._node.deliveries
        history: IHistory | None = self._broker.history
        return take_snapshot(self._counters, self._gauges, {"history_way": "" if history is None else history.way})
