"""Tests of `wsrelay.testing`: a double that behaves unlike its original makes every other test worthless."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import make_node
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.commands import Connect, Publish, Subscribe
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import ChannelEvent, Join, Publication
from wsrelay.core.messaging.replies import Subscribed, Unsubscribed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, ProtocolViolation, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import CENTRIFUGO, RAW
from wsrelay.interfaces import IAuthenticator
from wsrelay.testing.authenticators import AnonymousAuthenticator, FakeAuthenticator
from wsrelay.testing.brokers import FakeBroker, RecordingSink
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.credential_stores import FakeCredentialStore
from wsrelay.testing.dialects import LineDialect
from wsrelay.testing.subscribers import RecordingSubscriber
from wsrelay.testing.transports import MemoryTransport

HANDSHAKE = Handshake("/ws/room", "192.0.2.1", query="ticket=0123456789abcdef")
TOKEN = Credential(CredentialKind.TOKEN, Secret("a.b.c"))
OUTAGE = BrokerUnavailable("the test says so")


class RecordingTests(SynchronousTestCase):
    """The doubles that record."""

    def test_subscriber_records_its_calls_each_kind_in_order(self) -> None:
        subscriber = RecordingSubscriber()
        subscriber.send(b"1")
        subscriber.send(b"2", SlowPolicy.LATEST, "room", b"latest")
        subscriber.report_gap("room")
        subscriber.close(Disconnect.SLOW)
        self.assertEqual(
            (subscriber.sent, subscriber.gaps, subscriber.disconnects), ([b"1", b"2"], ["room"], [Disconnect.SLOW])
        )
        self.assertEqual(
            subscriber.send_arguments, [(SlowPolicy.CLOSE, "", b""), (SlowPolicy.LATEST, "room", b"latest")]
        )

    def test_connection_records_its_calls_each_kind_in_order(self) -> None:
        connection = RecordingConnection()
        self.assertIs(connection.dialect, RAW.dialect)
        self.assertIs(connection.writer, connection)
        self.assertEqual((connection.accepted, connection.connection_id), (False, None))
        response = ErrorResponse(404, "No.")
        connection.accept("5f0c")
        connection.reject(response)
        connection.send(b"1")
        connection.close(Disconnect.SLOW)
        self.assertEqual(
            (connection.accepted, connection.connection_id, connection.responses, connection.sent),
            (True, "5f0c", [response], [b"1"]),
        )
        self.assertEqual(connection.disconnects, [Disconnect.SLOW])

    def test_connection_has_the_encoding_of_its_dialect_compressed_or_not(self) -> None:
        connection, other = RecordingConnection(), RecordingConnection()
        self.assertIs(connection.encoding(), other.encoding())
        self.assertIsNot(connection.encoding(), RecordingConnection(CENTRIFUGO.dialect).encoding())
        connection.offer_compression()
        self.assertTrue(connection.is_compressed)
        self.assertIsNot(connection.encoding(), other.encoding())
        other.offer_compression()
        self.assertIs(connection.encoding(), other.encoding())

    def test_connection_passes_gaps_on_to_its_client_if_it_has_one(self) -> None:
        connection = RecordingConnection()
        connection.report_gap("room")
        node = make_node(FakeBroker(), Namespaces([Namespace("all", ("*",))]), Clock())
        client = node.client(connection)
        connection.attach(client)
        client.open(Handshake("/ws/room", "192.0.2.1"))
        node.subscribed("room")
        connection.report_gap("room")
        self.assertEqual((connection.gaps, connection.disconnects), (["room", "room"], [Disconnect.GAP]))

    def test_sink_records_the_calls_of_a_broker(self) -> None:
        sink = RecordingSink()
        sink.subscribed("a")
        sink.subscribe_failed("b")
        sink.publications_received([Publication("a", b"1")])
        sink.disconnected(["a"])
        sink.reconnected()
        sink.control_received(b"{}")
        self.assertEqual((sink.confirmations, sink.responses, sink.delivered), (["a"], ["b"], [Publication("a", b"1")]))
        self.assertEqual((sink.interruptions, sink.lost, sink.resumptions), (1, [("a",)], 1))
        self.assertEqual(sink.controls, [b"{}"])


class FakeBrokerTests(SynchronousTestCase):
    """The broker whose every answer the test gives."""

    def test_subscriptions_are_recorded_and_nothing_is_confirmed_by_itself(self) -> None:
        broker, sink = FakeBroker(), RecordingSink()
        broker.attach(sink)
        broker.start()
        broker.subscribe(iter(["a", "b"]))
        broker.unsubscribe(iter(["a"]))
        self.assertEqual(broker.log, [("subscribe", ["a", "b"]), ("unsubscribe", ["a"])])
        self.assertEqual((broker.started, broker.sink, broker.wanted, sink.confirmations), (True, sink, {"b"}, []))

    def test_message_is_taken_if_the_broker_is_ready_or_as_the_test_says(self) -> None:
        broker = FakeBroker()
        self.successResultOf(broker.publish("a", b"1"))
        self.successResultOf(broker.stop())
        self.failureResultOf(broker.publish("a", b"2"), BrokerUnavailable)
        broker.publishing = Deferred()
        self.assertIs(broker.publish("a", b"3"), broker.publishing)
        self.assertEqual((broker.published, broker.started), ([Publication("a", b"1")], False))

    def test_pauses_and_control_messages_are_recorded(self) -> None:
        broker = FakeBroker()
        broker.pause()
        self.assertTrue(broker.is_paused)
        broker.resume()
        self.assertFalse(broker.is_paused)
        self.successResultOf(broker.send_control(b"1"))
        self.successResultOf(broker.send_control(b"2", "other"))
        self.assertEqual(broker.controls, [(b"1", None), (b"2", "other")])


class CredentialStoreTests(SynchronousTestCase):
    """The store that answers when the test likes."""

    def test_lookups_are_recorded_and_answered_from_memory(self) -> None:
        store = FakeCredentialStore()
        self.successResultOf(store.revoke("user:42", 60))
        self.assertEqual(self.successResultOf(store.are_revoked(["user:41", "user:42"])), [False, True])
        self.assertEqual(store.lookups, [["user:41", "user:42"]])

    def test_lookup_waits_for_the_test_or_fails(self) -> None:
        store = FakeCredentialStore()
        store.is_slow = True
        answer = store.are_revoked(["user:42"])
        self.assertNoResult(answer)
        store.answers[0].callback([True])
        self.assertEqual(self.successResultOf(answer), [True])
        store.failure = OUTAGE
        self.assertIs(self.failureResultOf(store.are_revoked(["user:42"])).value, OUTAGE)


class AuthenticatorTests(SynchronousTestCase):
    """The authenticators."""

    def test_anonymous_authenticator_finds_nothing_and_leaves_everything_to_the_rules(self) -> None:
        # Through the interface: the methods of the class are declared to return nothing.
        authenticator: IAuthenticator = AnonymousAuthenticator()
        self.assertIsNone(authenticator.find(HANDSHAKE))
        self.assertFalse(authenticator.requires_authentication(HANDSHAKE))
        outcome = authenticator.authenticate(None, HANDSHAKE, ["room"], lambda _identity: None)
        self.assertIs(self.successResultOf(outcome), ANONYMOUS)
        authenticator.clear_cache()
        self.assertIsNone(authenticator.authorize_subscribe(Identity(), "room"))
        self.assertIsNone(authenticator.authorize_publish(Identity(), "room", b"x"))
        granted = authenticator.authorize_channel_token("a.b.c", Identity(), "room", "5f0c")
        self.assertIs(self.failureResultOf(granted, RejectedError).value.client_error, ClientError.TOKEN)
        refreshed = authenticator.refresh("a.b.c", Identity())
        self.assertIs(self.failureResultOf(refreshed, RejectedError).value.client_error, ClientError.TOKEN)

    def test_credentials_are_found_as_the_test_says(self) -> None:
        authenticator = FakeAuthenticator()
        self.assertIsNone(authenticator.find(HANDSHAKE))
        authenticator.credential = TOKEN
        self.assertIs(authenticator.find(HANDSHAKE), TOKEN)
        authenticator.credential = ClientError.AMBIGUOUS
        error = self.assertRaises(RejectedError, authenticator.find, HANDSHAKE)
        self.assertIs(error.client_error, ClientError.AMBIGUOUS)
        self.assertFalse(authenticator.requires_authentication(HANDSHAKE))
        authenticator.authenticates_everyone = True
        self.assertTrue(authenticator.requires_authentication(HANDSHAKE))
        authenticator.clear_cache()
        self.assertEqual(authenticator.cache_clears, 1)

    def test_questions_about_identities_are_answered_by_the_test(self) -> None:
        authenticator, early = FakeAuthenticator(), list[Identity]()
        authenticator.early_identity = Identity("7")
        outcomes = [authenticator.authenticate(TOKEN, HANDSHAKE, ["room"], early.append) for _ in range(4)]
        first, second, third, fourth = authenticator.questions
        self.assertEqual((first.credential, first.handshake, first.channels), (TOKEN, HANDSHAKE, ("room",)))
        self.assertEqual(early, [Identity("7")] * 4)
        first.resolve(Identity("42"))
        self.assertEqual(self.successResultOf(outcomes[0]), Identity("42"))
        second.resolve(ClientError.TICKET)
        self.assertIs(self.failureResultOf(outcomes[1], RejectedError).value.client_error, ClientError.TICKET)
        third.resolve(OUTAGE)
        self.failureResultOf(outcomes[2], BrokerUnavailable)
        outcomes[3].addErrback(lambda _failure: None)
        outcomes[3].cancel()
        self.assertTrue(fourth.is_cancelled)
        fourth.resolve(Identity("42"))
        self.assertIsNone(self.successResultOf(outcomes[3]))

    def test_questions_about_permissions_are_answered_by_the_test(self) -> None:
        authenticator, identity = FakeAuthenticator(), Identity("42")
        self.assertIsNone(authenticator.authorize_subscribe(identity, "room"))
        self.assertIsNone(authenticator.authorize_publish(identity, "room", b"x"))
        authenticator.asks_to_subscribe = lambda channel: channel == "room"
        authenticator.asks_to_publish = lambda data: data == b"x"
        subscribing = authenticator.authorize_subscribe(identity, "room")
        publishing = authenticator.authorize_publish(identity, "room", b"x")
        assert subscribing is not None
        assert publishing is not None
        (may_subscribe,), (may_publish,) = authenticator.subscribe_questions, authenticator.publish_questions
        self.assertEqual(
            (may_subscribe.arguments, may_publish.arguments), ((identity, "room"), (identity, "room", b"x"))
        )
        self.assertTrue(may_subscribe.is_open)
        may_subscribe.permit()
        may_subscribe.reject()
        self.assertIsNone(self.successResultOf(subscribing))
        may_publish.reject(ClientError.PUBLISH_DENIED)
        may_publish.permit()
        self.assertIs(self.failureResultOf(publishing, RejectedError).value.client_error, ClientError.PUBLISH_DENIED)
        self.assertFalse(may_publish.is_open)

    def test_questions_about_subscription_tokens_are_answered_by_the_test(self) -> None:
        authenticator, identity, grant = FakeAuthenticator(), Identity("42"), ChannelGrant(7.0)
        outcomes = [authenticator.authorize_channel_token("a.b.c", identity, "room", "5f0c") for _ in range(3)]
        questions = authenticator.channel_token_questions
        self.assertEqual(questions[0].arguments, ("a.b.c", identity, "room", "5f0c"))
        answers: list[ChannelGrant | ClientError | Exception] = [grant, ClientError.TOKEN_MISMATCH, OUTAGE]
        for question, answer in zip(questions, answers, strict=True):
            question.resolve(answer)
            question.resolve(grant)
        self.assertIs(self.successResultOf(outcomes[0]), grant)
        failure = self.failureResultOf(outcomes[1], RejectedError)
        self.assertIs(failure.value.client_error, ClientError.TOKEN_MISMATCH)
        self.failureResultOf(outcomes[2], BrokerUnavailable)

    def test_questions_about_new_tokens_are_answered_by_the_test(self) -> None:
        authenticator, identity = FakeAuthenticator(), Identity("42", expires=7.0)
        outcome = authenticator.refresh("a.b.c", Identity("42"))
        (question,) = authenticator.refresh_questions
        self.assertEqual(question.arguments, ("a.b.c", Identity("42")))
        question.resolve(identity)
        self.assertIs(self.successResultOf(outcome), identity)

    def test_questions_raise_as_the_test_says(self) -> None:
        authenticator = FakeAuthenticator()
        authenticator.failure = ZeroDivisionError()
        self.assertRaises(ZeroDivisionError, authenticator.authenticate, None, HANDSHAKE, [], lambda _identity: None)
        self.assertRaises(ZeroDivisionError, authenticator.authorize_subscribe, ANONYMOUS, "room")
        self.assertRaises(ZeroDivisionError, authenticator.authorize_publish, ANONYMOUS, "room", b"x")


class LineDialectTests(SynchronousTestCase):
    """The simplest dialect."""

    def test_path_names_the_channels(self) -> None:
        dialect = LineDialect()
        commands = dialect.open(Handshake("/line/a,b", "192.0.2.1"))
        self.assertEqual(
            (commands, dialect.open(Handshake("/", "192.0.2.1"))), ([Subscribe(0, "a"), Subscribe(0, "b")], [])
        )

    def test_message_is_a_credential_first_and_then_a_publication(self) -> None:
        dialect = LineDialect()
        self.assertEqual(dialect.decode(Message(b'{"token": "a.b.c"}'), is_connected=False), [Connect(0, TOKEN)])
        self.assertEqual(dialect.decode(Message(b"1"), is_connected=True), [Publish(0, None, b"1")])
        binary = Message(b"1", is_binary=True)
        self.assertRaises(ProtocolViolation, dialect.decode, binary, is_connected=True)

    def test_publications_are_lines_and_other_events_have_no_form(self) -> None:
        dialect = LineDialect()
        events: list[ChannelEvent] = [Publication("a", b"1"), Join("a", "5f0c"), Publication("a", b"2")]
        self.assertEqual((dialect.encoding.encode(events), dialect.batches), (b"1\n2\n", 1))
        dialect.is_broken = True
        self.assertRaises(RuntimeError, dialect.encode, events)

    def test_confirmations_pings_and_farewells_have_forms(self) -> None:
        dialect = LineDialect()
        self.assertEqual(dialect.reply([Subscribed(0, "a"), Unsubscribed(0)]), [Message(b"subscribed a")])
        self.assertEqual(dialect.ping(), Message(b"ping"))
        self.assertEqual(dialect.close(Disconnect.GAP), Farewell(4010, Disconnect.GAP.reason, (Message(b"bye"),)))


class Ending(Protocol):
    """A protocol that records why its connection was lost."""

    def __init__(self) -> None:
        self.reasons: list[type[BaseException] | None] = []

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Record the reason."""
        self.reasons.append(reason.type)


