"""Tests of `wsrelay.engine.client`: a client's life, from its knock to its end, where somebody says who it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support.frames import read_frames
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client import (
    AUTHENTICATE_TIMEOUT_SECONDS,
    CREDENTIAL_TIMEOUT_SECONDS,
    LONGEST_TIMER_SECONDS,
    Client,
)
from wsrelay.engine.node import LINGER_SECONDS, SUBSCRIBE_TIMEOUT_SECONDS, Node
from wsrelay.engine.publish_queue import MOST_WAITING
from wsrelay.engine.timers import RESOLUTION_SECONDS
from wsrelay.interfaces import IAuthenticator
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection

RULES = Namespaces(
    [
        Namespace("public", ("public",), publish=Access.AUTHENTICATED),
        Namespace("talk", ("talk",), publish=Access.PUBLIC),
        Namespace("room", ("room",), Access.AUTHENTICATED, Access.AUTHENTICATED),
        Namespace("inbox", ("user:{sub}",), Access.AUTHENTICATED),
        Namespace("deaf", ("deaf",), Access.NOBODY),
        Namespace("packed", ("packed",), Access.AUTHENTICATED, compress=True),
    ]
)
EPOCH = 1_800_000_000.0
MOMENT = 0.125
"""A short while, in seconds, that floats add up to exactly."""

TOKEN = Credential(CredentialKind.TOKEN, Secret("a.b.c"))
FIRST = b'{"token": "a.b.c"}'
SOMEBODY = Identity("42", credential_id="token:jti")
NAME = "5f0c"
REVOKE = b'{"disconnect": {"user": "42"}}'
COME_BACK = b'{"disconnect": {"user": "42"}, "reconnect": true}'


class Question:
    """A question who somebody is."""

    def __init__(self, credential: Credential | None, handshake: Handshake, channels: Sequence[str]) -> None:
        self.credential = credential
        self.handshake = handshake
        self.channels = tuple(channels)
        self.is_cancelled = False
        self.answer: Deferred[Identity] = Deferred(self._cancelled)

    def _cancelled(self, _answer: object) -> None:
        self.is_cancelled = True

    def say(self, identity: Identity | ClientError | Exception) -> None:
        """Answer it, unless nobody wants to know any more."""
        if self.is_cancelled:
            return
        if isinstance(identity, Identity):
            self.answer.callback(identity)
        else:
            self.answer.errback(RejectedError(identity) if isinstance(identity, ClientError) else identity)


class Message:
    """A question whether somebody may publish a message."""

    def __init__(self, identity: Identity, channel: str, payload: bytes) -> None:
        self.asked = (identity, channel, payload)
        self.answer: Deferred[None] = Deferred()


@implementer(IAuthenticator)
class Oracle:
    """Says of every client what the test says, when the test says it.

    Attributes:
        shown: What is found in handshakes, or why that cannot be told.
        is_curious: Whether it wants to be asked about clients that show nothing.
        questions: Who it was asked about.
        wants_messages: Whether it wants to be asked about a message with this payload.
        messages: The messages that it was asked about.
        broken: What it raises when it is asked.
        has_met: Who it knows clients to be before it knows more.
    """

    def __init__(self) -> None:
        self.shown: Credential | ClientError | None = TOKEN
        self.is_curious = False
        self.questions: list[Question] = []
        self.wants_messages: Callable[[bytes], bool] = lambda _payload: False
        self.messages: list[Message] = []
        self.broken: Exception | None = None
        self.has_met: Identity | None = None

    def find(self, _handshake: Handshake) -> Credential | None:
        """See `IAuthenticator.find`."""
        if isinstance(self.shown, ClientError):
            raise RejectedError(self.shown)
        return self.shown

    def requires_authentication(self, _handshake: Handshake) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return self.is_curious

    def authenticate(
        self,
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        if self.broken is not None:
            raise self.broken
        if self.has_met is not None:
            on_identity(self.has_met)
        self.questions.append(Question(credential, handshake, channels))
        return self.questions[-1].answer

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""

    def authorize_subscribe(self, _identity: Identity, _channel: str) -> None:
        """See `IAuthenticator.authorize_subscribe`."""

    def authorize_publish(self, identity: Identity, channel: str, payload: bytes) -> Deferred[None] | None:
        """See `IAuthenticator.authorize_publish`."""
        if self.broken is not None:
            raise self.broken
        if not self.wants_messages(payload):
            return None
        self.messages.append(Message(identity, channel, payload))
        return self.messages[-1].answer

    def say(self, identity: Identity | ClientError | Exception) -> None:
        """Answer the newest question."""
        self.questions[-1].say(identity)


class Archive(MemoryCredentialStore):
    """A store that looks for denials for as long as the test likes.

    Attributes:
        asked: The targets that it was asked about.
        answers: What it owes.
    """

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.asked: list[list[str]] = []
        self.answers: list[Deferred[Sequence[bool]]] = []

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """Look for them, and say nothing yet."""
        self.asked.append(list(targets))
        self.answers.append(Deferred())
        return self.answers[-1]


def heard(connection: RecordingConnection) -> list[bytes]:
    """The messages a connection was sent."""
    return [bytes(frame.data) for frame in read_frames(b"".join(connection.sent))]


class ClientCase(SynchronousTestCase):
    """Clients of a node whose broker and whose oracle say what the test says."""

    def setUp(self) -> None:
        """Make a node; at the end of the test nothing may be left of any client."""
        self.clock = Clock()
        self.broker = FakeBroker()
        self.oracle = Oracle()
        self.wall = EPOCH
        self.node = Node(self.broker, RULES, self.clock, authenticator=self.oracle, now=self.now)
        self.clients: list[Client] = []
        self.addCleanup(self.assert_nothing_left, self.clock, self.broker, self.node, self.clients)

    def now(self) -> float:
        """The wall clock."""
        return self.wall + self.clock.seconds()

    def assert_nothing_left(self, clock: Clock, broker: FakeBroker, node: Node, clients: list[Client]) -> None:
        """When all are gone nobody is on the roster, nothing is wanted of the broker and no timer runs."""
        for client in clients:
            client.lost()
        self.assertEqual((len(node.registry), node.registry.names()), (0, []))
        self.assertFalse(any(node.wheel._buckets.values()), "somebody who is gone has a timer")
        clock.pump([LINGER_SECONDS, LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS])
        self.assertEqual((broker.wanted, node._interests, clock.getDelayedCalls()), (set(), {}, []))

    def knock(
        self, channel: str = "room", query: str = "", connection: RecordingConnection | None = None, name: str = NAME
    ) -> tuple[RecordingConnection, Client]:
        """A client that asked for a channel."""
        connection = connection or RecordingConnection()
        client = self.node.client(connection)
        self.clients.append(client)
        client.open(Handshake(f"/ws/{channel}", "192.0.2.1", query=query, connection=name))
        return connection, client

    def promise(self, channel: str = "room") -> tuple[RecordingConnection, Client]:
        """A client that said that it shows its credential as its first message."""
        self.oracle.shown = None
        connection, client = self.knock(channel, "auth=message")
        self.assertTrue(connection.accepted)
        return connection, client

    def join(
        self, identity: Identity = SOMEBODY, channel: str = "room", name: str = NAME
    ) -> tuple[RecordingConnection, Client]:
        """A client that is somebody and hears a channel."""
        connection, client = self.knock(channel, name=name)
        self.oracle.say(identity)
        self.broker.sink.subscribed(channel)
        self.assertTrue(connection.accepted)
        return connection, client

    def statuses(self, connection: RecordingConnection) -> list[int]:
        """The statuses that a handshake was answered with."""
        self.assertFalse(connection.accepted and connection.responses)
        return [response.status for response in connection.responses]

    def assert_denied(self, connection: RecordingConnection, client_error: ClientError) -> None:
        """The handshake was answered with this denial, which was counted; the broker has heard nothing of it."""
        self.assertEqual(
            (connection.responses, connection.accepted, connection.disconnects), ([client_error.response], False, [])
        )
        self.assertEqual((dict(self.node.counters.auth_rejections), self.broker.log), ({client_error.reason: 1}, []))

    def assert_thrown_out(self, connection: RecordingConnection, client_error: ClientError) -> None:
        """Who had been accepted was closed for this denial, which was counted."""
        self.assertEqual((connection.responses, connection.disconnects), ([], [client_error.disconnect]))
        self.assertEqual(dict(self.node.counters.auth_rejections), {client_error.reason: 1})

    def test_double(self) -> None:
        """The oracle is an authenticator."""
        verifyObject(IAuthenticator, self.oracle)


class HandshakeTests(ClientCase):
    """A client that shows its credential in its handshake."""

    def test_way_in(self) -> None:
        """First it is asked who the client is, then the broker, and only then it is accepted."""
        connection, _ = self.knock()
        (question,) = self.oracle.questions
        self.assertEqual(
            (question.credential, question.channels, question.handshake.path), (TOKEN, ("room",), "/ws/room")
        )
        self.assertEqual((self.broker.log, connection.accepted), ([], False))
        question.say(SOMEBODY)
        self.assertEqual((self.broker.log, connection.accepted), ([("subscribe", ["room"])], False))
        self.broker.sink.subscribed("room")
        self.assertEqual((connection.accepted, connection.name, connection.sent), (True, NAME, []))
        self.assertEqual((connection.responses, connection.disconnects), ([], []))

    def test_shows_nothing(self) -> None:
        """Who shows nothing is asked nothing, is nobody and has no name."""
        self.oracle.shown = None
        connection, _ = self.knock("public")
        self.broker.sink.subscribed("public")
        self.assertEqual((connection.accepted, connection.name, self.oracle.questions), (True, None, []))
        self.assertEqual(len(self.node.registry), 0)

    def test_needs_something(self) -> None:
        """Who shows nothing where something is needed is told so."""
        self.oracle.shown = None
        connection, _ = self.knock("room")
        self.assert_denied(connection, ClientError.NO_CREDENTIAL)

    def test_is_asked_all_the_same(self) -> None:
        """Where it wants to the oracle is asked about who shows nothing as well."""
        self.oracle.shown, self.oracle.is_curious = None, True
        connection, _ = self.knock("room")
        self.assertIsNone(self.oracle.questions[0].credential)
        self.oracle.say(SOMEBODY)
        self.broker.sink.subscribed("room")
        self.assertTrue(connection.accepted)

    def test_nobody_vouches(self) -> None:
        """Whom nobody vouches for hears what is public, and can be disconnected by the name of its connection alone."""
        connection, _ = self.knock("public")
        self.oracle.say(ANONYMOUS)
        self.broker.sink.subscribed("public")
        self.assertEqual((connection.accepted, connection.name), (True, NAME))
        self.assertEqual(self.node.registry.names(), [f"connection:{NAME}"])

    def test_cannot_be_told(self) -> None:
        """Where it cannot be told what a client shows it is refused, and nobody is asked."""
        for client_error in (ClientError.AMBIGUOUS, ClientError.NO_ORIGIN, ClientError.TICKET):
            self.oracle.shown = client_error
            connection, _ = self.knock("public")
            self.assertEqual((connection.responses, self.oracle.questions), ([client_error.response], []))
        self.assertEqual(dict(self.node.counters.auth_rejections), {"ambiguous": 1, "no_origin": 1, "ticket": 1})

    def test_nothing_is_spent_in_vain(self) -> None:
        """Nobody is asked about a client of a channel that nobody may hear, does not exist, or cannot."""
        for channel, status in (("deaf", 403), ("nowhere", 404), ("a/b", 400)):
            connection, _ = self.knock(channel)
            self.assertEqual(self.statuses(connection), [status])
        self.assertEqual((self.oracle.questions, self.broker.log), ([], []))

    def test_denied(self) -> None:
        """Who is denied is told why, in the words for that."""
        for client_error in (ClientError.TICKET, ClientError.TOKEN_EXPIRED, ClientError.HOOK, ClientError.NOT_CHECKED):
            self.setUp()
            connection, _ = self.knock()
            self.oracle.say(client_error)
            self.assert_denied(connection, client_error)

    def test_not_for_this(self) -> None:
        """Who is somebody, but not somebody who may hear this, is told so."""
        connection, _ = self.knock("user:43")
        self.oracle.say(SOMEBODY)
        self.assert_denied(connection, ClientError.CHANNEL_DENIED)

    def test_rejected(self) -> None:
        """Who would have needed what its browser sent is told what is wrong with it; the others come in."""
        rejected = Identity(is_authenticated=False, cookie_error=ClientError.TOKEN_EXPIRED)
        connection, _ = self.knock("public")
        self.oracle.say(rejected)
        self.broker.sink.subscribed("public")
        self.assertTrue(connection.accepted)
        self.setUp()
        connection, _ = self.knock("room")
        self.oracle.say(rejected)
        self.assert_denied(connection, ClientError.TOKEN_EXPIRED)

    def test_leaves(self) -> None:
        """A client that leaves while it is asked about is forgotten: a late answer, whatever it is, finds nobody."""
        for answer in (SOMEBODY, ANONYMOUS, ClientError.TICKET, BrokerUnavailable("the test says so")):
            connection, client = self.knock()
            client.lost()
            self.oracle.say(answer)
            self.assertEqual((connection.accepted, connection.responses, connection.disconnects), (False, [], []))
        self.assertEqual(
            (len(self.node.registry), self.broker.log, dict(self.node.counters.auth_rejections)), (0, [], {})
        )

    def test_no_answer(self) -> None:
        """Without an answer in time the client is told to come back, and the question is given up."""
        connection, _ = self.knock()
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assert_denied(connection, ClientError.NOT_CHECKED)
        self.assertTrue(self.oracle.questions[0].is_cancelled)
        self.oracle.say(SOMEBODY)
        self.assertEqual((connection.accepted, self.broker.log), (False, []))

    def test_cannot_be_asked(self) -> None:
        """Where the oracle needs a broker that is away the client is told to come back."""
        connection, _ = self.knock()
        self.oracle.say(BrokerUnavailable("the test says so"))
        self.assert_denied(connection, ClientError.NOT_CHECKED)

    def test_oracle_breaks(self) -> None:
        """A failure of ours is logged once and closes the connection; nobody is let in by it."""
        connection, _ = self.knock()
        self.oracle.say(ZeroDivisionError())
        self.oracle.broken = ZeroDivisionError()
        other, _ = self.knock()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        for each in (connection, other):
            self.assertEqual((each.disconnects, each.accepted), ([Disconnect.INTERNAL_ERROR], False))
        self.assertEqual(self.broker.log, [])

    def test_compression(self) -> None:
        """Whether its messages are compressed goes by the channel, and is agreed on before it is accepted."""
        for channel, compressed in (("packed", True), ("room", False)):
            connection, plain = self.join(channel=channel)[0], RecordingConnection()
            self.assertEqual(connection.encoding is not plain.encoding, compressed)

    def test_broker_is_away(self) -> None:
        """Who may come in and cannot be subscribed is told to come back, and is on the roster until it is gone."""
        connection, client = self.knock()
        self.oracle.say(SOMEBODY)
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.assertEqual((connection.responses, connection.accepted), ([ClientError.NOT_AVAILABLE.response], False))
        client.lost()
        self.assertEqual(len(self.node.registry), 0)


class DeniedTargetTests(ClientCase):
    """Whoever has been denied."""

    def test_any_name(self) -> None:
        """Who is denied by any of its names does not come in, however good its credential is."""
        for name in (f"connection:{NAME}", "user:42", "token:jti"):
            self.setUp()
            self.broker.credentials.revoke(name, 60)
            connection, _ = self.knock()
            self.oracle.say(SOMEBODY)
            self.assert_denied(connection, ClientError.REVOKED)

    def test_others(self) -> None:
        """That others are denied keeps nobody out."""
        for name in ("user:4", "user:422", "token:42", "user:jti", "connection:5f0"):
            self.broker.credentials.revoke(name, 60)
        self.join()

    def test_also_where_it_is_public(self) -> None:
        """Who is denied is denied everywhere, as long as it is somebody."""
        self.broker.credentials.revoke("user:42", 60)
        connection, _ = self.knock("public")
        self.oracle.say(SOMEBODY)
        self.assert_denied(connection, ClientError.REVOKED)

    def test_store_away(self) -> None:
        """Where it cannot be found out whether somebody is denied nobody comes in: it is told to come back."""
        self.broker.credentials = archive = Archive()
        connection, _ = self.knock()
        self.oracle.say(SOMEBODY)
        self.assertEqual(archive.asked, [[f"connection:{NAME}", "user:42", "token:jti"]])
        self.assertEqual((connection.responses, self.broker.log), ([], []))
        archive.answers[0].errback(BrokerUnavailable("the test says so"))
        self.assert_denied(connection, ClientError.NOT_CHECKED)

    def test_store_is_slow(self) -> None:
        """All questions together have one deadline."""
        self.broker.credentials = archive = Archive()
        connection, _ = self.knock()
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS - 1)
        self.oracle.say(SOMEBODY)
        self.clock.advance(1 - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assert_denied(connection, ClientError.NOT_CHECKED)
        archive.answers[0].callback([False] * 3)
        self.assertEqual((connection.accepted, self.broker.log), (False, []))

    def test_leaves_meanwhile(self) -> None:
        """A client that leaves while the store looks is off the roster at once; a late answer finds nobody."""
        for denied in (True, False):
            self.broker.credentials = archive = Archive()
            connection, client = self.knock()
            self.oracle.say(SOMEBODY)
            client.lost()
            self.assertEqual(len(self.node.registry), 0)
            archive.answers[0].callback([denied] * 3)
            self.assertEqual((connection.accepted, connection.responses, len(self.node.registry)), (False, [], 0))

    def test_nobody_in_particular(self) -> None:
        """Nobody asks about who is nobody: it costs the broker nothing."""
        self.broker.credentials = archive = Archive()
        connection, _ = self.knock("public")
        self.oracle.say(ANONYMOUS)
        self.broker.sink.subscribed("public")
        self.assertEqual((connection.accepted, archive.asked), (True, []))


class FirstMessageTests(ClientCase):
    """A client that shows its credential as its first message."""

    def test_way_in(self) -> None:
        """It is accepted at once, told that it hears its channel when it does, and heard from then on."""
        connection, client = self.promise()
        self.assertEqual((self.oracle.questions, self.broker.log), ([], []))
        client.received(FIRST)
        (question,) = self.oracle.questions
        self.assertEqual(
            (question.credential, question.handshake.path, question.channels), (TOKEN, "/ws/room", ("room",))
        )
        question.say(SOMEBODY)
        self.assertEqual((self.broker.log, connection.sent), ([("subscribe", ["room"])], []))
        self.broker.sink.subscribed("room")
        self.broker.sink.publications_received([Publication("room", b"1")])
        self.clock.advance(0)
        client.received(b"2")
        self.assertEqual([json.loads(message) for message in heard(connection)], [{"subscribed": "room"}, 1])
        self.assertEqual((self.broker.published, connection.disconnects), ([Publication("room", b"2")], []))

    def test_name(self) -> None:
        """It is told the name of its connection when it is accepted, like everybody who is asked about."""
        connection, client = self.promise()
        self.assertEqual(connection.name, NAME)
        client.received(FIRST)
        self.oracle.say(SOMEBODY)
        self.assertIn(f"connection:{NAME}", self.node.registry.names())

    def test_where_all_are_asked_about(self) -> None:
        """Where the oracle wants to be asked about everybody it is asked when the credential is there, and once."""
        self.oracle.is_curious = True
        _, client = self.promise()
        self.assertEqual(self.oracle.questions, [])
        client.received(FIRST)
        self.assertEqual([question.credential for question in self.oracle.questions], [TOKEN])

    def test_deadline(self) -> None:
        """Without a credential in time it is closed, and not a moment earlier."""
        connection, client = self.promise()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(MOMENT + RESOLUTION_SECONDS)
        self.assert_thrown_out(connection, ClientError.TOO_LATE)
        client.received(FIRST)
        self.assertEqual((self.oracle.questions, connection.disconnects), ([], [Disconnect.CREDENTIAL]))

    def test_deadline_is_for_the_message(self) -> None:
        """How long it takes to look at a credential that came in time has nothing to do with the deadline for it."""
        connection, client = self.promise()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS - MOMENT)
        client.received(FIRST)
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS)
        self.assertEqual(connection.disconnects, [])
        self.oracle.say(SOMEBODY)
        self.broker.sink.subscribed("room")
        self.clock.advance(2 * CREDENTIAL_TIMEOUT_SECONDS)
        self.assertEqual((len(heard(connection)), connection.disconnects), (1, []))

    def test_malformed(self) -> None:
        """What is no credential is told with a close; neither it nor what follows is published, also where all may."""
        for message, client_error in (
            (b"hello", ClientError.MALFORMED),
            (b'{"token": "x"}', ClientError.TOKEN),
            (b"", ClientError.MALFORMED),
        ):
            self.setUp()
            connection, client = self.promise("talk")
            client.received(message)
            self.assert_thrown_out(connection, client_error)
            client.received(FIRST)
            client.received(b"more")
            self.assertEqual((self.oracle.questions, self.broker.published), ([], []))

    def test_credential_is_never_published(self) -> None:
        """The credential goes to the oracle and nowhere else, even where everybody may publish."""
        connection, client = self.promise("talk")
        client.received(FIRST)
        self.oracle.say(SOMEBODY)
        self.broker.sink.subscribed("talk")
        client.received(b"hi")
        self.assertEqual(self.broker.published, [Publication("talk", b"hi")])
        self.assertNotIn(b"a.b.c", b"".join(connection.sent))

    def test_speaks_too_early(self) -> None:
        """What it sends before it is welcome is not published, and it is told so."""
        connection, client = self.promise("talk")
        client.received(FIRST)
        client.received(b"early")
        self.oracle.say(SOMEBODY)
        client.received(b"early")
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.PUBLISH_DENIED] * 2, []))
        self.assertEqual(dict(self.node.counters.auth_rejections), {"publish_denied": 2})

    def test_denied(self) -> None:
        """Whatever keeps it out is told with the close code for that."""
        for client_error in (ClientError.TICKET, ClientError.TOKEN_EXPIRED, ClientError.HOOK, ClientError.NOT_CHECKED):
            self.setUp()
            connection, client = self.promise()
            client.received(FIRST)
            self.oracle.say(client_error)
            self.assert_thrown_out(connection, client_error)

    def test_not_for_this(self) -> None:
        """Who is somebody, but not somebody who may hear this, is told with the close code for that."""
        connection, client = self.promise("user:43")
        client.received(FIRST)
        self.oracle.say(SOMEBODY)
        self.assert_thrown_out(connection, ClientError.CHANNEL_DENIED)

    def test_no_answer(self) -> None:
        """Without an answer in time, of the oracle or of the broker, it is told to come back."""
        connection, client = self.promise()
        client.received(FIRST)
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS)
        self.assert_thrown_out(connection, ClientError.NOT_CHECKED)
        self.setUp()
        connection, client = self.promise()
        client.received(FIRST)
        self.oracle.say(SOMEBODY)
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.assert_thrown_out(connection, ClientError.NOT_AVAILABLE)

    def test_leaves(self) -> None:
        """A client that leaves before its message leaves no deadline behind."""
        connection, client = self.promise()
        client.lost()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((connection.disconnects, dict(self.node.counters.auth_rejections)), ([], {}))

    def test_leaves_while_it_is_accepted(self) -> None:
        """A client that goes in the moment in which it is accepted is not waited for."""

        class Fickle(RecordingConnection):
            def accept(self, name: str | None = None) -> None:
                super().accept(name)
                client.lost()

        self.oracle.shown, connection = None, Fickle()
        client = self.node.client(connection)
        client.open(Handshake("/ws/room", "192.0.2.1", query="auth=message"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_an_oracle(self) -> None:
        """Where nobody is anybody a credential is taken, helps nothing, and does no harm."""
        self.node = Node(self.broker, RULES, self.clock, AnonymousAuthenticator())
        self.addCleanup(self.assert_nothing_left, self.clock, self.broker, self.node, self.clients)
        connection, client = self.promise("talk")
        client.received(FIRST)
        self.broker.sink.subscribed("talk")
        self.assertEqual(heard(connection), [b'{"subscribed": "talk"}'])
        connection, client = self.promise("room")
        client.received(FIRST)
        self.assertEqual((connection.disconnects, self.broker.published), ([ClientError.NO_CREDENTIAL.disconnect], []))


class AwaitedTests(ClientCase):
    """Clients that are in and have not shown who they are."""

    def stranger(self) -> tuple[RecordingConnection, Client]:
        """A client that is in, and says that its first message will be its credential."""
        self.oracle.shown = None
        connection = RecordingConnection()
        client = self.node.client(connection)
        client.open(Handshake("/ws/room", "192.0.2.1", query="auth=message"))
        self.addCleanup(client.lost)
        return connection, client

    def test_bounded(self) -> None:
        """Where there are too many the one that has had the most time has to go, and not who comes."""
        self.node.max_pending_credentials = 3
        connections = [self.stranger()[0] for _ in range(5)]
        disconnects = [[Disconnect.CREDENTIAL]] * 2 + [[]] * 3
        self.assertEqual([connection.disconnects for connection in connections], disconnects)

    def test_who_shows_or_leaves(self) -> None:
        """Who has shown its credential, or is gone, takes no room."""
        self.node.max_pending_credentials = 1
        first, client = self.stranger()
        client.received(b'{"token": "a.b.c"}')
        second, client = self.stranger()
        client.lost()
        third, _ = self.stranger()
        self.assertEqual([first.disconnects, second.disconnects, third.disconnects], [[], [], []])


class RevocationTests(ClientCase):
    """The application takes it back."""

    def test_open(self) -> None:
        """Who is in is closed with what the application says, by any of its names, until it is gone."""
        for target in ("user", "42"), ("token", "jti"), ("connection", NAME):
            for reconnect, disconnect in ((False, Disconnect.REVOKED), (True, Disconnect.RECONNECT)):
                connection, client = self.join()
                self.node.control_received(json.dumps({"disconnect": dict([target]), "reconnect": reconnect}).encode())
                self.assertEqual(connection.disconnects, [disconnect])
                client.lost()

    def test_all_of_a_user(self) -> None:
        """All connections of a user are closed, and nobody else's."""
        mine = [self.join(name=str(number))[0] for number in range(3)]
        other, _ = self.join(Identity("43"))
        nobody, _ = self.join(ANONYMOUS, "public")
        self.node.control_received(REVOKE)
        self.assertEqual([connection.disconnects for connection in mine], [[Disconnect.REVOKED]] * 3)
        self.assertEqual((other.disconnects, nobody.disconnects), ([], []))

    def test_while_others_are_asked(self) -> None:
        """Who is revoked while the application is asked is turned away, by connection, user or credential."""
        for kind, value, on_identity in (
            ("user", "42", SOMEBODY),
            ("token", "jti", SOMEBODY),
            ("connection", NAME, None),
        ):
            self.oracle.has_met = on_identity
            connection, client = self.knock()
            self.node.control_received(json.dumps({"disconnect": {kind: value}}).encode())
            self.assertEqual(connection.responses, [ClientError.REVOKED.response])
            self.oracle.questions.pop().say(ANONYMOUS)
            self.assertFalse(connection.accepted)
            client.lost()

    def test_by_its_first_name(self) -> None:
        """Who came as one user and is another for the application can be disconnected, and denied, as either."""
        self.oracle.has_met = Identity("7")
        connection, client = self.join()
        self.node.control_received(b'{"disconnect": {"user": "7"}}')
        self.assertEqual(connection.disconnects, [Disconnect.REVOKED])
        client.lost()
        self.broker.credentials.revoke("user:7", 60)
        connection, _ = self.knock()
        self.oracle.questions.pop().say(SOMEBODY)
        self.assertEqual(connection.responses, [ClientError.REVOKED.response])

    def test_while_it_is_looked_for(self) -> None:
        """Who is revoked while the store looks for denials is turned away at once; a late answer lets nobody in."""
        self.broker.credentials = archive = Archive()
        connection, _ = self.knock()
        self.oracle.say(SOMEBODY)
        self.node.control_received(REVOKE)
        self.assert_denied(connection, ClientError.REVOKED)
        archive.answers[0].callback([False] * 3)
        self.assertEqual((connection.accepted, len(connection.responses), self.broker.log), (False, 1, []))

    def test_while_it_is_subscribed(self) -> None:
        """Who is revoked while the broker is asked is turned away; the confirmation does not let it in."""
        connection, _ = self.knock()
        self.oracle.say(SOMEBODY)
        self.node.control_received(REVOKE)
        self.broker.sink.subscribed("room")
        self.broker.sink.publications_received([Publication("room", b"1")])
        self.clock.advance(0)
        self.assertEqual((connection.responses, connection.accepted), ([ClientError.REVOKED.response], False))
        self.assertEqual(connection.sent, [])

    def test_accepted_ahead(self) -> None:
        """Who has been accepted, and is not in yet, is told what the application chose, like everybody who can be."""
        for message, disconnect in ((REVOKE, Disconnect.REVOKED), (COME_BACK, Disconnect.RECONNECT)):
            self.setUp()
            self.broker.credentials = archive = Archive()
            connection, client = self.promise()
            client.received(FIRST)
            self.oracle.say(SOMEBODY)
            self.node.control_received(message)
            self.assertEqual(connection.disconnects, [disconnect])
            archive.answers[0].callback([False] * 3)
            self.setUp()
            connection, client = self.promise()
            client.received(FIRST)
            self.oracle.say(SOMEBODY)
            self.node.control_received(message)
            self.assertEqual(connection.disconnects, [disconnect])
            self.broker.sink.subscribed("room")
            self.assertEqual((connection.sent, connection.disconnects), ([], [disconnect]))

    def test_twice(self) -> None:
        """Who is turned away already is not turned away again, nor is who has left."""
        connection, client = self.knock()
        self.oracle.say(SOMEBODY)
        self.node.control_received(REVOKE)
        self.node.control_received(REVOKE)
        client.lost()
        client.dismiss(Disconnect.REVOKED)
        self.node.control_received(REVOKE)
        self.assertEqual((connection.responses, connection.disconnects), ([ClientError.REVOKED.response], []))

    def test_publishes_no_more(self) -> None:
        """What waits for an approval when its client is revoked is published only if the client is still there."""
        self.oracle.wants_messages = lambda _payload: True
        connection, client = self.join()
        client.received(b"1")
        self.node.control_received(REVOKE)
        client.lost()
        self.oracle.messages[0].answer.callback(None)
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.REVOKED], []))


