"""One connected client. Feeds events into its `Session` and performs the effects it returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import Command, ReadHistory, ReadPresence, Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import ChannelEvent
from wsrelay.core.messaging.replies import Connected, Failed, Refreshed, Reply, Subscribed
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionStart
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, HTTPError, ProtocolViolation, RejectedError
from wsrelay.core.presence.member import Member
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
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.session import CredentialSource, Session
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.channel_terms import ChannelTerms, seconds_left
from wsrelay.engine.client_services import ClientServices, Connection
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.held_writer import HeldWriter
from wsrelay.engine.lookups import ClientLookups
from wsrelay.engine.publish_queue import PublishQueue
from wsrelay.engine.subscribe_questions import SubscribeQuestions
from wsrelay.engine.timers import WheelTimer
from wsrelay.engine.topic import Subscriber
from wsrelay.interfaces import IDialect

__all__ = ["AUTHENTICATE_TIMEOUT_SECONDS", "CREDENTIAL_TIMEOUT_SECONDS", "Client"]

AUTHENTICATE_TIMEOUT_SECONDS = 15.0
"""How long it may take in all to authenticate a client; each step has a shorter deadline of its own."""

CREDENTIAL_TIMEOUT_SECONDS = 10.0
"""How long a client may take to send its credential as its first message."""

LONGEST_TIMER_SECONDS = 3600.0
"""A credential that expires later than this is looked at again then: the clock that it goes by may have been set."""


class Client:
    """One client. Implements `RegisteredClient` and `PendingClient`.

    Args:
        services: What it needs of its node.
        connection: Its transport.
    """

    log = Logger()

    __slots__ = (
        "_connection",
        "_connection_id",
        "_handshake",
        "_held",
        "_lookups",
        "_publish_queue",
        "_questions",
        "_replies",
        "_services",
        "_session",
        "_terms",
        "_timer",
    )

    def __init__(self, services: ClientServices, connection: Connection) -> None:
        self._services = services
        self._connection = connection
        self._session = Session(services.namespaces, connection.dialect.acceptance)
        # The opening request and the credential in it, until the client is authenticated or rejected.
        self._handshake: tuple[Handshake, Credential | None] | None = None
        # If None, the client is anonymous and cannot be disconnected by a target.
        self._connection_id: str | None = None
        # The one deadline it has: to send its credential, or the end of that.
        self._timer: WheelTimer | None = None
        self._publish_queue: PublishQueue | None = None
        # The replies to the commands of one message, which are sent together. If None, each is sent at once.
        self._replies: list[Reply] | None = None
        # If None, it has asked for nothing yet.
        self._lookups: ClientLookups | None = None
        # If None, it is subscribed to nothing without having asked.
        self._held: HeldWriter | None = None
        # If None, no token was shown for a channel.
        self._terms: ChannelTerms | None = None
        # If None, the application was never asked about a channel.
        self._questions: SubscribeQuestions | None = None

    @property
    def session(self) -> Session:
        """The client's state."""
        return self._session

    def open(self, handshake: Handshake) -> None:
        """Begin with the opening request: `accept` or `reject` of the connection is called, now or in bounded time."""
        authenticator = self._services.authenticator
        try:
            commands = self._dialect.open(handshake)
            credential = authenticator.find(handshake)
        except HTTPError as error:
            self._connection.reject(error.response)
            return
        except RejectedError as error:
            self._handshake = handshake, None
            self._reject(error.client_error, is_accepted=False)
            return
        if self._wants_compression(commands):
            self._connection.offer_compression()
        source = CredentialSource.NONE
        if credential is not None or authenticator.requires_authentication(handshake):
            source = CredentialSource.HANDSHAKE
        if credential is None and handshake.promises_credential:
            source = CredentialSource.FIRST_MESSAGE
        is_needed = source is not CredentialSource.NONE or self._dialect.acceptance.has_commands
        if is_needed:
            self._connection_id = handshake.connection
        self._handshake = handshake, credential
        self._perform(self._session.open(commands, source))
        if not is_needed:
            self._handshake = None
        if self._session.awaits_credential:
            self._await_credential()
            if (message := self._dialect.first_message(handshake)) is not None:
                self.received(message)

    def received(self, message: Message) -> None:
        """Take a message of the client."""
        self._services.counters.client_messages += 1
        try:
            commands = self._dialect.decode(message, is_connected=not self._session.awaits_credential)
        except ProtocolViolation as violation:
            self._perform(self._session.disconnect(violation.disconnect))
            return
        except RejectedError as error:
            self._perform(self._session.rejected(error.client_error))
            return
        # Many commands may stand in one frame: the rate of frames is meant for what clients ask.
        if len(commands) < 2 or self._connection.counts_as(len(commands) - 1):
            self._carry_out(commands)

    def connection_closing(self, disconnect: AnyDisconnect | None = None) -> None:
        """Take that the connection is being closed: nothing is carried out any more.

        Args:
            disconnect: Why the relay closes it. If None, the reason is not known here.
        """
        if disconnect is not None and self._services.presence is not None:
            self._services.presence.closing(self, disconnect)
        if self._publish_queue is not None:
            self._publish_queue.stop()
        if not self._session.is_connected:
            self._perform(self._session.connection_lost())

    def report_gap(self, channel: str) -> None:
        """Tell the client that messages of a channel may have been lost."""
        self._perform(self._session.gap(channel))

    def disconnect(self, disconnect: AnyDisconnect) -> None:
        """See `RegisteredClient.disconnect`."""
        self._perform(self._session.disconnect(disconnect))

    def end_subscription(self, channel: str) -> None:
        """See `RegisteredClient.end_subscription`."""
        self._perform(self._session.unsubscribed(channel))

    def credential_timed_out(self) -> None:
        """See `PendingClient.credential_timed_out`."""
        self._services.pending_credentials.remove(self)
        if self._session.is_rejected:
            # It has been told that it may try again, and did not leave by itself.
            self._perform(self._session.disconnect(Disconnect.NOT_AVAILABLE))
        else:
            self._perform(self._session.rejected(ClientError.TOO_LATE))

    def connection_lost(self, code: int | None = None) -> None:
        """Take the end of the connection. Calling it again does nothing.

        Args:
            code: The code in the client's close frame. If None, there was none.
        """
        if self._services.presence is not None:
            self._services.presence.lost(self, code)
        self._handshake = None
        self._stop_timer()
        self._services.pending_credentials.remove(self)
        if self._connection_id is not None:
            self._services.registry.remove(self)
        if self._publish_queue is not None:
            self._publish_queue.stop()
        self._perform(self._session.connection_lost())
        if self._questions is not None:
            self._questions.stop()
        if self._lookups is not None:
            self._lookups.stop()
        if self._terms is not None:
            self._terms.stop()

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> None:
        """See `RegisteredClient.subscribe_by_server`."""
        expires = subscription.expires
        if expires is not None and expires <= self._services.now():
            return
        effects = self._session.subscribe_by_server(subscription, since)
        grant = ChannelGrant(expires, subscription.info, subscription.data)
        if effects and grant != ChannelGrant():
            self._channel_terms.grant(subscription.channel, grant)
        self._perform(effects)

    def refresh_by_server(self, expires: float | None, *, is_expired: bool = False) -> None:
        """See `RegisteredClient.refresh_by_server`."""
        if is_expired:
            self._perform(self._session.rejected(ClientError.TOKEN_EXPIRED))
        else:
            self._perform(self._session.expires(expires))

    @property
    def _subscriber(self) -> Subscriber:
        return self._connection.writer if self._held is None else self._held

    @property
    def _channel_text(self) -> str:
        return ", ".join(self._session.channels)

    @property
    def _dialect(self) -> IDialect:
        return self._connection.dialect

    def _wants_compression(self, commands: Sequence[Command]) -> bool:
        wants = False
        for command in commands:
            if isinstance(command, Subscribe):
                rule = self._services.namespaces.rule(command.channel)
                if rule is None or not rule.compress:
                    return False
                wants = True
        return wants

    # Effects

    def _carry_out(self, commands: Sequence[Command]) -> None:
        if len(commands) == 1 or self._replies is not None:
            self._carry_out_each(commands)
            return
        self._replies = []
        try:
            self._carry_out_each(commands)
        finally:
            self._send_collected()
            self._replies = None

    def _carry_out_each(self, commands: Sequence[Command]) -> None:
        for command in commands:
            effects = self._session.received(command)
            if effects and type(last := effects[-1]) is Close:
                if last.disconnect is Disconnect.PUBLISH_DENIED:
                    self._services.rejections.record(ClientError.PUBLISH_DENIED, channel=self._channel_text)
                self._perform(effects)
                return
            self._perform(effects)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case PublishMessage():
                    # It may come back before this returns, to a channel whose subscription is to be told of first.
                    self._send_collected()
                    self._authorize_publish(effect)
                case SubscribeChannel():
                    self._authorize_subscribe(effect)
                case UnsubscribeChannel(channel):
                    self._unsubscribe(channel)
                case Authenticate(credential):
                    self._authenticate(credential)
                case ExpireAt(at):
                    self._expire(at)
                case Accept():
                    self._connection.accept(self._connection_id)
                case Welcome(command_id, subscriptions):
                    self._welcome(command_id, subscriptions)
                case LookUp(command):
                    self._look_up(command)
                case Reauthenticate(command_id, token):
                    self._reauthenticate(command_id, token)
                case ConfirmRefresh(command_id):
                    self._confirm_refresh(command_id)
                case CheckChannelToken():
                    self._check_channel_token(effect)
                case CarryOut(commands):
                    self._carry_out(commands)
                case SendReply(reply):
                    self._send(reply)
                    if self._session.is_rejected:
                        # It has been told, and is expected to leave by itself.
                        self._await_credential()
                case DeliverEvents(channel, events):
                    self._deliver(channel, events)
                case Reject(error, is_accepted):
                    self._reject(error, is_accepted=is_accepted)
                case _:  # Close, the one that is left; mypy sees to that
                    self._close(effect.disconnect)

    def _send(self, reply: Reply) -> None:
        if isinstance(reply, Failed) and reply.error.disconnect is not Disconnect.BAD_REQUEST:
            self._services.rejections.record(reply.error)
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

    def _encoding(self, channel: str) -> Encoding:
        rule = self._services.namespaces.rule(channel)
        return self._connection.encoding(FrameType.AUTO if rule is None else rule.frames or FrameType.AUTO)

    def _close(self, disconnect: AnyDisconnect) -> None:
        if self._publish_queue is not None:
            # What has been sent and not yet authorized is not published behind the close.
            self._publish_queue.stop()
        self._send_collected()
        self._connection.close(disconnect)

    def _reject(self, error: ClientError, *, is_accepted: bool) -> None:
        self._services.rejections.record(error, None if self._handshake is None else self._handshake[0])
        self._handshake = None
        if is_accepted:
            self._close(error.disconnect)
        else:
            self._connection.reject(error.response)

    # Authentication

    def _await_credential(self) -> None:
        self._stop_timer()
        self._timer = self._services.timers.call_later(CREDENTIAL_TIMEOUT_SECONDS, self.credential_timed_out)
        self._services.pending_credentials.add(self)

    def _authenticate(self, sent: Credential | None) -> None:
        assert self._handshake is not None, "not authenticated yet"  # noqa: S101 -- `open` has kept it
        handshake, credential = self._handshake
        self._stop_timer()
        self._services.pending_credentials.remove(self)
        outcome = Deferred.fromCoroutine(self._identify(handshake, credential if sent is None else sent))
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, self._services.clock)
        outcome.addCallback(self._authenticated)
        outcome.addErrback(self._authentication_failed)
        outcome.addErrback(self._failed)

    async def _identify(self, handshake: Handshake, credential: Credential | None) -> Identity:
        registry = self._services.registry

        def on_identity(identity: Identity) -> None:
            if not self._session.is_closed:
                registry.add(self, identity.revocation_targets(handshake.connection))

        # Each time before the next one is asked, so that a revocation that comes meanwhile finds the client here.
        on_identity(ANONYMOUS)
        channels = self._session.channels
        identity = await self._services.authenticator.authenticate(credential, handshake, channels, on_identity)
        on_identity(identity)
        if identity.is_authenticated:
            registry.authenticated(self)
        if identity.is_authenticated and any(await self._services.are_revoked(registry.targets_of(self))):
            raise RejectedError(ClientError.REVOKED)
        if identity.expires is not None and identity.expires <= self._services.now():
            # Before anything is done for it: in dialects with commands that may be a publish right behind the connect.
            raise RejectedError(ClientError.TOKEN_EXPIRED)
        return identity

    def _authenticated(self, identity: Identity) -> None:
        for each in identity.subs if self._dialect.acceptance.has_commands else ():
            if each.info:
                self._channel_terms.grant(each.channel, ChannelGrant(info=each.info))
        self._perform(self._session.authenticated(identity))
        self._handshake = None

    def _authentication_failed(self, failure: Failure) -> None:
        failure.trap(RejectedError, BrokerUnavailable, CancelledError, DeferredTimeout)
        error = failure.value
        if isinstance(error, BrokerUnavailable):
            self._services.rejections.log_detail(f"Redis cannot be asked what has been revoked: {error.code}")
        client_error = error.client_error if isinstance(error, RejectedError) else ClientError.NOT_CHECKED
        self._perform(self._session.rejected(client_error))

    def _welcome(self, command_id: int, subscriptions: tuple[Subscribed, ...]) -> None:
        left = seconds_left(self._session.identity.expires, self._services.now())
        client, ping_seconds = self._connection_id or "", self._connection.ping_seconds
        session = self._connection.emulated_session
        node = self._services.node_id if session else ""
        self._send(Connected(command_id, client, ping_seconds, subscriptions, left, session, node))
        if self._held is not None:
            self._send_collected()
            self._held.release()

    def _look_up(self, command: ReadHistory | ReadPresence) -> None:
        if self._lookups is None:
            self._lookups = ClientLookups(self._services.lookups, self._send)
        self._lookups.look_up(command).addErrback(self._failed)

    def _expire(self, at: float | None) -> None:
        if self._session.is_rejected:
            # Its deadline is an earlier one.
            return
        self._stop_timer()
        if at is None:
            return
        left = at - self._services.now()
        if left <= 0:
            self._perform(self._session.rejected(ClientError.TOKEN_EXPIRED))
        elif not self._session.is_closed:
            # Not where the client left in the moment in which it was connected.
            self._timer = self._services.timers.call_later(min(left, LONGEST_TIMER_SECONDS), lambda: self._expire(at))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Refresh

    def _reauthenticate(self, command_id: int, token: str) -> None:
        outcome = Deferred.fromCoroutine(self._identify_anew(token))
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, self._services.clock)
        outcome.addCallback(lambda identity: self._perform(self._session.refreshed(command_id, identity)))
        outcome.addErrback(self._refresh_failed, command_id)
        outcome.addErrback(self._failed)

    async def _identify_anew(self, token: str) -> Identity:
        registry = self._services.registry
        identity = await self._services.authenticator.refresh(token, self._session.identity)
        if self._connection_id is not None and not self._session.is_closed:
            # Before it is looked up, so that a revocation that comes meanwhile finds the client here.
            registry.add(self, identity.revocation_targets(self._connection_id))
            if any(await self._services.are_revoked(registry.targets_of(self))):
                raise RejectedError(ClientError.REVOKED)
            registry.replace(self, identity.revocation_targets(self._connection_id))
        return identity

    def _confirm_refresh(self, command_id: int) -> None:
        left = seconds_left(self._session.identity.expires, self._services.now())
        self._send(Refreshed(command_id, self._connection_id or "", left))

    def _check_channel_token(self, effect: CheckChannelToken) -> None:
        outcome = Deferred.fromCoroutine(self._check_grant(effect.token, effect.channel))
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, self._services.clock)

        def checked(_: None) -> None:
            left = self._channel_terms.terms(effect.channel).expires_seconds
            self._perform(self._session.subscription_refreshed(effect.id, left))

        outcome.addCallback(checked)
        outcome.addErrback(self._refresh_failed, effect.id, ClientError.REFRESH_EXPIRED)
        outcome.addErrback(self._failed)

    def _refresh_failed(
        self, failure: Failure, command_id: int, expired: ClientError = ClientError.TOKEN_EXPIRED
    ) -> None:
        failure.trap(RejectedError, BrokerUnavailable, CancelledError, DeferredTimeout)
        error = failure.value
        found = error.client_error if isinstance(error, RejectedError) else ClientError.NOT_CHECKED
        self._services.rejections.record(found)
        self._perform(
            self._session.refresh_failed(command_id, expired if found is ClientError.TOKEN_EXPIRED else found)
        )

    @property
    def _channel_terms(self) -> ChannelTerms:
        if self._terms is None:
            services = self._services
            self._terms = ChannelTerms(
                services.timers,
                services.now,
                lambda channel: self._perform(self._session.subscription_expired(channel)),
            )
        return self._terms

    async def _check_grant(self, token: str, channel: str) -> None:
        authenticator, connection = self._services.authenticator, self._connection_id or ""
        grant = await authenticator.authorize_channel_token(token, self._session.identity, channel, connection)
        if channel in self._session.channels:
            self._channel_terms.grant(channel, grant)

    # Subscriptions

    def _authorize_subscribe(self, effect: SubscribeChannel) -> None:
        if effect.is_initial or not (effect.token or self._services.authenticator.authorizes_subscribe):
            self._subscribe(effect)
            return
        if self._questions is None:
            self._questions = SubscribeQuestions(self._ask, self._subscribe_answered)
        self._questions.add(effect)

    def _ask(self, effect: SubscribeChannel) -> Deferred[None] | None:
        if effect.token:
            return Deferred.fromCoroutine(self._ask_with_token(effect))
        return self._services.authenticator.authorize_subscribe(self._session.identity, effect.channel)

    async def _ask_with_token(self, effect: SubscribeChannel) -> None:
        await self._check_grant(effect.token, effect.channel)
        asked = self._services.authenticator.authorize_subscribe(self._session.identity, effect.channel)
        if asked is not None:
            await asked

    def _subscribe_answered(self, effect: SubscribeChannel, failure: Failure | None) -> None:
        if failure is None:
            self._subscribe(effect)
            return
        channel, error = effect.channel, failure.value
        if isinstance(error, RejectedError):
            self._end_subscription(channel, error.client_error)
        elif isinstance(error, CancelledError):
            self._end_subscription(channel, ClientError.NOT_CHECKED)
        else:
            self._end_subscription(channel, ClientError.NOT_CHECKED)
            self._failed(failure)

    def _end_subscription(self, channel: str, error: ClientError = ClientError.NOT_AVAILABLE) -> None:
        if self._session.is_connected or len(self._session.channels) < 2:
            self._perform(self._session.subscribe_failed(channel, error))
        else:
            # It may have failed at once, and ends the others with which the client connects: not before they are begun.
            self._services.clock.callLater(0, lambda: self._perform(self._session.subscribe_failed(channel, error)))

    def _subscribe(self, effect: SubscribeChannel) -> None:
        channel = effect.channel
        is_welcomed = self._session.is_connected or not self._dialect.acceptance.has_commands
        if self._held is None and not is_welcomed:
            self._held = HeldWriter(self._connection.writer)
        outcome = self._services.subscriptions.subscribe(
            self._subscriber, channel, self._encoding(channel), effect.since, effect.newest
        )
        outcome.addCallback(self._subscribed, channel)
        outcome.addErrback(self._subscribe_failed, channel)
        outcome.addErrback(self._failed)

    def _subscribed(self, start: SubscriptionStart, channel: str) -> None:
        session, presence = self._session, self._services.presence
        if presence is not None and channel in session.channels:
            # Before anything is performed that may end the connection, and with it the membership.
            presence.subscribed(self, channel, self._as_member(channel))
        terms = NO_TERMS if self._terms is None else self._terms.terms(channel)
        self._perform(session.subscribed(channel, start, terms))

    def _unsubscribe(self, channel: str) -> None:
        if self._services.presence is not None:
            self._services.presence.unsubscribed(self, channel)
        if self._terms is not None:
            self._terms.withdraw(channel)
        if self._questions is None or not self._questions.discard(channel):
            self._services.subscriptions.unsubscribe(self._subscriber, channel)

    def _subscribe_failed(self, failure: Failure, channel: str) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        self._end_subscription(channel)

    # Publishing

    def _authorize_publish(self, message: PublishMessage) -> None:
        queue = self._publish_queue
        if queue is not None and queue.is_stopped:
            # The rest of the message that the connection was closed for.
            return
        if queue is not None and queue.is_full:
            self._close(Disconnect.TOO_FAST)
            return
        ask = self._services.authenticator.authorize_publish
        answer: Deferred[None] | None
        try:
            answer = ask(self._session.identity, message.channel, message.data)
        except Exception:  # noqa: BLE001 -- one that raises has answered
            answer = fail()
        if answer is None and queue is None:
            self._publish(message)
            return
        if queue is None:
            queue = self._publish_queue = PublishQueue(self._publish, self._publish_rejected)
        # Also what nobody has to be asked about, lest it overtake what waits.
        queue.add(message, succeed(None) if answer is None else answer)

    def _publish(self, message: PublishMessage) -> None:
        info = self._as_member(message.channel).text.encode() if self._dialect.acceptance.has_commands else b""
        outcome = self._services.publish(message.channel, message.data, info)
        if message.id:
            outcome.addCallback(lambda _result: self._perform(self._session.published(message.id)))
        outcome.addErrback(self._publish_failed, message)
        outcome.addErrback(self._failed)

    def _as_member(self, channel: str) -> Member:
        identity = self._session.identity
        chan_info = b"" if self._terms is None else self._terms.info(channel)
        return Member(self._connection_id or "", identity.subject or "", identity.info, chan_info)

    def _publish_failed(self, failure: Failure, message: PublishMessage) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        self._perform(self._session.publish_failed(message.id, disconnect=Disconnect.TRY_AGAIN))

    def _publish_rejected(self, message: PublishMessage, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, RejectedError):
            if not message.id:
                # Where there is a reply, `_send` records it.
                self._services.rejections.record(error.client_error, channel=message.channel)
            self._perform(self._session.publish_failed(message.id, error.client_error))
        elif isinstance(error, CancelledError):
            # The process stops, and with it the questions to the application.
            self._perform(self._session.publish_failed(message.id, ClientError.NOT_CHECKED))
        else:
            self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a client's request failed; closing its connection", failure)
        self._close(Disconnect.INTERNAL_ERROR)
        self.connection_closing()
