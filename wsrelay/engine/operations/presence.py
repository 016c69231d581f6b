"""The clients that are subscribed to a channel, on all processes."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.presence.member import Members, PresenceStats
from wsrelay.engine.operations.arguments import find_namespace
from wsrelay.interfaces import IBroker, IPresence

__all__ = ["PresenceOperations"]


class PresenceOperations:
    """Reads who is subscribed, where the namespace keeps that.

    Args:
        broker: Keeps it.
        namespaces: The channels that exist.
    """

    def __init__(self, broker: IBroker, namespaces: Namespaces) -> None:
        self._broker = broker
        self._namespaces = namespaces

    def members(self, channel: str) -> Deferred[Members]:
        """Look up the clients of a channel.

        Returns:
            Fires with them, within the broker's bounded time: with some of them if there are too many.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel, or its presence is not kept.
            BrokerUnavailable: (Failure of the Deferred.) They cannot be looked up now.
        """
        return Deferred.fromCoroutine(self._members(channel))

    def stats(self, channel: str) -> Deferred[PresenceStats]:
        """Look up how many clients a channel has.

        Returns:
            Fires with their numbers, within the broker's bounded time.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel, or its presence is not kept.
            BrokerUnavailable: (Failure of the Deferred.) They cannot be looked up now.
        """
        return Deferred.fromCoroutine(self._stats(channel))

    async def _members(self, channel: str) -> Members:
        members: Members = await self._presence(channel).presence(channel)
        return members

    async def _stats(self, channel: str) -> PresenceStats:
        stats: PresenceStats = await self._presence(channel).presence_stats(channel)
        return stats

    def _presence(self, channel: str) -> IPresence:
        presence: IPresence | None = self._broker.presence
        if not find_namespace(self._namespaces, channel).presence or presence is None:
            raise RejectedError(ClientError.NOT_SUPPORTED)
        return presence