class ExpiryTests(ClientCase):
    """Credentials end."""

    def test_end(self) -> None:
        """When its credential ends a client is closed: not a moment before, and hardly after."""
        connection, _ = self.join(Identity("42", expires=EPOCH + 60))
        self.clock.advance(60 - MOMENT)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(MOMENT + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])

    def test_no_end(self) -> None:
        """A client whose credential has no end has no timer."""
        self.join()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaves_before(self) -> None:
        """A client that leaves before the end is not waited for."""
        connection, client = self.join(Identity("42", expires=EPOCH + 10 * LONGEST_TIMER_SECONDS))
        client.lost()
        self.clock.pump([LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS])
        self.assertEqual((connection.disconnects, self.clock.getDelayedCalls()), ([], []))

    def test_leaves_while_it_is_let_in(self) -> None:
        """Nor is a client that goes in the moment in which it is let in."""

        class Fickle(RecordingConnection):
            def accept(self, name: str | None = None) -> None:
                super().accept(name)
                client.lost()

        self.join()
        connection = Fickle()
        client = self.node.client(connection)
        client.open(Handshake("/ws/room", "192.0.2.1"))
        self.oracle.say(Identity("42", expires=EPOCH + 10 * LONGEST_TIMER_SECONDS))
        self.clock.pump([LINGER_SECONDS, LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS])
        self.assertEqual((connection.disconnects, self.clock.getDelayedCalls()), ([], []))

    def test_far_away(self) -> None:
        """An end further away than the longest timer comes in its time all the same."""
        end = 3.5 * LONGEST_TIMER_SECONDS
        connection, _ = self.join(Identity("42", expires=EPOCH + end))
        while self.clock.seconds() < end - 100:
            self.clock.advance(50)
            self.assertEqual((connection.disconnects, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.advance(100 + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])

    def test_farthest_away(self) -> None:
        """An end at any time that can be written down is no end that breaks anything."""
        connection, _ = self.join(Identity("42", expires=1e300))
        self.clock.pump([LONGEST_TIMER_SECONDS] * 3)
        self.assertEqual(connection.disconnects, [])

    def test_clock_is_set(self) -> None:
        """The end goes by the wall clock: when that was set it comes as that says, an hour late at most."""
        connection, _ = self.join(Identity("42", expires=EPOCH + 60))
        self.wall -= 100
        self.clock.advance(60 + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(100)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])
        connection, _ = self.join(Identity("42", expires=self.now() + 10 * LONGEST_TIMER_SECONDS))
        self.wall += 10 * LONGEST_TIMER_SECONDS
        self.clock.advance(LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])

    def test_while_it_is_subscribed(self) -> None:
        """A credential that ends while the broker is asked does not let its client in any more."""
        connection, _ = self.knock()
        self.oracle.say(Identity("42", expires=EPOCH + 1))
        self.clock.advance(1 + RESOLUTION_SECONDS)
        self.broker.sink.subscribed("room")
        self.assertEqual((connection.responses, connection.accepted), ([ClientError.TOKEN_EXPIRED.response], False))

    def test_over_already(self) -> None:
        """A credential that was over before its client got in does not let it in, and nothing is left behind."""
        for end in (EPOCH, EPOCH - 1, -1.0):
            self.setUp()
            connection, _ = self.knock()
            self.oracle.say(Identity("42", expires=end))
            self.assertEqual((connection.responses, connection.accepted), ([ClientError.TOKEN_EXPIRED.response], False))
            self.broker.sink.subscribed("room")
            self.broker.sink.publications_received([Publication("room", b"1")])
            self.clock.advance(0)
            self.assertEqual((connection.sent, connection.disconnects), ([], []))

    def test_over_already_where_others_listen(self) -> None:
        """Nor does it where its channel is heard already: if it was let in for a moment it is told that it is over."""
        other, _ = self.join(name="other")
        connection, client = self.knock()
        self.oracle.say(Identity("42", expires=EPOCH))
        ended = (self.statuses(connection), connection.disconnects)
        self.assertIn(ended, [([401], []), ([], [Disconnect.CREDENTIAL_EXPIRED])])
        client.lost()
        self.broker.sink.publications_received([Publication("room", b"1")])
        self.clock.advance(0)
        self.assertEqual((heard(other), connection.sent), ([b"1"], []))

    def test_over_while_it_was_looked_for(self) -> None:
        """What ends while the store looks is over as well, for who was accepted ahead with a close."""
        for message, ended in (
            (None, ([ClientError.TOKEN_EXPIRED.response], [])),
            (FIRST, ([], [Disconnect.CREDENTIAL_EXPIRED])),
        ):
            self.setUp()
            self.broker.credentials = archive = Archive()
            if message is None:
                connection, client = self.knock()
            else:
                connection, client = self.promise()
                client.received(message)
            self.oracle.say(Identity("42", expires=EPOCH + 5))
            self.clock.advance(6)
            archive.answers[0].callback([False] * 2)
            self.assertEqual((connection.responses, connection.disconnects), ended)


