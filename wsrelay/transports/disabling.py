"""The connections of a process while websockets are off: new ones are refused, and open ones drain."""

from __future__ import annotations

import math

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from wsrelay.core.messaging.switch import SwitchState
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.transports.connection_registry import ConnectionRegistry, RegisteredConnection

__all__ = ["CLOSES_PER_SECOND", "MAX_DRAIN_SECONDS", "Disabling", "disabled_response"]

CLOSES_PER_SECOND = 500.0
"""How many connections are closed in a second. Their clients come back at once, and then with a back-off."""

MAX_DRAIN_SECONDS = 30.0
"""The longest drain: of more connections than that more are closed in a second."""

_STEP_SECONDS = 0.1

_RETRY_AFTER = (("Retry-After", "30"),)


def disabled_response(explanation: str) -> ErrorResponse:
    """Return what a client is told while websockets are off.

    Args:
        explanation: The operator's explanation; an empty text if there is none.
    """
    if explanation:
        return ErrorResponse(503, f"Websockets are disabled: {explanation}", _RETRY_AFTER)
    return ErrorResponse(503, "Websockets are disabled by the operator. Reconnect later.", _RETRY_AFTER)


class Disabling:
    """Refuses and drains the connections of one process while websockets are off.

    Args:
        connections: The connections.
        clock: Time.
    """

    log = Logger()

    def __init__(self, connections: ConnectionRegistry, clock: IReactorTime) -> None:
        self._connections = connections
        self._clock = clock
        self._left: list[RegisteredConnection] = []
        self._at_once = 0
        self._timer: IDelayedCall | None = None

    def apply(self, state: SwitchState) -> None:
        """Take a new position of the switch. Where it is on again, connections that are still open stay."""
        if not state.is_disabled:
            self.stop()
            self._connections.enable()
            return
        self._connections.disable(disabled_response(state.explanation))
        if self._connections.is_draining or self._timer is not None:
            return
        self._connections.reject_handshakes(Disconnect.DISABLED)
        # From the end, so that the oldest go first.
        self._left = list(reversed(self._connections.open_connections()))
        self._at_once = math.ceil(max(CLOSES_PER_SECOND, len(self._left) / MAX_DRAIN_SECONDS) * _STEP_SECONDS)
        if self._left:
            self.log.info("draining {count} connections", count=len(self._left))
            self._close_some()

    def stop(self) -> None:
        """Close no more connections."""
        self._left = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_some(self) -> None:
        self._timer = None
        some = self._left[-self._at_once :]
        del self._left[-self._at_once :]
        if self._left:
            self._timer = self._clock.callLater(_STEP_SECONDS, self._close_some)
        for connection in reversed(some):
            try:
                connection.close(Disconnect.DISABLED)
            except Exception:  # noqa: BLE001 -- one that cannot be closed must not keep the others open
                self.log.failure("a connection cannot be closed")
