"""The contract of presence stores, as a suite that each implementation runs."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from tests.brokers.contract import WaitingSink, result_of, until
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.lease_book import LEASE_SECONDS
from wsrelay.core.presence.member import Member, Members, PresenceStats
from wsrelay.core.presence.tables import LEAVE_SECONDS, OCCUPIED, Table, announced_table, members_table
from wsrelay.interfaces import IBroker, IPresence

__all__ = ["PresenceContract"]

ANN, BOB, BOB_AGAIN = Member("c1", "ann"), Member("c2", "bob"), Member("c3", "bob")
NOBODY, NOBODY_ELSE = Member("c4"), Member("c5")
CHAT = members_table("chat")
HERE = announced_table("chat")


def texts(*members: Member) -> list[str]:
    """Return the texts of members."""
    return [each.text for each in members]


class PresenceContract(unittest.TestCase):
    """The contract of `IPresence`. Subclass it in a test module, and import this module there."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """Return a broker that is not yet attached nor started."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let the clock by which leases end go on."""
        raise NotImplementedError

    async def ready_broker(self) -> IBroker:
        """Return a ready broker, which is stopped at the end of the test."""
        broker = self.make_broker()
        broker.attach(WaitingSink())
        broker.start()
        self.addCleanup(broker.stop)
        await until(lambda: broker.ready)
        return broker

    async def stores(self) -> tuple[IPresence, IPresence]:
        """Return the stores of two processes, or the one of one process twice."""
        store = (await self.ready_broker()).presence
        return store, store

    async def assert_members(self, store: IPresence, *expected: Member) -> None:
        """Assert who is on the channel, in any order."""
        found = await store.presence("chat")
        self.assertEqual((found.clients, found.is_truncated), (len(expected), False))
        self.assertEqual(sorted(texts(*found.members)), sorted(texts(*expected)))

    def test_store_provides_the_interface_in_full(self) -> None:
        verifyObject(IPresence, self.make_broker().presence)

    async def test_members_of_all_processes_are_found_until_they_are_released(self) -> None:
        first, second = await self.stores()
        self.assertEqual(await first.presence("chat"), Members())
        await first.hold(CHAT, texts(ANN))
        await second.hold(CHAT, texts(BOB, NOBODY))
        for store in (first, second):
            await self.assert_members(store, ANN, BOB, NOBODY)
        self.assertIsNone(await result_of(second.release(CHAT, texts(BOB))))
        await self.assert_members(first, ANN, NOBODY)
        self.assertEqual(await first.presence("chatter"), Members())

    async def test_users_may_be_called_anything(self) -> None:
        store, _ = await self.stores()
        names = ["J\u00fc \U0001f98a", "a\r\nb", "*", '"}', "\0", "x" * 255, "007", "a:b", " "]
        members = [Member(f"c{number}", name) for number, name in enumerate(names)]
        await store.hold(CHAT, texts(*members))
        await self.assert_members(store, *members)
        await store.release(CHAT, texts(*members[1:]))
        await self.assert_members(store, members[0])

    async def test_users_are_counted_once_and_anonymous_clients_are_one(self) -> None:
        store, _ = await self.stores()
        self.assertEqual(await store.presence_stats("chat"), PresenceStats(0, 0))
        await store.hold(CHAT, texts(BOB, BOB_AGAIN))
        self.assertEqual(await store.presence_stats("chat"), PresenceStats(2, 1))
        await store.hold(CHAT, texts(ANN, NOBODY, NOBODY_ELSE))
        self.assertEqual(await store.presence_stats("chat"), PresenceStats(5, 3))

    async def test_list_that_is_cut_off_says_so(self) -> None:
        store, _ = await self.stores()
        await store.hold(CHAT, texts(*(Member(f"c{number}") for number in range(1200))))
        for limit in (0, 1, 1000):
            found = await store.presence("chat", limit)
            self.assertEqual((found.clients, len(found.members), found.is_truncated), (1200, limit, True))
        found = await store.presence("chat")
        self.assertEqual((found.clients, len(found.members)), (1200, 1000))
        self.assertEqual(await store.presence_stats("chat"), PresenceStats(1200, 1))

    async def test_members_of_a_process_that_renews_no_more_are_gone_when_their_leases_have_run_out(self) -> None:
        """Those of others stay."""
        first, second = await self.stores()
        await first.hold(CHAT, texts(ANN, BOB))
        await self.pass_time(LEASE_SECONDS / 2)
        await second.hold(CHAT, texts(NOBODY, BOB))
        await self.assert_members(second, ANN, BOB, NOBODY)
        await self.pass_time(LEASE_SECONDS / 2 + 1)
        await self.assert_members(second, BOB, NOBODY)
        self.assertEqual(await second.presence_stats("chat"), PresenceStats(2, 2))

    async def test_name_is_new_to_one_caller_only(self) -> None:
        stores = await self.stores()
        for table in (HERE, OCCUPIED, CHAT):
            names = [f"{number}" for number in range(1100)]
            new = await gatherResults([stores[0].hold(table, names), stores[1].hold(table, names[::-1])])
            self.assertEqual(sorted([*new[0], *new[1]]), sorted(names))
            self.assertEqual([await store.hold(table, [*names, "last"]) for store in stores], [["last"], []])

    async def test_name_given_twice_is_new_once(self) -> None:
        store, _ = await self.stores()
        self.assertEqual(await store.hold(HERE, ["a", "b", "a"]), ["a", "b"])

    async def test_released_name_ends_after_the_time_of_its_table(self) -> None:
        first, second = await self.stores()
        await first.hold(HERE, ["user:ann", "user:bob"])
        await first.release(HERE, ["user:ann", "user:unknown"])
        await self.pass_time(LEAVE_SECONDS - 2)
        self.assertEqual(await second.take_ended(HERE), [])
        await self.pass_time(4)
        self.assertEqual(await second.take_ended(HERE), ["user:ann"])
        self.assertEqual(await first.take_ended(HERE), [])
        self.assertEqual(await first.hold(HERE, ["user:ann", "user:bob"]), ["user:ann"])

    async def test_name_that_is_held_again_in_time_has_never_left(self) -> None:
        first, second = await self.stores()
        await first.hold(HERE, ["user:ann"])
        await first.release(HERE, ["user:ann"])
        self.assertEqual(await second.hold(HERE, ["user:ann"]), [])
        await self.pass_time(LEAVE_SECONDS + 2)
        self.assertEqual(await first.take_ended(HERE), [])

    async def test_ended_names_are_taken_by_one_caller_only(self) -> None:
        stores = await self.stores()
        names = [f"{number}" for number in range(700)]
        await stores[0].hold(HERE, names)
        await self.pass_time(LEASE_SECONDS + 1)
        taken = await gatherResults([store.take_ended(HERE) for store in stores])
        self.assertEqual(sorted([*taken[0], *taken[1]]), sorted(names))
        self.assertIn([], taken)

    async def test_release_of_many_names_at_once(self) -> None:
        for table, ends in ((CHAT, 0), (HERE, 1100)):
            store, _ = await self.stores()
            names = [f"{number}" for number in range(1101)]
            await store.hold(table, names)
            await store.release(table, names[1:])
            await self.pass_time(LEAVE_SECONDS + 1)
            self.assertEqual(len(await store.take_ended(table)), ends)
            self.assertEqual(len(await store.hold(table, names)), 1100)

    async def test_every_operation_fails_after_the_stop(self) -> None:
        broker = await self.ready_broker()
        store: IPresence = broker.presence
        await broker.stop()
        for table in (HERE, CHAT):
            for ask in (
                lambda: store.presence("chat"),
                lambda: store.presence_stats("chat"),
                lambda table=table: store.hold(table, ["a"]),
                lambda table=table: store.release(table, ["a"]),
                lambda table=table: store.take_ended(table),
            ):
                with self.assertRaises(BrokerUnavailable):
                    await result_of(ask())

    async def test_tables_are_kept_apart(self) -> None:
        store, _ = await self.stores()
        for table in (HERE, announced_table("chat2"), CHAT, OCCUPIED, Table("$other")):
            self.assertEqual(await store.hold(table, ["a"]), ["a"])
