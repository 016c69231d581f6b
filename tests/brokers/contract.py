"""What every broker promises, as a suite that each one runs."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from wsrelay.core.errors import BrokerUnavailable
from wsrelay.core.publication import Publication
from wsrelay.interfaces import IBroker
from wsrelay.testing import RecordingSink

__all__ = ["BrokerContract", "WaitingSink", "until"]

DEADLINE_SECONDS = 20.0
LOOK_SECONDS = 0.01


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds that no event tells of; fails at the deadline."""
    for _ in range(int(DEADLINE_SECONDS / LOOK_SECONDS)):
        if condition():
            return
        await deferLater(reactor, LOOK_SECONDS)
    raise AssertionError("it never happened")


class WaitingSink(RecordingSink):
    """A sink that can be waited for: no sleeping, and a deadline on every wait."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def when(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires as soon as the condition holds after an event, or now."""
        result: Deferred[None] = Deferred()
        result.addTimeout(DEADLINE_SECONDS, reactor)
        self._waiting.append((condition, result))
        self._look()
        return result

    def deliver(self, publication: Publication) -> None:
        super().deliver(publication)
        self._look()

    def confirmed(self, channel: str) -> None:
        super().confirmed(channel)
        self._look()

    def interrupted(self) -> None:
        super().interrupted()
        self._look()

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for condition, result in waiting:
            if result.called:
                continue
            if condition():
                result.callback(None)
            else:
                self._waiting.append((condition, result))


class BrokerContract(unittest.TestCase):
    """The suite. Subclass it in a test module, and import this module there rather than the class."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """A broker, not yet attached nor started."""
        raise NotImplementedError

    async def other(self, broker: IBroker) -> IBroker:
        """A ready broker that publishes to the same channels: another process's, where processes share them."""
        return broker

    def connected(self) -> tuple[IBroker, WaitingSink]:
        """A started broker with a sink, stopped at the end of the test."""
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        broker.start()
        self.addCleanup(broker.stop)
        return broker, sink

    async def listening(self, *channels: str) -> tuple[IBroker, WaitingSink]:
        """A ready broker whose subscriptions are confirmed."""
        broker, sink = self.connected()
        broker.subscribe(channels)
        await sink.when(lambda: set(channels) <= set(sink.confirmations))
        await until(lambda: broker.ready)
        return broker, sink

    def test_provides(self) -> None:
        """A broker provides IBroker in full."""
        verifyObject(IBroker, self.make_broker())

    async def test_delivers_verbatim(self) -> None:
        """Payloads come out byte for byte: numbers, text of any script, anything else."""
        payloads = [b"hello", b"007", b"1_000", b"", b"\xff\x00\r\n", "\u00e9\u4e2d\U0001f30a".encode(), b"x" * 70_000]
        broker, sink = await self.listening("chat")
        other = await self.other(broker)
        for payload in payloads:
            await other.publish("chat", payload)
        await sink.when(lambda: len(sink.delivered) == len(payloads))
        self.assertEqual(sink.delivered, [Publication("chat", payload) for payload in payloads])

    async def test_order(self) -> None:
        """A thousand messages published without waiting arrive complete and in order."""
        broker, sink = await self.listening("chat")
        publishing = [broker.publish("chat", b"%d" % number) for number in range(1000)]
        for deferred in publishing:
            await deferred
        await sink.when(lambda: len(sink.delivered) == 1000)
        self.assertEqual([payload for _, payload in sink.delivered], [b"%d" % number for number in range(1000)])

    async def test_only_what_is_wanted(self) -> None:
        """Nothing is delivered of channels that were never subscribed or are unsubscribed."""
        broker, sink = await self.listening("gone", "kept")
        broker.unsubscribe(["gone"])
        broker.subscribe(["later"])
        await sink.when(lambda: "later" in sink.confirmations)
        for channel in ("gone", "never", "kept"):
            await broker.publish(channel, channel.encode())
        await sink.when(lambda: bool(sink.delivered))
        self.assertEqual(sink.delivered, [Publication("kept", b"kept")])

    async def test_many_channels(self) -> None:
        """Thousands of channels subscribed at once are all confirmed, each once."""
        names = [f"c:{number}" for number in range(3000)]
        broker, sink = await self.listening(*names)
        self.assertEqual(sorted(sink.confirmations), sorted(names))
        await broker.publish("c:2999", b"last")
        await sink.when(lambda: bool(sink.delivered))

    async def test_subscribed_before_start(self) -> None:
        """What is wanted before the start is confirmed once the broker is there."""
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        broker.subscribe(["early"])
        self.assertEqual(sink.confirmations, [])
        broker.start()
        self.addCleanup(broker.stop)
        await sink.when(lambda: sink.confirmations == ["early"])

    async def test_comes_and_goes(self) -> None:
        """A channel that is given up and wanted again in one turn is confirmed again and works."""
        broker, sink = await self.listening("chat")
        broker.unsubscribe(["chat"])
        broker.subscribe(["chat"])
        broker.unsubscribe(["chat"])
        broker.subscribe(["chat", "mark"])
        await sink.when(lambda: "mark" in sink.confirmations)
        await broker.publish("chat", b"still here")
        await sink.when(lambda: bool(sink.delivered))

    async def test_wanted_again(self) -> None:
        """A channel that is given up and wanted again before anything happened is confirmed to who asks."""
        broker, sink = await self.listening("chat")
        sink.confirmations.clear()
        broker.unsubscribe(["chat"])
        broker.subscribe(["chat"])
        await sink.when(lambda: sink.confirmations == ["chat"])

    async def test_not_ready(self) -> None:
        """Publishing before the start or after the stop fails, and the broker says that it is not ready, and why."""
        broker = self.make_broker()
        broker.attach(WaitingSink())
        for _ in range(2):
            self.assertFalse(broker.ready)
            self.assertNotEqual(broker.problem, "")
            with self.assertRaises(BrokerUnavailable):
                await broker.publish("chat", b"lost")
            broker.start()
            await broker.stop()

    async def test_ready(self) -> None:
        """A broker that works says so, and has no problem to tell."""
        broker, sink = await self.listening("chat")
        await until(lambda: broker.ready)
        self.assertEqual(broker.problem, "")
        await broker.publish("chat", b"x")
        await sink.when(lambda: bool(sink.delivered))
