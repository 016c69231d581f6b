"""Tests of `wsrelay.engine.client`: whatever happens to clients, in whatever order."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import (
    EPOCH,
    RECONNECT_USER,
    REVOKE_USER,
    RULES,
    TOKEN,
    TOKEN_MESSAGE,
    USER,
    make_node,
    messages_of,
)
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import CENTRIFUGO
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS
from wsrelay.engine.client import Client
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.wall_clock_timer import LONGEST_TIMER_SECONDS
from wsrelay.testing.authenticators import FakeAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.credential_stores import FakeCredentialStore

CHANNELS = ["public", "talk", "room", "user:42", "user:43"]
IDENTITIES = [
    USER,
    Identity("43"),
    Identity("42", expires=EPOCH + 20),
    Identity("42", expires=EPOCH),
    Identity("42", expires=EPOCH + 3 * LONGEST_TIMER_SECONDS),
    ANONYMOUS,
]
ANSWERS: list[Identity | ClientError | Exception] = [
    *IDENTITIES,
    ClientError.TICKET,
    BrokerUnavailable("the test says so"),
]
COMMANDS = st.one_of(
    st.just({"connect": {"token": "a.b.c"}}),
    st.builds(lambda channel: {"subscribe": {"channel": channel}}, st.sampled_from([*CHANNELS, "closed"])),
    st.builds(lambda channel: {"unsubscribe": {"channel": channel}}, st.sampled_from(CHANNELS)),
    st.builds(
        lambda channel, data: {"publish": {"channel": channel, "data": data}},
        st.sampled_from(CHANNELS),
        st.sampled_from(["hi", "ask"]),
    ),
    st.just({"presence": {"channel": "room"}}),
)


class Lives(RuleBasedStateMachine):
    """A few clients of one node, raw ones and ones with commands, to which anything happens in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.broker = FakeBroker()
        self.broker.credentials = self.store = FakeCredentialStore()
        self.store.is_slow = True
        self.authenticator = FakeAuthenticator()
        self.authenticator.asks_to_publish = lambda data: b"ask" in data
        self.authenticator.asks_to_subscribe = lambda channel: channel == "room"
        self.node = make_node(
            self.broker, RULES, self.clock, self.authenticator, now=lambda: EPOCH + self.clock.seconds()
        )
        self.here: list[tuple[RecordingConnection, Client]] = []
        self.all: list[RecordingConnection] = []
        self.last_id = 0
        # The ids of the commands that each connection with commands has sent and that are not answered yet.
        self.unanswered: dict[RecordingConnection, set[int]] = {}
        # The channels that each such connection was told that it is subscribed to.
        self.subscribed: dict[RecordingConnection, set[str]] = {}
        self.channel_of: dict[int, str] = {}
        self.read: dict[RecordingConnection, int] = {}
        self.context = capturedLogs()
        self.events = self.context.__enter__()

    def open(self, connection: RecordingConnection, handshake: Handshake) -> None:
        """Open a client."""
        client = self.node.client(connection)
        connection.attach(client)
        self.here.append((connection, client))
        self.all.append(connection)
        client.open(handshake)

    @rule(
        channel=st.sampled_from(["public", "talk", "room", "room", "user:42", "user:43", "closed"]),
        credential=st.sampled_from([None, "handshake", "first message"]),
        connection_id=st.sampled_from(["a", "b"]),
    )
    def raw_client_opens(self, channel: str, credential: str | None, connection_id: str) -> None:
        """A raw client opens."""
        self.authenticator.credential = TOKEN if credential == "handshake" else None
        query = "auth=message" if credential == "first message" else ""
        self.open(
            RecordingConnection(), Handshake(f"/ws/{channel}", "192.0.2.1", query=query, connection=connection_id)
        )

    @rule(connection_id=st.sampled_from(["a", "b"]))
    def centrifugo_client_opens(self, connection_id: str) -> None:
        """A client with commands opens."""
        self.authenticator.credential = None
        connection = RecordingConnection(CENTRIFUGO.dialect)
        self.unanswered[connection] = set()
        self.subscribed[connection] = set()
        self.open(connection, Handshake(CENTRIFUGO.path, "192.0.2.1", connection=connection_id))

    @rule(channels=st.lists(st.sampled_from(["public", "talk", "room"]), min_size=1, max_size=2, unique=True))
    def centrifugo_client_is_subscribed(self, channels: list[str]) -> None:
        """A client with commands is connected and subscribed at once, so that more can happen to such ones."""
        self.centrifugo_client_opens("a")
        connection, client = self.here[-1]
        self.store.is_slow = False
        self.send(connection, client, [{"connect": {"token": "a.b.c"}}])
        self.authenticator.questions.pop().resolve(USER)
        self.store.is_slow = True
        # What is left is one lookup for each answer that is owed.
        self.store.lookups.pop()
        asked = len(self.authenticator.subscribe_questions)
        self.send(connection, client, [{"subscribe": {"channel": channel}} for channel in channels])
        for question in self.authenticator.subscribe_questions[asked:]:
            question.permit()
        del self.authenticator.subscribe_questions[asked:]
        for channel in channels:
            self.broker.sink.subscribed(channel)

    @precondition(lambda self: self.here)
    @rule(
        data=st.data(),
        message=st.sampled_from([TOKEN_MESSAGE, b"hi", b"ask"]),
        commands=st.lists(COMMANDS, min_size=1, max_size=4),
        connects_first=st.booleans(),
    )
    def client_sends(
        self, data: st.DataObject, message: bytes, commands: list[dict[str, Any]], connects_first: bool
    ) -> None:
        """A client sends a message, unless it has been closed."""
        connection, client = data.draw(st.sampled_from(self.here))
        if not connection.accepted or connection.disconnects:
            return
        if connection not in self.unanswered:
            client.received(Message(message))
            return
        if connects_first and client.session.awaits_credential:
            commands = [{"connect": {"token": "a.b.c"}}, *commands]
        self.send(connection, client, commands)

    def send(self, connection: RecordingConnection, client: Client, commands: list[dict[str, Any]]) -> None:
        """Send commands in one message."""
        lines = []
        for command in commands:
            self.last_id += 1
            self.unanswered[connection].add(self.last_id)
            if "subscribe" in command:
                self.channel_of[self.last_id] = command["subscribe"]["channel"]
            if "unsubscribe" in command:
                self.channel_of[self.last_id] = command["unsubscribe"]["channel"]
            lines.append(json.dumps({"id": self.last_id, **command}))
        client.received(Message("\n".join(lines).encode()))

    @precondition(lambda self: self.authenticator.questions)
    @rule(data=st.data(), answer=st.sampled_from(ANSWERS))
    def authenticator_answers(self, data: st.DataObject, answer: Identity | ClientError | Exception) -> None:
        """A question about an identity is answered."""
        question = data.draw(st.sampled_from(self.authenticator.questions))
        self.authenticator.questions.remove(question)
        question.resolve(answer)

    @precondition(lambda self: self.store.answers)
    @rule(is_revoked=st.booleans())
    def store_answers(self, is_revoked: bool) -> None:
        """A lookup is answered."""
        answer, targets = self.store.answers.pop(0), self.store.lookups.pop(0)
        if not answer.called:
            answer.callback([is_revoked] * len(targets))

    @precondition(lambda self: self.authenticator.publish_questions)
    @rule(data=st.data(), permitted=st.booleans())
    def publish_is_answered(self, data: st.DataObject, permitted: bool) -> None:
        """A question about a message is answered."""
        question = data.draw(st.sampled_from(self.authenticator.publish_questions))
        self.authenticator.publish_questions.remove(question)
        if permitted:
            question.permit()
        else:
            question.reject(ClientError.PUBLISH_DENIED)

    @precondition(lambda self: self.authenticator.subscribe_questions)
    @rule(data=st.data(), permitted=st.booleans())
    def subscribe_is_answered(self, data: st.DataObject, permitted: bool) -> None:
        """A question about a channel is answered."""
        question = data.draw(st.sampled_from(self.authenticator.subscribe_questions))
        self.authenticator.subscribe_questions.remove(question)
        if permitted:
            question.permit()
        else:
            question.reject(ClientError.HOOK)

    @rule(channel=st.sampled_from(CHANNELS))
    def broker_confirms(self, channel: str) -> None:
        """The broker confirms a channel."""
        self.broker.sink.subscribed(channel)

    @rule(channel=st.sampled_from(CHANNELS))
    def broker_rejects(self, channel: str) -> None:
        """The broker rejects a channel."""
        self.broker.sink.subscribe_failed(channel)

    @rule(channel=st.sampled_from(CHANNELS))
    def broker_delivers(self, channel: str) -> None:
        """A message is delivered."""
        self.broker.sink.publications_received([Publication(channel, b"1")])

    @rule(step=st.sampled_from(["disconnected", "reconnected"]))
    def broker_loses_its_link(self, step: str) -> None:
        """The link to the broker breaks, or works again."""
        if step == "disconnected":
            self.broker.sink.disconnected(tuple(self.broker.wanted))
        else:
            self.broker.sink.reconnected()

    @rule(
        payload=st.sampled_from(
            [REVOKE_USER, RECONNECT_USER, b'{"disconnect": {"connection": "a"}}', b"nonsense", b'{"newer": {}}']
        )
    )
    def application_controls(self, payload: bytes) -> None:
        """A control message arrives."""
        self.broker.sink.control_received(payload)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0, 16.0, LONGEST_TIMER_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        """A client leaves, perhaps because it was closed."""
        pair = data.draw(st.sampled_from(self.here))
        self.here.remove(pair)
        pair[1].connection_lost()

    @invariant()
    def each_handshake_is_answered_once(self) -> None:
        """A handshake is answered once, and a client that was not accepted is neither closed nor sent anything."""
        for connection in self.all:
            assert len(connection.responses) + connection.accepted <= 1
            assert connection.accepted or not connection.disconnects
            assert connection.accepted or not connection.sent

    @invariant()
    def each_command_is_answered_at_most_once_and_pushes_belong_to_subscriptions(self) -> None:
        """No reply comes twice or unasked, and no push of a channel before the reply to its subscribe."""
        for connection in self.unanswered:
            start = self.read.get(connection, 0)
            if start == len(connection.sent):
                continue
            self.read[connection] = len(connection.sent)
            batch = RecordingConnection(CENTRIFUGO.dialect)
            batch.sent = connection.sent[start:]
            for line in b"\n".join(messages_of(batch)).split(b"\n"):
                self.check_line(connection, json.loads(line))

    def check_line(self, connection: RecordingConnection, line: dict[str, Any]) -> None:
        """Check one reply or push."""
        subscribed = self.subscribed[connection]
        if "push" in line:
            channel = line["push"]["channel"]
            assert channel in subscribed, f"a push of {channel}, which is not subscribed"
            if "unsubscribe" in line["push"]:
                subscribed.discard(channel)
            return
        command_id = line["id"]
        assert command_id in self.unanswered[connection], f"{command_id} was answered twice, or never asked"
        self.unanswered[connection].discard(command_id)
        if "subscribe" in line:
            assert self.channel_of[command_id] not in subscribed
            subscribed.add(self.channel_of[command_id])
        if "unsubscribe" in line:
            subscribed.discard(self.channel_of[command_id])

    @invariant()
    def hub_has_the_clients_that_were_told_so(self) -> None:
        """A client that is here is in the hub for exactly the channels that it was told it is subscribed to."""
        for connection, _ in self.here:
            if connection in self.subscribed and not connection.disconnects:
                found = {each for each in CHANNELS if connection in self.node._hub.subscribers(each)}
                assert found == self.subscribed[connection], (found, self.subscribed[connection])

    @invariant()
    def nothing_fails(self) -> None:
        """Nothing is a failure of ours."""
        assert [event for event in self.events if event["log_level"] >= LogLevel.error] == []

    @invariant()
    def registry_has_only_clients_that_are_here(self) -> None:
        """The registry has no client that has left, nor is one awaited, nor is the credential of one to end."""
        clients = {client for _, client in self.here}
        registry, ends = self.node.registry, self.node.credential_ends
        assert {each for target in registry.targets() for each in registry.clients(target)} <= clients
        assert {*ends._far, *ends._near} <= clients
        assert set(self.node.pending_credentials._clients) <= clients

    def teardown(self) -> None:
        """Every command of a client that is connected is answered in time, and nothing is left of any client."""
        try:
            # Questions to the application are bounded by the authenticator, and not by the client.
            for question in (*self.authenticator.publish_questions, *self.authenticator.subscribe_questions):
                question.permit()
            self.clock.pump([AUTHENTICATE_TIMEOUT_SECONDS] * 3)
            self.each_command_is_answered_at_most_once_and_pushes_belong_to_subscriptions()
            for connection, client in self.here:
                if not connection.disconnects and not client.session.is_rejected:
                    assert not self.unanswered.get(connection), "commands were not answered"
            for _, client in self.here:
                client.connection_lost()
            assert self.node.registry.targets() == []
            self.clock.pump([CHANNEL_LINGER_SECONDS, AUTHENTICATE_TIMEOUT_SECONDS, 2 * LONGEST_TIMER_SECONDS])
            assert (self.broker.wanted, len(self.node.subscriptions)) == (set(), 0)
            # A lookup that the store has not answered is repeated by nobody.
            assert self.clock.getDelayedCalls() == []
            self.nothing_fails()
        finally:
            self.context.__exit__(None, None, None)


class LivesTests(SynchronousTestCase):
    """Everything that may happen, in any order."""

    def test_each_client_is_answered_once_nothing_fails_and_nothing_is_left(self) -> None:
        run_state_machine_as_test(Lives, settings=settings(max_examples=200, stateful_step_count=25, deadline=None))
