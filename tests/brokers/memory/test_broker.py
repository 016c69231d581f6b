"""The embedded broker keeps the contract."""

from __future__ import annotations

from tests.brokers import contract
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker
from wsrelay.testing.brokers import RecordingSink


class MemoryBrokerTests(contract.BrokerContract):
    """The contract, inside one process."""

    def make_broker(self) -> IBroker:
        return MemoryBroker()

    def test_stop_interrupts(self) -> None:
        """Stopping voids the confirmations, once."""
        broker, sink = MemoryBroker(), RecordingSink()
        broker.attach(sink)
        broker.start()
        broker.stop()
        broker.stop()
        self.assertEqual(sink.interruptions, 1)

    def test_hold(self) -> None:
        """While it is held publishing fails and delivers nothing; afterwards all is as before, and it stays ready."""
        broker, sink = MemoryBroker(), RecordingSink()
        broker.attach(sink)
        broker.start()
        broker.subscribe(["chat"])
        for held in (True, True, False, False):
            broker.hold(held)
            published = broker.publish("chat", b"x")
            if held:
                self.failureResultOf(published, BrokerUnavailable)
            else:
                self.successResultOf(published)
            self.assertTrue(broker.ready)
        self.assertEqual((sink.delivered, sink.interruptions), ([Publication("chat", b"x")] * 2, 0))

    def test_without_a_sink(self) -> None:
        """A broker that nobody attached to takes everything and delivers nothing."""
        broker = MemoryBroker()
        broker.start()
        broker.subscribe(["chat"])
        self.successResultOf(broker.publish("chat", b"x"))
        self.successResultOf(broker.stop())
