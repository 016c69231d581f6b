"""One client's connection, as a state machine: an input in, a list of effects out.

The machine has rules and nothing else: no socket, no timer, no Deferred. Its driver performs the effects in order and
feeds the outcomes back as inputs. Each channel has a small machine of its own (`wsrelay.core.sessions.subscription`).

The effects of a command are performed before the next command is fed. An outcome names its channel and not the attempt:
if "unsubscribe, subscribe" were one step, the failure of the first subscription, which its unsubscribe cancels, would
be taken for that of the second one.

=====================  ===============================================================================================
state                  meaning
=====================  ===============================================================================================
CONNECTING             nothing has happened yet
AWAITING_CREDENTIAL    the handshake is complete, and the client's first message is its credential
AUTHENTICATING         the client is being authenticated
SUBSCRIBING            the channels of its handshake are being subscribed; in dialects that subscribe by commands those
                       that its credential names, before its connect is answered
REJECTED               the client's connect failed, and it may try again on another connection: it has been told so
CONNECTED              commands are carried out
CLOSED                 nothing has any effect any more
=====================  ===============================================================================================

`_TABLE` at the end says which input does what in which state. A `Close` leaves the machine CONNECTED on purpose: the
connection exists until `connection_lost`, and what it subscribed to is released exactly once, there. A `Reject` is an
HTTP status as long as the handshake is not complete, and a close after that. Before CONNECTED a close ends the machine:
nothing that was sent ahead is carried out behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.permissions import (
    check_channel_exists,
    check_has_history,
    check_newest,
    check_publish,
    check_read_history,
    check_read_presence,
    check_subscribe,
    server_subscriptions,
)
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import (
    Command,
    Connect,
    Publish,
    ReadHistory,
    ReadPresence,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.replies import Failed, Published, Subscribed, SubscriptionRefreshed, Unsubscribed
from wsrelay.core.messaging.subscription_start import NO_TERMS, START, SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.sessions.acceptance import Acceptance
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
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.subscription import Subscription

__all__ = [
    "MAX_CHANNELS",
    "MAX_QUEUED_BYTES",
    "MAX_QUEUED_COMMANDS",
    "MAX_QUEUED_TEXT_BYTES",
    "REFRESH_GRACE_SECONDS",
    "CredentialSource",
    "Session",
    "SessionState",
]

MAX_CHANNELS = 128
"""Channels that one connection may subscribe to. Centrifugo's default (`channel_limit`)."""

MAX_QUEUED_COMMANDS = 256
"""Commands that may wait behind an asynchronous connect: all channels, subscribed in one frame, and as much again."""


_NO_SUBSCRIPTIONS: dict[str, Subscription] = {}
"""Shared by all sessions that have none left to keep; never added to."""


MAX_QUEUED_BYTES = 65536
"""Data of publishes among them, in bytes: nobody knows yet who the client is."""

MAX_QUEUED_TEXT_BYTES = 256 * 1024
"""Tokens and other texts among them: a subscription token of 2 KB for every channel."""

REFRESH_GRACE_SECONDS = 25
"""How long a client with commands may be late with a new credential. Centrifugo's, too
(`client.expired_close_delay`)."""


class CredentialSource(StrEnum):
    """Where a client's credential comes from.

    Attributes:
        NONE: The client shows none, and is anonymous.
        HANDSHAKE: Its handshake holds one, or the application is asked about the handshake.
        FIRST_MESSAGE: Its first message will be one.
    """

    NONE = "none"
    HANDSHAKE = "handshake"
    FIRST_MESSAGE = "first message"


class _Connecting:
    """A connect that is under way.

    Args:
        command: The command.

    Attributes:
        id: The id of the command. If 0, a failure ends the connection.
        positions: From where the client resumes, by channel.
        channels: What it wants to be subscribed to.
        queue: Commands that came behind it.
        data: What the client is told of channels that it is subscribed to without having asked.
        subscribed: What it is subscribed to so far.
    """

    def __init__(self, command: Connect) -> None:
        self.id = command.id
        self.positions = command.positions
        self.channels = command.channels
        self.queue: list[Command] = []
        self.data: dict[str, bytes] = {}
        self.subscribed: list[Subscribed] = []
        self._data_bytes = 0
        self._text_bytes = 0

    def enqueue(self, command: Command) -> bool:
        """Have a command wait; return whether it may."""
        self.queue.append(command)
        if isinstance(command, Publish):
            self._data_bytes += len(command.data)
        self._text_bytes += _length_of_texts(command)
        return (
            len(self.queue) <= MAX_QUEUED_COMMANDS
            and self._data_bytes <= MAX_QUEUED_BYTES
            and self._text_bytes <= MAX_QUEUED_TEXT_BYTES
        )


