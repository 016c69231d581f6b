"""The ends of the clients' credentials: one entry of one table for each, and a timer for those that are near."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wsrelay.engine.timers import TimerWheel, WheelTimer

__all__ = ["LOOK_SECONDS", "CredentialEnds", "EndingClient"]

LOOK_SECONDS = 60.0
"""How often it is looked for ends that are near."""

NEAR_SECONDS = 2 * LOOK_SECONDS
"""How far away an end may be to get its timer: a look that is late misses none."""


class EndingClient(Protocol):
    """A client whose credential ends."""

    # Without it clients would have a dictionary each.
    __slots__ = ()

    def credential_ended(self) -> None:
        """End the client: its credential is good no longer."""


class CredentialEnds:
    """The ends of the clients' credentials.

    Nearly all of them are far away for nearly all of the time. A timer for each, with the functions that it calls,
    would be a fifth of the memory of an idle connection. To look at the whole table once a minute instead takes half
    a millisecond for ten thousand clients.

    Args:
        timers: The timers of all clients.
        now: The wall clock, in seconds since the epoch.
    """

    def __init__(self, timers: TimerWheel, now: Callable[[], float]) -> None:
        self._timers = timers
        self._now = now
        self._far: dict[EndingClient, float] = {}
        self._near: dict[EndingClient, WheelTimer] = {}
        # If None, no end is far.
        self._next_look: WheelTimer | None = None

    def __len__(self) -> int:
        """Return how many clients have a credential that ends."""
        return len(self._far) + len(self._near)

    def add(self, client: EndingClient, at: float) -> None:
        """End a client at some time, and no more at the one that was set before.

        Args:
            client: The client. `remove` is owed when it leaves.
            at: When, in seconds since the epoch. If that is over, it is ended at the next tick of the timers.
        """
        self.remove(client)
        if at < self._now() + NEAR_SECONDS:
            self._start(client, at)
            return
        self._far[client] = at
        if self._next_look is None:
            self._next_look = self._timers.call_later(LOOK_SECONDS, self._look)

    def remove(self, client: EndingClient) -> None:
        """End a client no more; one that is not here is ignored."""
        timer = self._near.pop(client, None)
        if timer is not None:
            timer.cancel()
        elif self._far.pop(client, None) is not None and not self._far and self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look(self) -> None:
        self._next_look = None
        near = self._now() + NEAR_SECONDS
        for client in [client for client, at in self._far.items() if at < near]:
            self._start(client, self._far.pop(client))
        if self._far:
            self._next_look = self._timers.call_later(LOOK_SECONDS, self._look)

    def _start(self, client: EndingClient, at: float) -> None:
        def end() -> None:
            del self._near[client]
            if self._now() < at:
                # The clock was set back. It may be set right again, so that a far end is looked at as any other is.
                self.add(client, at)
            else:
                client.credential_ended()

        self._near[client] = self._timers.call_later(max(at - self._now(), 0.0), end)
