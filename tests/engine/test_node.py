"""Tests of `wsrelay.engine.node`: the wiring of broker, hub and clients."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import RULES, EngineCase, make_node, messages_of
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.wire.frames import message_frame
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.hub import MAX_PENDING_BYTES
from wsrelay.testing.connections import RecordingConnection


class FailingConnection(RecordingConnection):
    """A connection that fails whatever is asked of it."""

    def send(self, data: bytes, *_arguments: object) -> None:
        """Fail."""
        raise RuntimeError("cannot send")

    def close(self, disconnect: AnyDisconnect) -> None:
        """Record it, and fail."""
        super().close(disconnect)
        raise RuntimeError("cannot close")


class FanOutTests(EngineCase):
    """The publications that clients receive."""

    def test_messages_reach_every_client_of_their_channel_in_the_order_of_the_broker(self) -> None:
        connections = [self.join_anonymous("public")[0] for _ in range(3)]
        stranger, _ = self.join_anonymous("public2")
        self.deliver("public", b"1", b"2")
        self.deliver("public", b"3")
        self.assertEqual([messages_of(each) for each in connections], [[b"1", b"2", b"3"]] * 3)
        self.assertEqual(stranger.sent, [])

    def test_messages_and_deliveries_are_counted(self) -> None:
        for _ in range(3):
            self.join_anonymous("public")
        self.broker.sink.publications_received([Publication("public", b"1"), Publication("nobody", b"2")])
        self.assertEqual((self.node.counters.broker_messages, self.node.deliveries), (2, 3))

    def test_client_that_left_is_sent_nothing_though_its_channel_lingers(self) -> None:
        connection, client = self.join_anonymous("public")
        client.connection_lost()
        self.deliver("public", b"1")
        self.assertEqual((connection.sent, self.broker.wanted), ([], {"public"}))

    def test_connection_that_fails_in_a_fan_out_is_closed_and_the_others_get_the_message(self) -> None:
        first, _ = self.join_anonymous("public")
        bad, _ = self.join_anonymous("public", FailingConnection())
        last, _ = self.join_anonymous("public")
        self.deliver("public", b"1")
        self.assertEqual(
            (messages_of(first), messages_of(last), bad.disconnects), ([b"1"], [b"1"], [Disconnect.INTERNAL_ERROR])
        )
        # It could not even be closed, which is logged as well.
        errors = [str(failure.value) for failure in self.flushLoggedErrors(RuntimeError)]
        self.assertEqual(errors, ["cannot send", "cannot close"])
        self.assertEqual(self.node.counters.send_failures, 1)


class PressureTests(EngineCase):
    """When more arrives than can be handed out."""

    def test_broker_is_paused_while_too_much_waits(self) -> None:
        calls: list[str] = []
        self.patch(self.broker, "pause", lambda: calls.append("pause"))
        self.patch(self.broker, "resume", lambda: calls.append("resume"))
        connection, _ = self.join_anonymous("public")
        self.broker.sink.publications_received([Publication("public", b"x" * MAX_PENDING_BYTES)] * 2)
        self.assertEqual(calls, ["pause", "resume"])
        self.clock.pump([0, 0])
        self.assertEqual(sum(map(len, messages_of(connection))), 2 * MAX_PENDING_BYTES)


class EmbeddedBrokerTests(SynchronousTestCase):
    """A node on the embedded broker."""

    def setUp(self) -> None:
        """Start a broker."""
        self.clock = Clock()
        self.broker = MemoryBroker(self.clock)
        self.broker.start()

    def test_publishing_fails_while_the_broker_is_paused(self) -> None:
        node = make_node(self.broker, RULES, self.clock)
        connection = RecordingConnection()
        node.client(connection).open(Handshake("/ws/talk", "192.0.2.1"))
        failures: list[Exception | None] = []

        class Publishes(RecordingConnection):
            """A subscriber that publishes while it is sent to and too much waits behind that."""

            def send(self, data: bytes, *_arguments: object) -> None:
                """Publish once."""
                if not failures:
                    node.post("talk", b"no", failures.append)

        node.client(Publishes()).open(Handshake("/ws/talk", "192.0.2.1"))
        node.publications_received([Publication("talk", b"x" * MAX_PENDING_BYTES)] * 3)
        self.assertIsInstance(failures[0], BrokerUnavailable)
        self.clock.pump([0, 0])
        node.post("talk", b"yes", failures.append)
        self.assertIsNone(failures[1])
        self.clock.pump([0, 0])
        self.assertEqual(messages_of(connection)[-1], b"yes")
        self.assertNotIn(b"no", messages_of(connection)[:3])

    def test_subscriber_is_told_the_policy_of_its_namespace_and_the_newest_message(self) -> None:
        rules = [Namespace(policy.value, (policy.value,), slow_consumer_policy=policy) for policy in SlowPolicy]
        node = make_node(self.broker, Namespaces(rules), self.clock)
        found = {}
        for policy in SlowPolicy:
            connection = RecordingConnection()
            node.client(connection).open(Handshake(f"/ws/{policy.value}", "192.0.2.1"))
            node.publications_received([Publication(policy.value, b"1"), Publication(policy.value, b"2")])
            ((found_policy, channel, latest),) = connection.send_arguments
            self.assertIs(found_policy, policy)
            found[policy] = channel, latest
        self.assertEqual(found[SlowPolicy.CLOSE], ("", b""))
        self.assertEqual(found[SlowPolicy.LATEST], ("latest", message_frame(b"2", False)))


class WiringTests(EngineCase):
    """The node as a whole."""

    def test_node_attaches_itself_to_its_broker(self) -> None:
        self.assertIs(self.broker.sink, self.node)

    def test_node_publishes_through_its_broker(self) -> None:
        errors: list[Exception | None] = []
        self.node.post("talk", b"1", errors.append)
        self.assertEqual((errors, self.broker.published), ([None], [Publication("talk", b"1")]))

    def test_interruption_is_counted_where_a_channel_was_confirmed(self) -> None:
        self.broker.sink.disconnected(())
        self.open_anonymous("public")
        self.broker.sink.disconnected(("public",))
        self.assertEqual(self.node.counters.broker_interruptions, 0)
        self.broker.sink.subscribed("public")
        self.broker.sink.disconnected(("public",))
        self.broker.sink.disconnected(("public",))
        self.assertEqual(self.node.counters.broker_interruptions, 1)

    def test_stopped_node_has_no_timer(self) -> None:
        # One of each kind: a channel that lingers, a notice, an expiry, a lookup that is tried again.
        self.join_anonymous("public")[1].connection_lost()
        self.join_anonymous("talk")
        self.broker.sink.disconnected(("talk",))
        self.broker.sink.subscribed("talk")
        self.open_with_first_message()
        self.store.failure = BrokerUnavailable("the test says so")
        self.broker.sink.reconnected()
        self.assertGreater(len(self.clock.getDelayedCalls()), 2)
        self.node.stop()
        self.node.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
