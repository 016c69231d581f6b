"""Tests of `wsrelay.engine.publishing`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.history.retention import BURST_ENTRIES
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerFull, BrokerUnavailable, IdempotencyUnavailable, RejectedError
from wsrelay.engine.publishing import Publisher
from wsrelay.testing.brokers import FakeBroker, RecordingSink

RULES = Namespaces(
    (Namespace("plain", ("news",)), Namespace("kept", ("chat", "*"), history_size=2, history_seconds=60)),
)


class PublisherTests(SynchronousTestCase):
    """`Publisher` over the memory broker, at millisecond 1,000,000."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(self.clock, lambda: 1000.0)
        self.sink = RecordingSink()
        self.broker.attach(self.sink)
        self.broker.start()
        self.broker.subscribe(["news", "chat"])
        self.publisher = Publisher(self.broker, RULES)

    def kept(self) -> list[bytes | None]:
        """Return what the stream of `chat` holds."""
        return [entry.data for entry in self.successResultOf(self.broker.history.read("chat", None, 2000))]

    def test_message_on_a_plain_channel_is_published_and_has_no_position(self) -> None:
        self.assertEqual(self.successResultOf(self.publisher.publish("news", b"\xff\0")), PublishResult())
        self.clock.advance(0)
        self.assertEqual(self.sink.delivered, [Publication("news", b"\xff\0")])

    def test_message_on_a_channel_with_history_is_added_to_its_stream_alone(self) -> None:
        result = self.successResultOf(self.publisher.publish("chat", b"\xff\0"))
        self.clock.advance(0)
        self.assertEqual((result, self.kept(), self.sink.delivered), (PublishResult("1000000-1"), [b"\xff\0"], []))

    def test_tags_are_kept_with_the_message_and_a_plain_channel_carries_the_message_alone(self) -> None:
        for channel in ("chat", "news"):
            self.successResultOf(self.publisher.publish(channel, b"1", tags=b'{"a":"b"}'))
        self.clock.advance(0)
        (kept,) = self.successResultOf(self.broker.history.read("chat", None, 9))
        self.assertEqual(
            (kept.fields, self.sink.delivered), ((b"data", b"1", b"tags", b'{"a":"b"}'), [Publication("news", b"1")])
        )

    def test_stream_keeps_the_bounds_of_its_namespace(self) -> None:
        payloads = [b"%d" % number for number in range(BURST_ENTRIES + 5)]
        for data in payloads:
            self.successResultOf(self.publisher.publish("chat", data))
        # Two, and those of a burst that may still be unread.
        self.assertEqual(self.kept(), payloads[-(BURST_ENTRIES + 2) :])

    def test_repetition_of_an_idempotency_key_publishes_nothing_and_has_the_first_result(self) -> None:
        first = self.successResultOf(self.publisher.publish("chat", b"1", "order-7"))
        self.assertEqual(self.successResultOf(self.publisher.publish("chat", b"2", "order-7")), first)
        self.assertEqual(self.kept(), [b"1"])

    def test_idempotency_key_is_refused_where_nothing_is_kept_and_nothing_is_published(self) -> None:
        self.failureResultOf(self.publisher.publish("news", b"1", "order-7"), IdempotencyUnavailable)
        self.failureResultOf(self.publisher.publish("chat", b"1", "order-7", skip_history=True), IdempotencyUnavailable)
        self.clock.advance(0)
        self.assertEqual((self.sink.delivered, self.kept()), ([], []))

    def test_message_that_skips_history_is_delivered_and_not_kept(self) -> None:
        self.assertEqual(self.successResultOf(self.publisher.publish("chat", b"1", skip_history=True)), PublishResult())
        self.clock.advance(0)
        self.assertEqual((self.sink.delivered, self.kept()), ([Publication("chat", b"1")], []))

    def test_channel_of_no_namespace_is_rejected_and_so_is_a_reserved_name_with_history(self) -> None:
        strict = Publisher(self.broker, Namespaces((Namespace("plain", ("news",)),)))
        for publisher, channel in ((strict, "other"), (self.publisher, "ticket:1")):
            error: Any = self.failureResultOf(publisher.publish(channel, b"1"), RejectedError).value
            self.assertIs(error.client_error, ClientError.UNKNOWN_CHANNEL)

    def test_failure_of_the_broker_is_passed_on(self) -> None:
        self.broker.stop()
        self.failureResultOf(self.publisher.publish("news", b"1"), BrokerUnavailable)
        failure = self.failureResultOf(self.publisher.publish("chat", b"1"), BrokerUnavailable)
        self.assertIsNone(failure.check(BrokerFull))

    def test_full_redis_is_named(self) -> None:
        text = "OOM command not allowed when used memory > 'maxmemory'."
        self.patch(self.broker.history, "append", lambda *_arguments: fail(BrokerUnavailable(text)))
        self.failureResultOf(self.publisher.publish("chat", b"1"), BrokerFull)


class BrokerWithoutHistoryTests(SynchronousTestCase):
    """`Publisher` over a broker that keeps no history."""

    def test_channel_with_history_is_not_published_to_as_if_it_were_plain(self) -> None:
        broker = FakeBroker()
        self.failureResultOf(Publisher(broker, RULES).publish("chat", b"1"), BrokerUnavailable)
        self.assertEqual(broker.published, [])
