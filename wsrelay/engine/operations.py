"""The operations that the application may ask for. The HTTP API, the control channel and the command line share them.

They act through the broker, so that they reach every process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Any

from twisted.internet.defer import Deferred

from wsrelay.core.access.ticket_claims import MAX_DOCUMENT_BYTES, check_ticket
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.control import DisconnectCommand
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError
from wsrelay.engine.publishing import Publisher
from wsrelay.interfaces import IBroker

__all__ = ["DEFAULT_TICKET_SECONDS", "MAX_REVOKE_SECONDS", "MAX_TICKET_SECONDS", "Operations"]

DEFAULT_TICKET_SECONDS = 30
MAX_TICKET_SECONDS = 3600
MAX_REVOKE_SECONDS = 30 * 86400

TICKET_BYTES = 24
"""The randomness of a ticket."""

_TICKET_CLAIMS = ("sub", "channels", "publish", "ip", "exp")


class Operations:
    """Operations on all processes that share a broker.

    Every operation ends within the broker's bounded time. An argument that cannot be used is rejected before anything
    is done.

    Args:
        broker: Carries out the operations.
        namespaces: The channels that exist.
        now: Returns the wall clock time in seconds since the epoch, which the claim `exp` refers to.
    """

    def __init__(self, broker: IBroker, namespaces: Namespaces, now: Callable[[], float]) -> None:
        self._broker = broker
        self._publisher = Publisher(broker, namespaces)
        self._now = now

    def publish(self, channel: str, data: bytes) -> Deferred[PublishResult]:
        """Publish a message, also to a channel that clients may not publish to.

        Args:
            channel: The channel's name.
            data: The message, which is delivered byte for byte.

        Returns:
            Fires with the `PublishResult` when the broker has taken the message.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel.
            BrokerUnavailable: (Failure of the Deferred.) The message was not taken, or that cannot be known.
        """
        return Deferred.fromCoroutine(self._publish(channel, data))

    def create_ticket(self, claims: Mapping[str, Any], seconds: int = DEFAULT_TICKET_SECONDS) -> Deferred[str]:
        """Create a ticket, which authenticates one client once.

        Args:
            claims: The claims `sub`, `channels`, `publish`, `ip` and `exp`, each of them optional.
            seconds: The ticket's lifetime, from 1 to `MAX_TICKET_SECONDS`.

        Returns:
            Fires with the ticket.

        Raises:
            ClaimError: (Failure of the Deferred.) A claim or the lifetime cannot be used; the text names it.
            BrokerUnavailable: (Failure of the Deferred.) The ticket cannot be stored now.
        """
        return Deferred.fromCoroutine(self._create_ticket(claims, seconds))

    def disconnect(self, command: DisconnectCommand, revoke_seconds: int = 0) -> Deferred[None]:
        """Close connections on all processes.

        Args:
            command: The connections, and the reason that their clients get. A ticket is deleted as well.
            revoke_seconds: The time during which the target is not accepted again, up to `MAX_REVOKE_SECONDS`. If 0,
                it is not revoked.

        Returns:
            Fires with None when the broker has taken the command. The connections are closed soon after.

        Raises:
            ClaimError: (Failure of the Deferred.) The time is out of range.
            BrokerUnavailable: (Failure of the Deferred.) The target may be revoked, and connections may be open.
        """
        return Deferred.fromCoroutine(self._disconnect(command, revoke_seconds))

    async def _publish(self, channel: str, data: bytes) -> PublishResult:
        return await self._publisher.publish(check_channel(channel), data)

    async def _create_ticket(self, claims: Mapping[str, Any], seconds: int) -> str:
        _check_seconds("seconds", seconds, 1, MAX_TICKET_SECONDS)
        if unknown := sorted(set(claims) - set(_TICKET_CLAIMS)):
            raise ClaimError(
                f"{unknown[0][:40]} is not a claim of a ticket; these are: {', '.join(_TICKET_CLAIMS)}, and seconds"
            )
        identity = check_ticket(dict(claims))
        if identity.expires is not None and identity.expires <= self._now():
            raise ClaimError("exp is in the past")
        document = json.dumps(dict(claims)).encode()
        if len(document) > MAX_DOCUMENT_BYTES:
            raise ClaimError(f"the claims of a ticket are limited to {MAX_DOCUMENT_BYTES} bytes of JSON")
        ticket = token_urlsafe(TICKET_BYTES)
        if not await self._broker.credentials.create(ticket, document, seconds):
            raise BrokerUnavailable("a ticket of this name exists")
        return ticket

    async def _disconnect(self, command: DisconnectCommand, revoke_seconds: int) -> None:
        _check_seconds("revoke_seconds", revoke_seconds, 0, MAX_REVOKE_SECONDS)
        kind, _, value = command.target.partition(":")
        # Revocation first: a client that is closed before it could reconnect in between.
        if kind == "ticket":
            await self._broker.credentials.delete(value)
        if revoke_seconds:
            await self._broker.credentials.revoke(command.target, revoke_seconds)
        await self._broker.send_control(command.to_bytes())


def _check_seconds(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ClaimError(f"{name} must be a whole number from {least} to {most}")
