"""Telling listeners that messages may have been lost."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.node import Node
from wsrelay.metrics.counters import Counters
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection


class TellerTests(SynchronousTestCase):
    """The queue."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        clock: Any = self.clock
        self.teller = GapNotifier(clock, Random(3), self.counters)

    def test_spread(self) -> None:
        """A thousand are told over two seconds, each once."""
        crowd = [RecordingConnection() for _ in range(1000)]
        self.teller.notify(crowd)
        self.teller.notify(crowd)
        told = []
        for _ in range(4):
            self.clock.pump([0.05] * 20)
            told.append(self.counters.gap_notices)
        self.assertEqual(told[3], 1000)
        self.assertTrue(told[0] <= 500 and told[1] <= 1000 and told[0] < told[1], told)
        self.assertEqual({tuple(one.disconnects) for one in crowd}, {(Disconnect.GAP,)})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_fails(self) -> None:
        """A connection that fails while it is told does not keep the others from being told."""
        bad, good = RecordingConnection(), RecordingConnection()
        bad.close = lambda _closing: 1 / 0  # type: ignore[method-assign, assignment]
        self.teller.notify([bad, good])
        self.clock.pump([0.05] * 30)
        self.assertEqual(good.disconnects, [Disconnect.GAP])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        """Stopping leaves nobody waiting and no timer."""
        self.teller.notify([RecordingConnection()])
        self.teller.stop()
        self.teller.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """Without listeners nothing begins."""
        self.teller.notify([])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NodeTests(SynchronousTestCase):
    """Who is told."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = FakeBroker()
        rules = Namespaces([Namespace("quiet", ("quiet",), notify_gaps=False), Namespace("all", ("*",))])
        clock: Any = self.clock
        self.node = Node(self.broker, rules, clock, AnonymousAuthenticator(), Random(3))

    def listener(self, channel: str) -> RecordingConnection:
        """A client that waits for its channel."""
        connection = RecordingConnection()
        self.node.client(connection).open(Handshake(f"/ws/{channel}", "test"))
        return connection

    def pass_time(self) -> None:
        """Long enough for everybody to be told."""
        self.clock.pump([0.05] * 60)

    def test_told_when_it_is_over(self) -> None:
        """Listeners are told after the channel is confirmed again, and not before; newcomers are not told."""
        old = self.listener("chat")
        self.broker.sink.subscribed("chat")
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        new = self.listener("chat")
        self.clock.pump([0.05] * 20)
        self.assertEqual(old.disconnects, [])
        self.broker.sink.subscribed("chat")
        self.pass_time()
        self.assertEqual((old.disconnects, new.disconnects), ([Disconnect.GAP], []))
        self.assertTrue(new.accepted)
        self.assertEqual((self.node.counters.broker_interruptions, self.node.counters.gap_notices), (1, 1))

    def test_twice_interrupted(self) -> None:
        """A link that breaks again before the channel is confirmed is one gap."""
        listener = self.listener("chat")
        self.broker.sink.subscribed("chat")
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.broker.sink.subscribed("chat")
        self.pass_time()
        self.assertEqual(listener.disconnects, [Disconnect.GAP])

    def test_not_yet_confirmed(self) -> None:
        """Who was never told that it is subscribed has missed nothing."""
        listener = self.listener("chat")
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.broker.sink.subscribed("chat")
        self.pass_time()
        self.assertEqual((listener.accepted, listener.disconnects), (True, []))

    def test_namespace_that_does_without(self) -> None:
        """Where the namespace says so nobody is told."""
        listener = self.listener("quiet")
        self.broker.sink.subscribed("quiet")
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.broker.sink.subscribed("quiet")
        self.pass_time()
        self.assertEqual(listener.disconnects, [])
