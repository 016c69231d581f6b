"""Shared by the tests of presence: several nodes whose brokers are linked, and that share a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.engine.harness import TOKEN, make_node, messages_of
from wsrelay.brokers.memory.presence_store import MemoryPresenceStore
from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import ChannelEvent, Join, Leave, Publication, PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.member import MAX_MEMBERS, Members, PresenceStats
from wsrelay.core.presence.tables import Table
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client import Client
from wsrelay.engine.node import Node
from wsrelay.interfaces import IAuthenticator, IDialect, IPresence
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.dialects import LineDialect
from wsrelay.testing.event_logs import RecordingEventLog

__all__ = ["DIALECT", "RULES", "LinkedBroker", "PresenceCase", "UserAuthenticator"]

RULES = Namespaces(
    [
        Namespace("all", ("chat*",), presence=True, join_leave=True, events=True),
        Namespace("list", ("list*",), presence=True),
        Namespace("told", ("told*",), join_leave=True),
        Namespace("events", ("job*",), events=True),
        Namespace("plain", ("plain*",)),
    ]
)


@implementer(IPresence)
class NodeStore:
    """The way of one node to the store.

    Args:
        store: The store.

    Attributes:
        problem: Why it cannot be reached; empty if it can.
    """

    def __init__(self, store: MemoryPresenceStore) -> None:
        self._store = store
        self.problem = ""

    def presence(self, channel: str, limit: int = MAX_MEMBERS) -> Deferred[Members]:
        """See `IPresence.presence`."""
        return self._store.presence(channel, limit)

    def presence_stats(self, channel: str) -> Deferred[PresenceStats]:
        """See `IPresence.presence_stats`."""
        return self._store.presence_stats(channel)

    def hold(self, table: Table, names: Sequence[str]) -> Deferred[Sequence[str]]:
        """See `IPresence.hold`."""
        return fail(BrokerUnavailable(self.problem)) if self.problem else self._store.hold(table, names)

    def release(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """See `IPresence.release`."""
        return fail(BrokerUnavailable(self.problem)) if self.problem else self._store.release(table, names)

    def take_ended(self, table: Table) -> Deferred[Sequence[str]]:
        """See `IPresence.take_ended`."""
        return fail(BrokerUnavailable(self.problem)) if self.problem else self._store.take_ended(table)


class LinkedBroker(FakeBroker):
    """A broker of several, which carries what is published on the relay's own channels to all of them.

    Args:
        number: Its number.
        peers: All of them; it adds itself.
        clock: Time.
        store: The store that they share.
        event_log: The event log that they share.
    """

    def __init__(
        self, number: int, peers: list[LinkedBroker], clock: Clock, store: MemoryPresenceStore, event_log: Any
    ) -> None:
        super().__init__()
        self.node_id = f"node-{number}"
        self.presence = NodeStore(store)
        self.events = event_log
        self._peers = peers
        self._clock = clock
        peers.append(self)

    def publish(self, channel: str, data: bytes) -> Deferred[PublishResult]:
        """Have every broker receive it that is subscribed in the next turn."""
        if not self.ready:
            return super().publish(channel, data)
        self.published.append(Publication(channel, data))
        self._clock.callLater(0, self._deliver, Publication(channel, data))
        return succeed(PublishResult())

    def _deliver(self, publication: Publication) -> None:
        for peer in self._peers:
            if publication.channel in peer.wanted and peer.ready:
                peer.sink.publications_received([publication])


@implementer(IDialect)
class MembersDialect(LineDialect):
    """Sends joins and leaves as lines: ``+client/user`` and ``-client/user``."""

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[Message]:
        """See `IDialect.encode`."""
        lines = []
        for each in events:
            if isinstance(each, (Join, Leave)):
                sign = "+" if isinstance(each, Join) else "-"
                lines.append(Message(f"{sign}{each.client}/{each.user}".encode()))
        return lines


DIALECT = MembersDialect("members")


@implementer(IAuthenticator)
class UserAuthenticator(AnonymousAuthenticator):
    """Takes the query for the name of the user."""

    def find(self, handshake: Handshake) -> Any:
        """See `IAuthenticator.find`."""
        return TOKEN if handshake.query else None

    def authenticate(
        self,
        _credential: Credential | None,
        handshake: Handshake,
        _channels: Sequence[str],
        _on_identity: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        return succeed(Identity(handshake.query) if handshake.query else ANONYMOUS)


class PresenceCase(SynchronousTestCase):
    """Clients of three nodes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryPresenceStore(self.clock.seconds, lambda: "")
        self.event_log = RecordingEventLog()
        self.brokers: list[LinkedBroker] = []
        self.nodes: list[Node] = []
        for _ in range(3):
            self.start_node()
        self._names = iter(range(1, 10_000))
        self.turn()

    def start_node(self) -> int:
        """Add a node, and return its number."""
        number = len(self.nodes)
        broker = LinkedBroker(number, self.brokers, self.clock, self.store, self.event_log)
        self.nodes.append(make_node(broker, RULES, self.clock, UserAuthenticator()))
        return number

    def crash(self, number: int) -> None:
        """End a node without a word."""
        self.nodes[number].stop()
        broker = self.brokers[number]
        broker.ready = False
        broker.wanted.clear()
        presence = self.nodes[number].presence
        assert presence is not None
        presence._leases._is_stopped = True
        presence._leases._cancel_timers()

    def join(self, number: int, channels: str, user: str = "") -> tuple[RecordingConnection, Client]:
        """Return a client that is subscribed; its id is c1, c2 and so on."""
        connection = RecordingConnection(DIALECT)
        client = self.nodes[number].client(connection)
        connection.attach(client)
        name = f"c{next(self._names)}"
        client.open(Handshake(f"/line/{channels}", "192.0.2.1", query=user, connection=name))
        for channel in channels.split(","):
            self.brokers[number].sink.subscribed(channel)
        self.assertTrue(connection.accepted)
        self.turn()
        return connection, client

    def turn(self) -> None:
        """Run some turns of the reactor."""
        for _ in range(6):
            self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps as fine as the timer wheel's."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.turn()

    def told(self, connection: RecordingConnection) -> list[str]:
        """Return the joins and leaves that a connection was sent since the last call."""
        messages = [message.decode() for message in messages_of(connection)]
        connection.sent.clear()
        return messages

    def members(self, channel: str) -> list[str]:
        """Return the members of a channel, as client/user."""
        found = self.successResultOf(self.store.presence(channel))
        return sorted(f"{each.client}/{each.user}" for each in found.members)
