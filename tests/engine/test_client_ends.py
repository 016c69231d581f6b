"""Tests of `wsrelay.engine.client`: clients that leave in the middle of anything leave nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import CONNECTION_ID, EPOCH, TOKEN, make_node
from tests.engine.history_harness import RETENTION, SlowHistory
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import CENTRIFUGO, RAW
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS
from wsrelay.engine.client import Client
from wsrelay.engine.lookups import MAX_READS
from wsrelay.engine.stream_readers import MAX_RECOVERIES
from wsrelay.interfaces import IDialect
from wsrelay.testing.authenticators import FakeAuthenticator
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.credential_stores import FakeCredentialStore

RULES = Namespaces(
    [
        Namespace("kept", ("kept*",), Access.AUTHENTICATED, Access.AUTHENTICATED, history_size=50, history_seconds=60),
        Namespace("plain", ("plain*",), Access.AUTHENTICATED, Access.AUTHENTICATED, presence=True),
        Namespace("token", ("token*",), Access.TOKEN),
    ]
)
IDENTITY = Identity(
    "42",
    ("plain*", "kept*"),
    ("plain*",),
    EPOCH + 600,
    "token:old",
    subs=(ServerSubscription("kept", info=b"1"), ServerSubscription("plain", info=b"1")),
)


class Life:
    """The life of one client, of which each step leaves something to wait for. Nothing of a step is answered by itself.

    Args:
        dialect: The dialect that the client speaks.
    """

    def __init__(self, dialect: IDialect) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        broker: Any = MemoryBroker(self.clock)
        self.broker = broker
        self.history = broker.history
        self.slow = broker.history = SlowHistory(broker.history)
        broker.credentials = self.store = FakeCredentialStore()
        self.store.is_slow = True
        self.authenticator = FakeAuthenticator()
        self.authenticator.asks_to_subscribe = lambda _channel: True
        self.authenticator.asks_to_publish = lambda _data: True
        now = lambda: EPOCH - 1_000_000 + self.clock.seconds()  # noqa: E731 -- a clock
        self.node = make_node(broker, RULES, self.clock, self.authenticator, now=now)
        assert self.node._readers is not None
        self.readers = self.node._readers
        broker.start()
        for number in range(3):
            self.history.add("kept", (b"data", b"%d" % number), RETENTION)
        self.turn()
        self.timers = self.reactor_timers()
        self.connection = RecordingConnection(dialect)
        self.client: Client = self.node.client(self.connection)
        self.connection.attach(self.client)
        self.last_id = 0

    def turn(self) -> None:
        """Run a few turns of the reactor."""
        self.clock.pump([0.0] * 6)

    def reactor_timers(self) -> list[str]:
        """Return what the reactor is to call, without the tick of the coarse timers, which stays for a while."""
        calls = (str(each) for each in self.clock.getDelayedCalls())
        return sorted(each for each in calls if "TimerWheel._fire" not in each)

    def send(self, **command: object) -> None:
        """Send a command."""
        self.last_id += 1
        self.client.received(Message(json.dumps({"id": self.last_id, **command}).encode()))
        self.turn()

    # The steps

    def open(self) -> None:
        """A client with commands has not connected yet."""
        self.client.open(Handshake(CENTRIFUGO.path, "192.0.2.1", connection=CONNECTION_ID))

    def open_raw(self) -> None:
        """The credential of a raw client is checked."""
        self.authenticator.credential = TOKEN
        self.client.open(Handshake("/ws/kept", "192.0.2.1", connection=CONNECTION_ID, query="since=0-1"))

    def connect(self) -> None:
        """The credential is checked."""
        self.send(connect={"token": "a.b.c"})

    def identify(self) -> None:
        """The credential is good, and it is looked up whether it is revoked."""
        self.authenticator.questions[-1].resolve(IDENTITY)

    def admit(self) -> None:
        """It is not revoked, and the application is asked about its channels, or they are read."""
        self.store.answers[-1].callback([False])
        self.turn()

    def permit(self) -> None:
        """The application permits the channels; one is subscribed, with a message held back, and the other is read."""
        for question in self.authenticator.subscribe_questions:
            question.permit()
        self.turn()
        self.broker.publish("plain", b"1")
        self.turn()

    def read(self) -> None:
        """The stream has been read."""
        for _ in range(5):
            self.slow.answer()
            self.turn()
        assert self.client.session.is_connected, self.client.session.state

    def subscribe(self) -> None:
        """The application is asked about a channel."""
        self.send(subscribe={"channel": "plain:2"})

    def subscribe_with_token(self) -> None:
        """The token of a channel is checked."""
        self.send(subscribe={"channel": "token:1", "token": "d.e.f"})

    def recover(self) -> None:
        """The messages that were published meanwhile are read for the client."""
        self.send(subscribe={"channel": "kept:2", "recover": True, "offset": 1, "epoch": "1"})
        self.authenticator.subscribe_questions[-1].permit()
        self.turn()

    def look_up(self) -> None:
        """The history of a channel and its members are looked up."""
        self.send(history={"channel": "kept", "limit": 10})
        self.send(history={"channel": "kept", "limit": 20})
        self.send(presence={"channel": "plain"})

    def refresh(self) -> None:
        """A new token is checked."""
        self.send(refresh={"token": "d.e.f"})

    def refresh_and_look_up(self) -> None:
        """Another new token is good, and it is looked up whether it is revoked."""
        self.send(refresh={"token": "d.e.f"})
        self.authenticator.refresh_questions[-1].resolve(Identity("42", credential_id="token:new"))

    def refresh_channel(self) -> None:
        """A new token for a channel is checked, behind one that is good for a minute."""
        self.send(sub_refresh={"channel": "plain", "token": "d.e.f"})
        self.authenticator.channel_token_questions[-1].resolve(ChannelGrant(EPOCH + 60))
        self.send(sub_refresh={"channel": "plain", "token": "d.e.f"})

    def publish(self) -> None:
        """The application is asked about a message."""
        self.send(publish={"channel": "plain", "data": 1})

    WITH_COMMANDS = (
        open,
        connect,
        identify,
        admit,
        permit,
        read,
        subscribe,
        subscribe_with_token,
        recover,
        look_up,
        refresh,
        refresh_and_look_up,
        refresh_channel,
        publish,
    )
    RAW = (open_raw, identify, admit, read)

    # The ends

    def leave(self) -> None:
        """The client leaves."""
        self.client.connection_lost()

    def disconnect(self) -> None:
        """The application disconnects the client."""
        self.client.disconnect(Disconnect.REVOKED)
        self.turn()
        self.client.connection_lost()

    def close(self) -> None:
        """The connection is closed, and ends a moment later."""
        self.client.connection_closing(Disconnect.SLOW)
        self.turn()
        self.client.connection_lost()

    ENDS = (leave, disconnect, close)

    def left_behind(self) -> list[str]:
        """Return what is left of the client when channels do not linger any more."""
        self.turn()
        turns = MAX_RECOVERIES - self.readers._turns.tokens
        self.clock.advance(CHANNEL_LINGER_SECONDS)
        self.turn()
        node, asked = self.node, self.authenticator
        questions: list[Any] = [
            *asked.questions,
            *asked.subscribe_questions,
            *asked.publish_questions,
            *asked.refresh_questions,
            *asked.channel_token_questions,
        ]
        channels = node.subscriptions._channels.values()
        found = {
            "a question is open": [each for each in questions if not each.answer.called],
            "a lookup of revocations is open": [each for each in self.store.answers if not each.called],
            "it is registered": node.registry.targets(),
            "it is authenticated": node.registry.authenticated_clients,
            "its credential is awaited": len(node.pending_credentials),
            "its credential is to end": len(node.credential_ends),
            "it has a timer": [each for each in node.timers._buckets.values() if each],
            "the reactor is to call something": self.reactor_timers() != self.timers and self.reactor_timers(),
            "a lookup is under way": len(node.lookups._shared),
            "a lookup has a turn": MAX_READS - node.lookups._turns.tokens,
            "its recovery has a turn": turns,
            "messages are held for it": self.client._held is not None and self.client._held._held,
            "a channel is wanted": len(channels),
            "it is in the hub": [each for each in ("kept", "plain", "plain:2") if node._hub.subscribers(each)],
        }
        return [name for name, each in found.items() if each]


class ClientEndsTests(SynchronousTestCase):
    """A client that leaves, whatever it waits for."""

    def check(self, dialect: IDialect, steps: tuple[Callable[[Life], None], ...]) -> None:
        """End a client at each point of a life, in each way."""
        for length in range(1, len(steps) + 1):
            for end in Life.ENDS:
                life = Life(dialect)
                for step in steps[:length]:
                    step(life)
                end(life)
                self.assertEqual(life.left_behind(), [], f"{steps[length - 1].__name__}, {end.__name__}")

    def test_nothing_is_left_of_a_client_with_commands(self) -> None:
        self.check(CENTRIFUGO.dialect, Life.WITH_COMMANDS)

    def test_nothing_is_left_of_a_raw_client(self) -> None:
        self.check(RAW.dialect, Life.RAW)
