"""The contract of brokers, and that of credential stores, as suites that each implementation runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

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
POLL_SECONDS = 0.01

UNKNOWN_NODE = "0123456789abcdef"
"""The name of a process that does not exist."""


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds. For what no event reports.

    Raises:
        AssertionError: It does not hold at the deadline.
    """
    for _ in range(int(DEADLINE_SECONDS / POLL_SECONDS)):
        if condition():
            return
        await deferLater(reactor, POLL_SECONDS)
    raise AssertionError("the condition never held")


async def result_of(deferred: Deferred[Any]) -> Any:
    """Return the result of a Deferred, also of one that is declared to have none."""
    return await deferred


class WaitingSink(RecordingSink):
    """A sink whose events can be awaited: without polling, and with a deadline on every wait."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def when(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Wait for a condition.

        Returns:
            Fires with None as soon as the condition holds, now or after an event of the sink.
        """
        result: Deferred[None] = Deferred()
        result.addTimeout(DEADLINE_SECONDS, reactor)
        self._waiting.append((condition, result))
        self._check()
        return result

    def publications_received(self, publications: Sequence[Publication]) -> None:
        super().publications_received(publications)
        self._check()

    def subscribed(self, channel: str) -> None:
        super().subscribed(channel)
        self._check()

    def subscribe_failed(self, channel: str) -> None:
        super().subscribe_failed(channel)
        self._check()

    def disconnected(self, channels: Collection[str]) -> None:
        super().disconnected(channels)
        self._check()

    def reconnected(self) -> None:
        super().reconnected()
        self._check()

    def control_received(self, payload: bytes) -> None:
        super().control_received(payload)
        self._check()

    def _check(self) -> None:
        waiting, self._waiting = self._waiting, []
        for condition, result in waiting:
            if result.called:
                continue
            if condition():
                result.callback(None)
            else:
                self._waiting.append((condition, result))