class Pausing:
    """A push producer that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """Pause."""
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """Resume."""
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """Stop."""
        self.calls.append("stop")


class MemoryTransportTests(SynchronousTestCase):
    """The transport without a socket."""

    def test_producer_is_paused_above_the_mark_and_resumed_when_everything_is_read(self) -> None:
        transport, producer = MemoryTransport(), Pausing()
        transport.high_water = 4
        transport.write(b"12345")
        transport.drain()
        transport.registerProducer(producer, True)
        transport.write(b"1234")
        self.assertEqual(producer.calls, [])
        transport.write(b"5")
        self.assertEqual(producer.calls, ["pause"])
        self.assertEqual((transport.drain(), producer.calls), (b"12345", ["pause", "resume"]))

    def test_connection_ends_once_for_the_reason_it_was_ended_with(self) -> None:
        for end, reason in (("loseConnection", ConnectionDone), ("abortConnection", ConnectionAborted)):
            protocol = Ending()
            transport = MemoryTransport(protocol)
            getattr(transport, end)()
            transport.loseConnection()
            transport.write(b"too late")
            self.assertEqual((protocol.reasons, transport.aborted), ([reason], reason is ConnectionAborted))
            self.assertEqual(transport.value(), b"")

    def test_connection_that_is_closed_ends_when_everything_is_read_and_the_producer_is_done(self) -> None:
        for producer in (None, Pausing()):
            protocol = Ending()
            transport = MemoryTransport(protocol)
            if producer is not None:
                transport.registerProducer(producer, True)
            transport.write(b"last words")
            transport.loseConnection()
            self.assertEqual(protocol.reasons, [])
            if producer is not None:
                transport.drain()
                self.assertEqual((protocol.reasons, producer.calls), ([], ["resume"]))
                transport.unregisterProducer()
            transport.drain()
            self.assertEqual(protocol.reasons, [ConnectionDone])

    def test_bytes_that_wait_when_a_connection_is_reset_are_lost(self) -> None:
        protocol = Ending()
        transport = MemoryTransport(protocol)
        transport.write(b"1")
        transport.abortConnection()
        self.assertEqual((transport.value(), protocol.reasons), (b"", [ConnectionAborted]))

    def test_peer_ends_its_direction_when_it_has_read_the_end_of_the_relays(self) -> None:
        protocol = Ending()
        transport = MemoryTransport(protocol)
        transport.write(b"1")
        transport.loseWriteConnection()
        self.assertEqual(protocol.reasons, [])
        self.assertEqual((transport.drain(), protocol.reasons), (b"1", [ConnectionDone]))

    def test_options_and_the_end_of_a_direction_are_recorded(self) -> None:
        transport = MemoryTransport()
        transport.ends_with_relay = False
        self.assertEqual((transport.half_closed, transport.no_delay), (False, False))
        transport.loseWriteConnection()
        transport.setTcpNoDelay(True)
        self.assertEqual((transport.half_closed, transport.no_delay), (True, True))
