"""The rules of a session until its client is connected: handshake, credential, and the channels it connects with.

Dialects without commands connect by the handshake alone. In those with commands the handshake asks for nothing, and the
first message is a connect, whose reply tells of what the server subscribed the client to.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.permissions import (
    check_channel_exists,
    check_has_history,
    check_newest,
    check_subscribe,
    server_subscriptions,
)
from wsrelay.core.messaging.commands import Command, Connect, Subscribe
from wsrelay.core.messaging.replies import Subscribed
from wsrelay.core.messaging.subscription_start import START, SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions import subscribing
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import (
    Accept,
    Authenticate,
    CarryOut,
    DeliverEvents,
    Effect,
    ExpireAt,
    SendReply,
    Welcome,
)
from wsrelay.core.sessions.ending import disconnect, reject
from wsrelay.core.sessions.pending_connect import PendingConnect
from wsrelay.core.sessions.session_data import MAX_CHANNELS, NO_SUBSCRIPTIONS, SessionData, with_grace
from wsrelay.core.sessions.states import CredentialSource, SessionState
from wsrelay.core.sessions.subscription import Subscription

__all__ = [
    "authenticated",
    "channel_at_once",
    "gap",
    "open_handshake",
    "opened_at_once",
    "received_before_connected",
    "received_first",
    "subscribe_failed",
    "subscribed",
    "unsubscribed",
]


def open_handshake(data: SessionData, commands: Sequence[Subscribe], source: CredentialSource) -> list[Effect]:
    """Begin with what the handshake amounts to."""
    for command in commands:
        # Before anything is spent on it: a ticket, a question to the application.
        error = check_channel_exists(data.namespaces, command.channel) or check_has_history(data.namespaces, command)
        if error is not None:
            return reject(data, error)
    data.subscriptions = {each.channel: Subscription(each, is_initial=True) for each in commands}
    if data.acceptance.has_commands or source is CredentialSource.FIRST_MESSAGE:
        data.state = SessionState.AWAITING_CREDENTIAL
        data.is_accepted = True
        return [Accept()]
    data.state = SessionState.AUTHENTICATING
    return authenticated(data, ANONYMOUS) if source is CredentialSource.NONE else [Authenticate(None)]


def channel_at_once(data: SessionData, commands: Sequence[Command]) -> str | None:
    """Return the channel of a handshake that asks for one alone, from now on, that every client may subscribe to."""
    if len(commands) != 1 or data.acceptance is not Acceptance.SUBSCRIBED:
        return None
    (command,) = commands
    if not isinstance(command, Subscribe) or command.since is not None:
        return None
    if command.newest or command.only_publishes or command.must_recover or command.token:
        return None
    return command.channel if check_subscribe(data.namespaces, ANONYMOUS, command.channel) is None else None


def opened_at_once(data: SessionData, channel: str) -> list[Effect]:
    """Take that a client without a credential is subscribed to the one channel of its handshake."""
    data.settled = (channel,)
    return _connected(data)


def received_first(data: SessionData, command: Command) -> list[Effect]:
    """Take the first message, which is to be a credential or a connect."""
    if not isinstance(command, Connect):
        return disconnect(data, Disconnect.BAD_REQUEST)
    data.state = SessionState.AUTHENTICATING
    data.pending_connect = PendingConnect(command) if data.acceptance.has_commands else None
    return [Authenticate(command.credential)]


def received_before_connected(data: SessionData, command: Command) -> list[Effect]:
    """Have a command wait for the end of the connect."""
    if not data.is_accepted:
        return []
    if data.pending_connect is None:
        # It was accepted ahead and has to wait for its welcome: until then nobody has decided what it may do.
        return disconnect(data, Disconnect.PUBLISH_DENIED)
    return [] if data.pending_connect.enqueue(command) else disconnect(data, Disconnect.TOO_FAST)


def authenticated(data: SessionData, identity: Identity) -> list[Effect]:
    """Take the outcome of `Authenticate`, and subscribe to what the client may have."""
    for channel, subscription in data.subscriptions.items():
        error = check_subscribe(data.namespaces, identity, channel)
        if error is None and subscription.command.newest:
            error = check_newest(data.namespaces, identity, subscription.command)
        if error is not None:
            is_missing = error is ClientError.NO_CREDENTIAL
            return reject(data, identity.cookie_error or error if is_missing else error)
    data.identity = identity
    expires = identity.expires
    if data.pending_connect is not None:
        effects = _subscribe_unasked(data, data.pending_connect)
        expires = with_grace(expires)
    else:
        data.state = SessionState.SUBSCRIBING
        subscriptions = data.subscriptions.values()
        effects = [effect for each in subscriptions for effect in each.subscribe()] or _connected_at_once(data)
        if data.acceptance is Acceptance.AUTHENTICATED and not data.is_accepted:
            data.is_accepted = True
            effects = [Accept(), *effects]
    # Behind them, for it may have expired already, and then what was subscribed is released.
    return effects if expires is None else [*effects, ExpireAt(expires)]


def subscribed(data: SessionData, channel: str, start: SubscriptionStart, terms: SubscriptionTerms) -> list[Effect]:
    """Take the confirmation of a channel that the client connects with."""
    pending = data.pending_connect
    if pending is None and not data.is_accepted:
        # A client that waits for its 101 needs no reply: an open connection is a subscribed one.
        subscription = data.subscriptions.get(channel)
        return _settle(data, channel, start) if subscription is not None and subscription.confirm() else []
    if pending is not None and channel in pending.data:
        terms = SubscriptionTerms(data=pending.data[channel])
    report = subscribing.subscribed(data, channel, start, terms)
    if pending is not None:
        pending.subscribed += [
            each.reply for each in report if isinstance(each, SendReply) and isinstance(each.reply, Subscribed)
        ]
        return _complete(data, pending)
    return [*report, *_settle(data, channel, start)] if report else []


def _settle(data: SessionData, channel: str, start: SubscriptionStart) -> list[Effect]:
    effects: list[Effect] = []
    for each in data.subscriptions.values():
        if not each.is_subscribed:
            break
    else:
        data.settled, data.subscriptions = tuple(data.subscriptions), NO_SUBSCRIPTIONS
        effects = _connected(data)
    if start is not START and (events := start.events(channel)):
        effects = [*effects, DeliverEvents(channel, tuple(events))]
    return effects


def subscribe_failed(data: SessionData, channel: str, error: ClientError) -> list[Effect]:
    """Take the failure of a channel that the client connects with."""
    if channel not in data.subscriptions:
        return []
    if data.pending_connect is None or error.is_temporary:
        return reject(data, error)
    # The application does not permit what the credential or the connect names. It is left out, as what the rules do not
    # permit.
    return [*data.subscriptions.pop(channel).release(), *_complete(data, data.pending_connect)]


def gap(data: SessionData, channel: str) -> list[Effect]:
    """Take that messages may have been lost on a channel that the client has not been told of yet."""
    is_behind = data.pending_connect is not None and data.is_subscribed(channel)
    return reject(data, ClientError.NOT_AVAILABLE) if is_behind else []


def unsubscribed(data: SessionData, channel: str) -> list[Effect]:
    """End a channel that the client connects with, because the application wants it ended."""
    pending = data.pending_connect
    if channel not in data.subscriptions:
        return []
    if pending is None:
        return reject(data, ClientError.REVOKED)
    pending.subscribed = [each for each in pending.subscribed if each.channel != channel]
    return [*data.subscriptions.pop(channel).release(), *_complete(data, pending)]


def _subscribe_unasked(data: SessionData, pending: PendingConnect) -> list[Effect]:
    """Subscribe to what the credential names and the connect asks for, of which the connect reply tells."""
    found = server_subscriptions(data.namespaces, data.identity)
    if not found and not pending.channels:
        return _welcome(data, pending)
    named = dict.fromkeys(each.channel for each in found)
    wishes = [
        each
        for each in dict.fromkeys(pending.channels)
        if each not in named and check_subscribe(data.namespaces, data.identity, each) is None
    ]
    channels = [*named, *wishes][:MAX_CHANNELS]
    if not channels:
        return _welcome(data, pending)
    data.state = SessionState.SUBSCRIBING
    pending.data = {each.channel: each.data for each in found if each.data}
    by_application, positions = data.identity.answer.named, pending.positions
    granted = {each.channel for each in data.identity.subs}
    data.subscriptions = {
        # About what the credential or the connect alone names the application is asked, as it is about the subscribe of
        # a client.
        each: Subscription.unasked(
            each, positions.get(each), is_initial=each in by_application, is_granted=each in granted
        )
        for each in channels
    }
    return [effect for each in data.subscriptions.values() for effect in each.subscribe()]


def _complete(data: SessionData, pending: PendingConnect) -> list[Effect]:
    is_complete = all(each.is_subscribed for each in data.subscriptions.values())
    return _welcome(data, pending) if is_complete else []


def _welcome(data: SessionData, pending: PendingConnect) -> list[Effect]:
    data.state, data.pending_connect = SessionState.CONNECTED, None
    welcome = Welcome(pending.id, tuple(pending.subscribed))
    return [welcome, CarryOut(tuple(pending.queue))] if pending.queue else [welcome]


def _connected_at_once(data: SessionData) -> list[Effect]:
    # Nothing is subscribed. A client whose credential was its first message still waits for its confirmation.
    replies = [SendReply(Subscribed(0, channel)) for channel in data.subscriptions if data.is_accepted]
    return [*replies, *_connected(data)]


def _connected(data: SessionData) -> list[Effect]:
    data.state = SessionState.CONNECTED
    if data.is_accepted:
        return []
    data.is_accepted = True
    return [Accept()]
