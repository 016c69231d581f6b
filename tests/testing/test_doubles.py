"""Tests of `wsrelay.testing.brokers`: a double that behaves unlike what it stands for makes every other test a lie."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import DIALECTS
from wsrelay.testing.brokers import FakeBroker, RecordingSink
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.transports import MemoryTransport


class RecordingTests(SynchronousTestCase):
    """The doubles that write down."""

    def test_connection(self) -> None:
        """A connection remembers everything that was done to it, each kind in order."""
        connection = RecordingConnection("raw")
        self.assertIs(connection.dialect, DIALECTS["raw"])
        self.assertFalse(connection.accepted)
        response = ErrorResponse(404, "No.")
        connection.accept()
        connection.refuse(response)
        connection.send(b"1")
        connection.send(b"2")
        connection.close(Disconnect.SLOW)
        self.assertEqual(
            (connection.accepted, connection.responses, connection.sent, connection.disconnects),
            (True, [response], [b"1", b"2"], [Disconnect.SLOW]),
        )

    def test_sink(self) -> None:
        """A sink remembers everything that a broker told it."""
        sink = RecordingSink()
        sink.subscribed("a")
        sink.publications_received([Publication("a", b"1")])
        sink.disconnected(())
        self.assertEqual((sink.confirmations, sink.delivered, sink.interruptions), (["a"], [Publication("a", b"1")], 1))


class FakeBrokerTests(SynchronousTestCase):
    """The broker whose every answer the test gives."""

    def test_subscriptions(self) -> None:
        """It remembers each call and what is wanted after it, and confirms nothing by itself."""
        broker, sink = FakeBroker(), RecordingSink()
        broker.attach(sink)
        broker.start()
        broker.subscribe(iter(["a", "b"]))
        broker.unsubscribe(iter(["a"]))
        self.assertEqual(broker.log, [("subscribe", ["a", "b"]), ("unsubscribe", ["a"])])
        self.assertEqual((broker.started, broker.sink, broker.wanted, sink.confirmations), (True, sink, {"b"}, []))

    def test_publish(self) -> None:
        """It takes what is published while it is ready, fails while it is not, or answers what the test says."""
        broker = FakeBroker()
        self.successResultOf(broker.publish("a", b"1"))
        self.successResultOf(broker.stop())
        self.failureResultOf(broker.publish("a", b"2"), BrokerUnavailable)
        broker.publishing = Deferred()
        self.assertIs(broker.publish("a", b"3"), broker.publishing)
        self.assertEqual((broker.published, broker.started), ([Publication("a", b"1")], False))


class Ending(Protocol):
    """Writes down why its connection was lost."""

    def __init__(self) -> None:
        self.reasons: list[type[BaseException] | None] = []

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Write it down."""
        self.reasons.append(reason.type)


class Pausing:
    """A push producer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """Pause."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Go on."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """Stop."""
        self.told.append("stop")


class MemoryTransportTests(SynchronousTestCase):
    """The transport without a socket."""

    def test_slow_peer(self) -> None:
        """A producer is paused when more waits than the mark, and goes on when the peer has read it all."""
        transport, producer = MemoryTransport(), Pausing()
        transport.high_water = 4
        transport.write(b"12345")
        transport.drain()
        transport.registerProducer(producer, True)
        transport.write(b"1234")
        self.assertEqual(producer.told, [])
        transport.write(b"5")
        self.assertEqual(producer.told, ["pause"])
        self.assertEqual((transport.drain(), producer.told), (b"12345", ["pause", "resume"]))

    def test_endings(self) -> None:
        """A connection ends once, for the reason it was ended with."""
        for end, reason in (("loseConnection", ConnectionDone), ("abortConnection", ConnectionAborted)):
            protocol = Ending()
            transport = MemoryTransport(protocol)
            getattr(transport, end)()
            transport.loseConnection()
            transport.write(b"too late")
            self.assertEqual((protocol.reasons, transport.aborted), ([reason], reason is ConnectionAborted))
            self.assertEqual(transport.value(), b"")

    def test_closed_when_read(self) -> None:
        """A connection that is closed while something waits, or while a producer has more, ends when all is read."""
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
                self.assertEqual((protocol.reasons, producer.told), ([], ["resume"]))
                transport.unregisterProducer()
            transport.drain()
            self.assertEqual(protocol.reasons, [ConnectionDone])

    def test_reset(self) -> None:
        """What waits when a connection is reset never reaches the peer."""
        protocol = Ending()
        transport = MemoryTransport(protocol)
        transport.write(b"1")
        transport.abortConnection()
        self.assertEqual((transport.value(), protocol.reasons), (b"", [ConnectionAborted]))

    def test_switches(self) -> None:
        """It remembers whether we said that nothing more comes, and that small writes should not wait."""
        transport = MemoryTransport()
        self.assertEqual((transport.half_closed, transport.no_delay), (False, False))
        transport.loseWriteConnection()
        transport.setTcpNoDelay(True)
        self.assertEqual((transport.half_closed, transport.no_delay), (True, True))