class PublishTests(ClientCase):
    """What somebody sends."""

    def asked_join(self, channel: str = "room") -> tuple[RecordingConnection, Client]:
        """A client whose every message is asked about."""
        self.oracle.wants_messages = lambda _payload: True
        return self.join(channel=channel)

    @property
    def published(self) -> list[bytes]:
        """What was published."""
        return [payload for _, payload, _ in self.broker.published]

    def test_process_stops(self) -> None:
        """Where a question is given up because the process stops nothing has failed: the client may come back."""
        connection, client = self.asked_join()
        client.received(b"mine")
        self.oracle.messages[0].answer.cancel()
        self.assertEqual(connection.disconnects, [Disconnect.NOT_AVAILABLE])

    def test_said_goodbye(self) -> None:
        """What waits for a yes when its sender is told goodbye is not published, and nobody is asked any longer."""
        _, client = self.asked_join()
        client.received(b"mine")
        self.node.control_received(REVOKE)
        self.assertTrue(self.oracle.messages[0].answer.called)
        self.assertEqual(self.published, [])

    def test_not_asked(self) -> None:
        """Where nobody has to be asked a message is published at once."""
        connection, client = self.join()
        client.received(b"1")
        self.assertEqual((self.broker.published, connection.disconnects), ([Publication("room", b"1")], []))

    def test_asked(self) -> None:
        """Where somebody has to be it is asked who publishes what and where, and published when the answer is yes."""
        connection, client = self.asked_join()
        client.received(b"\xff1")
        (message,) = self.oracle.messages
        self.assertEqual((message.asked, self.published), ((SOMEBODY, "room", b"\xff1"), []))
        message.answer.callback(None)
        self.assertEqual((self.broker.published, connection.disconnects), ([Publication("room", b"\xff1")], []))

    def test_rules_first(self) -> None:
        """Nobody is asked about what the rules do not permit."""
        self.oracle.wants_messages = lambda _payload: True
        connection, client = self.join(channel="user:42")
        client.received(b"1")
        self.assertEqual(self.oracle.messages, [])
        self.assert_thrown_out(connection, ClientError.PUBLISH_DENIED)

    def test_order(self) -> None:
        """However slow the answers are: messages are published in the order in which they came."""
        _, client = self.asked_join()
        for payload in (b"1", b"2", b"3"):
            client.received(payload)
        for index in (2, 1):
            self.oracle.messages[index].answer.callback(None)
            self.assertEqual(self.published, [])
        self.oracle.messages[0].answer.callback(None)
        self.assertEqual(self.published, [b"1", b"2", b"3"])

    def test_order_of_asked_and_not_asked(self) -> None:
        """A message that nobody has to be asked about does not overtake those that wait."""
        self.oracle.wants_messages = lambda payload: payload == b"ask"
        _, client = self.join()
        for payload in (b"1", b"ask", b"2"):
            client.received(payload)
        self.assertEqual(self.published, [b"1"])
        self.oracle.messages[0].answer.callback(None)
        client.received(b"3")
        self.assertEqual(self.published, [b"1", b"ask", b"2", b"3"])

    def test_clients_do_not_wait_for_each_other(self) -> None:
        """What one client waits for keeps no other client's message."""
        _, client = self.asked_join()
        _, other = self.join(Identity("43"), name="other")
        client.received(b"1")
        other.received(b"2")
        self.oracle.messages[1].answer.callback(None)
        self.assertEqual(self.published, [b"2"])

    def test_refused(self) -> None:
        """A no closes the client with the code for it, is counted, and nothing that waits is published."""
        for client_error in (ClientError.PUBLISH_DENIED, ClientError.NOT_CHECKED):
            self.setUp()
            connection, client = self.asked_join()
            for payload in (b"1", b"2", b"3"):
                client.received(payload)
            self.oracle.messages[0].answer.callback(None)
            self.oracle.messages[1].answer.errback(RejectedError(client_error))
            self.oracle.messages[2].answer.callback(None)
            self.assertEqual(self.published, [b"1"])
            self.assert_thrown_out(connection, client_error)

    def test_refused_at_once(self) -> None:
        """A no that the oracle raises is one, too."""
        connection, client = self.join()
        self.oracle.broken = RejectedError(ClientError.PUBLISH_DENIED)
        client.received(b"1")
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.PUBLISH_DENIED], []))

    def test_after_a_refusal(self) -> None:
        """What comes behind a refusal, before the client has heard of it, is not published."""
        connection, client = self.asked_join()
        client.received(b"1")
        self.oracle.messages[0].answer.errback(RejectedError(ClientError.PUBLISH_DENIED))
        client.received(b"2")
        for message in self.oracle.messages[1:]:
            message.answer.callback(None)
        self.assertEqual((self.published, connection.disconnects[0]), ([], Disconnect.PUBLISH_DENIED))

    def test_oracle_breaks(self) -> None:
        """A failure of ours is logged once and closes the connection; nothing is published by it."""
        connection, client = self.asked_join()
        client.received(b"1")
        self.oracle.messages[0].answer.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.INTERNAL_ERROR], []))

    def test_too_many(self) -> None:
        """So many messages of one client may wait; one more closes it, and is neither asked about nor published."""
        connection, client = self.asked_join()
        for number in range(MOST_WAITING):
            client.received(b"%d" % number)
        self.assertEqual(connection.disconnects, [])
        client.received(b"more")
        self.assertEqual((connection.disconnects, len(self.oracle.messages)), ([Disconnect.TOO_FAST], MOST_WAITING))
        for message in self.oracle.messages:
            message.answer.callback(None)
        self.assertNotIn(b"more", self.published)

    def test_room_again(self) -> None:
        """Who waits for its answers may send as many as it likes."""
        connection, client = self.asked_join()
        for number in range(3 * MOST_WAITING):
            client.received(b"%d" % number)
            self.oracle.messages[-1].answer.callback(None)
        self.assertEqual((len(self.published), connection.disconnects), (3 * MOST_WAITING, []))

    def test_leaves(self) -> None:
        """What waits when its client leaves is not published, whatever the answer is."""
        connection, client = self.asked_join()
        client.received(b"1")
        client.received(b"2")
        client.lost()
        self.oracle.messages[0].answer.callback(None)
        self.oracle.messages[1].answer.errback(RejectedError(ClientError.PUBLISH_DENIED))
        self.assertEqual(
            (self.published, connection.disconnects, dict(self.node.counters.auth_rejections)), ([], [], {})
        )

    def test_broker_away(self) -> None:
        """What may be published, and cannot, closes the client, so that nothing is lost in silence."""
        connection, client = self.asked_join()
        client.received(b"1")
        self.broker.ready = False
        self.oracle.messages[0].answer.callback(None)
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.TRY_AGAIN], []))