class BrokerContract(unittest.TestCase):
    """The contract of `IBroker`. Subclass it in a test module, and import this module there rather than the class."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """Return a broker that is not yet attached nor started."""
        raise NotImplementedError

    async def other(self, broker: IBroker, sink: WaitingSink) -> tuple[IBroker, WaitingSink]:
        """Return a ready broker of the same channels, and its sink: another process's if processes share channels."""
        return broker, sink

    def connected(self) -> tuple[IBroker, WaitingSink]:
        """Return a started broker, which is stopped at the end of the test, and its sink."""
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        broker.start()
        self.addCleanup(broker.stop)
        return broker, sink

    async def subscribed(self, *channels: str) -> tuple[IBroker, WaitingSink]:
        """Return a ready broker whose subscriptions are confirmed, and its sink."""
        broker, sink = self.connected()
        broker.subscribe(channels)
        await sink.when(lambda: set(channels) <= set(sink.confirmations))
        await until(lambda: broker.ready)
        return broker, sink

    def test_broker_provides_the_interface_in_full(self) -> None:
        verifyObject(IBroker, self.make_broker())

    async def test_payloads_are_delivered_byte_for_byte(self) -> None:
        """Numbers, text of any script, anything else."""
        payloads = [b"hello", b"007", b"1_000", b"", b"\xff\x00\r\n", "\u00e9\u4e2d\U0001f30a".encode(), b"x" * 70_000]
        broker, sink = await self.subscribed("chat")
        other, _ = await self.other(broker, sink)
        for payload in payloads:
            await other.publish("chat", payload)
        await sink.when(lambda: len(sink.delivered) == len(payloads))
        self.assertEqual(sink.delivered, [Publication("chat", payload) for payload in payloads])

    async def test_thousand_messages_published_without_waiting_arrive_complete_and_in_order(self) -> None:
        broker, sink = await self.subscribed("chat")
        publishing = [broker.publish("chat", b"%d" % number) for number in range(1000)]
        for deferred in publishing:
            await deferred
        await sink.when(lambda: len(sink.delivered) == 1000)
        self.assertEqual([payload for _, payload, _ in sink.delivered], [b"%d" % number for number in range(1000)])

    async def test_thousand_messages_that_are_posted_arrive_complete_and_in_order_among_others(self) -> None:
        broker, sink = await self.subscribed("chat")
        outcomes: list[object] = []
        for number in range(0, 1000, 2):
            broker.post("chat", b"%d" % number, outcomes.append)
            broker.publish("chat", b"%d" % (number + 1)).addErrback(outcomes.append)
        await sink.when(lambda: len(sink.delivered) == 1000)
        self.assertEqual([payload for _, payload, _ in sink.delivered], [b"%d" % number for number in range(1000)])
        await until(lambda: len(outcomes) == 500)
        self.assertEqual(set(outcomes), {None})

    async def test_pressure_begins_long_before_messages_are_rejected_and_ends_by_itself(self) -> None:
        broker, sink = await self.subscribed("chat")
        outcomes: list[object] = []
        while True not in sink.pressure:
            broker.post("chat", b"x" * 100, outcomes.append)
        for _ in range(1000):
            broker.post("chat", b"x", outcomes.append)
        await until(lambda: sink.pressure[-1] is False)
        await until(lambda: len(outcomes) >= 1001)
        self.assertEqual(set(outcomes), {None})
        self.assertEqual(sink.pressure, [number % 2 == 0 for number in range(len(sink.pressure))])

    async def test_only_messages_of_subscribed_channels_are_delivered(self) -> None:
        broker, sink = await self.subscribed("gone", "kept")
        broker.unsubscribe(["gone"])
        broker.subscribe(["later"])
        await sink.when(lambda: "later" in sink.confirmations)
        for channel in ("gone", "never", "kept"):
            await broker.publish(channel, channel.encode())
        await sink.when(lambda: bool(sink.delivered))
        self.assertEqual(sink.delivered, [Publication("kept", b"kept")])

    async def test_thousands_of_channels_subscribed_at_once_are_confirmed_once_each(self) -> None:
        names = [f"c:{number}" for number in range(3000)]
        broker, sink = await self.subscribed(*names)
        self.assertEqual(sorted(sink.confirmations), sorted(names))
        await broker.publish("c:2999", b"last")
        await sink.when(lambda: bool(sink.delivered))

    async def test_channel_subscribed_before_the_start_is_confirmed_after_it(self) -> None:
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        broker.subscribe(["early"])
        self.assertEqual(sink.confirmations, [])
        broker.start()
        self.addCleanup(broker.stop)
        await sink.when(lambda: sink.confirmations == ["early"])

    async def test_channel_that_comes_and_goes_in_one_turn_works_afterwards(self) -> None:
        broker, sink = await self.subscribed("chat")
        broker.unsubscribe(["chat"])
        broker.subscribe(["chat"])
        broker.unsubscribe(["chat"])
        broker.subscribe(["chat", "mark"])
        await sink.when(lambda: "mark" in sink.confirmations)
        await broker.publish("chat", b"message")
        await sink.when(lambda: bool(sink.delivered))

    async def test_channel_resubscribed_before_a_flush_is_confirmed_again(self) -> None:
        broker, sink = await self.subscribed("chat")
        sink.confirmations.clear()
        broker.unsubscribe(["chat"])
        broker.subscribe(["chat"])
        await sink.when(lambda: sink.confirmations == ["chat"])

    async def test_publishing_fails_before_the_start_and_after_the_stop(self) -> None:
        """Of messages and control messages; `problem` says why the broker is not ready."""
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        for _ in range(2):
            self.assertFalse(broker.ready)
            self.assertNotEqual(broker.problem, "")
            with self.assertRaises(BrokerUnavailable):
                await broker.publish("chat", b"lost")
            with self.assertRaises(BrokerUnavailable):
                await broker.send_control(b"lost")
            outcomes: list[object] = []
            broker.post("chat", b"lost", outcomes.append)
            self.assertEqual([type(each) for each in outcomes], [BrokerUnavailable])
            broker.start()
            await broker.stop()
        self.assertEqual(sink.controls, [])

    async def test_broker_that_works_is_ready_and_has_no_problem(self) -> None:
        broker, sink = await self.subscribed("chat")
        await until(lambda: broker.ready)
        self.assertEqual(broker.problem, "")
        await broker.publish("chat", b"x")
        await sink.when(lambda: bool(sink.delivered))

    async def test_control_messages_to_all_processes_arrive_byte_for_byte_and_in_order(self) -> None:
        """From another process and from the same one."""
        payloads = [b'{"disconnect": {"user": "42"}}', b"", b"007", b"\xff\x00\r\n", b"x" * 70_000]
        broker, sink = await self.subscribed("chat")
        other, other_sink = await self.other(broker, sink)
        for sender in (other, broker):
            for payload in payloads:
                self.assertEqual(await result_of(sender.send_control(payload)), 1 if other is broker else 2)
        await until(lambda: len(sink.controls) == len(other_sink.controls) == 2 * len(payloads))
        self.assertEqual((sink.controls, other_sink.controls), (payloads * 2, payloads * 2))

    async def test_control_message_to_one_process_reaches_it_alone(self) -> None:
        broker, sink = await self.subscribed("chat")
        other, other_sink = await self.other(broker, sink)
        self.assertEqual(await result_of(broker.send_control(b"one", other.node_id)), 1)
        await self.assert_controls(broker, sink, [b"one"] if other is broker else [])
        await self.assert_controls(broker, other_sink, [b"one"])

    async def test_control_message_to_this_process_reaches_it_alone(self) -> None:
        broker, sink = await self.subscribed("chat")
        other, other_sink = await self.other(broker, sink)
        self.assertEqual(await result_of(broker.send_control(b"mine", broker.node_id)), 1)
        await self.assert_controls(broker, sink, [b"mine"])
        await self.assert_controls(broker, other_sink, [b"mine"] if other is broker else [])

    async def test_control_message_to_an_unknown_process_is_taken_and_reaches_none(self) -> None:
        broker, sink = await self.subscribed("chat")
        _, other_sink = await self.other(broker, sink)
        self.assertEqual(await result_of(broker.send_control(b"lost", UNKNOWN_NODE)), 0)
        for each in (sink, other_sink):
            await self.assert_controls(broker, each, [])

    async def assert_controls(self, broker: IBroker, sink: WaitingSink, expected: list[bytes]) -> None:
        """Assert what a sink has received, when a message that was sent behind it to all processes has arrived."""
        marks = sink.controls.count(b"mark")
        await broker.send_control(b"mark")
        await sink.when(lambda: sink.controls.count(b"mark") > marks)
        self.assertEqual([payload for payload in sink.controls if payload != b"mark"], expected)

    async def test_control_messages_and_publications_are_kept_apart(self) -> None:
        broker, sink = await self.subscribed("chat", "control")
        await broker.publish("control", b"message")
        await broker.send_control(b"command")
        await broker.publish("chat", b"last")
        await sink.when(lambda: len(sink.delivered) == 2 and bool(sink.controls))
        self.assertEqual(sink.delivered, [Publication("control", b"message"), Publication("chat", b"last")])
        self.assertEqual(sink.controls, [b"command"])

    async def test_first_connection_is_no_reconnection(self) -> None:
        _, sink = await self.subscribed("chat")
        self.assertEqual((sink.interruptions, sink.resumptions), (0, 0))

    async def test_disconnected_names_the_confirmed_channels(self) -> None:
        broker, sink = await self.subscribed("a", "b", "gone")
        broker.unsubscribe(["gone"])
        await broker.stop()
        self.assertEqual([sorted(channels) for channels in sink.lost], [["a", "b"]])

    async def test_disconnected_names_no_channel_that_was_never_confirmed(self) -> None:
        broker, sink = await self.subscribed("a")
        confirmed = len(sink.confirmations)
        broker.subscribe(["b"])
        at_once = sink.confirmations[confirmed:]
        await broker.stop()
        self.assertEqual([sorted(channels) for channels in sink.lost], [["a", *at_once]])

    def test_broker_has_one_credential_store_that_provides_the_interface_in_full(self) -> None:
        broker = self.make_broker()
        verifyObject(ICredentialStore, broker.credentials)
        self.assertIs(broker.credentials, broker.credentials)


