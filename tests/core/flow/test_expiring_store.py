"""Tests of `wsrelay.core.flow.ttl`, and of what the embedded broker keeps there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.brokers import contract
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.flow.ttl import MOST_VALUES, ExpiringStore
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, ICredentialStore

MOMENT = 0.125


class VaultTests(SynchronousTestCase):
    """Values that end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.vault: ExpiringStore[str] = ExpiringStore(self.clock.seconds)

    def test_time(self) -> None:
        """A value is there until its own time is over."""
        self.assertTrue(self.vault.put("a", "1", 5))
        self.assertTrue(self.vault.put("b", "2", 10))
        found = []
        for _ in range(3):
            found.append((self.vault.get("a"), self.vault.get("b")))
            self.clock.advance(5)
        self.assertEqual(found, [("1", "2"), (None, "2"), (None, None)])
        self.assertIsNone(self.vault.get("c"))

    def test_to_the_moment(self) -> None:
        """It is there a moment before its end, and not at its end; looking does not make it live longer."""
        self.vault.put("a", "1", 5)
        self.clock.advance(5 - MOMENT)
        self.assertEqual([self.vault.get("a"), self.vault.get("a")], ["1", "1"])
        self.clock.advance(MOMENT)
        self.assertIsNone(self.vault.get("a"))

    def test_in_place(self) -> None:
        """A value that is put in place of another has its own time, longer or shorter."""
        self.vault.put("a", "1", 5)
        self.vault.put("a", "2", 10)
        self.vault.put("b", "1", 10)
        self.vault.put("b", "2", 5)
        self.clock.advance(5)
        self.assertEqual((self.vault.get("a"), self.vault.get("b")), ("2", None))

    def test_take(self) -> None:
        """What is taken is there no more; what has ended cannot be taken."""
        self.vault.put("a", "1", 5)
        self.vault.put("b", "2", 5)
        self.assertEqual([self.vault.take("a"), self.vault.take("a"), self.vault.get("a")], ["1", None, None])
        self.clock.advance(5)
        self.assertEqual([self.vault.take("b"), self.vault.take("c")], [None, None])

    def test_empty_values(self) -> None:
        """A value that is empty is a value."""
        self.vault.put("a", "", 5)
        self.assertEqual(self.vault.take("a"), "")

    def test_room(self) -> None:
        """There is room for so many and no more; one in place of another needs none."""
        for number in range(MOST_VALUES):
            self.assertTrue(self.vault.put(str(number), "x", 5))
        self.assertFalse(self.vault.put("more", "x", 5))
        self.assertIsNone(self.vault.get("more"))
        self.assertTrue(self.vault.put("0", "y", 5))
        self.assertEqual(self.vault.get("0"), "y")

    def test_room_comes_back(self) -> None:
        """What has ended or been taken makes room, and takes no memory when the room is needed."""
        for number in range(MOST_VALUES):
            self.vault.put(str(number), "x", 5 if number else 10)
        self.vault.take("1")
        self.assertTrue(self.vault.put("a", "x", 10))
        self.assertFalse(self.vault.put("b", "x", 10))
        self.clock.advance(5)
        self.assertTrue(self.vault.put("b", "x", 10))
        self.assertEqual(sorted(self.vault._values), ["0", "a", "b"])

    @given(
        st.lists(
            st.tuples(st.sampled_from(["put", "get", "take"]), st.sampled_from("abc"), st.integers(1, 9)), max_size=30
        )
    )
    def test_model(self, steps: list[tuple[str, str, int]]) -> None:
        """Whatever is done when: what is found is the newest value of its name, in its time, unless it was taken."""
        self.setUp()
        model: dict[str, tuple[float, str]] = {}
        for number, (step, name, seconds) in enumerate(steps):
            end, value = model.get(name, (0.0, ""))
            expected = value if end > self.clock.seconds() else None
            if step == "put":
                self.assertTrue(self.vault.put(name, str(number), seconds))
                model[name] = self.clock.seconds() + seconds, str(number)
            elif step == "get":
                self.assertEqual(self.vault.get(name), expected)
            else:
                self.assertEqual(self.vault.take(name), expected)
                model.pop(name, None)
            self.clock.advance(1)


class MemoryStoreTests(contract.StoreContract):
    """The contract of the store, in one process."""

    def setUp(self) -> None:
        self.clock = Clock()

    def make_broker(self) -> IBroker:
        return MemoryBroker(self.clock)

    async def second_passes(self) -> None:
        self.clock.advance(1)

    async def test_full_of_tickets(self) -> None:
        """A ticket for which there is no room is told as a failure, not given out; what has ended makes room."""
        store = await self.store()
        for number in range(MOST_VALUES):
            self.assertTrue(await store.create(f"ticket-{number}", b"{}", 1))
        with self.assertRaises(BrokerUnavailable):
            await store.create("one-more", b"{}", 1)
        self.assertIsNone(await store.redeem("one-more"))
        await self.second_passes()
        self.assertTrue(await store.create("one-more", b"{}", 1))

    async def test_full_of_denials(self) -> None:
        """A denial for which there is no room is told as a failure: whoever asked must know that it does not hold."""
        store = await self.store()
        for number in range(MOST_VALUES):
            await store.revoke(f"user:{number}", 1)
        with self.assertRaises(BrokerUnavailable):
            await store.revoke("user:more", 1)
        self.assertEqual(await store.are_revoked(["user:0", "user:more"]), [True, False])

    async def test_stands_still(self) -> None:
        """Without a clock nothing ends, but by being redeemed."""
        store: ICredentialStore = MemoryBroker(Clock()).credentials
        await store.create("ticket", b"{}", 1)
        self.assertEqual([await store.redeem("ticket"), await store.redeem("ticket")], [b"{}", None])
