"""The rules of a session about the commands of a connected client: publishing, lookups and refreshes.

Subscriptions have a module of their own, `wsrelay.core.sessions.subscribing`.
"""

from __future__ import annotations

from dataclasses import replace

from wsrelay.core.access.identity import Identity
from wsrelay.core.access.permissions import check_publish, check_read_history, check_read_presence
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
from wsrelay.core.messaging.replies import Failed, Published, SubscriptionRefreshed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions import subscribing
from wsrelay.core.sessions.effects import (
    CheckChannelToken,
    ConfirmRefresh,
    Effect,
    ExpireAt,
    LookUp,
    PublishMessage,
    Reauthenticate,
    SendReply,
)
from wsrelay.core.sessions.ending import close
from wsrelay.core.sessions.session_data import SessionData, with_grace

__all__ = [
    "expires",
    "publish_failed",
    "published",
    "received",
    "refresh_failed",
    "refreshed",
    "subscription_refreshed",
]


def received(data: SessionData, command: Command) -> list[Effect]:
    """Carry a command out."""
    if isinstance(command, Publish):
        return _publish(data, command)
    if isinstance(command, Subscribe):
        return subscribing.subscribe(data, command)
    if isinstance(command, Unsubscribe):
        return subscribing.unsubscribe(data, command)
    if isinstance(command, ReadHistory | ReadPresence):
        return _look_up(data, command)
    if isinstance(command, Refresh):
        return [Reauthenticate(command.id, command.token)]
    if isinstance(command, RefreshSubscription):
        return _refresh_subscription(data, command)
    if isinstance(command, Unsupported):
        return _fail_or_close(data, command.id, command.error, Disconnect.NOT_SUPPORTED)
    # It has connected already; a pong needs nothing.
    return close(data, Disconnect.BAD_REQUEST) if isinstance(command, Connect) else []


def _fail_or_close(data: SessionData, command_id: int, error: ClientError, disconnect: Disconnect) -> list[Effect]:
    # A command without an id has no reply.
    return [SendReply(Failed(command_id, error))] if command_id else close(data, disconnect)


# Publishing


def published(_data: SessionData, command_id: int) -> list[Effect]:
    """Take the success of `PublishMessage`."""
    return [SendReply(Published(command_id))] if command_id else []


def publish_failed(data: SessionData, command_id: int, error: ClientError, disconnect: Disconnect) -> list[Effect]:
    """Take the failure of `PublishMessage`."""
    return _fail_or_close(data, command_id, error, disconnect)


def _publish(data: SessionData, command: Publish) -> list[Effect]:
    channel = command.channel
    if channel is None:
        # The raw dialect's one channel; a client that named none means nothing by it.
        channel = data.settled[0] if data.settled else next(iter(data.subscriptions), "")
    error = check_publish(data.namespaces, data.identity, channel)
    if data.acceptance.has_commands and not data.is_subscribed(channel):
        # As in the raw dialect: the right to publish comes on top of the one to subscribe, and the application has been
        # asked about the channel where it is asked at all.
        error = ClientError.PUBLISH_DENIED
    if error is None:
        return [PublishMessage(command.id, channel, command.data)]
    return _fail_or_close(data, command.id, error, error.disconnect)


# Lookups


def _look_up(data: SessionData, command: ReadHistory | ReadPresence) -> list[Effect]:
    check = check_read_history if isinstance(command, ReadHistory) else check_read_presence
    channel = command.channel
    # Who gets what is published may ask for what is kept, by the same right and as long as it has it.
    error = check(data.namespaces, data.identity, channel, is_granted=data.is_granted(channel))
    return [LookUp(command)] if error is None else [SendReply(Failed(command.id, error))]


# Refreshes


def refreshed(data: SessionData, command_id: int, identity: Identity) -> list[Effect]:
    """Take the identity by a new token."""
    data.identity = identity
    return [ConfirmRefresh(command_id), ExpireAt(with_grace(identity.expires))]


def expires(data: SessionData, at: float | None, info: bytes) -> list[Effect]:
    """Take another end of the client's credential, and another info, because the application wants it."""
    identity = data.identity
    # Where the application was asked, this takes the place of the end in its answer, which new tokens do not move.
    answer = replace(identity.answer, expires=at)
    data.identity = replace(identity, expires=at, info=info or identity.info, answer=answer)
    if not data.acceptance.has_commands:
        # It has no way to show a new credential in time.
        return [ExpireAt(at)]
    # One that is still connecting is told with the reply to its connect.
    confirmed: list[Effect] = [ConfirmRefresh(0)] if data.is_connected else []
    return [*confirmed, ExpireAt(with_grace(at))]


def subscription_refreshed(_data: SessionData, command_id: int, expires_seconds: int | None) -> list[Effect]:
    """Take the success of `CheckChannelToken`."""
    return [SendReply(SubscriptionRefreshed(command_id, expires_seconds))]


def refresh_failed(data: SessionData, command_id: int, error: ClientError) -> list[Effect]:
    """Take the failure of `Reauthenticate` or `CheckChannelToken`."""
    has_reply = error.is_temporary or error is ClientError.REFRESH_EXPIRED
    return [SendReply(Failed(command_id, error))] if has_reply else close(data, error.disconnect)


def _refresh_subscription(data: SessionData, command: RefreshSubscription) -> list[Effect]:
    if not data.is_subscribed(command.channel):
        return [SendReply(Failed(command.id, ClientError.SUBSCRIBE_DENIED))]
    return [CheckChannelToken(command.id, command.channel, command.token)]
