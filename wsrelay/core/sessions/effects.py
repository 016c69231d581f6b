"""Effects of a session: its driver performs the effects in order and feeds the outcomes back.

Frozen dataclasses, so that two effects are equal only if they are of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from wsrelay.core.access.credentials import Credential
from wsrelay.core.messaging.commands import Command, ReadHistory, ReadPresence
from wsrelay.core.messaging.publications import ChannelEvent
from wsrelay.core.messaging.replies import Reply, Subscribed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect

__all__ = [
    "Accept",
    "Authenticate",
    "CarryOut",
    "CheckChannelToken",
    "Close",
    "ConfirmRefresh",
    "DeliverEvents",
    "Effect",
    "ExpireAt",
    "LookUp",
    "PublishMessage",
    "Reauthenticate",
    "Reject",
    "SendReply",
    "SubscribeChannel",
    "UnsubscribeChannel",
    "Welcome",
]


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Authenticate the client; answer with `Session.authenticated` or `Session.rejected`.

    Attributes:
        credential: What it sent in a message. If None, its handshake counts.
    """

    credential: Credential | None


@dataclass(frozen=True, slots=True)
class ExpireAt:
    """Call `Session.rejected` when the credential expires. It takes the place of an earlier one.

    Attributes:
        at: Seconds since the epoch. If None, it does not expire.
    """

    at: float | None


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """Authenticate the client anew; answer with `Session.refreshed` or `Session.refresh_failed`.

    Attributes:
        id: The id of the client's command.
        token: What it sent.
    """

    id: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConfirmRefresh:
    """Tell a client how long its credential lasts now.

    Attributes:
        id: The id of its command. 0 if it sent none.
    """

    id: int


@dataclass(frozen=True, slots=True)
class CheckChannelToken:
    """Check a new token for a subscription; answer with `Session.subscription_refreshed` or `.refresh_failed`.

    Attributes:
        id: The id of the client's command.
        channel: The channel's name.
        token: What it sent.
    """

    id: int
    channel: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LookUp:
    """Read what the client asked for, and send it the reply; there is no outcome for the session.

    Attributes:
        command: What it asked.
    """

    command: ReadHistory | ReadPresence


# Not frozen, and neither is a reply to be sent: they are made for every client, and freezing doubles what that costs.
@dataclass(slots=True)
class SubscribeChannel:
    """Subscribe to a channel; answer with `Session.subscribed` or `Session.subscribe_failed`.

    Attributes:
        channel: The channel's name.
        is_initial: Whether the application has been asked about it, if it is at all: the client named it in its
            handshake, or the application did.
        since: The position to resume from, as the client sent it. If None, it does not resume.
        newest: How many of the newest publications the client wants first.
        token: Its subscription token, which has to be good. If empty, it shows none.
    """

    channel: str
    is_initial: bool
    since: str | None = None
    newest: int = 0
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class UnsubscribeChannel:
    """Unsubscribe from a channel, whether or not `SubscribeChannel` has been answered.

    Each `SubscribeChannel` is followed by exactly one of these.

    Attributes:
        channel: The channel's name.
    """

    channel: str


# Not frozen: one is made for every message of a client, and freezing doubles what that costs.
@dataclass(slots=True)
class PublishMessage:
    """Publish a message; answer with `Session.published` or `Session.publish_failed`.

    Attributes:
        id: The id of the client's command.
        channel: The channel's name.
        data: The message.
    """

    id: int
    channel: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Accept:
    """Complete the handshake."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Tell a client that its `Connect` command succeeded. Nothing was sent to it before.

    Attributes:
        id: The id of that command.
        subscriptions: What it is subscribed to without having asked.
    """

    id: int
    subscriptions: tuple[Subscribed, ...] = ()


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Feed commands that came behind the connect to `Session.received`, one by one.

    Attributes:
        commands: The commands, in their order.
    """

    commands: tuple[Command, ...]


@dataclass(slots=True)
class SendReply:
    """Send the client a reply."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class DeliverEvents:
    """Send one client events of a channel, in the encoding of its subscription.

    Attributes:
        channel: The channel's name.
        events: The events, in their order.
    """

    channel: str
    events: tuple[ChannelEvent, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject the client: with an HTTP status, or with a close if its handshake is complete.

    Attributes:
        error: Why.
        is_accepted: Whether the handshake is complete.
    """

    error: ClientError
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    disconnect: AnyDisconnect


Effect: TypeAlias = (
    Accept
    | Authenticate
    | CarryOut
    | CheckChannelToken
    | Close
    | ConfirmRefresh
    | DeliverEvents
    | ExpireAt
    | LookUp
    | PublishMessage
    | Reauthenticate
    | Reject
    | SendReply
    | SubscribeChannel
    | UnsubscribeChannel
    | Welcome
)
