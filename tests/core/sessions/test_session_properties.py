"""Tests of `wsrelay.core.sessions.session`: what holds after any inputs in any order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.core.sessions.session_helpers import CREDENTIAL, EXPIRING_USER, RULES, USER
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.commands import Command, Connect, Pong, Publish, Subscribe, Unsubscribe, Unsupported
from wsrelay.core.messaging.replies import Failed, Published, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import (
    Accept,
    Authenticate,
    CarryOut,
    Close,
    Effect,
    ExpireAt,
    PublishMessage,
    Reject,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.pending_connect import MAX_QUEUED_COMMANDS
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.session_data import MAX_CHANNELS, REFRESH_GRACE_SECONDS
from wsrelay.core.sessions.states import CredentialSource, SessionState

IDENTITIES = [ANONYMOUS, USER, EXPIRING_USER, Identity("42", channels=("a",), publish=("user:42",))]
PUBLIC = ("talk", "inbox")


def may_publish(identity: Identity, channel: str) -> bool:
    """Return whether the rules of these tests let a client publish to a channel."""
    if channel == "user:42":
        return identity.publish is not None
    if channel == "members":
        return identity.is_authenticated and identity.publish is None
    return channel in PUBLIC


class HandshakeMachine(RuleBasedStateMachine):
    """A session of a dialect without commands, under inputs in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(RULES)
        self.source: CredentialSource | None = None
        self.wanted: list[str] = []
        self.held: list[str] = []
        self.confirmed: set[str] = set()
        self.seen: list[str] = []
        self.identity: Identity | None = None
        self.is_lost = False

    def check(self, effects: list[Effect]) -> None:
        """Check effects against everything that came before."""
        assert not (self.is_lost and effects), "acts after the end"
        for effect in effects:
            getattr(self, f"see_{type(effect).__name__.lower()}")(effect)
            self.seen.append(type(effect).__name__)
        if "Reject" in self.seen:
            assert self.session.is_closed, "rejected and not closed"
            assert self.held == [], "rejected and still subscribed"

    @property
    def is_connected(self) -> bool:
        """True if the client may publish."""
        if self.source is CredentialSource.FIRST_MESSAGE:
            return self.identity is not None and set(self.wanted) <= self.confirmed
        return "Accept" in self.seen

    def see_authenticate(self, effect: Authenticate) -> None:
        """A client is authenticated once, before anything is done for it, and only if it shows a credential."""
        assert self.source is not CredentialSource.NONE
        assert {"Authenticate", "SubscribeChannel", "ExpireAt", "Reject"}.isdisjoint(self.seen)
        is_first_message = self.source is CredentialSource.FIRST_MESSAGE
        assert ("Accept" in self.seen) is is_first_message
        assert effect.credential == (CREDENTIAL if is_first_message else None)

    def see_expireat(self, effect: ExpireAt) -> None:
        """The expiry is set once, behind all subscriptions: it may have passed already."""
        assert self.identity is not None
        assert effect.at == self.identity.expires
        assert "ExpireAt" not in self.seen
        assert self.held == self.wanted

    def see_subscribechannel(self, effect: SubscribeChannel) -> None:
        """Each channel is subscribed once, when the client is authenticated and permitted."""
        assert effect.is_initial
        assert effect.channel in self.wanted
        assert effect.channel not in self.held, "subscribed twice"
        assert self.source is CredentialSource.NONE or "Authenticate" in self.seen, "subscribed for anybody"
        assert not self.is_connected
        assert "Reject" not in self.seen
        if effect.channel == "members":
            assert self.identity is not None
            assert self.identity.is_authenticated
        self.held.append(effect.channel)

    def see_unsubscribechannel(self, effect: UnsubscribeChannel) -> None:
        """Each subscribed channel is released once."""
        self.held.remove(effect.channel)

    def see_accept(self, _effect: Accept) -> None:
        """A handshake is answered once: at once if a credential follows, else when all is subscribed."""
        assert "Accept" not in self.seen
        assert "Reject" not in self.seen
        if self.source is CredentialSource.FIRST_MESSAGE:
            assert self.held == []
        else:
            assert self.held == self.wanted
            assert set(self.wanted) == self.confirmed

    def see_sendreply(self, effect: SendReply) -> None:
        """A client that was accepted first gets one reply for each of its channels, and no other one."""
        assert self.source is CredentialSource.FIRST_MESSAGE
        assert isinstance(effect.reply, Subscribed)
        assert effect.reply.id == 0
        assert f"Subscribed {effect.reply.channel}" not in self.seen
        self.seen.append(f"Subscribed {effect.reply.channel}")

    def see_reject(self, effect: Reject) -> None:
        """A client is rejected once, with a status before it was accepted and with a close after."""
        assert "Reject" not in self.seen
        assert not self.is_connected
        assert effect.is_accepted is ("Accept" in self.seen)

    def see_close(self, _effect: Close) -> None:
        """A close goes to a client that was accepted."""
        assert "Accept" in self.seen

    def see_publishmessage(self, effect: PublishMessage) -> None:
        """Only a connected client publishes, and only what it may."""
        assert self.is_connected
        assert effect.id == 0
        assert may_publish(self.session.identity, effect.channel)

    @rule(
        channels=st.lists(st.sampled_from(["a", "b", "talk", "members", "inbox", "nowhere"]), min_size=1, max_size=3),
        source=st.sampled_from(CredentialSource),
    )
    def open(self, channels: list[str], source: CredentialSource) -> None:
        if self.source is None:
            self.source, self.wanted = source, list(dict.fromkeys(channels))
        self.check(self.session.open([Subscribe(0, channel) for channel in channels], source))

    @rule()
    def connect(self) -> None:
        """Send a credential, expected or not."""
        awaits = self.session.awaits_credential
        effects = self.session.received(Connect(0, CREDENTIAL))
        assert (effects == [Authenticate(CREDENTIAL)]) is awaits
        self.check(effects)

    @rule(identity=st.sampled_from(IDENTITIES))
    def authenticated(self, identity: Identity) -> None:
        if self.identity is None and "Authenticate" in self.seen:
            self.identity = identity
        self.check(self.session.authenticated(identity))

    @rule(error=st.sampled_from(ClientError))
    def rejected(self, error: ClientError) -> None:
        self.check(self.session.rejected(error))

    @rule(disconnect=st.sampled_from([Disconnect.REVOKED, Disconnect.RECONNECT]))
    def disconnect(self, disconnect: Disconnect) -> None:
        self.check(self.session.disconnect(disconnect))

    @rule(channel=st.sampled_from(["a", "b", "talk", "members", "nowhere"]))
    def subscribed(self, channel: str) -> None:
        if channel in self.held:
            self.confirmed.add(channel)
        self.check(self.session.subscribed(channel))

    @rule(step=st.sampled_from(["subscribe_failed", "gap"]), channel=st.sampled_from(["a", "talk", "members"]))
    def channel_outcome(self, step: str, channel: str) -> None:
        self.check(getattr(self.session, step)(channel))

    @rule(step=st.sampled_from(["published", "publish_failed"]))
    def publish_outcome(self, step: str) -> None:
        self.check(getattr(self.session, step)(0))

    @rule(channel=st.sampled_from([None, "talk", "members", "user:42", "nowhere"]))
    def publish(self, channel: str | None) -> None:
        self.check(self.session.received(Publish(0, channel, b"x")))

    @rule()
    def connection_lost(self) -> None:
        self.check(self.session.connection_lost())
        assert self.held == [], "still subscribed"
        self.is_lost = True

    @invariant()
    def identity_is_the_authenticated_one(self) -> None:
        assert self.session.identity in (ANONYMOUS, self.identity)

    def teardown(self) -> None:
        self.connection_lost()


