"""The words under which one client is subscribed: how long each subscription lasts that a token permits."""

from __future__ import annotations

import math
from collections.abc import Callable

from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionTerms
from wsrelay.core.sessions.session_data import REFRESH_GRACE_SECONDS
from wsrelay.engine.timers import TimerWheel
from wsrelay.engine.wall_clock_timer import WallClockTimer

__all__ = ["ChannelTerms", "seconds_left"]


class ChannelTerms:
    """The grants of one client's channels, and the timers of those that end.

    Args:
        timers: The timers of all clients.
        now: The wall clock, in seconds since the epoch.
        expired: Called with a channel whose grant has ended, and which the client has not refreshed in time.
    """

    __slots__ = ("_ends", "_expired", "_grants", "_now", "_timers")

    def __init__(self, timers: TimerWheel, now: Callable[[], float], expired: Callable[[str], None]) -> None:
        self._timers = timers
        self._now = now
        self._expired = expired
        self._grants: dict[str, ChannelGrant] = {}
        self._ends: dict[str, WallClockTimer] = {}

    def grant(self, channel: str, grant: ChannelGrant) -> None:
        """Take that a token permits a channel, for the first time or anew."""
        self.withdraw(channel)
        self._grants[channel] = grant
        if grant.expires is not None:
            at = grant.expires + REFRESH_GRACE_SECONDS
            self._ends[channel] = WallClockTimer(self._timers, self._now, at, lambda: self._end(channel))

    def terms(self, channel: str) -> SubscriptionTerms:
        """Return the terms of a channel."""
        grant = self._grants.get(channel)
        return NO_TERMS if grant is None else SubscriptionTerms(seconds_left(grant.expires, self._now()), grant.data)

    def info(self, channel: str) -> bytes:
        """Return what others of a channel are told about the client, as JSON on one line; empty if nothing."""
        grant = self._grants.get(channel)
        return b"" if grant is None else grant.info

    def withdraw(self, channel: str) -> None:
        """Forget a channel; one without a grant is ignored."""
        self._grants.pop(channel, None)
        timer = self._ends.pop(channel, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Forget everything."""
        for channel in list(self._grants):
            self.withdraw(channel)

    def _end(self, channel: str) -> None:
        self.withdraw(channel)
        self._expired(channel)


def seconds_left(expires: float | None, now: float) -> int | None:
    """Return how long something lasts, in whole seconds, rounded up and at least one. None if it does not end."""
    return None if expires is None else max(1, math.ceil(expires - now))
