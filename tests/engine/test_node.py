"""Tests of `wsrelay.engine.node`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support.frames import read_frames
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.commands import Publish, Subscribe
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, ProtocolViolation
from wsrelay.core.wire.frames import message_frame
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.raw import RawDialect
from wsrelay.engine.client import Client
from wsrelay.engine.hub import HELD_BYTES
from wsrelay.engine.node import (
    LINGER_SECONDS,
    LOOK_AGAIN_SECONDS,
    SUBSCRIBE_TIMEOUT_SECONDS,
    TARGETS_PER_QUESTION,
    Node,
)
from wsrelay.engine.timers import RESOLUTION_SECONDS
from wsrelay.interfaces import IAuthenticator, IDialect
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection

RULES = Namespaces(
    [
        Namespace("rooms", ("room*",)),
        Namespace("talk", ("talk",), publish=Access.PUBLIC),
        Namespace("deaf", ("deaf",), subscribe=Access.NOBODY),
    ]
)
MOMENT = 0.125
"""A short while, in seconds, that floats add up to exactly."""

AWAY = ErrorResponse(503, "The relay has no working connection to Redis now. Try again later.", (("Retry-After", "5"),))


class Mean(RecordingConnection):
    """A connection that fails whatever is asked of it."""

    def send(self, data: bytes, *_more: object) -> None:
        """Fail."""
        raise RuntimeError("cannot send")

    def close(self, disconnect: Disconnect) -> None:
        """Write it down, and fail."""
        super().close(disconnect)
        raise RuntimeError("cannot close")


@implementer(IDialect)
class Strict(RawDialect):
    """The raw dialect, but no message is good enough."""

    def decode(self, payload: bytes) -> Sequence[Publish]:
        """Find fault."""
        raise ProtocolViolation(Disconnect.PROTOCOL_ERROR)


@implementer(IDialect)
class Several(RawDialect):
    """The raw dialect, but a path names several channels."""

    def open(self, handshake: Handshake) -> Sequence[Subscribe]:
        """Ask for each."""
        return [Subscribe(name) for name in handshake.path.removeprefix(self.path).split(",")]


def heard(connection: RecordingConnection) -> list[bytes]:
    """The messages a connection was sent."""
    return [bytes(frame.data) for frame in read_frames(b"".join(connection.sent))]


class NodeCase(SynchronousTestCase):
    """A node on a broker whose every answer the test gives."""

    def setUp(self) -> None:
        """Make a node."""
        self.clock = Clock()
        self.broker = FakeBroker()
        self.node = Node(self.broker, RULES, self.clock, AnonymousAuthenticator())

    def knock(self, channel: str, connection: RecordingConnection | None = None) -> tuple[RecordingConnection, Client]:
        """A client that asked for a channel."""
        connection = connection or RecordingConnection()
        client = self.node.client(connection)
        client.open(Handshake(f"/ws/{channel}", "192.0.2.1"))
        return connection, client

    def join(self, channel: str, connection: RecordingConnection | None = None) -> tuple[RecordingConnection, Client]:
        """A client that listens to a channel."""
        connection, client = self.knock(channel, connection)
        self.broker.sink.subscribed(channel)
        self.assertTrue(connection.accepted)
        return connection, client

    def deliver(self, channel: str, *payloads: bytes) -> None:
        """Play the broker: messages arrive, and the turn ends."""
        for payload in payloads:
            self.broker.sink.publications_received([Publication(channel, payload)])
        self.clock.advance(0)

    def assert_forgotten(self) -> None:
        """After the linger nothing is wanted, nothing is kept and no timer runs."""
        self.clock.advance(LINGER_SECONDS)
        self.assertEqual((self.broker.wanted, self.node._interests, self.clock.getDelayedCalls()), (set(), {}, []))


class HandshakeTests(NodeCase):
    """How a handshake is answered."""

    def test_accepted_after_confirmation(self) -> None:
        """A client is accepted when the broker has confirmed its channel, and not before."""
        connection, _ = self.knock("room")
        self.assertEqual((connection.accepted, self.broker.log), (False, [("subscribe", ["room"])]))
        self.broker.sink.subscribed("room")
        self.assertEqual((connection.accepted, connection.responses), (True, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_falls_between(self) -> None:
        """A message that follows the confirmation in the same turn reaches the client; one before it does not."""
        connection, _ = self.knock("room")
        self.broker.sink.publications_received([Publication("room", b"before")])
        self.broker.sink.subscribed("room")
        self.broker.sink.publications_received([Publication("room", b"after")])
        self.clock.advance(0)
        self.assertEqual(heard(connection), [b"after"])

    def test_confirmed_already(self) -> None:
        """A second client of a confirmed channel is accepted at once, and the broker is not asked again."""
        self.join("room")
        connection, _ = self.knock("room")
        self.assertEqual((connection.accepted, self.broker.log), (True, [("subscribe", ["room"])]))

    def test_confirmed_while_subscribing(self) -> None:
        """A broker may confirm before `subscribe` returns."""
        broker = MemoryBroker(self.clock)
        self.node = Node(broker, RULES, self.clock, AnonymousAuthenticator())
        broker.start()
        connection, client = self.knock("talk")
        self.assertTrue(connection.accepted)
        client.received(b"hi")
        self.clock.advance(0)
        self.assertEqual(heard(connection), [b"hi"])

    def test_all_who_wait(self) -> None:
        """One confirmation lets in everyone who waits for the channel, and nobody who waits for another."""
        connections = [self.knock(channel)[0] for channel in ("room1", "room2", "room1")]
        self.broker.sink.subscribed("room1")
        self.assertEqual([connection.accepted for connection in connections], [True, False, True])

    def test_leaves_while_others_are_let_in(self) -> None:
        """A client may go because another one was let in; it is not let in after that."""

        class Rude(RecordingConnection):
            def accept(self, name: str | None = None) -> None:
                super().accept(name)
                other.lost()

        rude, _ = self.knock("room", Rude())
        shy, other = self.knock("room")
        self.broker.sink.subscribed("room")
        self.assertEqual((rude.accepted, shy.accepted, shy.responses), (True, False, []))

    def test_leaves_while_it_is_let_in(self) -> None:
        """A client that goes in the moment in which it is let in hears nothing and leaves nothing behind."""

        class Fickle(RecordingConnection):
            def accept(self, name: str | None = None) -> None:
                super().accept(name)
                client.lost()

        connection = Fickle()
        client = self.node.client(connection)
        client.open(Handshake("/ws/room", "192.0.2.1"))
        self.broker.sink.subscribed("room")
        self.deliver("room", b"1")
        self.assertEqual(connection.sent, [])
        self.assert_forgotten()

    def test_several_channels(self) -> None:
        """A client of several channels is accepted when the last one is confirmed, and hears them all."""
        connection = RecordingConnection()
        connection.dialect = Several()
        _, client = self.knock("room1,room2", connection)
        self.broker.sink.subscribed("room2")
        self.assertFalse(connection.accepted)
        self.broker.sink.subscribed("room1")
        self.assertTrue(connection.accepted)
        self.deliver("room1", b"1")
        self.deliver("room2", b"2")
        self.assertEqual(heard(connection), [b"1", b"2"])
        client.lost()
        self.assert_forgotten()

    def test_unknown_channel(self) -> None:
        """A channel outside all namespaces is answered with 404, and the broker hears nothing of it."""
        connection, client = self.knock("lobby")
        self.assertEqual([response.status for response in connection.responses], [404])
        client.lost()
        self.assertEqual((self.broker.log, self.clock.getDelayedCalls()), ([], []))

    def test_denied_channel(self) -> None:
        """A channel that clients may not hear is answered with 403, and the broker hears nothing of it."""
        connection, _ = self.knock("deaf")
        self.assertEqual(([response.status for response in connection.responses], self.broker.log), ([403], []))

    def test_bad_name(self) -> None:
        """What is no channel name is answered with 400, and the broker hears nothing of it."""
        connection, client = self.knock("a/b")
        self.assertEqual([response.status for response in connection.responses], [400])
        client.lost()
        self.assertEqual((self.broker.log, self.clock.getDelayedCalls()), ([], []))

    def test_timeout(self) -> None:
        """Without a confirmation in time the answer is 503 and says when to come back; nothing is left behind."""
        connection, client = self.knock("room")
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assertEqual((connection.responses, connection.accepted), ([AWAY], False))
        client.lost()
        self.assert_forgotten()

    def test_confirmed_too_late(self) -> None:
        """A confirmation after the deadline does not accept who was refused, but the next one who comes."""
        connection, _ = self.knock("room")
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.broker.sink.subscribed("room")
        self.assertFalse(connection.accepted)
        self.deliver("room", b"1")
        self.assertEqual(connection.sent, [])
        self.assertTrue(self.knock("room")[0].accepted)

    def test_lost_while_waiting(self) -> None:
        """A client that goes while it waits is neither accepted nor refused; nothing is left behind."""
        connection, client = self.knock("room")
        client.lost()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "more than the linger is left")
        self.broker.sink.subscribed("room")
        self.assertEqual((connection.accepted, connection.responses), (False, []))
        self.assert_forgotten()

    def test_accept_fails(self) -> None:
        """A connection that cannot be accepted is closed as our failure, and its channel is given up."""

        class Unacceptable(RecordingConnection):
            def accept(self, name: str | None = None) -> None:
                raise RuntimeError("cannot accept")

        connection, client = self.knock("room", Unacceptable())
        self.broker.sink.subscribed("room")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])
        client.lost()
        self.assert_forgotten()


class InterestTests(NodeCase):
    """What the broker is asked for."""

    def test_first_and_last(self) -> None:
        """The first interest subscribes; the last one gone unsubscribes, after the linger and not before."""
        clients = [self.join("room")[1], self.join("room")[1]]
        for client in clients:
            client.lost()
            self.clock.advance(LINGER_SECONDS - MOMENT)
            self.assertEqual(self.broker.log, [("subscribe", ["room"])])
        self.clock.advance(MOMENT)
        self.assertEqual(self.broker.log, [("subscribe", ["room"]), ("unsubscribe", ["room"])])
        self.assert_forgotten()

    def test_back_within_the_linger(self) -> None:
        """Who comes back within the linger, as a reloaded page does, costs the broker nothing and does not wait."""
        _, client = self.join("room")
        client.lost()
        self.clock.advance(LINGER_SECONDS - MOMENT)
        connection, client = self.knock("room")
        self.clock.advance(2 * LINGER_SECONDS)
        self.assertEqual((connection.accepted, self.broker.log), (True, [("subscribe", ["room"])]))
        self.deliver("room", b"1")
        self.assertEqual(heard(connection), [b"1"])
        client.lost()
        self.assert_forgotten()

    def test_linger_begins_anew(self) -> None:
        """The linger is counted from the last time the last one left."""
        self.join("room")[1].lost()
        self.clock.advance(LINGER_SECONDS - 1)
        self.knock("room")[1].lost()
        self.clock.advance(LINGER_SECONDS - MOMENT)
        self.assertEqual(self.broker.wanted, {"room"})
        self.clock.advance(MOMENT)
        self.assertEqual(self.broker.wanted, set())

    def test_back_after_the_linger(self) -> None:
        """After the linger a channel is as new: the broker is asked, and its answer awaited."""
        self.join("room")[1].lost()
        self.clock.advance(LINGER_SECONDS)
        connection, _ = self.knock("room")
        self.assertFalse(connection.accepted)
        self.assertEqual(self.broker.log[-1], ("subscribe", ["room"]))

    def test_given_up_together(self) -> None:
        """One timer serves all channels; those that are due together are given up in one call."""
        for channel in ("room1", "room2"):
            self.join(channel)[1].lost()
        self.clock.advance(1)
        self.join("room3")[1].lost()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(LINGER_SECONDS - 1)
        self.assertEqual((self.broker.log[-1], self.broker.wanted), (("unsubscribe", ["room1", "room2"]), {"room3"}))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.assertEqual(self.broker.log[-1], ("unsubscribe", ["room3"]))
        self.assert_forgotten()

    def test_lost_twice(self) -> None:
        """A connection that is lost twice pays once: the other listener stays."""
        _, client = self.join("room")
        other, _ = self.join("room")
        client.lost()
        client.lost()
        self.clock.advance(2 * LINGER_SECONDS)
        self.deliver("room", b"1")
        self.assertEqual((self.broker.wanted, heard(other)), ({"room"}, [b"1"]))

    def test_confirmed_for_nobody(self) -> None:
        """A confirmation for a channel that was given up meanwhile changes nothing."""
        self.broker.sink.subscribed("room")
        connection, _ = self.knock("room")
        self.assertFalse(connection.accepted)

    def test_interrupted(self) -> None:
        """After an interruption newcomers wait for a new confirmation; who is in hears on."""
        old, _ = self.join("room")
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        new, _ = self.knock("room")
        self.assertFalse(new.accepted)
        self.broker.sink.subscribed("room")
        self.assertTrue(new.accepted)
        self.deliver("room", b"1")
        self.assertEqual((heard(old), heard(new)), ([b"1"], [b"1"]))
        self.assertEqual(self.broker.log, [("subscribe", ["room"])])

    def test_interrupted_while_waiting(self) -> None:
        """A client that waits through an interruption is accepted by the next confirmation, within its deadline."""
        connection, _ = self.knock("room")
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS - 1)
        self.broker.sink.subscribed("room")
        self.assertTrue(connection.accepted)

    def test_subscriber_without_a_client(self) -> None:
        """Who subscribes by itself is failed after the deadline, and a late confirmation does not bring it in."""
        subscriber = RecordingConnection()
        outcome = self.node.subscribe(subscriber, "room")
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        error = self.failureResultOf(outcome, BrokerUnavailable).value
        self.assertEqual(str(error), "no confirmation within 5.0 seconds")
        self.broker.sink.subscribed("room")
        self.deliver("room", b"1")
        self.assertEqual(subscriber.sent, [])
        self.node.unsubscribe(subscriber, "room")
        self.assert_forgotten()

    def test_stop(self) -> None:
        """A stopped node has no timer left, whether or not a channel lingered."""
        self.join("room")[1].lost()
        self.node.stop()
        self.node.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_broker(self) -> None:
        """The node attaches itself to its broker, and says which one it is."""
        self.assertIs(self.broker.sink, self.node)
        self.assertIs(self.node.broker, self.broker)


class PublishTests(NodeCase):
    """What clients send."""

    def test_published(self) -> None:
        """A permitted message goes to the broker, byte for byte, and the connection stays."""
        connection, client = self.join("talk")
        client.received(b"1")
        client.received(b"\xff\x00")
        self.assertEqual(self.broker.published, [Publication("talk", b"1"), Publication("talk", b"\xff\x00")])
        self.assertEqual((connection.disconnects, connection.sent), ([], []))

    def test_denied(self) -> None:
        """A message on a channel that clients may not publish to closes the connection and goes nowhere."""
        connection, client = self.join("room")
        client.received(b"1")
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.PUBLISH_DENIED], []))

    def test_before_the_answer(self) -> None:
        """A message that comes before the handshake is answered goes nowhere."""
        connection, client = self.knock("talk")
        client.received(b"1")
        self.assertEqual((connection.disconnects, self.broker.published), ([], []))

    def test_broker_away(self) -> None:
        """A message that the broker does not take closes the connection, so that nothing is lost in silence."""
        connection, client = self.join("talk")
        self.broker.ready = False
        client.received(b"1")
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.TRY_AGAIN], []))

    def test_refused_later(self) -> None:
        """The same holds where the broker says so later; a client that is gone by then is left alone."""
        for gone, disconnects in ((False, [Disconnect.TRY_AGAIN]), (True, [])):
            self.broker.publishing = Deferred()
            connection, client = self.join("talk")
            client.received(b"1")
            if gone:
                client.lost()
            self.broker.publishing.errback(BrokerUnavailable("the test says so"))
            self.assertEqual(connection.disconnects, disconnects)

    def test_broker_breaks(self) -> None:
        """A failure of ours while publishing is logged once and closes the connection."""
        self.broker.publishing = Deferred()
        connection, client = self.join("talk")
        client.received(b"1")
        self.broker.publishing.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])

    def test_protocol_violation(self) -> None:
        """A message that breaks the dialect closes the connection with what the dialect says."""
        connection = RecordingConnection()
        connection.dialect = Strict()
        _, client = self.join("talk", connection)
        client.received(b"1")
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.PROTOCOL_ERROR], []))


class PressureTests(NodeCase):
    """When more arrives than can be handed out."""

    def test_broker_is_held(self) -> None:
        """The broker is asked to hold when too much waits, and to go on when enough of it has been handed out."""
        connection, _ = self.join("room")
        held: list[bool] = []
        self.patch(self.broker, "pause", lambda: held.append(True))
        self.patch(self.broker, "resume", lambda: held.append(False))
        self.node = Node(self.broker, RULES, self.clock, AnonymousAuthenticator())
        connection, _ = self.join("room")
        self.broker.sink.publications_received([Publication("room", b"x" * HELD_BYTES)] * 2)
        self.assertEqual(held, [True, False])
        self.clock.pump([0, 0])
        self.assertEqual(sum(map(len, heard(connection))), 2 * HELD_BYTES)

    def test_embedded_broker_is_held(self) -> None:
        """Publishing on an embedded broker fails while too much waits, and works again afterwards."""
        broker = MemoryBroker(self.clock)
        broker.start()
        node = Node(broker, RULES, self.clock, AnonymousAuthenticator())
        connection = RecordingConnection()
        node.client(connection).open(Handshake("/ws/talk", "192.0.2.1"))
        self.successResultOf(node.publish("talk", b"x" * HELD_BYTES))
        self.failureResultOf(node.publish("talk", b"no"), BrokerUnavailable)
        self.clock.pump([0, 0])
        self.successResultOf(node.publish("talk", b"yes"))
        self.clock.pump([0, 0])
        self.assertEqual([len(message) for message in heard(connection)], [HELD_BYTES, 3])


class PolicyTests(SynchronousTestCase):
    """What a namespace says about clients that are behind."""

    def test_by_namespace(self) -> None:
        """A listener is told the policy of its channel's namespace, and the newest message where that is enough."""

        class Told(RecordingConnection):
            """Writes down what comes beside the messages."""

            def send(self, data: bytes, *more: Any) -> None:
                """Write it down."""
                super().send(data)
                told.append(more)

        told: list[tuple[Any, ...]] = []
        rules = [Namespace(policy.value, (policy.value,), slow_consumer_policy=policy) for policy in SlowPolicy]
        clock = Clock()
        broker = MemoryBroker(clock)
        broker.start()
        node = Node(broker, Namespaces(rules), clock, AnonymousAuthenticator())
        for policy in SlowPolicy:
            node.client(Told()).open(Handshake(f"/ws/{policy.value}", "192.0.2.1"))
            node.publications_received([Publication(policy.value, b"1"), Publication(policy.value, b"2")])
        self.assertEqual(told, [(), (SlowPolicy.DROP,), (SlowPolicy.LATEST, "latest", message_frame(b"2"))])


