"""The sides of a client: the services of its node, its connection, and itself as its own parts see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.presence.member import Member
from wsrelay.core.sessions.effects import Effect
from wsrelay.core.sessions.session import Session
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.channel_subscriptions import ChannelSubscriptions
from wsrelay.engine.client_registry import ClientRegistry, RegisteredClient
from wsrelay.engine.credential_ends import CredentialEnds, EndingClient
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.hub import Subscriber
from wsrelay.engine.inflow import Inflow
from wsrelay.engine.lookups import Lookups
from wsrelay.engine.pending_credentials import PendingClient, PendingCredentials
from wsrelay.engine.presence import Presence
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.revocation_lookups import RevocationLookups
from wsrelay.engine.timers import TimerWheel
from wsrelay.interfaces import IAuthenticator, IDialect
from wsrelay.metrics.counters import Counters

__all__ = ["ClientServices", "Connection", "SessionDriver"]


class Connection(Protocol):
    """The transport's side of a client."""

    @property
    def dialect(self) -> IDialect:
        """The wire language spoken on it."""

    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """Return the dialect in the framing of the transport, compressed or not.

        It is settled when the handshake is complete.

        Args:
            frames: The type of frame for publications.
        """

    @property
    def writer(self) -> Subscriber:
        """The way out; stays the same."""

    @property
    def ping_seconds(self) -> int:
        """The longest time between two pings of the dialect, rounded up."""

    @property
    def emulated_session(self) -> str:
        """The session by which the client sends, once it is accepted. Empty where it sends on the connection itself."""

    def offer_compression(self) -> None:
        """Agree on compression, if the client offered it; called before `accept` or not at all."""

    def accept(self, connection_id: str | None) -> None:
        """Complete the handshake. Messages may be sent from here on.

        Args:
            connection_id: What the client is told that its connection is called. If None, nothing.
        """

    def counts_as(self, messages: int) -> bool:
        """Charge the client's rate for messages that came within one.

        Returns:
            True if the rate permits it; if not, the connection has been closed.
        """

    def pause_reading(self) -> None:
        """Bring the client no more messages until `resume_reading`: it is sent what others publish all the same.

        A connection that is closed meanwhile, from whichever side, ends as ever. A client whose pong stands behind what
        is not read is not ended for that.
        """

    def resume_reading(self) -> None:
        """Bring the client messages again; the first ones possibly before this returns."""

    def reject(self, response: ErrorResponse) -> None:
        """Answer the handshake with an HTTP status and end the connection."""

    def close(self, disconnect: AnyDisconnect) -> None:
        """Tell the client why, and end the connection."""


class ClientServices(Protocol):
    """The parts of a node that its clients use."""

    @property
    def namespaces(self) -> Namespaces:
        """The rules about channels."""

    @property
    def subscriptions(self) -> ChannelSubscriptions:
        """Subscribes clients to channels."""

    @property
    def presence(self) -> Presence | None:
        """The members of channels. If None, nobody asked for that."""

    @property
    def authenticator(self) -> IAuthenticator:
        """Authenticates and authorizes clients."""

    @property
    def registry(self) -> ClientRegistry:
        """The authenticated clients."""

    @property
    def pending_credentials(self) -> PendingCredentials:
        """The clients whose credential is still to come."""

    @property
    def credential_ends(self) -> CredentialEnds:
        """The ends of credentials."""

    @property
    def rejections(self) -> RejectionLog:
        """Records rejected clients."""

    @property
    def counters(self) -> Counters:
        """Counters of events."""

    @property
    def lookups(self) -> Lookups:
        """Looks up what clients ask for."""

    @property
    def revocation_lookups(self) -> RevocationLookups:
        """Looks up whether clients are revoked when they come."""

    @property
    def node_id(self) -> str:
        """The name of this process among those that share the broker."""

    @property
    def timers(self) -> TimerWheel:
        """Coarse timers."""

    @property
    def clock(self) -> IReactorTime:
        """Time, for deadlines."""

    @property
    def now(self) -> Callable[[], float]:
        """The wall clock, in seconds since the epoch, by which credentials expire."""

    @property
    def inflow(self) -> Inflow:
        """Says when messages may be published."""

    def post(self, channel: str, data: bytes, done: Callable[[Exception | None], None], info: bytes = b"") -> None:
        """See `wsrelay.engine.publishing.Publisher.post`."""

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.are_revoked`."""


class SessionDriver(RegisteredClient, PendingClient, EndingClient, Protocol):
    """A client, as its own parts see it: each feeds outcomes into the session, and has the effects performed."""

    __slots__ = ()

    @property
    def services(self) -> ClientServices:
        """The parts of the node that the client uses."""

    @property
    def session(self) -> Session:
        """The client's state."""

    def as_member(self, channel: str) -> Member:
        """Return what others of a channel are told about the client."""

    def update_presence(self, channels: Sequence[str]) -> None:
        """Have presence show what others are told about the client now.

        Args:
            channels: The channels on which that may have changed. Those of which it is no member are ignored.
        """

    def perform(self, effects: Iterable[Effect]) -> None:
        """Perform what the session returned."""

    def failed(self, failure: Failure) -> None:
        """Log a failure of ours, and close the connection."""
