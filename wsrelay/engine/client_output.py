"""The way out of one client: its subscriptions, and what is sent to it in its dialect."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from wsrelay.core.messaging.commands import Command
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.publications import ChannelEvent
from wsrelay.core.messaging.replies import Failed, Reply
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionStart
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.member import Member
from wsrelay.core.sessions.effects import SubscribeChannel
from wsrelay.core.sessions.session import Session
from wsrelay.engine.channel_access import ChannelAccess
from wsrelay.engine.client_services import ClientServices, Connection, SessionDriver
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.held_writer import HeldWriter
from wsrelay.engine.topic import Subscriber

__all__ = ["ClientOutput"]


class ClientOutput(SessionDriver):
    """Subscribes one client, and sends to it. A base of the client and not a part: connections have one object less.

    Args:
        services: What it needs of its node.
        connection: Its transport.

    Attributes:
        services: The argument of that name.
        session: The client's state.
    """

    __slots__ = ("_access", "_connection", "_held", "_replies", "services", "session")

    services: ClientServices
    session: Session

    def __init__(self, services: ClientServices, connection: Connection) -> None:
        self.services = services
        self.session = Session(services.namespaces, connection.dialect.acceptance)
        self._connection = connection
        # The replies to the commands of one message, which are sent together. If None, each is sent at once.
        self._replies: list[Reply] | None = None
        # If None, it is subscribed to nothing without having asked.
        self._held: HeldWriter | None = None
        # If None, nothing but the rules of the namespaces decides on its channels.
        self._access: ChannelAccess | None = None

    def as_member(self, channel: str) -> Member:
        """See `SessionDriver.as_member`."""
        identity = self.session.identity
        info = b"" if self._access is None else self._access.info(channel)
        return Member(self.connection_id, identity.subject or "", identity.info, info)

    def update_presence(self, channels: Sequence[str]) -> None:
        """See `SessionDriver.update_presence`."""
        presence = self.services.presence
        if presence is not None:
            for channel in channels:
                presence.updated(self, channel, self.as_member(channel))

    # Sending

    @property
    def _subscriber(self) -> Subscriber:
        return self._connection.writer if self._held is None else self._held

    def _encoding(self, channel: str) -> Encoding:
        rule = self.services.namespaces.rule(channel)
        return self._connection.encoding(FrameType.AUTO if rule is None else rule.frames or FrameType.AUTO)

    def _send(self, reply: Reply) -> None:
        if isinstance(reply, Failed) and reply.error.disconnect is not Disconnect.BAD_REQUEST:
            self.services.rejections.record(reply.error, connection=self.connection_id)
        if self._replies is None:
            self._send_replies((reply,))
        else:
            self._replies.append(reply)

    def _send_collected(self) -> None:
        if self._replies:
            replies, self._replies = self._replies, []
            self._send_replies(replies)

    def _send_replies(self, replies: Sequence[Reply]) -> None:
        connection = self._connection
        messages = connection.dialect.reply(replies)
        if messages:
            connection.writer.send(connection.encoding().frame(messages))

    def _deliver(self, channel: str, events: Sequence[ChannelEvent]) -> None:
        self._send_collected()
        if data := self._encoding(channel).encode(events):
            self._connection.writer.send(data)

    def _hold(self) -> None:
        """Hold back what is published on channels that the client does not know of yet."""
        if self._held is None:
            self._held = HeldWriter(self._connection.writer)

    def _release(self) -> None:
        """Send what was held back, behind the replies that tell of its channels."""
        if self._held is not None:
            self._send_collected()
            self._held.release()

    # Subscriptions

    @property
    def _channel_access(self) -> ChannelAccess:
        if self._access is None:
            self._access = ChannelAccess(self, self._subscribe, self._end_subscription)
        return self._access

    def _opened_at_once(self, commands: Sequence[Command]) -> bool:
        """Subscribe and accept a client in one step, if nobody has to be asked about it.

        What it does not do here is nothing in the end: `tests.engine.test_client_at_once` compares both ways.

        Args:
            commands: What the handshake of a client without a credential asks for.

        Returns:
            False if nothing was done.
        """
        session, services = self.session, self.services
        channel, presence = session.channel_at_once(commands), services.presence
        if channel is None or (presence is not None and presence.tracks(channel)):
            return False
        encoding = self._encoding(channel)
        if services.subscriptions.subscribe_at_once(self._connection.writer, channel, encoding) is None:
            return False
        try:
            self.perform(session.opened_at_once(channel))
        except Exception:  # noqa: BLE001 -- as in `_subscribe`
            self.failed(Failure())
        return True

    def _authorize_subscribe(self, effect: SubscribeChannel) -> None:
        if effect.is_initial or not (effect.token or self.services.authenticator.authorizes_subscribe):
            self._subscribe(effect)
        else:
            self._channel_access.request(effect)

    def _subscribe(self, effect: SubscribeChannel) -> None:
        channel = effect.channel
        if self._connection.dialect.acceptance.has_commands and not self.session.is_connected:
            self._hold()
        subscriptions, subscriber, encoding = self.services.subscriptions, self._subscriber, self._encoding(channel)
        start = subscriptions.subscribe_at_once(subscriber, channel, encoding, effect.since)
        if start is not None:
            # Most are: without a Deferred, which would be a tenth of a handshake.
            try:
                self._subscribed(start, channel)
            except Exception:  # noqa: BLE001 -- one that costs its own connection
                self.failed(Failure())
            return
        outcome = subscriptions.subscribe(subscriber, channel, encoding, effect.since, effect.newest)
        outcome.addCallback(self._subscribed, channel)
        outcome.addErrback(self._subscribe_failed, channel)
        outcome.addErrback(self.failed)

    def _subscribed(self, start: SubscriptionStart, channel: str) -> None:
        session, presence = self.session, self.services.presence
        if presence is not None and presence.tracks(channel) and channel in session.channels:
            # Before anything is performed that may end the connection, and with it the membership.
            presence.subscribed(self, channel, self.as_member(channel))
        terms = NO_TERMS if self._access is None else self._access.terms(channel)
        self.perform(session.subscribed(channel, start, terms))

    def _subscribe_failed(self, failure: Failure, channel: str) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        self._end_subscription(channel, ClientError.NOT_AVAILABLE)

    def _end_subscription(self, channel: str, error: ClientError) -> None:
        if self.session.is_connected or len(self.session.channels) < 2:
            self.perform(self.session.subscribe_failed(channel, error))
        else:
            # It may have failed at once, and ends the others with which the client connects: not before they are begun.
            self.services.clock.callLater(0, lambda: self.perform(self.session.subscribe_failed(channel, error)))

    def _unsubscribe(self, channel: str) -> None:
        if self.services.presence is not None:
            self.services.presence.unsubscribed(self, channel)
        if self._access is None or not self._access.withdraw(channel):
            self.services.subscriptions.unsubscribe(self._subscriber, channel)