class FanOutTests(NodeCase):
    """What clients hear."""

    def test_order(self) -> None:
        """Messages reach every listener of their channel, in the order in which the broker delivered them."""
        connections = [self.join("room")[0] for _ in range(3)]
        stranger, _ = self.join("room2")
        self.deliver("room", b"1", b"2")
        self.deliver("room", b"3")
        self.assertEqual([heard(connection) for connection in connections], [[b"1", b"2", b"3"]] * 3)
        self.assertEqual(stranger.sent, [])

    def test_gone(self) -> None:
        """A client that is gone is sent nothing, though its channel lingers."""
        connection, client = self.join("room")
        client.lost()
        self.deliver("room", b"1")
        self.assertEqual(connection.sent, [])

    def test_bad_connection(self) -> None:
        """A connection that fails in a fan-out is closed as our failure, logged; the others get the message."""
        first, _ = self.join("room")
        bad, _ = self.join("room", Mean())
        last, _ = self.join("room")
        self.deliver("room", b"1")
        self.assertEqual((heard(first), heard(last), bad.disconnects), ([b"1"], [b"1"], [Disconnect.INTERNAL_ERROR]))
        # It could not even be closed, which is logged as well.
        errors = [str(failure.value) for failure in self.flushLoggedErrors(RuntimeError)]
        self.assertEqual(errors, ["cannot send", "cannot close"])


