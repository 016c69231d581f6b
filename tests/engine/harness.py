"""Shared by the tests of the engine: a node whose broker, store and authenticator answer as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import eventAsText
from twisted.trial.unittest import SynchronousTestCase

from tests.support.frames import read_frames
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import CENTRIFUGO
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS
from wsrelay.engine.client import Client
from wsrelay.engine.node import Node
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import RESOLUTION_SECONDS
from wsrelay.engine.wall_clock_timer import LONGEST_TIMER_SECONDS
from wsrelay.interfaces import IAuthenticator, IBroker
from wsrelay.metrics.counters import Counters
from wsrelay.testing.authenticators import AnonymousAuthenticator, FakeAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.credential_stores import FakeCredentialStore

__all__ = [
    "CONNECTION_ID",
    "EPOCH",
    "MOMENT",
    "RECONNECT_USER",
    "REVOKE_USER",
    "RULES",
    "TOKEN",
    "TOKEN_MESSAGE",
    "USER",
    "CentrifugoCase",
    "EngineCase",
    "log_lines",
    "make_node",
    "messages_of",
]

RULES = Namespaces(
    [
        Namespace("public", ("public*",), publish=Access.AUTHENTICATED),
        Namespace("talk", ("talk*",), publish=Access.PUBLIC),
        Namespace("room", ("room*",), Access.AUTHENTICATED, Access.AUTHENTICATED),
        Namespace("inbox", ("user:{sub}",), Access.AUTHENTICATED),
        Namespace("closed", ("closed",), Access.NOBODY),
        Namespace("token", ("token",), Access.TOKEN),
        Namespace("compressed", ("compressed",), Access.AUTHENTICATED, compress=True),
    ]
)
EPOCH = 1_800_000_000.0
MOMENT = 0.125
"""A short while, in seconds, that floats add up to exactly."""

TOKEN = Credential(CredentialKind.TOKEN, Secret("a.b.c"))
TOKEN_MESSAGE = b'{"token": "a.b.c"}'
USER = Identity("42", credential_id="token:jti")
CONNECTION_ID = "5f0c"
REVOKE_USER = b'{"disconnect": {"user": "42"}}'
RECONNECT_USER = b'{"disconnect": {"user": "42"}, "reconnect": true}'


def make_node(
    broker: IBroker,
    namespaces: Namespaces,
    clock: Clock,
    authenticator: IAuthenticator | None = None,
    *,
    now: Callable[[], float] | None = None,
    max_pending_credentials: int = 1000,
) -> Node:
    """Return a node with counters and a log of its own.

    Args:
        broker: Its broker.
        namespaces: The rules about channels.
        clock: Time.
        authenticator: Its authenticator. If None, every client is anonymous.
        now: The wall clock. If None, `clock` is one.
        max_pending_credentials: See `Node`.
    """
    counters = Counters()
    return Node(
        broker,
        namespaces,
        clock,
        authenticator or AnonymousAuthenticator(),
        rng=Random(3),
        counters=counters,
        rejections=RejectionLog(counters, clock.seconds),
        now=now or clock.seconds,
        max_pending_credentials=max_pending_credentials,
    )


def messages_of(connection: RecordingConnection) -> list[bytes]:
    """Return the messages that a connection was sent, read by the parser of another project."""
    return [bytes(frame.data) for frame in read_frames(b"".join(connection.sent))]


def log_lines(events: Sequence[dict[str, Any]]) -> list[tuple[Any, str]]:
    """Return the level and the text of logged events."""
    return [(each["log_level"], eventAsText(each, includeTimestamp=False, includeSystem=False)) for each in events]


class EngineCase(SynchronousTestCase):
    """Raw clients of a node whose broker, store and authenticator answer as the test says.

    At the end of each test every client leaves, and nothing may be left of any.
    """

    namespaces = RULES
    max_pending_credentials = 1000

    def setUp(self) -> None:
        """Make a node. Called again by tests that need a fresh one."""
        self.clock = Clock()
        self.broker = FakeBroker()
        self.broker.credentials = self.store = FakeCredentialStore()
        self.authenticator = FakeAuthenticator()
        self.authenticator.credential = TOKEN
        self.wall_clock_offset = EPOCH
        self.node = make_node(
            self.broker,
            self.namespaces,
            self.clock,
            self.authenticator,
            now=self.now,
            max_pending_credentials=self.max_pending_credentials,
        )
        self.clients: list[Client] = []
        self.addCleanup(self.assert_nothing_left, self.clock, self.broker, self.node, self.clients)

    def now(self) -> float:
        """Return the time of the wall clock."""
        return self.wall_clock_offset + self.clock.seconds()

    def assert_nothing_left(self, clock: Clock, broker: FakeBroker, node: Node, clients: list[Client]) -> None:
        """Assert that no registry, channel or timer keeps anything when every client has left."""
        for client in clients:
            client.connection_lost()
        self.assertEqual((len(node.registry), node.registry.targets(), len(node.pending_credentials)), (0, [], 0))
        self.assertEqual(len(node.credential_ends), 0)
        self.assertFalse(any(node.timers._buckets.values()), "a client that has left has a timer")
        clock.pump([CHANNEL_LINGER_SECONDS, LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS])
        self.assertEqual((broker.wanted, len(node.subscriptions), clock.getDelayedCalls()), (set(), 0, []))

    # Clients

    def open(
        self,
        channel: str = "room",
        connection: RecordingConnection | None = None,
        *,
        query: str = "",
        connection_id: str = CONNECTION_ID,
    ) -> tuple[RecordingConnection, Client]:
        """Open a client of a channel; nothing has been answered yet."""
        connection = connection or RecordingConnection()
        client = self.node.client(connection)
        connection.attach(client)
        self.clients.append(client)
        client.open(Handshake(f"/ws/{channel}", "192.0.2.1", query=query, connection=connection_id))
        return connection, client

    def open_anonymous(
        self, channel: str, connection: RecordingConnection | None = None
    ) -> tuple[RecordingConnection, Client]:
        """Open a client without a credential; the broker has not answered yet."""
        self.authenticator.credential = None
        return self.open(channel, connection)

    def join_anonymous(
        self, channel: str, connection: RecordingConnection | None = None
    ) -> tuple[RecordingConnection, Client]:
        """Return a client without a credential that is subscribed to a channel."""
        connection, client = self.open_anonymous(channel, connection)
        self.broker.sink.subscribed(channel)
        self.assertTrue(connection.accepted)
        return connection, client

    def open_with_first_message(self, channel: str = "room") -> tuple[RecordingConnection, Client]:
        """Open a client that promises its credential as its first message."""
        self.authenticator.credential = None
        connection, client = self.open(channel, query="auth=message")
        self.assertTrue(connection.accepted)
        return connection, client

    def join(
        self,
        identity: Identity = USER,
        channel: str = "room",
        connection: RecordingConnection | None = None,
        *,
        connection_id: str = CONNECTION_ID,
    ) -> tuple[RecordingConnection, Client]:
        """Return a client that is authenticated and subscribed to a channel."""
        connection, client = self.open(channel, connection, connection_id=connection_id)
        self.identify(identity)
        self.broker.sink.subscribed(channel)
        self.assertTrue(connection.accepted)
        return connection, client

    def identify(self, outcome: Identity | ClientError | Exception) -> None:
        """Answer the newest question about an identity."""
        self.authenticator.questions[-1].resolve(outcome)

    def deliver(self, channel: str, *messages: bytes) -> None:
        """Deliver messages as a broker does, each by itself, and let the turn end."""
        for data in messages:
            self.broker.sink.publications_received([Publication(channel, data)])
        self.clock.advance(0)

    def send_control(self, **document: object) -> None:
        """Send a control message to all processes."""
        self.broker.sink.control_received(json.dumps(document).encode())

    # Assertions

    @property
    def rejections(self) -> dict[str, int]:
        """The rejections that were counted, by reason."""
        return dict(self.node.counters.auth_rejections)

    @property
    def published(self) -> list[bytes]:
        """The messages that the broker was given."""
        return [each.data for each in self.broker.published]

    def assert_rejected(self, connection: RecordingConnection, error: ClientError) -> None:
        """Assert that a handshake was answered with this error, counted once, and that the broker was not asked."""
        self.assertEqual(
            (connection.responses, connection.accepted, connection.disconnects), ([error.response], False, [])
        )
        self.assertEqual((self.rejections, self.broker.log), ({error.reason: 1}, []))

    def assert_closed(self, connection: RecordingConnection, error: ClientError) -> None:
        """Assert that a connection was closed for this error, counted once."""
        self.assertEqual((connection.responses, connection.disconnects), ([], [error.disconnect]))
        self.assertEqual(self.rejections, {error.reason: 1})


class CentrifugoCase(EngineCase):
    """Clients that speak a dialect with commands."""

    def open_centrifugo(
        self, connection: RecordingConnection | None = None, *, connection_id: str = CONNECTION_ID
    ) -> tuple[RecordingConnection, Client]:
        """Open a client; its first message is still to come."""
        self.authenticator.credential = None
        connection = connection or RecordingConnection(CENTRIFUGO.dialect)
        client = self.node.client(connection)
        connection.attach(client)
        self.clients.append(client)
        client.open(Handshake(CENTRIFUGO.path, "192.0.2.1", connection=connection_id))
        self.assertTrue(connection.accepted)
        return connection, client

    def connect(
        self, identity: Identity = USER, *, connection_id: str = CONNECTION_ID
    ) -> tuple[RecordingConnection, Client]:
        """Return a client that is connected, with the reply to its command 1 removed."""
        connection, client = self.open_centrifugo(connection_id=connection_id)
        self.send(client, {"id": 1, "connect": {"token": "a.b.c"}})
        self.identify(identity)
        (reply,) = self.take(connection)
        self.assertEqual((reply["id"], reply["connect"]["client"]), (1, connection_id))
        return connection, client

    def subscribe(self, connection: RecordingConnection, client: Client, *channels: str) -> None:
        """Subscribe a client to channels that the broker confirms, with the replies removed."""
        for command_id, channel in enumerate(channels, 1000):
            self.send(client, {"id": command_id, "subscribe": {"channel": channel}})
            self.broker.sink.subscribed(channel)
            self.assertEqual(self.take(connection), [{"id": command_id, "subscribe": {}}])

    @staticmethod
    def send(client: Client, *commands: object) -> None:
        """Send commands in one message."""
        client.received(Message("\n".join(map(json.dumps, commands)).encode()))

    @staticmethod
    def take(connection: RecordingConnection) -> list[dict[str, Any]]:
        """Return what a connection was sent since the last call: replies and pushes, in order."""
        messages = messages_of(connection)
        connection.sent.clear()
        return [json.loads(line) for message in messages for line in message.split(b"\n")]

    def assert_error(self, reply: dict[str, Any], command_id: int, code: int) -> None:
        """Assert that a reply is an error with a code of Centrifugo."""
        self.assertEqual((reply["id"], reply["error"]["code"]), (command_id, code))

    def close_codes(self, connection: RecordingConnection) -> list[int]:
        """Return the close codes of a connection, as its dialect says them."""
        return [connection.dialect.close(each).code for each in connection.disconnects]
