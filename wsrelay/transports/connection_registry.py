"""The registry of this process's connections, whatever their transport: what a drain closes, and what metrics count.

The WebSocket factory keeps it. A response that streams over HTTP is a connection like a WebSocket: it is counted by
`Admission`, has a writer with a bounded outbox, stands in this registry and is drained with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.transports.paused_connections import PausedConnections

__all__ = ["DRAINING", "ConnectionRegistry", "RegisteredConnection"]

DRAINING = ErrorResponse(503, "The relay is stopping. Reconnect.", (("Retry-After", "1"),))


class RegisteredConnection(Protocol):
    """A connection of any transport."""

    def close(self, disconnect: Disconnect) -> None:
        """Tell the client why, and end the connection; reject it if its handshake is not complete."""

    def abort(self) -> None:
        """End the connection at once."""


class ConnectionRegistry:
    """The connections of one process, oldest first.

    Args:
        paused: Those that are not read for a while.

    Attributes:
        is_draining: Whether no handshake is completed any more.
        is_disabled: Whether none is completed while the operator has turned websockets off.
        refusal: What handshakes are answered with in both cases. If None, they may be completed.
        paused: See above.
    """

    def __init__(self, paused: PausedConnections) -> None:
        self.paused = paused
        self._open: dict[RegisteredConnection, None] = {}
        self._handshaking: dict[RegisteredConnection, None] = {}
        self.is_draining = False
        self.is_disabled = False
        self.refusal: ErrorResponse | None = None

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def handshake_begun(self, connection: RegisteredConnection) -> None:
        """Add a connection whose handshake waits for its answer."""
        self._handshaking[connection] = None

    def opened(self, connection: RegisteredConnection) -> None:
        """Take that a connection's handshake is complete."""
        self._handshaking.pop(connection, None)
        self._open[connection] = None

    def closed(self, connection: RegisteredConnection) -> None:
        """Remove a connection; one that is not here is ignored."""
        self._open.pop(connection, None)
        self._handshaking.pop(connection, None)
        self.paused.remove(connection)

    def open_connections(self) -> Sequence[RegisteredConnection]:
        """Return the open connections, oldest first."""
        return tuple(self._open)

    def handshaking_connections(self) -> Sequence[RegisteredConnection]:
        """Return the connections whose handshake waits for its answer, oldest first."""
        return tuple(self._handshaking)

    def start_draining(self) -> None:
        """Complete no handshake any more."""
        self.is_draining = True
        self.refusal = DRAINING

    def disable(self, refusal: ErrorResponse) -> None:
        """Complete no handshake until `enable`.

        Args:
            refusal: What they are answered with.
        """
        self.is_disabled = True
        if not self.is_draining:
            self.refusal = refusal

    def enable(self) -> None:
        """Complete handshakes again, unless the process is stopping."""
        self.is_disabled = False
        if not self.is_draining:
            self.refusal = None

    def reject_handshakes(self, disconnect: Disconnect = Disconnect.RESTART) -> None:
        """End every connection whose handshake waits for its answer.

        Args:
            disconnect: Why.
        """
        for connection in self.handshaking_connections():
            connection.close(disconnect)

    def response_to(self, disconnect: AnyDisconnect) -> ErrorResponse | None:
        """Return what a handshake is answered with that ends before it is complete; None if there is nothing to say.

        Args:
            disconnect: Why it ends.
        """
        if disconnect is Disconnect.RESTART:
            return DRAINING
        return self.refusal if disconnect is Disconnect.DISABLED else None
