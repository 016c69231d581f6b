"""Performs the effects that the session of one client decides on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from twisted.python.failure import Failure

from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.identity import Identity
from wsrelay.core.messaging.commands import Command
from wsrelay.core.messaging.replies import Connected, Refreshed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.sessions.effects import (
    Accept,
    Authenticate,
    CarryOut,
    CheckChannelToken,
    Close,
    ConfirmRefresh,
    DeliverEvents,
    Effect,
    ExpireAt,
    LookUp,
    PublishMessage,
    Reauthenticate,
    Reject,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.engine.channel_terms import seconds_left
from wsrelay.engine.client_credential import ClientCredential
from wsrelay.engine.client_output import ClientOutput
from wsrelay.engine.client_publisher import ClientPublisher
from wsrelay.engine.client_refresh import ClientRefresh
from wsrelay.engine.client_services import ClientServices, Connection
from wsrelay.engine.emulation import new_session
from wsrelay.engine.lookups import ClientLookups

__all__ = ["ClientEffects"]


class ClientEffects(ClientOutput):
    """Performs effects. A base of the client as `ClientOutput` is.

    What most clients never do, such as publishing, is in parts that are made for those who do it.

    Args:
        services: What it needs of its node.
        connection: Its transport.
    """

    __slots__ = (
        "_connection_id",
        "_credential",
        "_lookups",
        "_publisher",
        "_refresh",
    )

    def __init__(self, services: ClientServices, connection: Connection) -> None:
        super().__init__(services, connection)
        # If None, the client is authenticated or rejected.
        self._credential: ClientCredential | None = None
        # If None, the client is anonymous and cannot be disconnected by a target.
        self._connection_id: str | None = None
        self.registered_as: Identity | None = None
        # If None, it has not done that yet.
        self._lookups: ClientLookups | None = None
        self._publisher: ClientPublisher | None = None
        self._refresh: ClientRefresh | None = None

    @property
    def connection_id(self) -> str:
        """See `RegisteredClient.connection_id`."""
        return self._connection_id or ""

    def perform(self, effects: Iterable[Effect]) -> None:
        """See `SessionDriver.perform`."""
        performers = self._PERFORMERS
        for effect in effects:
            performers[type(effect)](self, effect)

    def _accept(self, _effect: Accept) -> None:
        self._connection.accept(self._connection_id)

    def _send_reply(self, effect: SendReply) -> None:
        self._send(effect.reply)
        if self.session.is_rejected:
            # It has been told, and is expected to leave by itself.
            self._own_credential.wait()

    def _confirm_refresh(self, effect: ConfirmRefresh) -> None:
        self._send(Refreshed(effect.id, self.connection_id, self._credential_seconds_left()))

    # Commands

    def _carry_out(self, commands: Sequence[Command]) -> None:
        if len(commands) == 1 or self._replies is not None:
            self._carry_out_each(commands)
            return
        self._replies = []
        try:
            self._carry_out_each(commands)
        finally:
            self._send_collected()
            self._replies = None

    def _carry_out_each(self, commands: Sequence[Command]) -> None:
        for command in commands:
            # Behind one whose outcome ends the client, at once or by what it causes, they have no effects.
            effects = self.session.received(command)
            if effects and type(last := effects[-1]) is Close and last.disconnect is Disconnect.PUBLISH_DENIED:
                self.services.rejections.record(
                    ClientError.PUBLISH_DENIED,
                    channel=", ".join(self.session.channels),
                    connection=self.connection_id,
                )
            self.perform(effects)

    def _publish(self, message: PublishMessage) -> None:
        # It may come back before this returns, to a channel whose subscription is to be told of first.
        if self._replies:
            self._send_collected()
            if self.session.is_closing:
                # It does not read what it is sent.
                return
        if self._publisher is None:
            has_commands = self._connection.dialect.acceptance.has_commands
            self._publisher = ClientPublisher(self, self._connection, shows_publisher=has_commands)
        self._publisher.publish(message)

    def _look_up(self, effect: LookUp) -> None:
        if self._lookups is None:
            self._lookups = ClientLookups(self.services.lookups, self._send)
        self._lookups.look_up(effect.command).addErrback(self.failed)

    def _reauthenticate(self, effect: Reauthenticate) -> None:
        if self._refresh is None:
            self._refresh = ClientRefresh(self)
        self._refresh.refresh(effect.id, effect.token)

    # Connecting

    def _authenticate(self, effect: Authenticate) -> None:
        sent = effect.credential
        identity = self._own_credential.authenticate_at_once(sent)
        if identity is not None:
            try:
                self._authenticated(identity)
            except Exception:  # noqa: BLE001 -- one that costs its own connection
                self.failed(Failure())
            return
        self._own_credential.authenticate(sent, self._authentication_ended)

    def _authentication_ended(self, outcome: Identity | ClientError) -> None:
        if not isinstance(outcome, Identity):
            self.perform(self.session.rejected(outcome))
        elif self._replies is not None or not self._connection.dialect.acceptance.has_commands:
            self._authenticated(outcome)
        else:
            # The replies to the commands that waited for the connect go in one write with its own.
            self._replies = []
            try:
                self._authenticated(outcome)
            finally:
                self._send_collected()
                self._replies = None

    def _authenticated(self, identity: Identity) -> None:
        for each in identity.subs if self._connection.dialect.acceptance.has_commands else ():
            if each.info:
                self._channel_access.grant(each.channel, ChannelGrant(info=each.info))
        self.perform(self.session.authenticated(identity))
        if self._credential is not None:
            self._credential.authenticated()
            if self._credential.is_settled:
                self._credential = None

    def _welcome(self, effect: Welcome) -> None:
        ping_seconds, session = self._connection.ping_seconds, self._connection.emulated_session
        node = self.services.node_id if session else ""
        if self._connection.dialect.has_session:
            session = new_session()
        if session:
            self.services.registry.add_session(self, session)
        left = self._credential_seconds_left()
        self._send(Connected(effect.id, self.connection_id, ping_seconds, effect.subscriptions, left, session, node))
        self._release()

    def _credential_seconds_left(self) -> int | None:
        return seconds_left(self.session.identity.expires, self.services.now())

    def _expire(self, effect: ExpireAt) -> None:
        at = effect.at
        if self.session.is_rejected:
            # It has an earlier deadline.
            return
        if at is None:
            self.services.credential_ends.remove(self)
        elif at <= self.services.now():
            self.credential_ended()
        elif not self.session.is_closed:
            # Not where the client left in the moment in which it was connected.
            self.services.credential_ends.add(self, at)

    def _reject(self, error: ClientError, *, is_accepted: bool) -> None:
        credential = self._drop_credential()
        handshake = None if credential is None else credential.handshake
        self.services.rejections.record(error, handshake, connection=self.connection_id)
        if is_accepted:
            self._close(error.disconnect)
        else:
            self._connection.reject(error.response)

    @property
    def _own_credential(self) -> ClientCredential:
        if self._credential is None:
            self._credential = ClientCredential(self)
        return self._credential

    def _drop_credential(self) -> ClientCredential | None:
        self.services.credential_ends.remove(self)
        credential, self._credential = self._credential, None
        if credential is not None:
            credential.end()
        return credential

    def _close(self, disconnect: AnyDisconnect) -> None:
        if self._publisher is not None:
            # What has been sent and not yet authorized is not published behind the close.
            self._publisher.stop()
        self._send_collected()
        self._connection.close(disconnect)

    # By kind, because the sixteenth `case` of a statement is found after fifteen others. Tests see to it that there is
    # one for each (tests/engine/test_client_effects.py).
    _PERFORMERS: ClassVar[dict[type[Effect], Callable[[ClientEffects, Any], None]]] = {
        Accept: _accept,
        Authenticate: _authenticate,
        CarryOut: lambda self, effect: self._carry_out(effect.commands),
        CheckChannelToken: lambda self, effect: self._channel_access.refresh(effect),
        Close: lambda self, effect: self._close(effect.disconnect),
        ConfirmRefresh: _confirm_refresh,
        DeliverEvents: lambda self, effect: self._deliver(effect.channel, effect.events),
        ExpireAt: _expire,
        LookUp: _look_up,
        PublishMessage: _publish,
        Reauthenticate: _reauthenticate,
        Reject: lambda self, effect: self._reject(effect.error, is_accepted=effect.is_accepted),
        SendReply: _send_reply,
        SubscribeChannel: lambda self, effect: self._authorize_subscribe(effect),
        UnsubscribeChannel: lambda self, effect: self._unsubscribe(effect.channel),
        Welcome: _welcome,
    }
