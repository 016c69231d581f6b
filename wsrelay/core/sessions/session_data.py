"""The data of a session, which the modules with its rules share."""

from __future__ import annotations

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.pending_connect import PendingConnect
from wsrelay.core.sessions.states import SessionState
from wsrelay.core.sessions.subscription import Subscription

__all__ = ["MAX_CHANNELS", "NO_SUBSCRIPTIONS", "REFRESH_GRACE_SECONDS", "SessionData", "with_grace"]

MAX_CHANNELS = 128
"""Channels that one connection may subscribe to. Centrifugo's default (`channel_limit`)."""

NO_SUBSCRIPTIONS: dict[str, Subscription] = {}
"""Shared by all sessions that have none left to keep; never added to."""

REFRESH_GRACE_SECONDS = 25
"""How long a client with commands may be late with a new credential. Centrifugo's, too
(`client.expired_close_delay`)."""


class SessionData:
    """The data of one session. Only the modules of this package write to it.

    A class of its own and not an object of its own: `wsrelay.core.sessions.session.Session` is one, because another
    object would cost every idle connection its memory.

    Args:
        namespaces: The rules about channels.
        acceptance: When the handshake is completed.

    Attributes:
        namespaces: See above.
        acceptance: See above.
        state: The state.
        subscriptions: The subscriptions, by channel.
        settled: The channels of the handshake, once all are subscribed. Nothing is left of their machines but the
            release that is owed: on an idle connection those and their dictionary would be a tenth of the memory.
        pending_connect: The connect, until it is answered. None in dialects without commands.
        is_accepted: Whether the handshake is complete.
        identity: The client's identity, as far as it is known.
    """

    __slots__ = (
        "acceptance",
        "identity",
        "is_accepted",
        "namespaces",
        "pending_connect",
        "settled",
        "state",
        "subscriptions",
    )

    def __init__(self, namespaces: Namespaces, acceptance: Acceptance = Acceptance.SUBSCRIBED) -> None:
        self.namespaces = namespaces
        self.acceptance = acceptance
        self.state = SessionState.CONNECTING
        self.subscriptions = NO_SUBSCRIPTIONS
        self.settled: tuple[str, ...] = ()
        self.pending_connect: PendingConnect | None = None
        self.is_accepted = False
        self.identity: Identity = ANONYMOUS

    @property
    def is_connected(self) -> bool:
        """True once the client is connected, until its connection has ended."""
        return self.state is SessionState.CONNECTED or self.state is SessionState.CLOSING

    def is_subscribed(self, channel: str) -> bool:
        """Return whether what is published on a channel reaches the client."""
        subscription = self.subscriptions.get(channel)
        return subscription is not None and subscription.is_subscribed

    def is_granted(self, channel: str) -> bool:
        """Return whether the client is subscribed to a channel that an issuer permits it by its name."""
        subscription = self.subscriptions.get(channel)
        return subscription is not None and subscription.grants


def with_grace(expires: float | None) -> float | None:
    """Return until when a client with commands may show a new credential."""
    return None if expires is None else expires + REFRESH_GRACE_SECONDS
