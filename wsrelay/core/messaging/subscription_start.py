"""The moment in which a client is subscribed: where the channel stands, and what the client gets first."""

from __future__ import annotations

from dataclasses import dataclass

from wsrelay.core.messaging.publications import ChannelEvent, Gap, GapReason, Positioned, Publication

__all__ = ["NO_TERMS", "START", "SubscriptionStart", "SubscriptionTerms"]


@dataclass(frozen=True, slots=True)
class SubscriptionStart:
    """The beginning of one subscription.

    Attributes:
        position: The channel's position: everything behind it reaches the client. Empty where it has no history.
        recovered: Whether nothing is missing between the position that the client sent and this one.
        gap: Why that cannot be said. If None, the client sent no position, or all of it was recovered.
        publications: What the client gets first, oldest first: what it missed, what is left behind a gap, or the newest
            ones that it asked for.
    """

    position: str = ""
    recovered: bool = False
    gap: GapReason | None = None
    publications: tuple[Publication, ...] = ()

    def events(self, channel: str) -> list[ChannelEvent]:
        """Return what a client is sent first that is told of positions and gaps by events, in this order."""
        events: list[ChannelEvent] = [] if self.gap is None else [Gap(channel, self.gap)]
        events += self.publications
        if self.position and (not self.publications or self.publications[-1].position != self.position):
            events.append(Positioned(channel, self.position))
        return events


@dataclass(frozen=True, slots=True)
class SubscriptionTerms:
    """The words of whoever permitted a subscription.

    Attributes:
        expires_seconds: How long it lasts, in whole seconds, rounded up. If None, as long as the connection.
        data: What the client is told when it is subscribed, as JSON on one line; empty if nothing.
    """

    expires_seconds: int | None = None
    data: bytes = b""


NO_TERMS = SubscriptionTerms()
"""Those of a subscription that the rules of the namespace permit."""

START = SubscriptionStart()
"""The beginning of a subscription to a channel without history."""
