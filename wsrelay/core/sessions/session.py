"""One client's connection, as a state machine: an input in, a list of effects out.

The machine has rules and nothing else: no socket, no timer, no Deferred. Its driver performs the effects in order and
feeds the outcomes back as inputs. Each channel has a small machine of its own (`wsrelay.core.sessions.subscription`).

The effects of a command are performed before the next command is fed. An outcome names its channel and not the attempt:
if "unsubscribe, subscribe" were one step, the failure of the first subscription, which its unsubscribe cancels, would
be taken for that of the second one.

This module has the inputs. `wsrelay.core.sessions.states` has the states, `wsrelay.core.sessions.transitions` the table
that says which input does what in which state, and the rules themselves are in

=================  ===================================================================================================
`connecting`       what happens until the client is connected
`subscribing`      the subscriptions of a connected client
`commands`         its other commands: publishing, lookups and refreshes
`ending`           rejection, close and release
=================  ===================================================================================================

A `Close` makes the machine CLOSING: whatever comes behind it, the commands of the same message among it, has no effect.
The connection exists until `connection_lost`, and what it subscribed to is released exactly once, there. A `Reject` is
an HTTP status as long as the handshake is not complete, and a close after that. Before CONNECTED a close ends the
machine: nothing that was sent ahead is carried out behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.core.access.identity import Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import Command
from wsrelay.core.messaging.subscription_start import NO_TERMS, START, SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.sessions.connecting import channel_at_once
from wsrelay.core.sessions.effects import Effect
from wsrelay.core.sessions.ending import release
from wsrelay.core.sessions.session_data import SessionData
from wsrelay.core.sessions.states import CredentialSource, SessionState
from wsrelay.core.sessions.transitions import TRANSITIONS

__all__ = ["Session"]


class Session(SessionData):
    """The state of one client.

    Args:
        namespaces: The rules about channels.
        acceptance: When the handshake is completed (`wsrelay.interfaces.IDialect.acceptance`). Where the client has no
            commands its handshake says it all, and what fails ends the connection.
    """

    __slots__ = ()

    @property
    def awaits_credential(self) -> bool:
        """True if the client's next message is its credential."""
        return self.state is SessionState.AWAITING_CREDENTIAL

    @property
    def is_rejected(self) -> bool:
        """True if the client has been told that its connect failed, and is expected to leave."""
        return self.state is SessionState.REJECTED

    @property
    def is_closing(self) -> bool:
        """True if the connection of a client that was connected is being closed."""
        return self.state is SessionState.CLOSING

    @property
    def is_closed(self) -> bool:
        """True if the client is gone or rejected."""
        return self.state is SessionState.CLOSED

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the client asked for or is subscribed to."""
        return (*self.settled, *self.subscriptions)

    # Inputs

    def open(self, commands: Sequence[Command], source: CredentialSource = CredentialSource.NONE) -> list[Effect]:
        """Begin with what the handshake amounts to.

        Args:
            commands: What it asks for: `Subscribe` commands.
            source: Where the credential comes from. In dialects with commands: from the first message, always.
        """
        return self._step("open", commands, source)

    def channel_at_once(self, commands: Sequence[Command]) -> str | None:
        """Return the channel to which the client may be subscribed at once, and with which it has all it asks for.

        If nobody has to be asked about that channel, `opened_at_once` takes the place of `open` and of all that follows
        until the client is connected: most handshakes of a crowd are such.

        Args:
            commands: As for `open`. No credential came with them, and none is needed.

        Returns:
            The channel. If None, `open` decides.
        """
        return channel_at_once(self, commands) if self.state is SessionState.CONNECTING else None

    def opened_at_once(self, channel: str) -> list[Effect]:
        """Take that the client has been subscribed to the one channel of its handshake, with which it may begin."""
        return self._step("opened_at_once", channel)

    def received(self, command: Command) -> list[Effect]:
        """Take a command."""
        return self._step("received", command)

    def authenticated(self, identity: Identity) -> list[Effect]:
        """Take the outcome of `Authenticate`."""
        return self._step("authenticated", identity)

    def rejected(self, error: ClientError) -> list[Effect]:
        """Take that the client may not be here, or not any more."""
        return self._step("rejected", error)

    def disconnect(self, disconnect: AnyDisconnect) -> list[Effect]:
        """End the connection because the application wants it ended."""
        return self._step("disconnect", disconnect)

    def subscribed(
        self, channel: str, start: SubscriptionStart = START, terms: SubscriptionTerms = NO_TERMS
    ) -> list[Effect]:
        """Take the confirmation of `SubscribeChannel`.

        Args:
            channel: The channel's name.
            start: Where it stands, and what the client gets first.
            terms: How long the subscription lasts, and what the client is told.
        """
        return self._step("subscribed", channel, start, terms)

    def subscribe_failed(self, channel: str, error: ClientError = ClientError.NOT_AVAILABLE) -> list[Effect]:
        """Take the failure of `SubscribeChannel`."""
        return self._step("subscribe_failed", channel, error)

    def gap(self, channel: str) -> list[Effect]:
        """Take that messages of a channel may have been lost on their way to this process."""
        return self._step("gap", channel)

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> list[Effect]:
        """Subscribe the client to a channel because the application wants it.

        It changes nothing where the channel does not exist, the client has as many as it may have, or its handshake
        says it all. One whose connect is not answered yet is told of the channel with the answer.

        Args:
            subscription: The channel, and what the client is told.
            since: The position to resume from. If None, the client gets what is published from now on.
        """
        return self._step("subscribe_by_server", subscription, since)

    def expires(self, at: float | None, info: bytes = b"") -> list[Effect]:
        """Take another end of the client's credential, because the application wants it.

        Args:
            at: The end, in seconds since the epoch. If None, it has none.
            info: What others are told about the client from now on. If empty, what they were told.
        """
        return self._step("expires", at, info)

    def refreshed(self, command_id: int, identity: Identity) -> list[Effect]:
        """Take the identity by a new token: the success of `Reauthenticate`."""
        return self._step("refreshed", command_id, identity)

    def subscription_refreshed(self, command_id: int, expires_seconds: int | None) -> list[Effect]:
        """Take the success of `CheckChannelToken`, and how long the subscription lasts now."""
        return self._step("subscription_refreshed", command_id, expires_seconds)

    def refresh_failed(self, command_id: int, error: ClientError) -> list[Effect]:
        """Take the failure of `Reauthenticate` or `CheckChannelToken`."""
        return self._step("refresh_failed", command_id, error)

    def subscription_expired(self, channel: str) -> list[Effect]:
        """Take that the client has shown no new token for a subscription in time."""
        return self._step("subscription_expired", channel)

    def unsubscribed(self, channel: str) -> list[Effect]:
        """End a subscription because the application wants it ended.

        A client whose handshake says it all is disconnected, if the channel is one of its own. One that is still being
        subscribed is not subscribed, whatever has permitted it before.
        """
        return self._step("unsubscribed", channel)

    def published(self, command_id: int) -> list[Effect]:
        """Take the success of `PublishMessage`."""
        return self._step("published", command_id)

    def publish_failed(
        self, command_id: int, error: ClientError = ClientError.NOT_AVAILABLE, disconnect: Disconnect | None = None
    ) -> list[Effect]:
        """Take the failure of `PublishMessage`: the client learns that its message was lost.

        Args:
            command_id: The id of the client's command.
            error: Why.
            disconnect: What a client without replies is closed with. If None, what belongs to the error.
        """
        return self._step("publish_failed", command_id, error, disconnect or error.disconnect)

    def closing(self) -> list[Effect]:
        """Take that the connection of a client that is connected is being closed, for a reason that is not here."""
        return self._step("closing")

    def connection_lost(self) -> list[Effect]:
        """Take the end of the connection. Unsubscribes from every channel exactly once."""
        effects = release(self)
        self.state = SessionState.CLOSED
        return effects

    def _step(self, name: str, *arguments: object) -> list[Effect]:
        handler = TRANSITIONS[self.state].get(name)
        return [] if handler is None else handler(self, *arguments)
