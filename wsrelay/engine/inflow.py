"""The messages of clients, as far as they have to wait because there is too much to do.

A process that is offered more than it can do has three choices: to keep it all, to turn clients away, or to read more
slowly. Here it reads more slowly. While there is *pressure* a client that publishes is read no further, TCP slows it
down, and it waits in a line; the others are read as ever. As soon as there is room the line is served from its front,
only as far as the room goes, so that not all come back at once; whoever still has something to publish then goes to the
end of the line.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from wsrelay.engine.rate_limited_log import RateLimitedLog

__all__ = ["CALM_SECONDS", "Inflow", "Pressure", "Waiting"]

CALM_SECONDS = 5.0
"""How long nobody must have waited for the pressure to be called over, in the log."""


class Pressure(Enum):
    """The reasons for which clients that publish wait, in the words of the log."""

    BROKER = "the broker has as many messages of this process as it should have at once"
    FAN_OUT = "this process has not yet delivered what it received"


class Waiting(Protocol):
    """A client, or a call, that waits in the line."""

    def proceed(self) -> None:
        """Go on. If the inflow is closed again before all is done, wait again."""


class Inflow:
    """Decides when messages may be published.

    Args:
        clock: Time.

    Attributes:
        is_closed: Whether a message has to wait: there is pressure, or others wait already.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._log = RateLimitedLog(self.log, clock.seconds)
        self._pressure: set[Pressure] = set()
        self._line: OrderedDict[Waiting, None] = OrderedDict()
        self._turn_is_due = False
        # When the first of those began to wait that the log was told of. If None, all is calm.
        self._since: float | None = None
        self._has_waited = False
        self._timer: IDelayedCall | None = None
        self.is_closed = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._line)

    def set_pressure(self, pressure: Pressure, *, is_high: bool) -> None:
        """Take that there is pressure for some reason, or is no more."""
        if is_high:
            self._pressure.add(pressure)
            self.is_closed = True
            return
        self._pressure.discard(pressure)
        if self._pressure:
            return
        if not self._line:
            self.is_closed = False
        elif not self._turn_is_due:
            # Not now: what is at work may bring more room or none.
            self._turn_is_due = True
            self._clock.callLater(0, self._serve)

    def wait(self, waiting: Waiting) -> None:
        """Add to the end of the line. Where it stands already it keeps its place. Only while the inflow is closed."""
        self._line.setdefault(waiting)
        self._has_waited = True
        if self._since is None:
            self._since = self._clock.seconds()
            reasons = " and ".join(sorted(each.value for each in self._pressure))
            self._log.write("begin", f"clients that publish are read more slowly: {reasons}")
            self._watch()

    def forget(self, waiting: Waiting) -> None:
        """Remove from the line. What does not wait is ignored."""
        self._line.pop(waiting, None)
        if not (self._line or self._pressure):
            self.is_closed = False

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def opened(self) -> Deferred[None]:
        """Wait in the line.

        Returns:
            Fires with None, at once where the inflow is open. There is no deadline; it may be cancelled.
        """
        turn = _Turn(self.forget)
        if self.is_closed:
            self.wait(turn)
        else:
            turn.proceed()
        return turn.came

    def _serve(self) -> None:
        self._turn_is_due = False
        line, pressure = self._line, self._pressure
        while line and not pressure:
            waiting, _ = line.popitem(last=False)
            # For this one alone: nothing but its own messages comes before the next one of the line.
            self.is_closed = False
            try:
                waiting.proceed()
            except Exception:  # noqa: BLE001 -- what fails for one must not keep the others waiting
                self.log.failure("a client that waited to publish could not go on")
        self.is_closed = bool(line or pressure)

    def _watch(self) -> None:
        self._timer = self._clock.callLater(CALM_SECONDS, self._look_for_calm)

    def _look_for_calm(self) -> None:
        self._timer = None
        if self._has_waited or self._line:
            self._has_waited = False
            self._watch()
        elif self._since is not None:
            seconds, self._since = self._clock.seconds() - self._since, None
            self._log.write("end", f"clients that publish are read at full speed again, after {seconds:.0f} s")


class _Turn:
    """A place in the line that fires a Deferred."""

    def __init__(self, forget: Callable[[Waiting], None]) -> None:
        self.came: Deferred[None] = Deferred(lambda _came: forget(self))

    def proceed(self) -> None:
        """See `Waiting.proceed`."""
        self.came.callback(None)
