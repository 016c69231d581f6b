"""One connected client. Feeds events into its `Session`, and has the effects performed that it returns."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import Command, Subscribe
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import HTTPError, ProtocolViolation, RejectedError
from wsrelay.core.sessions.states import CredentialSource
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client_credential import ClientCredential
from wsrelay.engine.client_effects import ClientEffects

__all__ = ["Client"]


class Client(ClientEffects):
    """One client. Implements `RegisteredClient`, `PendingClient` and `EndingClient`.

    Args:
        services: What it needs of its node.
        connection: Its transport.
    """

    log = Logger()

    __slots__ = ()

    def open(self, handshake: Handshake) -> None:
        """Begin with the opening request: `accept` or `reject` of the connection is called, now or in bounded time."""
        authenticator = self.services.authenticator
        self.services.rejections.log_handshake(handshake)
        try:
            commands = self._connection.dialect.open(handshake)
            credential = authenticator.find(handshake)
        except HTTPError as error:
            self._connection.reject(error.response)
            return
        except RejectedError as error:
            self._credential = ClientCredential(self, handshake)
            self._reject(error.client_error, is_accepted=False)
            return
        if self.services.namespaces.may_compress and self._wants_compression(commands):
            self._connection.offer_compression()
        source = CredentialSource.NONE
        if credential is not None or authenticator.requires_authentication(handshake):
            source = CredentialSource.HANDSHAKE
        if credential is None and handshake.query and handshake.promises_credential:
            source = CredentialSource.FIRST_MESSAGE
        is_needed = source is not CredentialSource.NONE or self._connection.dialect.acceptance.has_commands
        if not is_needed and self._opened_at_once(commands):
            return
        if is_needed:
            self._connection_id = handshake.connection
        self._credential = ClientCredential(self, handshake, credential)
        self.perform(self.session.open(commands, source))
        if not is_needed:
            self._credential = None
        if self.session.awaits_credential:
            self._own_credential.wait()
            if (message := self._connection.dialect.first_message(handshake)) is not None:
                self.received(message)

    def received(self, message: Message) -> None:
        """Take a message of the client. What fails costs its own connection, and nothing that brought the message."""
        self.services.counters.client_messages += 1
        try:
            try:
                commands = self._connection.dialect.decode(message, is_connected=not self.session.awaits_credential)
            except ProtocolViolation as violation:
                self.perform(self.session.disconnect(violation.disconnect))
                return
            except RejectedError as error:
                self.perform(self.session.rejected(error.client_error))
                return
            # Many commands may stand in one frame: the rate of frames is meant for what clients ask.
            if len(commands) < 2 or self._connection.counts_as(len(commands) - 1):
                self._carry_out(commands)
        except Exception:  # noqa: BLE001 -- as above
            self.failed(Failure())

    def connection_closing(self, disconnect: AnyDisconnect | None = None) -> None:
        """Take that the connection is being closed: nothing is carried out any more.

        Args:
            disconnect: Why the relay closes it. If None, the reason is not known here.
        """
        if disconnect is not None and self.services.presence is not None:
            self.services.presence.closing(self, disconnect)
        if self._publisher is not None:
            self._publisher.stop()
        if self.session.is_connected:
            self.perform(self.session.closing())
            return
        if self._connection.dialect.acceptance.has_commands or len(self.session.channels) < 2:
            self.perform(self.session.connection_lost())
        else:
            # It may be closed by what its first channels hold for it: not before the others are begun, too.
            self.services.clock.callLater(0, lambda: self.perform(self.session.connection_lost()))

    def report_gap(self, channel: str) -> None:
        """Tell the client that messages of a channel may have been lost."""
        self.perform(self.session.gap(channel))

    def disconnect(self, disconnect: AnyDisconnect) -> None:
        """See `RegisteredClient.disconnect`."""
        self.perform(self.session.disconnect(disconnect))

    def end_subscription(self, channel: str) -> None:
        """See `RegisteredClient.end_subscription`."""
        self.perform(self.session.unsubscribed(channel))

    def credential_timed_out(self) -> None:
        """See `PendingClient.credential_timed_out`."""
        self.services.pending_credentials.remove(self)
        if self.session.is_rejected:
            # It has been told that it may try again, and did not leave by itself.
            self.perform(self.session.disconnect(Disconnect.NOT_AVAILABLE))
        else:
            self.perform(self.session.rejected(ClientError.TOO_LATE))

    def credential_ended(self) -> None:
        """See `EndingClient.credential_ended`."""
        self.perform(self.session.rejected(ClientError.TOKEN_EXPIRED))

    def connection_lost(self, code: int | None = None) -> None:
        """Take the end of the connection. Calling it again does nothing.

        Args:
            code: The code in the client's close frame. If None, there was none.
        """
        if self.services.presence is not None:
            self.services.presence.lost(self, code)
        if self._connection_id is not None:
            self.services.registry.remove(self)
        if self._publisher is not None:
            self._publisher.stop()
        self.perform(self.session.connection_lost())
        self._drop_credential()
        for part in (self._lookups, self._refresh, self._access):
            if part is not None:
                part.stop()
        # What refers to the client goes now, and not when the garbage collector runs, which is rare.
        self._publisher = self._lookups = self._refresh = self._access = None
        if self._held is not None:
            self._held.drop()

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> None:
        """See `RegisteredClient.subscribe_by_server`."""
        expires = subscription.expires
        if expires is not None and expires <= self.services.now():
            return
        effects = self.session.subscribe_by_server(subscription, since)
        grant = ChannelGrant(expires, subscription.info, subscription.data)
        if effects and grant != ChannelGrant():
            self._channel_access.grant(subscription.channel, grant)
        self.perform(effects)

    def refresh_by_server(self, expires: float | None, *, is_expired: bool = False, info: bytes = b"") -> None:
        """See `RegisteredClient.refresh_by_server`."""
        if is_expired or (expires is not None and expires <= self.services.now()):
            # No new credential is waited for: it is the application that says so.
            self.credential_ended()
        else:
            self.perform(self.session.expires(expires, info))
            if info:
                self.update_presence(self.session.channels)

    def failed(self, failure: Failure) -> None:
        """See `SessionDriver.failed`."""
        self.log.failure("a client's request failed; closing its connection", failure, connection=self.connection_id)
        if self.session.is_connected or len(self.session.channels) < 2:
            self._close_failed()
        else:
            # It may be a channel with which the client connects: not before the others are begun, too.
            self.services.clock.callLater(0, self._close_failed)

    def _close_failed(self) -> None:
        self._close(Disconnect.INTERNAL_ERROR)
        self.connection_closing()

    def _wants_compression(self, commands: Sequence[Command]) -> bool:
        rules = [self.services.namespaces.rule(each.channel) for each in commands if isinstance(each, Subscribe)]
        return bool(rules) and all(rule is not None and rule.compress for rule in rules)
