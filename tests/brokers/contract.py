"""What every broker promises, and the store of each, as suites that each one runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, ICredentialStore
from wsrelay.testing.brokers import RecordingSink

__all__ = ["BrokerContract", "StoreContract", "WaitingSink", "until"]

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

    def publications_received(self, publications: Sequence[Publication]) -> None:
        super().publications_received(publications)
        self._look()

    def subscribed(self, channel: str) -> None:
        super().subscribed(channel)
        self._look()

    def disconnected(self, channels: Collection[str]) -> None:
        super().disconnected(channels)
        self._look()

    def reconnected(self) -> None:
        super().reconnected()
        self._look()

    def control_received(self, payload: bytes) -> None:
        super().control_received(payload)
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
        self.assertEqual([payload for _, payload, _ in sink.delivered], [b"%d" % number for number in range(1000)])

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
        """Publishing and telling fail before the start and after the stop, and the broker says why it is not ready."""
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        for _ in range(2):
            self.assertFalse(broker.ready)
            self.assertNotEqual(broker.problem, "")
            with self.assertRaises(BrokerUnavailable):
                await broker.publish("chat", b"lost")
            with self.assertRaises(BrokerUnavailable):
                await broker.send_control(b"lost")
            broker.start()
            await broker.stop()
        self.assertEqual(sink.controls, [])

    async def test_ready(self) -> None:
        """A broker that works says so, and has no problem to tell."""
        broker, sink = await self.listening("chat")
        await until(lambda: broker.ready)
        self.assertEqual(broker.problem, "")
        await broker.publish("chat", b"x")
        await sink.when(lambda: bool(sink.delivered))

    async def test_tell(self) -> None:
        """What is told to all processes comes byte for byte, from another one and from the same, in order."""
        payloads = [b'{"disconnect": {"user": "42"}}', b"", b"007", b"\xff\x00\r\n", b"x" * 70_000]
        broker, sink = await self.listening("chat")
        for teller in (await self.other(broker), broker):
            for payload in payloads:
                await teller.send_control(payload)
        await sink.when(lambda: len(sink.controls) == 2 * len(payloads))
        self.assertEqual(sink.controls, payloads * 2)

    async def test_tell_nobody_else(self) -> None:
        """What is told to processes is no message of any channel, and no message is told to them."""
        broker, sink = await self.listening("chat", "control")
        await broker.publish("control", b"message")
        await broker.send_control(b"told")
        await broker.publish("chat", b"last")
        await sink.when(lambda: len(sink.delivered) == 2 and bool(sink.controls))
        self.assertEqual(sink.delivered, [Publication("control", b"message"), Publication("chat", b"last")])
        self.assertEqual(sink.controls, [b"told"])

    async def test_never_interrupted(self) -> None:
        """A broker that has only just come up has resumed nothing: nothing was missed."""
        _, sink = await self.listening("chat")
        self.assertEqual((sink.interruptions, sink.resumptions), (0, 0))

    def test_store(self) -> None:
        """A broker has a store that provides ICredentialStore in full, the same one at all times."""
        broker = self.make_broker()
        verifyObject(ICredentialStore, broker.credentials)
        self.assertIs(broker.credentials, broker.credentials)


class StoreContract(unittest.TestCase):
    """The suite for tickets and denials. Subclass it in a test module, and import this module there."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """The broker whose store it is, not yet attached nor started."""
        raise NotImplementedError

    async def second_passes(self) -> None:
        """Let the time that keys live by go on by a second."""
        raise NotImplementedError

    async def store(self) -> ICredentialStore:
        """The store of a broker that is ready, stopped at the end of the test."""
        broker = self.make_broker()
        broker.attach(WaitingSink())
        broker.start()
        self.addCleanup(broker.stop)
        await until(lambda: broker.ready)
        store: ICredentialStore = broker.credentials
        return store

    async def test_once(self) -> None:
        """A ticket is redeemed once, and its document comes out byte for byte."""
        store = await self.store()
        documents = [b"{}", b"", b"007", b"\xff\x00\r\n", '{"sub": "J\u00fc"}'.encode(), b"x" * 16384]
        for number, document in enumerate(documents):
            self.assertIs(await store.create(f"ticket-{number}", document, 30), True)
        redeemed = [await store.redeem(f"ticket-{number}") for number in range(len(documents))]
        again = [await store.redeem(f"ticket-{number}") for number in range(len(documents))]
        self.assertEqual((redeemed, again), (documents, [None] * len(documents)))

    async def test_unknown(self) -> None:
        """A ticket that was never there is none."""
        store = await self.store()
        await store.create("ticket", b"{}", 30)
        self.assertEqual([await store.redeem(name) for name in ("ticke", "tickets", "TICKET", "*", "")], [None] * 5)
        self.assertEqual(await store.redeem("ticket"), b"{}")

    async def test_minted_twice(self) -> None:
        """A ticket of a name that there is already is not made, and takes nothing from the one that is."""
        store = await self.store()
        self.assertEqual([await store.create("ticket", b"%d" % number, 30) for number in range(2)], [True, False])
        self.assertEqual(await store.redeem("ticket"), b"0")
        self.assertIs(await store.create("ticket", b"2", 30), True)
        self.assertEqual(await store.redeem("ticket"), b"2")

    async def test_expired(self) -> None:
        """A ticket is good for as long as was said; afterwards it is none, and its name is free."""
        store = await self.store()
        await store.create("short", b"1", 1)
        await store.create("long", b"2", 30)
        await self.second_passes()
        self.assertEqual([await store.redeem(name) for name in ("short", "long")], [None, b"2"])
        self.assertIs(await store.create("short", b"3", 1), True)
        self.assertEqual(await store.redeem("short"), b"3")

    async def test_torn(self) -> None:
        """A ticket that was torn is none; others are, and tearing what is none does no harm."""
        store = await self.store()
        await store.create("one", b"1", 30)
        await store.create("two", b"2", 30)
        for name in ("one", "one", "three"):
            await store.delete(name)
        self.assertEqual([await store.redeem(name) for name in ("one", "two", "three")], [None, b"2", None])

    async def test_denied(self) -> None:
        """Who is denied is told apart from who is not, in the order of the question, as often as it is asked."""
        store = await self.store()
        for target in ("user:42", "token:x"):
            await store.revoke(target, 30)
        asked = ["user:4", "user:42", "user:422", "token:x", "token:42", "user:x", "connection:1", "user:42", "42"]
        expected = [False, True, False, True, False, False, False, True, False]
        for _ in range(2):
            self.assertEqual(list(await store.are_revoked(asked)), expected)

    async def test_denied_for_a_while(self) -> None:
        """A denial holds for as long as was said, counted from the last time that it was."""
        store = await self.store()
        await store.revoke("user:1", 1)
        await store.revoke("user:2", 1)
        await store.revoke("user:2", 30)
        self.assertEqual(list(await store.are_revoked(["user:1", "user:2"])), [True, True])
        await self.second_passes()
        self.assertEqual(list(await store.are_revoked(["user:1", "user:2"])), [False, True])

    async def test_apart(self) -> None:
        """A ticket is no denial, nor a denial a ticket, whatever they are called."""
        store = await self.store()
        await store.create("user:1", b"{}", 30)
        await store.revoke("user:2", 30)
        self.assertEqual(list(await store.are_revoked(["user:1", "user:2"])), [False, True])
        await store.delete("user:2")
        self.assertIsNone(await store.redeem("user:2"))
        self.assertEqual(list(await store.are_revoked(["user:2"])), [True])

    async def test_any_name(self) -> None:
        """Users may be called anything that is a text, and no name is taken for another one."""
        store = await self.store()
        names = [
            "user:J\u00fc \U0001f98a",
            "user:a\r\nb",
            "user:*",
            "user:[ab]",
            "user:\0",
            "user:" + "x" * 255,
            "user:a:b",
        ]
        for name in names:
            await store.revoke(name, 30)
        self.assertEqual(list(await store.are_revoked(names)), [True] * len(names))
        self.assertEqual(list(await store.are_revoked(["user:J\u00fc", "user:a", "user:", "user:b"])), [False] * 4)

    async def test_many(self) -> None:
        """Hundreds can be asked about at once, as is done after an interruption."""
        store = await self.store()
        await store.revoke("user:499", 30)
        found = await store.are_revoked([f"user:{number}" for number in range(500)])
        self.assertEqual([number for number, denied in enumerate(found) if denied], [499])
        self.assertEqual(len(found), 500)

    async def test_none(self) -> None:
        """Who asks about nobody gets no answer about nobody, and no failure."""
        store = await self.store()
        self.assertEqual(list(await store.are_revoked([])), [])
