"""Replies to the commands of one client, and pushes about its own subscriptions.

The events of a *channel* are in `wsrelay.core.messaging.publications`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from wsrelay.core.history.pages import HistoryPage
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.presence.member import Member, PresenceStats

__all__ = [
    "Connected",
    "Failed",
    "HistoryRead",
    "PresenceCounted",
    "PresenceRead",
    "Published",
    "Refreshed",
    "Reply",
    "Subscribed",
    "SubscriptionEnded",
    "SubscriptionRefreshed",
    "Unsubscribed",
]


# Not frozen: one is made for every client, and freezing doubles what that costs.
@dataclass(slots=True)
class Connected:
    """The client is authenticated.

    Attributes:
        id: The id of its `Connect` command.
        client: The id of its connection.
        ping_seconds: The longest time between two pings of the dialect. 0 if it has none.
        subscriptions: What it is subscribed to without having asked. Their ids are 0.
        expires_seconds: How long its credential lasts, in whole seconds, rounded up. If None, it does not end.
        session: The secret name of its connection, where its transport has one direction. If empty, it has none.
        node: The name of the process to which it sends by this session. If empty, it does not.
    """

    id: int
    client: str
    ping_seconds: int = 0
    subscriptions: tuple[Subscribed, ...] = ()
    expires_seconds: int | None = None
    session: str = field(default="", repr=False)
    node: str = ""


# Not frozen: one is made for every client, and freezing doubles what that costs.
@dataclass(slots=True)
class Subscribed:
    """The client is subscribed: what is published from now on reaches it.

    Attributes:
        id: The id of its `Subscribe` command.
        channel: The channel's name.
        position: The channel's position at that moment. Empty where the channel has no history.
        since: The position from which the client wanted to resume, as it sent it. If None, it did not.
        recovered: Whether nothing is missing between that position and this one.
        publications: What it missed, oldest first; what is left of that, if nothing was recovered.
        terms: How long it lasts, and what the client is told.
    """

    id: int
    channel: str
    position: str = ""
    since: str | None = None
    recovered: bool = False
    publications: tuple[Publication, ...] = ()
    terms: SubscriptionTerms = NO_TERMS

    @property
    def was_recovering(self) -> bool:
        """True if the client wanted to resume from a position."""
        return self.since is not None


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The client is no longer subscribed, because it asked for that.

    Attributes:
        id: The id of its `Unsubscribe` command.
    """

    id: int


# Not frozen: one is made for every message of a client that has replies.
@dataclass(slots=True)
class Published:
    """The broker has taken the client's message.

    Attributes:
        id: The id of its `Publish` command.
    """

    id: int


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """A page of what a channel keeps.

    Attributes:
        id: The id of the `ReadHistory` command.
        page: The page.
    """

    id: int
    page: HistoryPage


@dataclass(frozen=True, slots=True)
class PresenceRead:
    """The clients that are subscribed to a channel.

    Attributes:
        id: The id of the `ReadPresence` command.
        members: The clients.
    """

    id: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PresenceCounted:
    """How many clients are subscribed to a channel.

    Attributes:
        id: The id of the `ReadPresence` command.
        stats: The numbers.
    """

    id: int
    stats: PresenceStats


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The client's new token is accepted.

    Attributes:
        id: The id of its `Refresh` command. 0 if the application has given it more time.
        client: The id of its connection.
        expires_seconds: How long it lasts now, in whole seconds, rounded up. If None, it does not end.
    """

    id: int
    client: str
    expires_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionRefreshed:
    """The client's new subscription token is accepted.

    Attributes:
        id: The id of its `RefreshSubscription` command.
        expires_seconds: As in `Refreshed`.
    """

    id: int
    expires_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A command failed.

    Attributes:
        id: The command's id.
        error: Why.
    """

    id: int
    error: ClientError


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """The relay ended a subscription.

    Attributes:
        channel: The channel's name.
        disconnect: Why, by the table of disconnects. `Disconnect.GAP`: messages may have been lost; where it says
            "reconnect", the client subscribes again at once.
    """

    channel: str
    disconnect: Disconnect


Reply: TypeAlias = (
    Connected
    | Failed
    | HistoryRead
    | PresenceCounted
    | PresenceRead
    | Published
    | Refreshed
    | Subscribed
    | SubscriptionEnded
    | SubscriptionRefreshed
    | Unsubscribed
)
