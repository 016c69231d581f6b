"""Tests of `wsrelay.core.flow.ttl`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.ttl import ExpiringCache, ExpiringStore

MOMENT = 0.125
MAX_ENTRIES = 100


class ExpiringCacheTests(SynchronousTestCase):
    """One lifetime for every entry."""

    def test_clear_removes_every_entry(self) -> None:
        cache: ExpiringCache[str, int] = ExpiringCache(2, 10.0)
        cache.put("a", 1, 0.0)
        cache.clear()
        self.assertEqual((cache.get("a", 0.0), len(cache)), (None, 0))

    def test_entry_expires_after_the_time_to_live(self) -> None:
        cache: ExpiringCache[str, int] = ExpiringCache(10, 5.0)
        cache.put("a", 1, 100.0)
        self.assertEqual([cache.get("a", now) for now in (100.0, 104.9, 105.0, 106.0)], [1, 1, None, None])
        self.assertIsNone(cache.get("b", 100.0))

    def test_replaced_value_lives_its_own_time(self) -> None:
        cache: ExpiringCache[str, int] = ExpiringCache(10, 5.0)
        cache.put("a", 1, 0.0)
        cache.put("b", 2, 1.0)
        cache.put("a", 3, 4.0)
        self.assertEqual((cache.get("a", 8.0), cache.get("b", 8.0), len(cache)), (3, None, 2))

    def test_entry_beyond_the_limit_replaces_the_oldest(self) -> None:
        """Not the one that was put in anew."""
        cache: ExpiringCache[str, int] = ExpiringCache(2, 5.0)
        for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
            cache.put(key, value, 0.0)
        self.assertEqual([cache.get(key, 0.0) for key in "abc"], [3, None, 4])

    def test_expired_entries_are_removed_with_the_next_put(self) -> None:
        cache: ExpiringCache[int, int] = ExpiringCache(100, 5.0)
        for key in range(50):
            cache.put(key, key, 0.0)
        cache.put(99, 99, 5.0)
        self.assertEqual((len(cache), cache.get(99, 5.0)), (1, 99))

    def test_nothing_is_kept_without_time_to_live(self) -> None:
        """Not even in memory."""
        cache: ExpiringCache[str, int] = ExpiringCache(10, 0.0)
        cache.put("a", 1, 0.0)
        self.assertEqual((len(cache), cache.get("a", 0.0)), (0, None))

    def test_nothing_is_kept_without_room(self) -> None:
        cache: ExpiringCache[str, int] = ExpiringCache(0, 5.0)
        cache.put("a", 1, 0.0)
        self.assertEqual((len(cache), cache.get("a", 0.0)), (0, None))

    @given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 4)), max_size=60))
    def test_any_mix_of_puts_behaves_as_the_model(self, steps: list[tuple[int, float]]) -> None:
        """Found is the last value of a key, in its time, among the newest few."""
        cache: ExpiringCache[int, int] = ExpiringCache(4, 5.0)
        newest: dict[int, tuple[int, float]] = {}
        now = 0.0
        for value, (key, pause) in enumerate(steps):
            now += pause
            newest.pop(key, None)
            newest[key] = (value, now)
            cache.put(key, value, now)
            alive = {key: value for key, (value, put) in list(newest.items())[-4:] if now < put + 5.0}
            self.assertEqual({key: cache.get(key, now) for key in range(10) if key in alive}, alive)
            self.assertEqual([cache.get(key, now) for key in range(10) if key not in alive], [None] * (10 - len(alive)))
            self.assertEqual(len(cache), len(alive))


class ExpiringStoreTests(SynchronousTestCase):
    """A lifetime for each entry."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store: ExpiringStore[str, str] = ExpiringStore(MAX_ENTRIES)

    def put(self, key: str, value: str, seconds: float) -> bool:
        return self.store.put(key, value, seconds, self.clock.seconds())

    def get(self, key: str) -> str | None:
        return self.store.get(key, self.clock.seconds())

    def take(self, key: str) -> str | None:
        return self.store.take(key, self.clock.seconds())

    def test_each_entry_expires_after_its_own_lifetime(self) -> None:
        self.assertTrue(self.put("a", "1", 5))
        self.assertTrue(self.put("b", "2", 10))
        found = []
        for _ in range(3):
            found.append((self.get("a"), self.get("b")))
            self.clock.advance(5)
        self.assertEqual(found, [("1", "2"), (None, "2"), (None, None)])
        self.assertIsNone(self.get("c"))

    def test_entry_expires_at_its_end_and_a_look_does_not_prolong_it(self) -> None:
        self.put("a", "1", 5)
        self.clock.advance(5 - MOMENT)
        self.assertEqual([self.get("a"), self.get("a")], ["1", "1"])
        self.clock.advance(MOMENT)
        self.assertIsNone(self.get("a"))

    def test_replacing_value_has_a_lifetime_of_its_own(self) -> None:
        """Longer or shorter."""
        self.put("a", "1", 5)
        self.put("a", "2", 10)
        self.put("b", "1", 10)
        self.put("b", "2", 5)
        self.clock.advance(5)
        self.assertEqual((self.get("a"), self.get("b")), ("2", None))

    def test_taken_entry_is_gone_and_an_expired_one_cannot_be_taken(self) -> None:
        self.put("a", "1", 5)
        self.put("b", "2", 5)
        self.assertEqual([self.take("a"), self.take("a"), self.get("a")], ["1", None, None])
        self.clock.advance(5)
        self.assertEqual([self.take("b"), self.take("c")], [None, None])

    def test_empty_value_is_a_value(self) -> None:
        self.put("a", "", 5)
        self.assertEqual(self.take("a"), "")

    def test_full_store_takes_no_further_key(self) -> None:
        """A value in place of another needs no room."""
        for number in range(MAX_ENTRIES):
            self.assertTrue(self.put(str(number), "x", 5))
        self.assertFalse(self.put("more", "x", 5))
        self.assertIsNone(self.get("more"))
        self.assertTrue(self.put("0", "y", 5))
        self.assertEqual(self.get("0"), "y")

    def test_expired_and_taken_entries_make_room(self) -> None:
        """And use no memory when the room is needed."""
        for number in range(MAX_ENTRIES):
            self.put(str(number), "x", 5 if number else 10)
        self.take("1")
        self.assertTrue(self.put("a", "x", 10))
        self.assertFalse(self.put("b", "x", 10))
        self.clock.advance(5)
        self.assertTrue(self.put("b", "x", 10))
        self.assertEqual((len(self.store), self.get("0"), self.get("a"), self.get("b")), (3, "x", "x", "x"))

    @given(
        st.lists(
            st.tuples(st.sampled_from(["put", "get", "take"]), st.sampled_from("abc"), st.integers(1, 9)), max_size=30
        )
    )
    def test_any_mix_of_calls_behaves_as_the_model(self, steps: list[tuple[str, str, int]]) -> None:
        """Found is the newest value of a key, in its time, unless it was taken."""
        self.setUp()
        model: dict[str, tuple[float, str]] = {}
        for number, (step, name, seconds) in enumerate(steps):
            end, value = model.get(name, (0.0, ""))
            expected = value if end > self.clock.seconds() else None
            if step == "put":
                self.assertTrue(self.put(name, str(number), seconds))
                model[name] = self.clock.seconds() + seconds, str(number)
            elif step == "get":
                self.assertEqual(self.get(name), expected)
            else:
                self.assertEqual(self.take(name), expected)
                model.pop(name, None)
            self.clock.advance(1)