CHANNELS = ["a", "b", "talk", "members", "user:42", "user:41", "inbox", "nowhere"]


class CommandMachine(RuleBasedStateMachine):
    """A session of a dialect with commands, and a driver that performs its effects with outcomes at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(RULES, Acceptance.AT_ONCE)
        self.next_id = 1
        self.unanswered: set[int] = set()
        # Channels that are subscribed for the session, with whether that is confirmed.
        self.held: dict[str, bool] = {}
        self.publishing: list[int] = []
        self.seen: list[str] = []
        self.queued: list[Command] = []
        self.identity: Identity | None = None
        # No more commands are read: the connection is being closed.
        self.is_closing = False
        self.is_lost = False
        self.perform(self.session.open([]))

    def perform(self, effects: list[Effect]) -> None:
        """Perform effects, checking each against everything that came before."""
        assert not (self.is_lost and effects), "acts after the end"
        assert not (self.session.is_closing and self.is_closing and effects), "acts behind the close"
        for effect in effects:
            getattr(self, f"perform_{type(effect).__name__.lower()}")(effect)
            self.seen.append(type(effect).__name__)

    def feed(self, commands: Sequence[Command]) -> None:
        """Feed commands as a driver does, one by one, those behind a close among them."""
        for command in commands:
            self.perform(self.session.received(command))

    def send(self, *commands: Command) -> None:
        """Send the commands of one message."""
        assert len(self.unanswered & {each.id for each in commands if not isinstance(each, Pong)}) == 0
        for command in commands:
            if not isinstance(command, Pong) and not self.is_closing:
                self.unanswered.add(command.id)
        if "Authenticate" in self.seen and "Welcome" not in self.seen and not self.is_closing:
            self.queued += commands
        self.feed(commands)

    def take_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def perform_accept(self, _effect: Accept) -> None:
        assert self.seen == [], "accepted late or twice"

    def perform_authenticate(self, effect: Authenticate) -> None:
        assert self.seen == ["Accept"], "authenticated late or twice"
        assert effect.credential == CREDENTIAL

    def perform_welcome(self, effect: Welcome) -> None:
        assert "Welcome" not in self.seen, "welcomed twice"
        assert self.identity is not None
        self.unanswered.remove(effect.id)

    def perform_carryout(self, effect: CarryOut) -> None:
        assert self.seen[-1] == "Welcome"
        assert list(effect.commands) == self.queued, "lost or reordered"
        assert len(effect.commands) <= MAX_QUEUED_COMMANDS
        self.feed(effect.commands)

    def perform_expireat(self, effect: ExpireAt) -> None:
        assert self.identity is not None
        assert effect.at == (self.identity.expires or 0) + REFRESH_GRACE_SECONDS
        assert "ExpireAt" not in self.seen

    def perform_subscribechannel(self, effect: SubscribeChannel) -> None:
        assert effect.channel not in self.held, "subscribed twice"
        assert not effect.is_initial, "the application has named no channel"
        assert "Welcome" in self.seen or effect.channel in (self.session.identity.channels or ())
        assert effect.channel not in ("user:41", "inbox", "nowhere")
        assert effect.channel not in ("members", "user:42") or self.session.identity.is_authenticated
        self.held[effect.channel] = False

    def perform_unsubscribechannel(self, effect: UnsubscribeChannel) -> None:
        was_confirmed = self.held.pop(effect.channel)
        if not was_confirmed:
            # A driver cancels what it has begun, and reports that as a failure: too late, for nobody wants it.
            self.perform(self.session.subscribe_failed(effect.channel))

    def perform_publishmessage(self, effect: PublishMessage) -> None:
        assert "Welcome" in self.seen
        assert not self.is_closing, "published behind the close"
        assert may_publish(self.session.identity, effect.channel)
        assert effect.id in self.unanswered
        self.publishing.append(effect.id)

    def perform_sendreply(self, effect: SendReply) -> None:
        reply = effect.reply
        if isinstance(reply, SubscriptionEnded):
            return
        assert isinstance(reply, (Subscribed, Unsubscribed, Published, Failed))
        # Raises KeyError for a second reply, and for one to nothing.
        self.unanswered.remove(reply.id)

    def perform_close(self, _effect: Close) -> None:
        self.is_closing = True

    def perform_reject(self, effect: Reject) -> None:
        assert "Reject" not in self.seen, "rejected twice"
        assert effect.is_accepted
        assert "Welcome" not in self.seen
        assert self.session.is_closed
        self.is_closing = True

    # Commands

    @rule(pipelined=st.lists(st.sampled_from(CHANNELS), max_size=3))
    @precondition(lambda self: not self.is_closing)
    def connect(self, pipelined: list[str]) -> None:
        """Connect, with subscribes in the same message."""
        self.send(Connect(self.take_id(), CREDENTIAL))
        self.send(*(Subscribe(self.take_id(), channel) for channel in pipelined))

    @rule(channels=st.lists(st.tuples(st.booleans(), st.sampled_from(CHANNELS[:4])), min_size=1, max_size=4))
    @precondition(lambda self: "Authenticate" in self.seen and not self.is_closing)
    def subscribe_or_unsubscribe(self, channels: list[tuple[bool, str]]) -> None:
        """Subscribe and unsubscribe in one message."""
        kinds: list[type[Subscribe | Unsubscribe]] = [Subscribe if wanted else Unsubscribe for wanted, _ in channels]
        self.send(*(kind(self.take_id(), channel) for kind, (_, channel) in zip(kinds, channels, strict=True)))

    @rule(channel=st.sampled_from(CHANNELS))
    @precondition(lambda self: "Authenticate" in self.seen and not self.is_closing)
    def publish(self, channel: str) -> None:
        self.send(Publish(self.take_id(), channel, b"x"))

    @rule()
    @precondition(lambda self: "Authenticate" in self.seen and not self.is_closing)
    def send_others(self) -> None:
        self.send(Pong(), Unsupported(self.take_id(), ClientError.NOT_SUPPORTED))

    @rule()
    @precondition(lambda self: "Authenticate" in self.seen and not self.is_closing)
    def subscribe_to_many(self) -> None:
        """Subscribe to more channels than one connection may."""
        self.send(*(Subscribe(self.take_id(), f"many:{number}") for number in range(MAX_CHANNELS + 1)))

    # Outcomes

    @rule(identity=st.sampled_from(IDENTITIES))
    @precondition(lambda self: "Authenticate" in self.seen)
    def authenticated(self, identity: Identity) -> None:
        if self.identity is None:
            self.identity = identity
        self.perform(self.session.authenticated(identity))

    @rule(error=st.sampled_from([ClientError.NOT_CHECKED, ClientError.TICKET, ClientError.TOKEN, ClientError.REVOKED]))
    @precondition(lambda self: len(self.seen) > 4)
    def rejected(self, error: ClientError) -> None:
        self.perform(self.session.rejected(error))

    @rule(disconnect=st.sampled_from([Disconnect.REVOKED, Disconnect.RECONNECT]))
    @precondition(lambda self: len(self.seen) > 6)
    def disconnect(self, disconnect: Disconnect) -> None:
        self.perform(self.session.disconnect(disconnect))

    @rule(
        channel=st.sampled_from(CHANNELS),
        is_success=st.booleans(),
        error=st.sampled_from([ClientError.NOT_AVAILABLE, ClientError.HOOK]),
    )
    def subscription_outcome(
        self, channel: str, is_success: bool, error: ClientError = ClientError.NOT_AVAILABLE
    ) -> None:
        """Answer a subscription, or answer one late that has been answered or given up."""
        is_late = self.held.get(channel, True)
        if is_success and not is_late:
            self.held[channel] = True
        is_unasked = self.session.state is SessionState.SUBSCRIBING
        effects = self.session.subscribed(channel) if is_success else self.session.subscribe_failed(channel, error)
        # Of what the client is subscribed to without having asked, the last outcome answers its connect.
        if self.session.is_closing:
            assert effects == [], "acts behind the close"
        elif not is_unasked or is_late:
            assert bool(effects) is not is_late, "a late outcome has an effect, or one in time has none"
        self.perform(effects)

    @rule(is_success=st.booleans())
    @precondition(lambda self: self.publishing)
    def publish_outcome(self, is_success: bool) -> None:
        command_id = self.publishing.pop(0)
        self.perform(self.session.published(command_id) if is_success else self.session.publish_failed(command_id))

    @rule(channel=st.sampled_from(CHANNELS))
    def gap(self, channel: str) -> None:
        was_confirmed = self.held.get(channel, False)
        effects = self.session.gap(channel)
        assert bool(effects) is (was_confirmed and not self.is_closing)
        self.perform(effects)

    @rule()
    @precondition(lambda self: self.session.is_connected)
    def close(self) -> None:
        """The transport closes the connection."""
        self.perform(self.session.closing())
        self.is_closing = True

    @rule()
    @precondition(lambda self: len(self.seen) > 8)
    def connection_lost(self) -> None:
        self.lose_connection()

    def lose_connection(self) -> None:
        self.perform(self.session.connection_lost())
        assert self.held == {}, "still subscribed"
        self.is_lost = self.is_closing = True

    @invariant()
    def channels_are_those_that_are_held_and_bounded(self) -> None:
        assert set(self.session.channels) == set(self.held)
        assert len(self.held) <= MAX_CHANNELS

    def teardown(self) -> None:
        """Answer everything; then each command has had its reply, unless the connection is being closed."""
        if "Authenticate" in self.seen and self.identity is None:
            self.authenticated(USER)
        # The last of those that its credential names may have commands carried out that subscribe to others.
        while waiting := [channel for channel, is_confirmed in self.held.items() if not is_confirmed]:
            self.subscription_outcome(waiting[0], is_success=True)
        while self.publishing:
            self.publish_outcome(is_success=True)
        assert self.unanswered == set() or self.is_closing or self.session.is_rejected, "a command has no reply"
        self.lose_connection()


class PropertyTests(SynchronousTestCase):
    """Any inputs in any order."""

    def test_client_without_commands_is_answered_once_and_each_channel_is_released_once(self) -> None:
        run_state_machine_as_test(HandshakeMachine, settings=settings(max_examples=300, stateful_step_count=12))

    def test_client_with_commands_gets_one_reply_to_each_and_each_channel_is_released_once(self) -> None:
        run_state_machine_as_test(CommandMachine, settings=settings(max_examples=300, stateful_step_count=16))
