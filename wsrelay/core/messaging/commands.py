"""Commands of a client: every dialect decodes its wire language into these.

The id of a command is the client's own; the reply carries it. An id of 0 wants no reply: dialects without replies use
it for every command, and whatever fails there ends the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from wsrelay.core.access.credentials import Credential
from wsrelay.core.outcomes.client_errors import ClientError

__all__ = [
    "Command",
    "Connect",
    "Pong",
    "Publish",
    "ReadHistory",
    "ReadPresence",
    "Refresh",
    "RefreshSubscription",
    "Subscribe",
    "Unsubscribe",
    "Unsupported",
]


@dataclass(frozen=True, slots=True)
class Connect:
    """Authenticate this connection. It is the first command of a connection and comes once.

    Attributes:
        id: The command's id.
        credential: The client's credential. If None, it connects without one.
        positions: The positions from which it resumes on channels that it is subscribed to without asking, by channel;
            as the client sent them.
        channels: Channels that it wants to be subscribed to with the connect, as far as it may: of a client that sends
            no other command.
    """

    id: int
    credential: Credential | None
    positions: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to a channel.

    Attributes:
        id: The command's id.
        channel: The channel's name, inside the grammar.
        since: The position to resume from, as the client sent it; `wsrelay.core.history.positions` reads it. If None,
            the client wants no recovery.
        newest: How many of the newest publications the client wants first. 0 where it resumes.
        only_publishes: Whether the client only publishes to the channel. It needs the right to subscribe all the same,
            and gets nothing. Only in a handshake.
        token: A subscription token, of any form and length. If empty, the client shows none.
        must_recover: Whether a client that cannot resume is not subscribed, and told so: it loads its state first.
    """

    id: int
    channel: str
    since: str | None = None
    newest: int = 0
    only_publishes: bool = False
    must_recover: bool = False
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Unsubscribe from a channel. A channel that is not subscribed is no error.

    Attributes:
        id: The command's id.
        channel: The channel's name.
    """

    id: int
    channel: str


# Not frozen: one is made for every message of a client, and freezing doubles what that costs.
@dataclass(slots=True)
class Publish:
    """Publish a message.

    Attributes:
        id: The command's id.
        channel: The channel's name, inside the grammar. If None, the one channel that the client subscribed to.
        data: The message.
    """

    id: int
    channel: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Read a page of what a channel keeps.

    Attributes:
        id: The command's id.
        channel: The channel's name.
        limit: The number of publications. 0: the position alone. Negative: as many as a page holds.
        since: The offset to begin behind or, in reverse, before (`wsrelay.core.history.offsets`). If None, at the
            oldest or, in reverse, at the newest.
        epoch: The epoch of `since`. If empty, any.
        reverse: Whether the newest publications come first.
    """

    id: int
    channel: str
    limit: int = 0
    since: int | None = None
    epoch: str = ""
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class ReadPresence:
    """Look up who is subscribed to a channel.

    Attributes:
        id: The command's id.
        channel: The channel's name.
        only_counts: Whether the numbers are enough.
    """

    id: int
    channel: str
    only_counts: bool = False


@dataclass(frozen=True, slots=True)
class Refresh:
    """Show a new token for this connection, because the one before expires.

    Attributes:
        id: The command's id.
        token: The token, of any form and length.
    """

    id: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RefreshSubscription:
    """Show a new subscription token.

    Attributes:
        id: The command's id.
        channel: The channel's name.
        token: The token, of any form and length.
    """

    id: int
    channel: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer a ping of the dialect. The transport has counted the message as a sign of life already."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A command that is understood and cannot be carried out.

    Attributes:
        id: The command's id. If 0, it has no reply: the connection is closed.
        error: Why not.
    """

    id: int
    error: ClientError


Command: TypeAlias = (
    Connect
    | Pong
    | Publish
    | ReadHistory
    | ReadPresence
    | Refresh
    | RefreshSubscription
    | Subscribe
    | Unsubscribe
    | Unsupported
)
