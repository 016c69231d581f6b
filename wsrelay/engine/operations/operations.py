"""The operations that the application may ask for.

They act through the broker, so that they reach every process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.client_commands import RefreshCommand, SubscribeCommand
from wsrelay.core.messaging.control import MAX_CONTROL_BYTES, DisconnectCommand
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.messaging.user_commands import DisconnectUserCommand, UnsubscribeCommand
from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.engine.inflow import Inflow
from wsrelay.engine.operations.arguments import check_seconds, find_namespace
from wsrelay.engine.operations.history import HistoryOperations
from wsrelay.engine.operations.presence import PresenceOperations
from wsrelay.engine.operations.processes import ProcessOperations
from wsrelay.engine.operations.switch import SwitchOperations
from wsrelay.engine.operations.tickets import DEFAULT_TICKET_SECONDS, create_ticket
from wsrelay.engine.publishing import Publisher
from wsrelay.engine.survey import Survey
from wsrelay.interfaces import IBroker

__all__ = ["MAX_IDEMPOTENCY_KEY_CHARACTERS", "MAX_REVOKE_SECONDS", "Operations"]

MAX_REVOKE_SECONDS = 30 * 86400

MAX_IDEMPOTENCY_KEY_CHARACTERS = 128
"""The longest idempotency key. A UUID has 36."""


class Operations:
    """Operations on all processes that share a broker.

    Every operation but `publish` and `broadcast` ends within the broker's bounded time; those wait for room before, and
    can be cancelled meanwhile. An argument that cannot be used is rejected before anything
    is done.

    Args:
        broker: Carries out the operations.
        namespaces: The channels that exist.
        now: Returns the wall clock time in seconds since the epoch, which the claim `exp` refers to.
        survey: Asks all processes.
        inflow: Says when messages may be published: a caller that floods waits as clients do.

    Attributes:
        history: What channels keep.
        presence: Who is subscribed.
        processes: What the processes have.
        switch: Websockets off and on.
    """

    def __init__(
        self,
        broker: IBroker,
        namespaces: Namespaces,
        now: Callable[[], float],
        survey: Survey,
        inflow: Inflow,
    ) -> None:
        self._inflow = inflow
        self._broker = broker
        self._namespaces = namespaces
        self._publisher = Publisher(broker, namespaces)
        self._now = now
        self.history = HistoryOperations(broker, namespaces)
        self.presence = PresenceOperations(broker, namespaces)
        self.processes = ProcessOperations(survey)
        self.switch = SwitchOperations(broker)

    def publish(
        self, channel: str, data: bytes, idempotency_key: str = "", *, skip_history: bool = False, tags: bytes = b""
    ) -> Deferred[PublishResult]:
        """Publish a message, also to a channel that clients may not publish to.

        Args:
            channel: The channel's name.
            data: The message, which is delivered byte for byte.
            idempotency_key: See `Publisher.publish`; at most `MAX_IDEMPOTENCY_KEY_CHARACTERS`.
            skip_history: See `Publisher.publish`.
            tags: See `Publisher.publish` and `write_tags`.

        Returns:
            Fires with the `PublishResult` when the broker has taken the message.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            ClaimError: (Failure of the Deferred.) The idempotency key cannot be used.
            RejectedError: (Failure of the Deferred.) No namespace has this channel.
            IdempotencyUnavailable: (Failure of the Deferred.) The promise of the key cannot be kept.
            BrokerFull: (Failure of the Deferred.) Redis takes no more data.
            BrokerUnavailable: (Failure of the Deferred.) The message was not taken, or that cannot be known.
        """
        return Deferred.fromCoroutine(
            self._publish(channel, data, idempotency_key, skip_history=skip_history, tags=tags)
        )

    def broadcast(
        self,
        channels: Sequence[str],
        data: bytes,
        idempotency_key: str = "",
        *,
        skip_history: bool = False,
        tags: bytes = b"",
    ) -> Deferred[list[PublishResult | Failure]]:
        """Publish a message to several channels, at the same time.

        Args:
            channels: Their names.
            data: The message.
            idempotency_key: As for `publish`, for each channel by itself.
            skip_history: As for `publish`.
            tags: As for `publish`.

        Returns:
            Fires with the outcome for each channel, in their order: the result, or the failure of `publish`.
        """
        return Deferred.fromCoroutine(
            self._broadcast(channels, data, idempotency_key, skip_history=skip_history, tags=tags)
        )

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
        return Deferred.fromCoroutine(create_ticket(self._broker.credentials, self._now, claims, seconds))

    def disconnect(self, command: DisconnectCommand | DisconnectUserCommand, revoke_seconds: int = 0) -> Deferred[None]:
        """Close connections on all processes.

        Args:
            command: The connections, and the reason that their clients get. A ticket is deleted as well.
            revoke_seconds: The time during which the target is not accepted again, up to `MAX_REVOKE_SECONDS`; of some
                connections of a user, their client or else their user; a session cannot be revoked. If 0, it is not.

        Returns:
            Fires with None when the broker has taken the command. The connections are closed soon after.

        Raises:
            ClaimError: (Failure of the Deferred.) The time is out of range, or the command is too long or contradicts
                itself.
            BrokerUnavailable: (Failure of the Deferred.) The target may be revoked, and connections may be open.
        """
        return Deferred.fromCoroutine(self._disconnect(command, revoke_seconds))

    def unsubscribe(self, command: UnsubscribeCommand) -> Deferred[None]:
        """End subscriptions on all processes. Clients in a dialect without commands are disconnected.

        Args:
            command: The subscriptions.

        Returns:
            Fires with None when the broker has taken the command. The subscriptions end soon after.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) Subscriptions may have ended, or not.
        """
        return Deferred.fromCoroutine(self._unsubscribe(command))

    def subscribe(self, command: SubscribeCommand) -> Deferred[None]:
        """Subscribe clients to a channel on all processes, whatever they may subscribe to themselves.

        Args:
            command: The clients, and the channel.

        Returns:
            Fires with None when the broker has taken the command. The clients are subscribed soon after.

        Raises:
            RejectedError: (Failure of the Deferred.) No namespace has this channel.
            BrokerUnavailable: (Failure of the Deferred.) Clients may have been subscribed, or not.
        """
        return Deferred.fromCoroutine(self._subscribe(command))

    def refresh(self, command: RefreshCommand) -> Deferred[None]:
        """Move the end of what clients on all processes may do.

        Args:
            command: The clients, and the end.

        Returns:
            Fires with None when the broker has taken the command. It has its effect soon after.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It may have had its effect, or not.
        """
        return Deferred.fromCoroutine(self._refresh(command))

    async def _publish(self, channel: str, data: bytes, key: str, *, skip_history: bool, tags: bytes) -> PublishResult:
        check_channel(channel)
        if len(key) > MAX_IDEMPOTENCY_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
            raise ClaimError(
                f"an idempotency key has at most {MAX_IDEMPOTENCY_KEY_CHARACTERS} printable ASCII characters"
            )
        if self._inflow.is_closed:
            await self._inflow.opened()
        return await self._publisher.publish(channel, data, key, skip_history=skip_history, tags=tags)

    async def _broadcast(
        self, channels: Sequence[str], data: bytes, key: str, *, skip_history: bool, tags: bytes
    ) -> list[PublishResult | Failure]:
        begun = [self.publish(each, data, key, skip_history=skip_history, tags=tags) for each in channels]
        # All are begun before any is waited for. A failure is an outcome like any other.
        outcomes = await DeferredList(begun, consumeErrors=True)
        return [outcome for _is_success, outcome in outcomes]

    async def _unsubscribe(self, command: UnsubscribeCommand) -> None:
        await self._broker.send_control(command.to_bytes())

    async def _subscribe(self, command: SubscribeCommand) -> None:
        find_namespace(self._namespaces, command.subscription.channel)
        await self._broker.send_control(command.to_bytes())

    async def _refresh(self, command: RefreshCommand) -> None:
        await self._broker.send_control(command.to_bytes())

    async def _disconnect(self, command: DisconnectCommand | DisconnectUserCommand, revoke_seconds: int) -> None:
        check_seconds("revoke_seconds", revoke_seconds, 0, MAX_REVOKE_SECONDS)
        payload = command.to_bytes()
        if len(payload) > MAX_CONTROL_BYTES:
            raise ClaimError(f"the command has more than {MAX_CONTROL_BYTES} bytes as a control message")
        if isinstance(command, DisconnectUserCommand) and command.spared and revoke_seconds:
            raise ClaimError("connections cannot be spared of a user that is revoked")
        if isinstance(command, DisconnectUserCommand) and command.session and revoke_seconds:
            raise ClaimError("a session cannot be revoked: name the client, or the user alone")
        kind, _, value = command.target.partition(":")
        # Revocation first: a client that is closed before it could reconnect in between.
        if kind == "ticket":
            await self._broker.credentials.delete(value)
        if revoke_seconds:
            await self._broker.credentials.revoke(command.target, revoke_seconds)
        await self._broker.send_control(payload)
