"""Connected clients that have not sent their credential yet: a bounded number of them, for a bounded time."""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger

from wsrelay.engine.timers import TimerWheel, WheelTimer

__all__ = ["CREDENTIAL_TIMEOUT_SECONDS", "DEFAULT_MAX_PENDING", "PendingClient", "PendingCredentials"]

CREDENTIAL_TIMEOUT_SECONDS = 10.0
"""How long a client may take to send its credential as its first message."""

DEFAULT_MAX_PENDING = 1000


class PendingClient(Protocol):
    """A client that is connected and not authenticated."""

    # Without it clients would have a dictionary each.
    __slots__ = ()

    def credential_timed_out(self) -> None:
        """End it: its credential did not come in time, or others need its place."""


class PendingCredentials:
    """The clients whose credential is still to come, oldest first.

    All may take the same time, so that one timer serves them: it waits for the oldest.

    Args:
        timers: Coarse timers.
        max_pending: How many there may be. One more costs the oldest its place, which has had the most time.
    """

    log = Logger()

    def __init__(self, timers: TimerWheel, max_pending: int = DEFAULT_MAX_PENDING) -> None:
        self.max_pending = max_pending
        self._timers = timers
        # With their deadlines.
        self._clients: dict[PendingClient, float] = {}
        self._timer: WheelTimer | None = None

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: PendingClient) -> None:
        """Add a client. One that is here already begins anew."""
        self._clients.pop(client, None)
        if len(self._clients) >= self.max_pending:
            oldest = next(iter(self._clients))
            del self._clients[oldest]
            oldest.credential_timed_out()
        self._clients[client] = self._timers.seconds() + CREDENTIAL_TIMEOUT_SECONDS
        if self._timer is None:
            self._wait(CREDENTIAL_TIMEOUT_SECONDS)

    def remove(self, client: PendingClient) -> None:
        """Remove a client, because its credential came or it left; one that is not here is ignored."""
        self._clients.pop(client, None)
        if not self._clients and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = self._timers.call_later(seconds, self._end_oldest)

    def _end_oldest(self) -> None:
        self._timer = None
        now = self._timers.seconds()
        over = []
        for client, deadline in self._clients.items():
            if deadline > now:
                self._wait(deadline - now)
                break
            over.append(client)
        for client in over:
            # The end of one may be that of others.
            if self._clients.pop(client, None) is not None:
                try:
                    client.credential_timed_out()
                except Exception:  # noqa: BLE001 -- one client's end must not cost the others theirs
                    self.log.failure("a client whose credential did not come could not be ended")
