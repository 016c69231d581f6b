"""Tests of `wsrelay.core.flow.ttl`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.ttl import ExpiringCache


class ClearTests(SynchronousTestCase):
    """Nothing is to be kept."""

    def test_clear(self) -> None:
        """What was kept is forgotten."""
        cache: ExpiringCache[str, int] = ExpiringCache(2, 10.0)
        cache.put("a", 1, 0.0)
        cache.clear()
        self.assertEqual((cache.get("a", 0.0), len(cache)), (None, 0))


class ExpiringCacheTests(SynchronousTestCase):
    """So many, for so long."""

    def test_time(self) -> None:
        """A value is there until its time is over, counted from when it was put there."""
        cache: ExpiringCache[str, int] = ExpiringCache(10, 5.0)
        cache.put("a", 1, 100.0)
        self.assertEqual([cache.get("a", now) for now in (100.0, 104.9, 105.0, 106.0)], [1, 1, None, None])
        self.assertIsNone(cache.get("b", 100.0))

    def test_again(self) -> None:
        """A value that is put in a second time replaces the first, and lives its own time."""
        cache: ExpiringCache[str, int] = ExpiringCache(10, 5.0)
        cache.put("a", 1, 0.0)
        cache.put("b", 2, 1.0)
        cache.put("a", 3, 4.0)
        self.assertEqual((cache.get("a", 8.0), cache.get("b", 8.0), len(cache)), (3, None, 2))

    def test_bound(self) -> None:
        """One more than there is room for costs the oldest its place, not the one that was put in anew."""
        cache: ExpiringCache[str, int] = ExpiringCache(2, 5.0)
        for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
            cache.put(key, value, 0.0)
        self.assertEqual([cache.get(key, 0.0) for key in "abc"], [3, None, 4])

    def test_ended_ones_go(self) -> None:
        """What is over takes no room for longer than until the next one comes."""
        cache: ExpiringCache[int, int] = ExpiringCache(100, 5.0)
        for key in range(50):
            cache.put(key, key, 0.0)
        cache.put(99, 99, 5.0)
        self.assertEqual((len(cache), cache.get(99, 5.0)), (1, 99))

    def test_no_time(self) -> None:
        """With no time at all nothing is kept, not even in memory."""
        cache: ExpiringCache[str, int] = ExpiringCache(10, 0.0)
        cache.put("a", 1, 0.0)
        self.assertEqual((len(cache), cache.get("a", 0.0)), (0, None))

    def test_no_room(self) -> None:
        """With no room at all nothing is kept."""
        cache: ExpiringCache[str, int] = ExpiringCache(0, 5.0)
        cache.put("a", 1, 0.0)
        self.assertEqual((len(cache), cache.get("a", 0.0)), (0, None))

    @given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 4)), max_size=60))
    def test_model(self, steps: list[tuple[int, float]]) -> None:
        """Whatever is put in when: what is found is the last value of its key, in its time, among the newest few."""
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
