"""The rules of a session about the subscriptions of a connected client."""

from __future__ import annotations

from wsrelay.core.access.permissions import check_newest, check_subscribe
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import Subscribe, Unsubscribe
from wsrelay.core.messaging.replies import Failed, Unsubscribed
from wsrelay.core.messaging.subscription_start import SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.effects import DeliverEvents, Effect, SendReply
from wsrelay.core.sessions.ending import close
from wsrelay.core.sessions.session_data import MAX_CHANNELS, SessionData
from wsrelay.core.sessions.subscription import Subscription

__all__ = [
    "gap",
    "subscribe",
    "subscribe_by_server",
    "subscribe_failed",
    "subscribed",
    "subscription_expired",
    "unsubscribe",
    "unsubscribed",
]


def subscribe(data: SessionData, command: Subscribe) -> list[Effect]:
    """Begin to subscribe because the client asks for it."""
    is_granted = bool(command.token)
    error = check_subscribe(data.namespaces, data.identity, command.channel, is_granted=is_granted)
    error = error or check_newest(data.namespaces, data.identity, command)
    if command.channel in data.subscriptions:
        error = ClientError.ALREADY_SUBSCRIBED
    elif len(data.subscriptions) >= MAX_CHANNELS:
        error = ClientError.TOO_MANY_CHANNELS
    if error is not None:
        return [SendReply(Failed(command.id, error))]
    return _add(data, Subscription(command, is_granted=is_granted))


def subscribe_by_server(data: SessionData, subscription: ServerSubscription, since: str | None) -> list[Effect]:
    """Begin to subscribe because the application wants it."""
    channel = subscription.channel
    is_possible = (
        data.acceptance.has_commands
        and channel not in data.subscriptions
        and len(data.subscriptions) < MAX_CHANNELS
        and data.namespaces.rule(channel) is not None
    )
    if not is_possible:
        return []
    return _add(data, Subscription.unasked(channel, since, is_initial=True, is_granted=True))


def subscribed(data: SessionData, channel: str, start: SubscriptionStart, terms: SubscriptionTerms) -> list[Effect]:
    """Take the confirmation of a channel."""
    subscription = data.subscriptions.get(channel)
    if subscription is None:
        return []
    effects = subscription.subscribed(start, terms)
    if subscription.is_ended:
        return _without_ended(data, channel, effects)
    if effects and subscription.is_server_side and start.publications and data.is_connected:
        # The push that tells of the subscription has no room for them.
        effects = [*effects, DeliverEvents(channel, start.publications)]
    return effects


def subscribe_failed(data: SessionData, channel: str, error: ClientError) -> list[Effect]:
    """Take the failure of a channel."""
    subscription = data.subscriptions.get(channel)
    if subscription is None:
        return []
    effects = _without_ended(data, channel, subscription.failed(error))
    if effects and error.ends_connection:
        return [*(each for each in effects if not isinstance(each, SendReply)), *close(data, error.disconnect)]
    return effects


def unsubscribe(data: SessionData, command: Unsubscribe) -> list[Effect]:
    """End a subscription because the client asks for it. One that there is not has ended already."""
    subscription = data.subscriptions.pop(command.channel, None)
    return [SendReply(Unsubscribed(command.id))] if subscription is None else subscription.unsubscribe(command.id)


def unsubscribed(data: SessionData, channel: str) -> list[Effect]:
    """End a subscription because the application wants it ended."""
    if not data.acceptance.has_commands:
        return close(data, Disconnect.REVOKED) if channel in data.settled else []
    subscription = data.subscriptions.get(channel)
    if subscription is not None and not subscription.is_subscribed:
        # What has permitted it is from before. A client that asked may try again, and is permitted anew then, or not.
        return subscribe_failed(data, channel, ClientError.NOT_AVAILABLE)
    return _end(data, channel, Disconnect.REVOKED)


def gap(data: SessionData, channel: str) -> list[Effect]:
    """End what may have missed messages, so that the client begins anew."""
    if not data.acceptance.has_commands:
        return close(data, Disconnect.GAP)
    return _end(data, channel, Disconnect.GAP)


def subscription_expired(data: SessionData, channel: str) -> list[Effect]:
    """End a subscription whose time is over."""
    return _end(data, channel, Disconnect.CREDENTIAL_EXPIRED)


def _add(data: SessionData, subscription: Subscription) -> list[Effect]:
    # The first one needs a dictionary of this session's own.
    data.subscriptions = data.subscriptions or {}
    data.subscriptions[subscription.command.channel] = subscription
    return subscription.subscribe()


def _end(data: SessionData, channel: str, disconnect: Disconnect) -> list[Effect]:
    subscription = data.subscriptions.get(channel)
    if subscription is not None and subscription.is_server_side and disconnect is Disconnect.GAP:
        # An SDK does not subscribe again where it has not subscribed.
        return close(data, disconnect)
    return [] if subscription is None else _without_ended(data, channel, subscription.end(disconnect))


def _without_ended(data: SessionData, channel: str, effects: list[Effect]) -> list[Effect]:
    # A subscription that the input does not end, because it is late, stays and is released with the connection.
    if effects:
        del data.subscriptions[channel]
    return effects
