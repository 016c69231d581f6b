"""Tests of `wsrelay.brokers.memory.presence_store`."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.brokers import presence_contract
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.memory.presence_store import MemoryPresenceStore
from wsrelay.core.presence.tables import announced_table, members_table
from wsrelay.interfaces import IBroker


class MemoryPresenceStoreTests(presence_contract.PresenceContract):
    """The contract, in one process."""

    def setUp(self) -> None:
        self.clock = Clock()

    def make_broker(self) -> IBroker:
        return MemoryBroker(self.clock)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def test_nothing_is_left_of_tables_without_names(self) -> None:
        store = MemoryPresenceStore(self.clock.seconds, lambda: "")
        chat, here = members_table("chat"), announced_table("chat")
        for table in (chat, here):
            await store.hold(table, ["a"])
            await store.release(table, ["a"])
        await self.pass_time(30)
        await store.take_ended(here)
        self.assertEqual(store._tables, {})
