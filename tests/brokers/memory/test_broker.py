"""Tests of `wsrelay.brokers.memory.broker`."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock

from tests.brokers import contract
from wsrelay.brokers.memory.broker import HIGH_PENDING, HIGH_PENDING_BYTES, MemoryBroker
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker
from wsrelay.testing.brokers import RecordingSink

REACTOR: Any = reactor


class MemoryBrokerTests(contract.BrokerContract):
    """The contract, inside one process."""

    def make_broker(self) -> IBroker:
        return MemoryBroker(REACTOR)

    def test_stop_disconnects_once(self) -> None:
        broker, sink = MemoryBroker(Clock()), RecordingSink()
        broker.attach(sink)
        broker.start()
        broker.stop()
        broker.stop()
        self.assertEqual(sink.interruptions, 1)

    def test_publishing_fails_while_paused_and_works_after_resume(self) -> None:
        """And the broker stays ready."""
        clock = Clock()
        broker, sink = MemoryBroker(clock), RecordingSink()
        broker.attach(sink)
        broker.start()
        broker.subscribe(["chat"])
        for is_paused in (True, True, False, False):
            (broker.pause if is_paused else broker.resume)()
            published = broker.publish("chat", b"x")
            if is_paused:
                self.failureResultOf(published, BrokerUnavailable)
            else:
                self.successResultOf(published)
            self.assertTrue(broker.ready)
        clock.advance(0)
        self.assertEqual((sink.delivered, sink.interruptions), ([Publication("chat", b"x")] * 2, 0))

    def test_much_in_one_turn_is_pressure_until_the_next(self) -> None:
        for size, count in ((1, HIGH_PENDING), (HIGH_PENDING_BYTES // 2, 2)):
            clock = Clock()
            broker, sink = MemoryBroker(clock), RecordingSink()
            broker.attach(sink)
            broker.start()
            broker.subscribe(["chat"])
            for number in range(count + 2):
                self.assertEqual(sink.pressure, [True] if number >= count else [])
                self.successResultOf(broker.publish("chat", bytes(size)))
            clock.advance(0)
            self.assertEqual((len(sink.delivered), sink.pressure), (count + 2, [True, False]))

    def test_broker_without_a_sink_takes_messages_and_delivers_nothing(self) -> None:
        broker = MemoryBroker(Clock())
        broker.start()
        broker.subscribe(["chat"])
        self.successResultOf(broker.publish("chat", b"x"))
        self.successResultOf(broker.stop())