class StoreContract(unittest.TestCase):
    """The contract of `ICredentialStore`. Subclass it in a test module, and import this module there."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """Return the broker whose store it is, not yet attached nor started."""
        raise NotImplementedError

    async def second_passes(self) -> None:
        """Let the clock by which tickets and revocations end go on by a second."""
        raise NotImplementedError

    async def store(self) -> ICredentialStore:
        """Return the store of a ready broker, which is stopped at the end of the test."""
        broker = self.make_broker()
        broker.attach(WaitingSink())
        broker.start()
        self.addCleanup(broker.stop)
        await until(lambda: broker.ready)
        store: ICredentialStore = broker.credentials
        return store

    async def test_ticket_is_redeemed_once_byte_for_byte(self) -> None:
        store = await self.store()
        documents = [b"{}", b"", b"007", b"\xff\x00\r\n", '{"sub": "J\u00fc"}'.encode(), b"x" * 16384]
        for number, document in enumerate(documents):
            self.assertIs(await store.create(f"ticket-{number}", document, 30), True)
        redeemed = [await store.redeem(f"ticket-{number}") for number in range(len(documents))]
        again = [await store.redeem(f"ticket-{number}") for number in range(len(documents))]
        self.assertEqual((redeemed, again), (documents, [None] * len(documents)))

    async def test_ticket_that_was_read_is_still_redeemed(self) -> None:
        store = await self.store()
        await store.create("ticket", b"\xff007", 30)
        self.assertEqual([await store.read("ticket") for _ in range(2)], [b"\xff007"] * 2)
        self.assertEqual([await store.redeem("ticket"), await store.read("ticket")], [b"\xff007", None])

    async def test_unknown_ticket_is_not_redeemed(self) -> None:
        store = await self.store()
        await store.create("ticket", b"{}", 30)
        self.assertEqual([await store.redeem(name) for name in ("ticke", "tickets", "TICKET", "*", "")], [None] * 5)
        self.assertEqual(await store.redeem("ticket"), b"{}")

    async def test_ticket_of_an_existing_name_is_not_created(self) -> None:
        """And takes nothing from the one that exists."""
        store = await self.store()
        self.assertEqual([await store.create("ticket", b"%d" % number, 30) for number in range(2)], [True, False])
        self.assertEqual(await store.redeem("ticket"), b"0")
        self.assertIs(await store.create("ticket", b"2", 30), True)
        self.assertEqual(await store.redeem("ticket"), b"2")

    async def test_ticket_expires_after_its_lifetime_and_frees_its_name(self) -> None:
        store = await self.store()
        await store.create("short", b"1", 1)
        await store.create("long", b"2", 30)
        await self.second_passes()
        self.assertEqual([await store.redeem(name) for name in ("short", "long")], [None, b"2"])
        self.assertIs(await store.create("short", b"3", 1), True)
        self.assertEqual(await store.redeem("short"), b"3")

    async def test_deleted_ticket_is_not_redeemed(self) -> None:
        """Others are, and the deletion of a ticket that does not exist does no harm."""
        store = await self.store()
        await store.create("one", b"1", 30)
        await store.create("two", b"2", 30)
        for name in ("one", "one", "three"):
            self.assertIsNone(await result_of(store.delete(name)))
        self.assertEqual([await store.redeem(name) for name in ("one", "two", "three")], [None, b"2", None])

    async def test_revoked_targets_are_found_in_the_order_of_the_question(self) -> None:
        store = await self.store()
        for target in ("user:42", "token:x"):
            self.assertIsNone(await result_of(store.revoke(target, 30)))
        asked = ["user:4", "user:42", "user:422", "token:x", "token:42", "user:x", "connection:1", "user:42", "42"]
        expected = [False, True, False, True, False, False, False, True, False]
        for _ in range(2):
            self.assertEqual(list(await store.are_revoked(asked)), expected)

    async def test_revocation_lasts_for_its_time_counted_from_the_last_one(self) -> None:
        store = await self.store()
        await store.revoke("user:1", 1)
        await store.revoke("user:2", 1)
        await store.revoke("user:2", 30)
        self.assertEqual(list(await store.are_revoked(["user:1", "user:2"])), [True, True])
        await self.second_passes()
        self.assertEqual(list(await store.are_revoked(["user:1", "user:2"])), [False, True])

    async def test_tickets_and_revocations_of_one_name_are_kept_apart(self) -> None:
        store = await self.store()
        await store.create("user:1", b"{}", 30)
        await store.revoke("user:2", 30)
        self.assertEqual(list(await store.are_revoked(["user:1", "user:2"])), [False, True])
        await store.delete("user:2")
        self.assertIsNone(await store.redeem("user:2"))
        self.assertEqual(list(await store.are_revoked(["user:2"])), [True])

    async def test_users_may_be_called_anything_and_no_name_is_taken_for_another(self) -> None:
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

    async def test_hundreds_of_targets_can_be_looked_up_at_once(self) -> None:
        """As is done after an outage."""
        store = await self.store()
        await store.revoke("user:499", 30)
        found = await store.are_revoked([f"user:{number}" for number in range(500)])
        self.assertEqual([number for number, is_revoked in enumerate(found) if is_revoked], [499])
        self.assertEqual(len(found), 500)

    async def test_lookup_of_no_targets_is_empty(self) -> None:
        store = await self.store()
        self.assertEqual(list(await store.are_revoked([])), [])
