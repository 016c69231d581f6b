"""The two clocks of the process: a monotonic one for timers, the wall clock for dates."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["use_monotonic_clock", "wall_clock"]


def use_monotonic_clock(reactor: Any) -> None:
    """Make a reactor's timers run by the monotonic clock.

    Twisted's reactor uses the wall clock: when that is set back, every ping and every deadline stops. The clock is
    replaced only while nothing is scheduled, because calls that are scheduled have their time by the other clock.

    Args:
        reactor: The reactor to patch.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def wall_clock() -> float:
    """Return the time of day in seconds since the epoch: tokens and certificates expire by it."""
    return time.time()  # noqa: TID251 -- the one place
