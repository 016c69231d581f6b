"""The clients that are subscribed to a channel, on all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.engine.operations.arguments import find_namespace

__all__ = ["Member", "Members", "PresenceCounts", "PresenceOperations", "PresenceReader"]


class Member(Protocol):
    """A client that is subscribed to a channel."""

    @property
    def client(self) -> str:
        """The id of its connection."""

    @property
    def user(self) -> str:
        """Its user. Empty for an anonymous client."""


class Members(Protocol):
    """The clients that are subscribed to a channel."""

    @property
    def members(self) -> Sequence[Member]:
        """The clients, or the first of them where there are very many."""


class PresenceCounts(Protocol):
    """How many are subscribed to a channel."""

    @property
    def clients(self) -> int:
        """The number of connections."""

    @property
    def users(self) -> int:
        """The number of different users among them; all anonymous clients count as one."""


class PresenceReader(Protocol):
    """The part of a broker that reads who is subscribed."""

    def presence(self, channel: str) -> Deferred[Any]:
        """Look up the clients of a channel.

        Returns:
            Fires with `Members`, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They cannot be looked up now.
        """

    def presence_stats(self, channel: str) -> Deferred[Any]:
        """Look up how many clients a channel has.

        Returns:
            Fires with `PresenceCounts`, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They cannot be looked up now.
        """


class PresenceOperations:
    """Reads who is subscribed, where the namespace keeps that.

    Args:
        reader: Reads it. If None, the broker keeps nothing of it.
        namespaces: The channels that exist.
    """

    def __init__(self, reader: PresenceReader | None, namespaces: Namespaces) -> None:
        self._reader = reader
        self._namespaces = namespaces

    def members(self, channel: str) -> Deferred[Sequence[Member]]:
        """Return the clients of a channel.

        Returns:
            Fires with them, within the broker's bounded time.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel, or its presence is not kept.
            BrokerUnavailable: (Failure of the Deferred.) They cannot be read now.
        """
        return Deferred.fromCoroutine(self._members(channel))

    def counts(self, channel: str) -> Deferred[PresenceCounts]:
        """Count the clients of a channel.

        Returns:
            Fires with their numbers, within the broker's bounded time.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel, or its presence is not kept.
            BrokerUnavailable: (Failure of the Deferred.) They cannot be counted now.
        """
        return Deferred.fromCoroutine(self._counts(channel))

    async def _members(self, channel: str) -> Sequence[Member]:
        members: Members = await self._reader_of(channel).presence(channel)
        return members.members

    async def _counts(self, channel: str) -> PresenceCounts:
        counts: PresenceCounts = await self._reader_of(channel).presence_stats(channel)
        return counts

    def _reader_of(self, channel: str) -> PresenceReader:
        if not find_namespace(self._namespaces, channel).presence or self._reader is None:
            raise RejectedError(ClientError.NOT_SUPPORTED)
        return self._reader
