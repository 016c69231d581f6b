"""The connections of this process that admission does not count.

They serve HTTP, have not sent a complete request head, or belong to a rejected client that has not left yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MIN_HTTP_CONNECTIONS", "HTTPConnections"]

MIN_HTTP_CONNECTIONS = 64
"""Slots for HTTP requests and unfinished handshakes, in addition to a tenth of the connections that admission permits.
When all are in use the oldest connection is aborted to make room for the new one, which has had its time."""


class HTTPConnections:
    """Bounded set of connections. When it is full the oldest one is aborted to make room for a new one.

    Connections are identified by their innermost transport, which stays the same whatever protocol serves them.

    Args:
        max_connections: The largest number of connections in the set.
        on_evict: Called before a connection is aborted to make room.
    """

    def __init__(self, max_connections: int, on_evict: Callable[[], None]) -> None:
        self.max_connections = max_connections
        self._on_evict = on_evict
        self._connections: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, tcp: Any) -> None:
        """Add a connection, oldest last. One that is in the set keeps its place.

        Args:
            tcp: Its innermost transport.
        """
        if tcp in self._connections:
            return
        if len(self._connections) >= self.max_connections:
            self._on_evict()
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            # Without a response: no descriptor can be spared for the time that sending it takes.
            oldest.abortConnection()
        self._connections[tcp] = None

    def remove(self, tcp: Any) -> None:
        """Remove a connection. One that is not in the set is no error."""
        self._connections.pop(tcp, None)
