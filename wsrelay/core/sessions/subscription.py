"""One client on one channel, as a state machine.

The session of the client feeds it and puts its effects among its own. An initial subscription, which the handshake
names, has no reply of its own: its outcome is that of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar

from wsrelay.core.messaging.commands import Subscribe
from wsrelay.core.messaging.replies import Failed, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionStart, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.effects import Effect, SendReply, SubscribeChannel, UnsubscribeChannel

__all__ = ["Subscription", "SubscriptionState"]


class SubscriptionState(StrEnum):
    """The states of a subscription.

    Attributes:
        REQUESTED: Nothing has been done yet: the client is still to be authenticated.
        SUBSCRIBING: The broker is asked, and before it perhaps the application.
        SUBSCRIBED: What is published reaches the client.
        PUBLISHING: The client only publishes, and is subscribed to nothing.
        ENDED: Nothing is owed any more.
    """

    REQUESTED = "requested"
    SUBSCRIBING = "subscribing"
    SUBSCRIBED = "subscribed"
    PUBLISHING = "publishing"
    ENDED = "ended"


@lru_cache(maxsize=4096)
def _settled(channel: str) -> Subscribe:
    """Return what is left of a command that has been carried out, shared by all clients on the channel."""
    return Subscribe(0, channel)


class Subscription:
    """The state of one client on one channel.

    Args:
        command: What the client asked.
        is_initial: Whether the application has been asked about it, if it is at all.
        is_server_side: Whether the client is subscribed without having asked, or with its connect.
        is_granted: Whether the client, once it is subscribed, has been permitted this channel by its name; see
            `wsrelay.core.access.permissions.check_subscribe`. What it wishes with its connect is no grant.

    Attributes:
        command: The command that asks for it.
        is_server_side: See above.
        state: The state.
    """

    __slots__ = ("_is_granted", "_is_initial", "command", "is_server_side", "state")

    def __init__(
        self, command: Subscribe, *, is_initial: bool = False, is_server_side: bool = False, is_granted: bool = False
    ) -> None:
        self.command = command
        self._is_initial = is_initial
        self._is_granted = is_granted
        self.is_server_side = is_server_side
        self.state = SubscriptionState.REQUESTED

    @classmethod
    def unasked(cls, channel: str, since: str | None, *, is_initial: bool, is_granted: bool) -> Subscription:
        """Return a subscription that the server makes: with the connect, or because the application wants it.

        Args:
            channel: The channel's name.
            since: The position to resume from. If None, the client does not resume.
            is_initial: See the class.
            is_granted: See the class.
        """
        return cls(Subscribe(0, channel, since), is_initial=is_initial, is_server_side=True, is_granted=is_granted)

    @property
    def is_ended(self) -> bool:
        """True if nothing is owed any more."""
        return self.state is SubscriptionState.ENDED

    @property
    def is_subscribed(self) -> bool:
        """True if what is published reaches the client."""
        return self.state is SubscriptionState.SUBSCRIBED

    @property
    def grants(self) -> bool:
        """True if the client is subscribed, and an issuer permits it this channel by its name.

        Not before that: a subscription token is checked on the way.
        """
        return self._is_granted and self.is_subscribed

    def subscribe(self) -> list[Effect]:
        """Begin to subscribe. A client that only publishes is done with it at once."""
        return self._step("publish_only" if self.command.only_publishes else "subscribe")

    def subscribed(self, start: SubscriptionStart, terms: SubscriptionTerms = NO_TERMS) -> list[Effect]:
        """Take the confirmation.

        Args:
            start: Where the channel stands, and what the client gets first.
            terms: How long it lasts, and what the client is told.
        """
        if self.command.must_recover and not start.recovered:
            return self._step("failed", ClientError.UNRECOVERABLE)
        effects = self._step("subscribed", start, terms)
        if self.is_subscribed:
            self.command = _settled(self.command.channel)
        return effects

    def confirm(self) -> bool:
        """Take the confirmation where the client is told in another way than by a reply.

        Returns:
            True if it was waited for.
        """
        is_expected = self.state is SubscriptionState.SUBSCRIBING
        if is_expected:
            self.state = SubscriptionState.SUBSCRIBED
            self.command = _settled(self.command.channel)
        return is_expected

    def failed(self, error: ClientError) -> list[Effect]:
        """Take the failure of what was begun."""
        return self._step("failed", error)

    def unsubscribe(self, command_id: int) -> list[Effect]:
        """End the subscription because the client asked for it."""
        return self._step("unsubscribe", command_id)

    def end(self, disconnect: Disconnect) -> list[Effect]:
        """End the subscription from this side, and tell the client why.

        One that is still being subscribed goes on: the client has been promised nothing yet.
        """
        return self._step("end", disconnect)

    def release(self) -> list[Effect]:
        """End the subscription with its connection."""
        return self._step("release")

    def _step(self, name: str, *arguments: object) -> list[Effect]:
        found = self._TABLE[self.state].get(name)
        if found is None:
            return []
        self.state, output = found
        return output(self, *arguments)

    # Outputs

    def _subscribe_channel(self) -> list[Effect]:
        command = self.command
        return [SubscribeChannel(command.channel, self._is_initial, command.since, command.newest, command.token)]

    def _report_subscribed(self, start: SubscriptionStart, terms: SubscriptionTerms) -> list[Effect]:
        command = self.command
        reply = Subscribed(
            command.id, command.channel, start.position, command.since, start.recovered, start.publications, terms
        )
        return [SendReply(reply)]

    def _report_failed(self, error: ClientError) -> list[Effect]:
        # A client that has not asked is told nothing.
        replies = [] if self.is_server_side else [SendReply(Failed(self.command.id, error))]
        return [*self._unsubscribe_channel(), *replies]

    def _report_given_up(self, command_id: int) -> list[Effect]:
        # Every command has its reply: an SDK that waits for one in vain reconnects. It is a temporary failure, because
        # a client that subscribes once more meanwhile takes it for the answer to that, and then tries again.
        failed = SendReply(Failed(self.command.id, ClientError.NOT_AVAILABLE))
        return [*self._unsubscribe_channel(), failed, SendReply(Unsubscribed(command_id))]

    def _report_unsubscribed(self, command_id: int) -> list[Effect]:
        return [*self._unsubscribe_channel(), SendReply(Unsubscribed(command_id))]

    def _report_end(self, disconnect: Disconnect) -> list[Effect]:
        return [*self._unsubscribe_channel(), SendReply(SubscriptionEnded(self.command.channel, disconnect))]

    def _unsubscribe_channel(self) -> list[Effect]:
        return [UnsubscribeChannel(self.command.channel)]

    def _nothing(self) -> list[Effect]:
        return []

    # The machine: for each state and input the next state and the output. What is not here changes nothing.
    _TABLE: ClassVar[dict[SubscriptionState, dict[str, tuple[SubscriptionState, Callable[..., list[Effect]]]]]] = {
        SubscriptionState.REQUESTED: {
            "subscribe": (SubscriptionState.SUBSCRIBING, _subscribe_channel),
            "publish_only": (SubscriptionState.PUBLISHING, _nothing),
            "release": (SubscriptionState.ENDED, _nothing),
        },
        SubscriptionState.SUBSCRIBING: {
            "subscribed": (SubscriptionState.SUBSCRIBED, _report_subscribed),
            "failed": (SubscriptionState.ENDED, _report_failed),
            "unsubscribe": (SubscriptionState.ENDED, _report_given_up),
            "release": (SubscriptionState.ENDED, _unsubscribe_channel),
        },
        SubscriptionState.SUBSCRIBED: {
            "unsubscribe": (SubscriptionState.ENDED, _report_unsubscribed),
            "end": (SubscriptionState.ENDED, _report_end),
            "release": (SubscriptionState.ENDED, _unsubscribe_channel),
        },
        SubscriptionState.PUBLISHING: {
            "release": (SubscriptionState.ENDED, _nothing),
        },
        SubscriptionState.ENDED: {},
    }