class SessionState(StrEnum):
    """The states of a session; see the module."""

    CONNECTING = "connecting"
    AWAITING_CREDENTIAL = "awaiting credential"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    REJECTED = "rejected"
    CONNECTED = "connected"
    CLOSED = "closed"


class Session:
    """The state of one client.

    Args:
        namespaces: The rules about channels.
        acceptance: When the handshake is completed (`wsrelay.interfaces.IDialect.acceptance`). Where the client has no
            commands its handshake says it all, and what fails ends the connection.

    Attributes:
        identity: The client's identity, as far as it is known.
    """

    __slots__ = (
        "_acceptance",
        "_connecting",
        "_is_accepted",
        "_namespaces",
        "_settled",
        "_state",
        "_subscriptions",
        "identity",
    )

    def __init__(self, namespaces: Namespaces, acceptance: Acceptance = Acceptance.SUBSCRIBED) -> None:
        self._namespaces = namespaces
        self._acceptance = acceptance
        self._state = SessionState.CONNECTING
        self._subscriptions = _NO_SUBSCRIPTIONS
        # The channels of the handshake, once all are subscribed. Nothing is left of their machines but the release that
        # is owed: on an idle connection those and their dictionary would be a tenth of the memory.
        self._settled: tuple[str, ...] = ()
        # In dialects with commands, until the connect is answered.
        self._connecting: _Connecting | None = None
        self._is_accepted = False
        self.identity = ANONYMOUS

    @property
    def state(self) -> SessionState:
        """The state; see the module."""
        return self._state

    @property
    def awaits_credential(self) -> bool:
        """True if the client's next message is its credential."""
        return self._state is SessionState.AWAITING_CREDENTIAL

    @property
    def is_connected(self) -> bool:
        """True if commands are carried out."""
        return self._state is SessionState.CONNECTED

    @property
    def is_rejected(self) -> bool:
        """True if the client has been told that its connect failed, and is expected to leave."""
        return self._state is SessionState.REJECTED

    @property
    def is_closed(self) -> bool:
        """True if the client is gone or rejected."""
        return self._state is SessionState.CLOSED

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the client asked for or is subscribed to."""
        return (*self._settled, *self._subscriptions)

    # Inputs

    def open(self, commands: Sequence[Command], source: CredentialSource = CredentialSource.NONE) -> list[Effect]:
        """Begin with what the handshake amounts to.

        Args:
            commands: What it asks for: `Subscribe` commands.
            source: Where the credential comes from. In dialects with commands: from the first message, always.
        """
        return self._step("open", commands, source)

    def received(self, command: Command) -> list[Effect]:
        """Take a command. No other one of the same message follows it if its effects end in a `Close`."""
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
        says it all.

        Args:
            subscription: The channel, and what the client is told.
            since: The position to resume from. If None, the client gets what is published from now on.
        """
        return self._step("subscribe_by_server", subscription, since)

    def expires(self, at: float | None) -> list[Effect]:
        """Take another end of the client's credential, because the application wants it. If None, it has none."""
        return self._step("expires", at)

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

        A client whose handshake says it all is disconnected, if the channel is one of its own.
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

    def connection_lost(self) -> list[Effect]:
        """Take the end of the connection. Unsubscribes from every channel exactly once."""
        effects = self._release()
        self._state = SessionState.CLOSED
        return effects

    def _step(self, name: str, *arguments: object) -> list[Effect]:
        handler = self._TABLE[self._state].get(name)
        return [] if handler is None else handler(self, *arguments)

    # Connecting

    def _open(self, commands: Sequence[Subscribe], source: CredentialSource) -> list[Effect]:
        for command in commands:
            # Before anything is spent on it: a ticket, a question to the application.
            error = check_channel_exists(self._namespaces, command.channel) or check_has_history(
                self._namespaces, command
            )
            if error is not None:
                return self._reject(error)
        self._subscriptions = {each.channel: Subscription(each, is_initial=True) for each in commands}
        if self._acceptance.has_commands or source is CredentialSource.FIRST_MESSAGE:
            self._state = SessionState.AWAITING_CREDENTIAL
            self._is_accepted = True
            return [Accept()]
        self._state = SessionState.AUTHENTICATING
        return self._authenticated(ANONYMOUS) if source is CredentialSource.NONE else [Authenticate(None)]

    def _first_received(self, command: Command) -> list[Effect]:
        if not isinstance(command, Connect):
            return self._disconnect(Disconnect.BAD_REQUEST)
        self._state = SessionState.AUTHENTICATING
        self._connecting = _Connecting(command) if self._acceptance.has_commands else None
        return [Authenticate(command.credential)]

    def _enqueue(self, command: Command) -> list[Effect]:
        if not self._is_accepted:
            return []
        if self._connecting is None:
            # It was accepted ahead and has to wait for its welcome: until then nobody has decided what it may do.
            return self._disconnect(Disconnect.PUBLISH_DENIED)
        return [] if self._connecting.enqueue(command) else self._disconnect(Disconnect.TOO_FAST)

    def _authenticated(self, identity: Identity) -> list[Effect]:
        for channel, subscription in self._subscriptions.items():
            error = check_subscribe(self._namespaces, identity, channel)
            error = error or check_newest(self._namespaces, identity, subscription.command)
            if error is not None:
                is_missing = error is ClientError.NO_CREDENTIAL
                return self._reject(identity.cookie_error or error if is_missing else error)
        self.identity = identity
        expires = identity.expires
        if self._connecting is not None:
            effects = self._subscribe_unasked(self._connecting)
            expires = _with_grace(expires)
        else:
            self._state = SessionState.SUBSCRIBING
            subscriptions = self._subscriptions.values()
            effects = [effect for each in subscriptions for effect in each.subscribe()] or self._connected_at_once()
            if self._acceptance is Acceptance.AUTHENTICATED and not self._is_accepted:
                self._is_accepted = True
                effects = [Accept(), *effects]
        # Behind them, for it may have expired already, and then what was subscribed is released.
        return effects if expires is None else [*effects, ExpireAt(expires)]

    def _subscribe_unasked(self, connecting: _Connecting) -> list[Effect]:
        """Subscribe to what the credential names and the connect asks for, of which the connect reply tells."""
        found = server_subscriptions(self._namespaces, self.identity)
        named = dict.fromkeys(each.channel for each in found)
        wishes = [
            each
            for each in dict.fromkeys(connecting.channels)
            if each not in named and check_subscribe(self._namespaces, self.identity, each) is None
        ]
        channels = [*named, *wishes][:MAX_CHANNELS]
        if not channels:
            return self._welcome(connecting)
        self._state = SessionState.SUBSCRIBING
        connecting.data = {each.channel: each.data for each in found if each.data}
        by_application, positions = self.identity.named_by_application, connecting.positions
        self._subscriptions = {
            # About what the credential or the connect alone names the application is asked, as it is about the
            # subscribe of a client.
            each: _unasked(each, positions.get(each), is_initial=each in by_application)
            for each in channels
        }
        return [effect for each in self._subscriptions.values() for effect in each.subscribe()]

    def _complete(self, connecting: _Connecting) -> list[Effect]:
        is_complete = all(each.is_subscribed for each in self._subscriptions.values())
        return self._welcome(connecting) if is_complete else []

    def _welcome(self, connecting: _Connecting) -> list[Effect]:
        self._state, self._connecting = SessionState.CONNECTED, None
        welcome = Welcome(connecting.id, tuple(connecting.subscribed))
        return [welcome, CarryOut(tuple(connecting.queue))] if connecting.queue else [welcome]

    def _initial_subscribed(self, channel: str, start: SubscriptionStart, terms: SubscriptionTerms) -> list[Effect]:
        if self._connecting is not None and channel in self._connecting.data:
            terms = SubscriptionTerms(data=self._connecting.data[channel])
        report = self._subscribed(channel, start, terms)
        if self._connecting is not None:
            self._connecting.subscribed += [
                each.reply for each in report if isinstance(each, SendReply) and isinstance(each.reply, Subscribed)
            ]
            return self._complete(self._connecting)
        # A client that waits for its 101 needs no reply: an open connection is a subscribed one.
        effects = report if self._is_accepted else []
        if report and all(each.is_subscribed for each in self._subscriptions.values()):
            self._settled, self._subscriptions = tuple(self._subscriptions), _NO_SUBSCRIPTIONS
            effects = [*effects, *self._connected()]
        if report and (events := start.events(channel)):
            effects = [*effects, DeliverEvents(channel, tuple(events))]
        return effects

    def _initial_failed(self, channel: str, error: ClientError) -> list[Effect]:
        if channel not in self._subscriptions:
            return []
        if self._connecting is None or error.is_temporary:
            return self._reject(error)
        # The application does not permit what the credential or the connect names. It is left out, as what the rules do
        # not permit.
        return [*self._subscriptions.pop(channel).release(), *self._complete(self._connecting)]

    def _initial_gap(self, channel: str) -> list[Effect]:
        # Of one that the client is subscribed to already, before it was told so.
        is_behind = self._connecting is not None and self._is_subscribed(channel)
        return self._reject(ClientError.NOT_AVAILABLE) if is_behind else []

    def _connected_at_once(self) -> list[Effect]:
        # Nothing is subscribed. A client whose credential was its first message still waits for its confirmation.
        replies = [SendReply(Subscribed(0, channel)) for channel in self._subscriptions if self._is_accepted]
        return [*replies, *self._connected()]

    def _connected(self) -> list[Effect]:
        self._state = SessionState.CONNECTED
        if self._is_accepted:
            return []
        self._is_accepted = True
        return [Accept()]

    # Connected

    def _carry_out(self, command: Command) -> list[Effect]:
        if isinstance(command, Publish):
            return self._publish(command)
        if isinstance(command, Subscribe):
            return self._subscribe(command)
        if isinstance(command, Unsubscribe):
            subscription = self._subscriptions.pop(command.channel, None)
            return (
                [SendReply(Unsubscribed(command.id))] if subscription is None else subscription.unsubscribe(command.id)
            )
        if isinstance(command, ReadHistory | ReadPresence):
            return self._look_up(command)
        if isinstance(command, Refresh):
            return [Reauthenticate(command.id, command.token)]
        if isinstance(command, RefreshSubscription):
            return self._refresh_subscription(command)
        if isinstance(command, Unsupported):
            return [SendReply(Failed(command.id, command.error))] if command.id else []
        # It has connected already; a pong needs nothing.
        return [Close(Disconnect.BAD_REQUEST)] if isinstance(command, Connect) else []

    def _refresh_subscription(self, command: RefreshSubscription) -> list[Effect]:
        if not self._is_subscribed(command.channel):
            return [SendReply(Failed(command.id, ClientError.SUBSCRIBE_DENIED))]
        return [CheckChannelToken(command.id, command.channel, command.token)]

    def _refreshed(self, command_id: int, identity: Identity) -> list[Effect]:
        self.identity = identity
        return [ConfirmRefresh(command_id), ExpireAt(_with_grace(identity.expires))]

    def _expires(self, at: float | None) -> list[Effect]:
        self.identity = replace(self.identity, expires=at)
        if not self._acceptance.has_commands:
            # It has no way to show a new credential in time.
            return [ExpireAt(at)]
        return [ConfirmRefresh(0), ExpireAt(_with_grace(at))]

    def _subscription_refreshed(self, command_id: int, expires_seconds: int | None) -> list[Effect]:
        return [SendReply(SubscriptionRefreshed(command_id, expires_seconds))]

    def _refresh_failed(self, command_id: int, error: ClientError) -> list[Effect]:
        has_reply = error.is_temporary or error is ClientError.REFRESH_EXPIRED
        return [SendReply(Failed(command_id, error))] if has_reply else [Close(error.disconnect)]

    def _subscribe_by_server(self, subscription: ServerSubscription, since: str | None) -> list[Effect]:
        channel = subscription.channel
        is_possible = (
            self._acceptance.has_commands
            and channel not in self._subscriptions
            and len(self._subscriptions) < MAX_CHANNELS
            and self._namespaces.rule(channel) is not None
        )
        if not is_possible:
            return []
        self._subscriptions = self._subscriptions or {}
        made = self._subscriptions[channel] = _unasked(channel, since, is_initial=True)
        return made.subscribe()

    def _subscription_expired(self, channel: str) -> list[Effect]:
        return self._end(channel, Disconnect.CREDENTIAL_EXPIRED)

    def _look_up(self, command: ReadHistory | ReadPresence) -> list[Effect]:
        check = check_read_history if isinstance(command, ReadHistory) else check_read_presence
        error = check(self._namespaces, self.identity, command.channel)
        return [LookUp(command)] if error is None else [SendReply(Failed(command.id, error))]

    def _publish(self, command: Publish) -> list[Effect]:
        channel = command.channel
        if channel is None:
            # The raw dialect's one channel; a client that named none means nothing by it.
            channel = self._settled[0] if self._settled else next(iter(self._subscriptions), "")
        error = check_publish(self._namespaces, self.identity, channel)
        if self._acceptance.has_commands and not self._is_subscribed(channel):
            # As in the raw dialect: the right to publish comes on top of the one to subscribe, and the application has
            # been asked about the channel where it is asked at all.
            error = ClientError.PUBLISH_DENIED
        if error is None:
            return [PublishMessage(command.id, channel, command.data)]
        return [SendReply(Failed(command.id, error))] if command.id else [Close(error.disconnect)]

    def _subscribe(self, command: Subscribe) -> list[Effect]:
        is_granted = bool(command.token)
        error = check_subscribe(self._namespaces, self.identity, command.channel, is_granted=is_granted)
        error = error or check_newest(self._namespaces, self.identity, command)
        if command.channel in self._subscriptions:
            error = ClientError.ALREADY_SUBSCRIBED
        elif len(self._subscriptions) >= MAX_CHANNELS:
            error = ClientError.TOO_MANY_CHANNELS
        if error is not None:
            return [SendReply(Failed(command.id, error))]
        # The first one needs a dictionary of this session's own.
        self._subscriptions = self._subscriptions or {}
        subscription = self._subscriptions[command.channel] = Subscription(command)
        return subscription.subscribe()

    def _is_subscribed(self, channel: str) -> bool:
        subscription = self._subscriptions.get(channel)
        return subscription is not None and subscription.is_subscribed

    def _subscribed(self, channel: str, start: SubscriptionStart, terms: SubscriptionTerms) -> list[Effect]:
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            return []
        effects = subscription.subscribed(start, terms)
        if subscription.is_ended:
            return self._without_ended(channel, effects)
        if effects and subscription.is_server_side and start.publications and self.is_connected:
            # The push that tells of the subscription has no room for them.
            effects = [*effects, DeliverEvents(channel, start.publications)]
        return effects

    def _subscribe_failed(self, channel: str, error: ClientError) -> list[Effect]:
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            return []
        effects = self._without_ended(channel, subscription.failed(error))
        if effects and error.ends_connection:
            return [*(each for each in effects if not isinstance(each, SendReply)), Close(error.disconnect)]
        return effects

    def _gap(self, channel: str) -> list[Effect]:
        if not self._acceptance.has_commands:
            return [Close(Disconnect.GAP)]
        return self._end(channel, Disconnect.GAP)

    def _unsubscribed(self, channel: str) -> list[Effect]:
        if not self._acceptance.has_commands:
            return [Close(Disconnect.REVOKED)] if channel in self._settled else []
        return self._end(channel, Disconnect.REVOKED)

    def _end(self, channel: str, disconnect: Disconnect) -> list[Effect]:
        subscription = self._subscriptions.get(channel)
        if subscription is not None and subscription.is_server_side and disconnect is Disconnect.GAP:
            # An SDK does not subscribe again where it has not subscribed.
            return [Close(disconnect)]
        return [] if subscription is None else self._without_ended(channel, subscription.end(disconnect))

    def _without_ended(self, channel: str, effects: list[Effect]) -> list[Effect]:
        # A subscription that the input does not end, because it is late, stays and is released with the connection.
        if effects:
            del self._subscriptions[channel]
        return effects

    def _published(self, command_id: int) -> list[Effect]:
        return [SendReply(Published(command_id))] if command_id else []

    def _publish_failed(self, command_id: int, error: ClientError, disconnect: Disconnect) -> list[Effect]:
        return [SendReply(Failed(command_id, error))] if command_id else [Close(disconnect)]

    # Ending

    def _reject(self, error: ClientError) -> list[Effect]:
        connecting = self._connecting
        effects = self._release()
        if connecting is not None and connecting.id and (error.is_temporary or error.wants_new_credential):
            self._state = SessionState.REJECTED
            return [SendReply(Failed(connecting.id, error)), *effects]
        self._state = SessionState.CLOSED
        return [Reject(error, self._is_accepted), *effects]

    def _close_rejected(self, error: ClientError) -> list[Effect]:
        return [Close(error.disconnect)]

    def _close(self, disconnect: AnyDisconnect) -> list[Effect]:
        return [Close(disconnect)]

    def _disconnect(self, disconnect: AnyDisconnect) -> list[Effect]:
        if not self._is_accepted:
            return self._reject(ClientError.REVOKED)
        effects = self._release()
        self._state = SessionState.CLOSED
        return [Close(disconnect), *effects]

    def _release(self) -> list[Effect]:
        settled, self._settled = self._settled, ()
        subscriptions, self._subscriptions, self._connecting = self._subscriptions, _NO_SUBSCRIPTIONS, None
        return [
            *(UnsubscribeChannel(channel) for channel in settled),
            *(effect for each in subscriptions.values() for effect in each.release()),
        ]

    # The machine: for each state and input the method that makes the effects. What is not here has none.
    _TABLE: ClassVar[dict[SessionState, dict[str, Callable[..., list[Effect]]]]] = {
        SessionState.CONNECTING: {
            "open": _open,
            "rejected": _reject,
            "disconnect": _disconnect,
        },
        SessionState.AWAITING_CREDENTIAL: {
            "received": _first_received,
            "rejected": _reject,
            "disconnect": _disconnect,
        },
        SessionState.REJECTED: {
            "rejected": _reject,
            "disconnect": _disconnect,
        },
        SessionState.AUTHENTICATING: {
            "received": _enqueue,
            "authenticated": _authenticated,
            "rejected": _reject,
            "disconnect": _disconnect,
        },
        SessionState.SUBSCRIBING: {
            "received": _enqueue,
            "subscribed": _initial_subscribed,
            "subscribe_failed": _initial_failed,
            "gap": _initial_gap,
            "rejected": _reject,
            "disconnect": _disconnect,
        },
        SessionState.CONNECTED: {
            "received": _carry_out,
            "subscribed": _subscribed,
            "subscribe_failed": _subscribe_failed,
            "gap": _gap,
            "unsubscribed": _unsubscribed,
            "subscribe_by_server": _subscribe_by_server,
            "expires": _expires,
            "refreshed": _refreshed,
            "subscription_refreshed": _subscription_refreshed,
            "refresh_failed": _refresh_failed,
            "subscription_expired": _subscription_expired,
            "published": _published,
            "publish_failed": _publish_failed,
            "rejected": _close_rejected,
            "disconnect": _close,
        },
        SessionState.CLOSED: {},
    }


def _length_of_texts(command: Command) -> int:
    """Return the length of what a command holds of any length, besides the data of a publish."""
    match command:
        case Subscribe() | RefreshSubscription() | Refresh():
            return len(command.token)
        case Unsubscribe():
            return len(command.channel)
        case ReadHistory():
            return len(command.epoch)
        case Connect():
            # A second one, which is an error when its turn comes.
            return sum(map(len, (*command.positions, *command.channels)))
        case _:
            return 0


def _unasked(channel: str, since: str | None, *, is_initial: bool) -> Subscription:
    return Subscription(Subscribe(0, channel, since), is_initial=is_initial, is_server_side=True)


def _with_grace(expires: float | None) -> float | None:
    """Return until when a client with commands may show a new credential."""
    return None if expires is None else expires + REFRESH_GRACE_SECONDS
