"""Tests of `wsrelay.engine.client`: how a handshake is answered where no credential is needed."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import MOMENT, RULES, TOKEN, USER, EngineCase, make_node, messages_of
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import SSE
from wsrelay.engine.channel_subscriptions import SUBSCRIBE_TIMEOUT_SECONDS
from wsrelay.engine.client import Client
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.dialects import LineDialect

NOT_AVAILABLE = ErrorResponse(
    503, "The relay has no working connection to Redis now. Try again later.", (("Retry-After", "5"),)
)


class LeavesWhenAccepted(RecordingConnection):
    """A connection that is lost in the moment in which it is accepted."""

    def attach(self, client: Client) -> None:
        """Keep the client, to end it."""
        super().attach(client)
        self.client = client

    def accept(self, connection_id: str | None) -> None:
        """Accept, and lose the connection."""
        super().accept(connection_id)
        self.client.connection_lost()


class ClosesWhenSent(RecordingConnection):
    """An event stream that has no room for what it is sent first."""

    def __init__(self) -> None:
        super().__init__(SSE.dialect)

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """Close, once."""
        if not self.disconnects:
            self.close(Disconnect.SLOW)


class AcceptTests(EngineCase):
    """When a client is accepted."""

    def test_client_is_accepted_when_the_broker_has_confirmed_its_channel_and_not_before(self) -> None:
        connection, _ = self.open_anonymous("public")
        self.assertEqual((connection.accepted, self.broker.log), (False, [("subscribe", ["public"])]))
        self.broker.sink.subscribed("public")
        self.assertEqual((connection.accepted, connection.responses, connection.sent), (True, [], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_message_behind_the_confirmation_reaches_the_client_and_one_before_it_does_not(self) -> None:
        connection, _ = self.open_anonymous("public")
        self.broker.sink.publications_received([Publication("public", b"before")])
        self.broker.sink.subscribed("public")
        self.broker.sink.publications_received([Publication("public", b"after")])
        self.clock.advance(0)
        self.assertEqual(messages_of(connection), [b"after"])

    def test_second_client_of_a_confirmed_channel_is_accepted_at_once(self) -> None:
        self.join_anonymous("public")
        connection, _ = self.open_anonymous("public")
        self.assertEqual((connection.accepted, self.broker.log), (True, [("subscribe", ["public"])]))

    def test_one_confirmation_accepts_every_client_of_the_channel_and_of_no_other(self) -> None:
        connections = [self.open_anonymous(channel)[0] for channel in ("public1", "public2", "public1")]
        self.broker.sink.subscribed("public1")
        self.assertEqual([connection.accepted for connection in connections], [True, False, True])

    def test_client_that_leaves_because_another_one_was_accepted_is_not_accepted(self) -> None:
        class Rude(RecordingConnection):
            def accept(self, connection_id: str | None) -> None:
                super().accept(connection_id)
                other.connection_lost()

        rude, _ = self.open_anonymous("public", Rude())
        shy, other = self.open_anonymous("public")
        self.broker.sink.subscribed("public")
        self.assertEqual((rude.accepted, shy.accepted, shy.responses), (True, False, []))

    def test_client_that_leaves_while_it_is_accepted_receives_nothing(self) -> None:
        connection, _ = self.open_anonymous("public", LeavesWhenAccepted())
        self.broker.sink.subscribed("public")
        self.deliver("public", b"1")
        self.assertEqual((connection.accepted, connection.sent), (True, []))

    def test_client_of_several_channels_is_accepted_when_the_last_one_is_confirmed(self) -> None:
        connection, client = self.open_anonymous("public1,public2", RecordingConnection(LineDialect("several")))
        self.broker.sink.subscribed("public2")
        self.assertFalse(connection.accepted)
        self.broker.sink.subscribed("public1")
        self.assertTrue(connection.accepted)
        self.deliver("public1", b"1")
        self.deliver("public2", b"2")
        self.assertEqual(messages_of(connection), [b"1", b"2"])
        client.connection_lost()
        self.deliver("public1", b"3")
        self.assertEqual(len(connection.sent), 2)

    def test_client_of_no_channel_is_accepted_at_once(self) -> None:
        connection, _ = self.open_anonymous("", RecordingConnection(LineDialect("none")))
        self.assertEqual((connection.accepted, self.broker.log), (True, []))

    def test_anonymous_client_is_not_authenticated_and_is_told_no_connection_id(self) -> None:
        connection, _ = self.join_anonymous("public")
        self.assertEqual((connection.connection_id, self.authenticator.questions), (None, []))
        self.assertEqual(len(self.node.registry), 0)

    def test_compression_is_agreed_on_by_the_channel_before_the_client_is_accepted(self) -> None:
        for channel, compressed in (("compressed", True), ("room", False)):
            connection, plain = self.join(channel=channel)[0], RecordingConnection()
            self.assertEqual(connection.encoding() is not plain.encoding(), compressed)

    def test_connection_that_cannot_be_accepted_is_closed_as_our_failure(self) -> None:
        class Unacceptable(RecordingConnection):
            def accept(self, connection_id: str | None) -> None:
                raise RuntimeError("cannot accept")

        connection, _ = self.open_anonymous("public", Unacceptable())
        self.broker.sink.subscribed("public")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])


class RejectTests(EngineCase):
    """When a handshake is answered with an error."""

    def test_channel_that_cannot_be_had_is_rejected_before_anything_is_spent_on_it(self) -> None:
        # By an anonymous client and by one that shows a credential.
        for channel, status in (("closed", 403), ("nowhere", 404), ("a/b", 400)):
            self.authenticator.credential = TOKEN
            for connection, client in (self.open(channel), self.open_anonymous(channel)):
                self.assertEqual([each.status for each in connection.responses], [status])
                self.assertFalse(connection.accepted)
                client.connection_lost()
        self.assertEqual((self.authenticator.questions, self.broker.log), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_missing_credential_is_rejected(self) -> None:
        connection, _ = self.open_anonymous("room")
        self.assertEqual([each.status for each in connection.responses], [401])

    def test_channel_that_is_not_confirmed_in_time_is_rejected_with_503(self) -> None:
        connection, _ = self.open_anonymous("public")
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assertEqual((connection.responses, connection.accepted), ([NOT_AVAILABLE], False))

    def test_channel_that_the_broker_rejects_is_rejected_with_503(self) -> None:
        connections = [self.open_anonymous("public")[0] for _ in range(2)]
        self.broker.sink.subscribe_failed("public")
        self.assertEqual([each.responses for each in connections], [[NOT_AVAILABLE]] * 2)

    def test_confirmation_after_the_deadline_accepts_the_next_client_only(self) -> None:
        connection, _ = self.open_anonymous("public")
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.broker.sink.subscribed("public")
        self.assertFalse(connection.accepted)
        self.deliver("public", b"1")
        self.assertEqual(connection.sent, [])
        self.assertTrue(self.open_anonymous("public")[0].accepted)

    def test_client_that_leaves_while_it_waits_is_neither_accepted_nor_rejected(self) -> None:
        connection, client = self.open_anonymous("public")
        client.connection_lost()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "more than the linger is left")
        self.broker.sink.subscribed("public")
        self.assertEqual((connection.accepted, connection.responses), (False, []))

    def test_client_is_in_the_registry_until_it_leaves_also_where_it_was_rejected(self) -> None:
        connection, client = self.open()
        self.identify(USER)
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        self.assertEqual((connection.responses, connection.accepted), ([NOT_AVAILABLE], False))
        self.assertEqual(len(self.node.registry), 1)
        client.connection_lost()
        self.assertEqual(len(self.node.registry), 0)


class EndTests(EngineCase):
    """How a connection ends."""

    def test_gap_closes_a_client_without_commands(self) -> None:
        connection, client = self.join_anonymous("public")
        client.report_gap("public")
        self.assertEqual(connection.disconnects, [Disconnect.GAP])

    def test_gap_is_nothing_to_a_client_that_is_not_subscribed_yet_or_has_left(self) -> None:
        connection, client = self.open_anonymous("public")
        client.report_gap("public")
        self.assertEqual((connection.responses, connection.disconnects), ([], []))
        client.connection_lost()
        client.report_gap("public")
        self.assertEqual((connection.responses, connection.disconnects), ([], []))

    def test_message_that_breaks_the_dialect_closes_the_connection(self) -> None:
        connection, client = self.join_anonymous("talk", RecordingConnection(LineDialect("strict")))
        client.received(Message(b"1", is_binary=True))
        self.assertEqual((connection.disconnects, self.broker.published), ([Disconnect.PROTOCOL_ERROR], []))

    def test_every_message_of_a_client_is_counted(self) -> None:
        _, client = self.join_anonymous("talk")
        client.received(Message(b"1"))
        client.received(Message(b"\xff", is_binary=True))
        self.assertEqual(self.node.counters.client_messages, 2)

    def test_connection_that_is_lost_twice_is_released_once(self) -> None:
        _, client = self.join_anonymous("public")
        other, _ = self.join_anonymous("public")
        client.connection_lost()
        client.connection_lost()
        self.clock.advance(2 * SUBSCRIBE_TIMEOUT_SECONDS)
        self.deliver("public", b"1")
        self.assertEqual((self.broker.wanted, messages_of(other)), ({"public"}, [b"1"]))

    def test_stream_that_is_closed_by_its_first_channel_leaves_none_of_the_others_behind(self) -> None:
        others = [self.open_stream(RecordingConnection(SSE.dialect))]
        for channel in ("public1", "public2"):
            self.broker.sink.subscribed(channel)
        connection = self.open_stream(ClosesWhenSent())
        self.assertEqual(connection.disconnects, [Disconnect.SLOW])
        self.clock.advance(0)
        self.assertEqual([self.node._hub.subscribers(each) for each in ("public1", "public2")], [others, others])
        # The cleanup asserts that none is left when the others leave.

    def open_stream(self, connection: RecordingConnection) -> RecordingConnection:
        """Return an event stream of two channels."""
        self.authenticator.credential = None
        client = self.node.client(connection)
        connection.attach(client)
        self.clients.append(client)
        client.open(Handshake(f"{SSE.path}public1", "192.0.2.1", query="channel=public2"))
        return connection


class EmbeddedBrokerTests(SynchronousTestCase):
    """A broker that confirms before `subscribe` returns."""

    def test_client_is_accepted_while_it_opens_and_receives_its_own_messages(self) -> None:
        clock = Clock()
        broker = MemoryBroker(clock)
        node = make_node(broker, RULES, clock)
        broker.start()
        connection = RecordingConnection()
        client = node.client(connection)
        client.open(Handshake("/ws/talk", "192.0.2.1"))
        self.assertTrue(connection.accepted)
        client.received(Message(b"hi"))
        clock.advance(0)
        self.assertEqual(messages_of(connection), [b"hi"])
