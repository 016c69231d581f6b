"""Tests of `wsrelay.brokers.memory.credential_store`."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.brokers import contract
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.memory.credential_store import MAX_VALUES
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, ICredentialStore


class MemoryCredentialStoreTests(contract.StoreContract):
    """The contract of the store, in one process."""

    def setUp(self) -> None:
        self.clock = Clock()

    def make_broker(self) -> IBroker:
        return MemoryBroker(self.clock)

    async def second_passes(self) -> None:
        self.clock.advance(1)

    async def test_ticket_beyond_the_limit_fails_until_others_have_expired(self) -> None:
        store = await self.store()
        for number in range(MAX_VALUES):
            self.assertTrue(await store.create(f"ticket-{number}", b"{}", 1))
        with self.assertRaises(BrokerUnavailable):
            await store.create("one-more", b"{}", 1)
        self.assertIsNone(await store.redeem("one-more"))
        await self.second_passes()
        self.assertTrue(await store.create("one-more", b"{}", 1))

    async def test_revocation_beyond_the_limit_fails(self) -> None:
        """The caller must know that it does not hold."""
        store = await self.store()
        for number in range(MAX_VALUES):
            await store.revoke(f"user:{number}", 1)
        with self.assertRaises(BrokerUnavailable):
            await store.revoke("user:more", 1)
        self.assertEqual(await store.are_revoked(["user:0", "user:more"]), [True, False])

    async def test_nothing_expires_while_the_clock_stands_still(self) -> None:
        """A ticket ends by being redeemed."""
        store: ICredentialStore = MemoryBroker(Clock()).credentials
        await store.create("ticket", b"{}", 1)
        self.assertEqual([await store.redeem("ticket"), await store.redeem("ticket")], [b"{}", None])