@implementer(IAuthenticator)
class Trusting:
    """Takes everybody for the user that the query names, with a token of that name."""

    def find(self, handshake: Handshake) -> Credential | None:
        """See `IAuthenticator.find`."""
        return Credential(CredentialKind.TOKEN, Secret(handshake.query)) if handshake.query else None

    def requires_authentication(self, _handshake: Handshake) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return False

    def authenticate(
        self, _credential: Credential | None, handshake: Handshake, _channels: Sequence[str], _met: Any
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        return succeed(Identity(handshake.query, credential_id=f"token:{handshake.query}"))

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""

    def authorize_subscribe(self, _identity: Identity, _channel: str) -> None:
        """See `IAuthenticator.authorize_subscribe`."""

    def authorize_publish(self, _identity: Identity, _channel: str, _payload: bytes) -> None:
        """See `IAuthenticator.authorize_publish`."""


class Register(MemoryCredentialStore):
    """A store that writes down who it is asked about, and fails when the test wants it to.

    Attributes:
        questions: The targets of each question.
        failure: What it fails with. None: it answers.
        answers: What it owes, if it is slow.
        is_slow: Whether the test gives the answers.
    """

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.questions: list[list[str]] = []
        self.failure: Exception | None = None
        self.is_slow = False
        self.answers: list[Deferred[Sequence[bool]]] = []

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.are_revoked`."""
        self.questions.append(list(targets))
        if self.failure is not None:
            return fail(self.failure)
        if self.is_slow:
            self.answers.append(Deferred())
            return self.answers[-1]
        return super().are_revoked(targets)


class KnownCase(NodeCase):
    """A node whose clients are somebody."""

    def setUp(self) -> None:
        """Make a node, and note what it logs."""
        super().setUp()
        self.broker.credentials = self.register = Register()
        self.node = Node(self.broker, RULES, self.clock, authenticator=Trusting())
        self.events = self.enterContext(capturedLogs())
        self.count = 0

    def come(self, user: str, connection: RecordingConnection | None = None) -> tuple[RecordingConnection, Client]:
        """A user comes and listens; nobody in particular where it has no name."""
        connection = connection or RecordingConnection()
        client = self.node.client(connection)
        self.count += 1
        client.open(Handshake("/ws/room", "192.0.2.1", query=user, connection=f"c{self.count}"))
        self.broker.sink.subscribed("room")
        self.assertTrue(connection.accepted)
        return connection, client

    @property
    def lines(self) -> list[tuple[Any, str]]:
        """What was logged, and how grave it is."""
        return [
            (event["log_level"], eventAsText(event, includeTimestamp=False, includeSystem=False))
            for event in self.events
        ]


class ControlTests(KnownCase):
    """What the application tells all processes."""

    def say(self, **document: object) -> None:
        """The application says something."""
        self.node.control_received(json.dumps(document).encode())

    def test_disconnect(self) -> None:
        """The clients that are meant are closed with what is meant for them, and the log says how many, not who."""
        mine, other, nobody = [self.come("42")[0] for _ in range(2)], self.come("43")[0], self.come("")[0]
        self.say(disconnect={"user": "42"})
        self.say(disconnect={"token": "43"}, reconnect=True)
        self.say(disconnect={"connection": "c2"})
        self.assertEqual(
            [connection.disconnects for connection in mine], [[Disconnect.REVOKED], [Disconnect.REVOKED] * 2]
        )
        self.assertEqual((other.disconnects, nobody.disconnects), ([Disconnect.RECONNECT], []))
        self.assertEqual(
            self.lines,
            [
                (LogLevel.info, "disconnecting 2 clients of one user"),
                (LogLevel.info, "disconnecting 1 clients of one token"),
                (LogLevel.info, "disconnecting 1 clients of one connection"),
            ],
        )

    def test_nobody(self) -> None:
        """Where nobody of that name is here nobody is closed, which is as good: other processes hear it, too."""
        connection, client = self.come("42")
        for target in ({"user": "4"}, {"token": "user:42"}, {"connection": "42"}, {"ticket": "42"}):
            self.say(disconnect=target)
        client.lost()
        self.say(disconnect={"user": "42"})
        self.assertEqual(connection.disconnects, [])

    def test_nonsense(self) -> None:
        """What means nothing is told to the operator, without a word of it, and does nothing."""
        connection, _ = self.come("42")
        for payload in (b"", b"secret-ticket", b'{"disconnect": {"user": "42", "token": "secret-ticket"}}', b"\xff"):
            self.node.control_received(payload)
        self.assertEqual(connection.disconnects, [])
        self.assertEqual({level for level, _ in self.lines}, {LogLevel.warn})
        self.assertEqual(len(self.lines), 4)
        self.assertFalse(any("secret-ticket" in line for _, line in self.lines))

    def test_one_that_fails(self) -> None:
        """A connection that cannot be closed is logged, keeps nobody else, and is not the broker's affair."""
        self.come("42", Mean())
        last, _ = self.come("42")
        self.say(disconnect={"user": "42"})
        self.assertEqual(last.disconnects, [Disconnect.REVOKED])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ResumedTests(KnownCase):
    """After an interruption, in which the application may have said something."""

    def setUp(self) -> None:
        """Make a node that nobody has been asked about."""
        super().setUp()
        self.users = [self.come(user) for user in ("41", "42", "42", "43")]
        self.register.questions.clear()

    @property
    def disconnects(self) -> list[list[Disconnect]]:
        """What everybody was closed with."""
        return [connection.disconnects for connection, _ in self.users]

    def test_denied_meanwhile(self) -> None:
        """Who was denied meanwhile, by whatever name, is closed; the others are not."""
        self.register.revoke("user:42", 60)
        self.register.revoke("token:43", 60)
        self.register.revoke("user:somebody else", 60)
        self.assertEqual(self.disconnects, [[], [], [], []])
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.broker.sink.reconnected()
        self.assertEqual(self.disconnects, [[], [Disconnect.REVOKED], [Disconnect.REVOKED], [Disconnect.REVOKED]])

    def test_by_connection(self) -> None:
        """One connection of a user can be meant."""
        self.register.revoke("connection:c3", 60)
        self.broker.sink.reconnected()
        self.assertEqual(self.disconnects, [[], [], [Disconnect.REVOKED], []])

    def test_question(self) -> None:
        """It is asked once about every name that somebody here has, and about no other."""
        self.users.pop()[1].lost()
        self.come("")
        self.broker.sink.reconnected()
        names = ["connection:c1", "user:41", "token:41", "connection:c2", "user:42", "token:42", "connection:c3"]
        self.assertEqual(self.register.questions, [names])

    def test_many(self) -> None:
        """Of many it is asked in several questions, one after the other, and about each once."""
        crowd = [self.come(str(number))[0] for number in range(1000, 1000 + TARGETS_PER_QUESTION)]
        self.register.questions.clear()
        self.register.is_slow = True
        self.broker.sink.reconnected()
        total = len(self.node.registry.names())
        sizes = []
        while self.register.answers:
            (answer,), self.register.answers = self.register.answers, []
            asked = self.register.questions[-1]
            sizes.append(len(asked))
            answer.callback([name == f"user:{999 + TARGETS_PER_QUESTION}" for name in asked])
        self.assertEqual((sum(sizes), max(sizes), len(sizes)), (total, TARGETS_PER_QUESTION, 4))
        self.assertEqual(len({name for asked in self.register.questions for name in asked}), total)
        self.assertEqual(sum(len(connection.disconnects) for connection in crowd), 1)
        self.assertEqual(crowd[-1].disconnects, [Disconnect.REVOKED])

    def test_nobody_here(self) -> None:
        """Where nobody is known nobody is asked about."""
        for _, client in self.users:
            client.lost()
        self.come("")
        self.broker.sink.reconnected()
        self.assertEqual((self.register.questions, self.lines), ([], []))

    def test_leaves_meanwhile(self) -> None:
        """Who leaves while the question is out is left alone, whatever the answer is."""
        self.register.is_slow = True
        self.broker.sink.reconnected()
        self.users[0][1].lost()
        (asked,) = self.register.questions
        self.register.answers[0].callback([True] * len(asked))
        self.assertEqual([len(disconnects) > 0 for disconnects in self.disconnects], [False, True, True, True])

    def test_one_that_fails(self) -> None:
        """A connection that cannot be closed is logged and keeps nobody else."""
        self.come("42", Mean())
        last, _ = self.come("42")
        self.register.revoke("user:42", 60)
        self.broker.sink.reconnected()
        self.assertEqual(last.disconnects, [Disconnect.REVOKED])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_away_again(self) -> None:
        """Without an answer it is asked again a while later, until there is one: nobody who was denied stays."""
        self.register.revoke("user:42", 60)
        self.register.failure = BrokerUnavailable("the test says so")
        self.broker.sink.reconnected()
        self.broker.sink.reconnected()
        for _ in range(3):
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(LOOK_AGAIN_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((len(self.register.questions), self.disconnects, self.lines), (5, [[], [], [], []], []))
        self.register.failure = None
        self.clock.advance(LOOK_AGAIN_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.disconnects, [[], [Disconnect.REVOKED], [Disconnect.REVOKED], []])
        self.clock.advance(10 * LOOK_AGAIN_SECONDS)
        self.assertEqual((len(self.register.questions), self.clock.getDelayedCalls()), (6, []))

    def test_fails(self) -> None:
        """A failure of ours is logged once, closes nobody, and is asked again as well."""
        self.register.failure = ZeroDivisionError()
        self.broker.sink.reconnected()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.disconnects, [[], [], [], []])
        self.register.failure = None
        self.register.revoke("user:41", 60)
        self.clock.advance(LOOK_AGAIN_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.disconnects, [[Disconnect.REVOKED], [], [], []])

    def test_stop(self) -> None:
        """A stopped node asks nobody again."""
        self.register.failure = BrokerUnavailable("the test says so")
        self.broker.sink.reconnected()
        self.node.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AnonymityTests(SynchronousTestCase):
    """Where nobody is anybody."""

    def test_provides(self) -> None:
        """It is an authenticator that finds nothing and asks for nothing: the rules alone say what may be done."""
        anonymity, handshake = (
            AnonymousAuthenticator(),
            Handshake("/ws/room", "192.0.2.1", query="ticket=0123456789abcdef"),
        )
        verifyObject(IAuthenticator, anonymity)
        # All through the interface: as attributes of the class they say that they return nothing.
        authenticator: Any = anonymity
        self.assertIsNone(authenticator.find(handshake))
        self.assertFalse(authenticator.requires_authentication(handshake))
        self.assertFalse(
            self.successResultOf(
                authenticator.authenticate(None, handshake, ["room"], lambda _identity: None)
            ).is_authenticated
        )
        self.assertIsNone(authenticator.authorize_publish(Identity(), "room", b"x"))