class Lives(RuleBasedStateMachine):
    """A few clients of one node, to which anything happens in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.broker = FakeBroker()
        self.broker.credentials = self.archive = Archive()
        self.oracle = Oracle()
        self.oracle.wants_messages = lambda payload: payload == b"ask"
        self.node = Node(
            self.broker, RULES, self.clock, authenticator=self.oracle, now=lambda: EPOCH + self.clock.seconds()
        )
        self.here: list[tuple[RecordingConnection, Client]] = []
        self.all: list[RecordingConnection] = []
        self.context = capturedLogs()
        self.events = self.context.__enter__()

    @rule(
        channel=st.sampled_from(["public", "talk", "room", "room", "user:42", "user:43", "deaf"]),
        shows=st.sampled_from([None, "token", "later"]),
        name=st.sampled_from(["a", "b"]),
    )
    def knock(self, channel: str, shows: str | None, name: str) -> None:
        """Somebody comes."""
        self.oracle.shown = TOKEN if shows == "token" else None
        connection = RecordingConnection()
        client = self.node.client(connection)
        self.here.append((connection, client))
        self.all.append(connection)
        query = "auth=message" if shows == "later" else ""
        client.open(Handshake(f"/ws/{channel}", "192.0.2.1", query=query, connection=name))

    @precondition(lambda self: self.here)
    @rule(data=st.data(), payload=st.sampled_from([FIRST, b"hi", b"ask"]))
    def send(self, data: st.DataObject, payload: bytes) -> None:
        """Somebody says something, unless it was told to go."""
        connection, client = data.draw(st.sampled_from(self.here))
        if connection.accepted and not connection.disconnects:
            client.received(payload)

    @precondition(lambda self: self.oracle.questions)
    @rule(
        data=st.data(),
        answer=st.sampled_from(
            [
                SOMEBODY,
                Identity("43"),
                Identity("42", expires=EPOCH + 20),
                Identity("42", expires=EPOCH),
                Identity("42", expires=EPOCH + 3 * LONGEST_TIMER_SECONDS),
                ANONYMOUS,
                ClientError.TICKET,
                BrokerUnavailable("the test says so"),
            ]
        ),
    )
    def answer(self, data: st.DataObject, answer: Identity | ClientError | Exception) -> None:
        """It is said who somebody is."""
        question = data.draw(st.sampled_from(self.oracle.questions))
        self.oracle.questions.remove(question)
        question.say(answer)

    @precondition(lambda self: self.archive.answers)
    @rule(denied=st.booleans())
    def look_up(self, denied: bool) -> None:
        """It is found out whether somebody is denied."""
        answer, targets = self.archive.answers.pop(0), self.archive.asked.pop(0)
        if not answer.called:
            answer.callback([denied] * len(targets))

    @precondition(lambda self: self.oracle.messages)
    @rule(data=st.data(), permitted=st.booleans())
    def approve(self, data: st.DataObject, permitted: bool) -> None:
        """It is said whether a message may be published."""
        message = data.draw(st.sampled_from(self.oracle.messages))
        self.oracle.messages.remove(message)
        if permitted:
            message.answer.callback(None)
        else:
            message.answer.errback(RejectedError(ClientError.PUBLISH_DENIED))

    @rule(channel=st.sampled_from(["public", "talk", "room", "user:42", "user:43"]))
    def confirm(self, channel: str) -> None:
        """The broker confirms a channel."""
        self.broker.sink.subscribed(channel)

    @rule(step=st.sampled_from(["interrupted", "resumed"]))
    def link(self, step: str) -> None:
        """The link to the broker breaks, or is back."""
        if step == "interrupted":
            self.broker.sink.disconnected(tuple(self.broker.wanted))
        else:
            self.broker.sink.reconnected()

    @rule(message=st.sampled_from([REVOKE, COME_BACK, b'{"disconnect": {"connection": "a"}}', b"nonsense"]))
    def control(self, message: bytes) -> None:
        """The application says something."""
        self.broker.sink.control_received(message)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0, 16.0, LONGEST_TIMER_SECONDS]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.advance(seconds)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody goes, perhaps because it was told to."""
        pair = data.draw(st.sampled_from(self.here))
        self.here.remove(pair)
        pair[1].lost()

    @invariant()
    def answered_once(self) -> None:
        """A handshake is answered once, and who was not accepted is never closed."""
        for connection in self.all:
            assert len(connection.responses) + connection.accepted <= 1
            assert connection.accepted or not connection.disconnects
            assert connection.accepted or not connection.sent

    @invariant()
    def nothing_fails(self) -> None:
        """Nothing is a failure of ours."""
        assert [event for event in self.events if event["log_level"] >= LogLevel.error] == []

    @invariant()
    def only_who_is_here(self) -> None:
        """The roster knows nobody who is gone."""
        assert set(self.node.registry._names) <= {client for _, client in self.here}

    def teardown(self) -> None:
        """When all are gone nothing is left of them."""
        try:
            for _, client in self.here:
                client.lost()
            assert self.node.registry.names() == []
            self.clock.pump([LINGER_SECONDS, AUTHENTICATE_TIMEOUT_SECONDS, 2 * LONGEST_TIMER_SECONDS])
            assert (self.broker.wanted, self.node._interests, self.clock.getDelayedCalls()) == (set(), {}, [])
            self.nothing_fails()
        finally:
            self.context.__exit__(None, None, None)


class LivesTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    def test_lives(self) -> None:
        """Whatever happens to clients: each is answered once, nothing fails, and nothing is left of who is gone."""
        run_state_machine_as_test(Lives, settings=settings(max_examples=200, stateful_step_count=25))
