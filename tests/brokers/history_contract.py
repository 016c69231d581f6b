"""The contract of `IHistory`, as a suite that each implementation runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from tests.brokers.contract import WaitingSink, result_of, until
from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EntryID, parse_id
from wsrelay.core.history.retention import BURST_ENTRIES, Retention
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IHistory

__all__ = ["DAY", "HistoryContract", "HistorySink"]

DAY = Retention(100, 86400)


class HistorySink(WaitingSink):
    """A sink whose reports about streams can be awaited."""

    def streams_changed(self, channels: Iterable[str], *, is_certain: bool = False) -> None:
        super().streams_changed(channels, is_certain=is_certain)
        self._check()

    def streams_connected(self) -> None:
        super().streams_connected()
        self._check()

    def streams_disconnected(self) -> None:
        super().streams_disconnected()
        self._check()


class HistoryContract(unittest.TestCase):
    """The contract of `IHistory`. Subclass it in a test module, and import this module there rather than the class."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """Return a broker that keeps history, not yet attached nor started."""
        raise NotImplementedError

    def add(self, channel: str, *fields: bytes) -> Deferred[EntryID]:
        """Add an entry as another program does, where there can be any.

        Args:
            channel: The channel's name.
            fields: Names and values of its fields, in turn.
        """
        raise NotImplementedError

    def delete(self, channel: str, entry_id: EntryID) -> None:
        """Take out an entry as another program does."""
        raise NotImplementedError

    async def connected(self) -> tuple[IHistory, HistorySink]:
        """Return the history of a ready broker, which is stopped at the end of the test, and its sink."""
        self.broker, sink = self.make_broker(), HistorySink()
        self.broker.attach(sink)
        self.broker.start()
        self.addCleanup(self.broker.stop)
        await sink.when(lambda: sink.stream_states == [True])
        await until(lambda: self.broker.ready)
        history: Any = self.broker.history
        return history, sink

    async def watched(self, *channels: str) -> tuple[IHistory, HistorySink]:
        """Return the history of a ready broker that watches channels, each of which has been read, and its sink."""
        history, sink = await self.connected()
        history.watch(channels)
        for channel in channels:
            await history.look_at_newest(channel, 1)
        sink.changes.clear()
        return history, sink

    async def add_several(self, channel: str, count: int) -> list[EntryID]:
        """Add entries, and return their IDs."""
        return [await self.add(channel, b"data", b"%d" % number) for number in range(count)]

    # Reading

    async def test_history_provides_the_interface_in_full(self) -> None:
        history, _ = await self.connected()
        verifyObject(IHistory, history)
        self.assertRegex(history.way, r"\A[a-z ]+\Z")

    async def test_channel_without_a_stream_has_no_entries(self) -> None:
        history, _ = await self.connected()
        self.assertEqual(await history.read("a", None, 10), [])
        look = await history.look("a", (5, 0), 10)
        self.assertEqual((list(look.entries), (look.info and look.info.length) or 0), ([], 0))

    async def test_entries_are_read_oldest_first_from_an_id_on_that_is_among_them(self) -> None:
        history, _ = await self.connected()
        ids = await self.add_several("a", 5)
        for since, count, expected in (
            (None, 10, ids),
            (None, 2, ids[:2]),
            (ids[1], 10, ids[1:]),
            (ids[1], 2, ids[1:3]),
            ((ids[1][0], ids[1][1] + 1), 1, ids[2:3]),
            ((ids[4][0] + 1, 0), 10, []),
        ):
            entries = await history.read("a", since, count)
            self.assertEqual([each.id for each in entries], expected)

    async def read_behind(self, history: IHistory, anchors: list[tuple[str, Entry]], count: int) -> list[Any]:
        """Read what is behind entries, and return the IDs of it."""
        found: list[Any] = []
        history.read_behind(anchors, count, found.extend)
        await until(lambda: len(found) == len(anchors))
        return [entries and [each.id for each in entries] for entries in found]

    async def test_channels_are_read_together_each_behind_an_entry(self) -> None:
        history, _ = await self.connected()
        ids = {channel: await self.add_several(channel, 4) for channel in ("a", "b")}
        entries = {channel: list(await history.read(channel, None, 10)) for channel in ids}
        found = await self.read_behind(
            history, [("a", entries["a"][1]), ("b", entries["b"][3]), ("b", entries["b"][0])], 2
        )
        self.assertEqual(found, [ids["a"][2:], [], ids["b"][1:3]])

    async def test_nothing_is_read_behind_an_entry_that_is_not_there_as_it_was(self) -> None:
        history, _ = await self.connected()
        ids = await self.add_several("a", 3)
        other = Entry.of(ids[1], (b"data", b"another"))
        gone = (await history.read("a", ids[0], 1))[0]
        self.delete("a", ids[0])
        self.assertEqual(await self.read_behind(history, [("a", other), ("a", gone), ("c", other)], 2), [None] * 3)

    async def test_fields_are_read_byte_for_byte(self) -> None:
        history, _ = await self.connected()
        fields = (b"tags", b"\xff\x00\r\n", b"data", b"007", b"", b"")
        entry_id = await self.add("a", *fields)
        entries = list(await history.read("a", None, 10))
        self.assertEqual(entries, [Entry.of(entry_id, fields)])
        self.assertEqual(entries[0].data, b"007")

    async def test_look_has_the_state_of_the_stream_at_the_same_moment(self) -> None:
        history, _ = await self.connected()
        before = (await history.look_at_newest("a", 1)).now_ms
        ids = await self.add_several("a", 3)
        look = await history.look("a", ids[1], 10)
        assert look.info is not None
        self.assertEqual([each.id for each in look.entries], ids[1:])
        self.assertEqual((look.info.length, look.info.first_id, look.info.last_id), (3, ids[0], ids[2]))
        self.assertEqual((look.info.max_deleted_id, look.info.groups), ((0, 0), 0))
        self.assertGreaterEqual(look.now_ms, before)

    async def test_number_of_entries_added_grows_by_one_with_each(self) -> None:
        history, _ = await self.connected()
        await self.add("a", b"data", b"0")
        first = (await history.look("a", None, 1)).info
        await self.add_several("a", 4)
        second = (await history.look("a", None, 1)).info
        assert first is not None
        assert second is not None
        assert first.entries_added is not None
        self.assertEqual(second.entries_added, first.entries_added + 4)

    async def test_deleted_entry_is_gone_and_known_to_be_deleted(self) -> None:
        history, _ = await self.connected()
        ids = await self.add_several("a", 3)
        self.delete("a", ids[1])
        look = await history.look("a", None, 10)
        assert look.info is not None
        self.assertEqual([each.id for each in look.entries], [ids[0], ids[2]])
        self.assertEqual((look.info.max_deleted_id, look.info.length), (ids[1], 2))

    async def test_newest_entries_are_read_oldest_first(self) -> None:
        history, _ = await self.connected()
        ids = await self.add_several("a", 5)
        look = await history.look_at_newest("a", 2)
        self.assertEqual([each.id for each in look.entries], ids[3:])

    async def test_calls_are_carried_out_in_their_order(self) -> None:
        history, _ = await self.connected()
        await self.add_several("a", 1)
        done: list[int] = []

        def record(number: int, _result: object) -> None:
            done.append(number)

        calls: list[Deferred[Any]] = [
            history.read("a", None, 1),
            history.look("a", None, 1),
            history.look_at_newest("a", 1),
        ]
        for number, call in enumerate(calls):
            call.addCallback(partial(record, number))
        await until(lambda: len(done) == 3)
        self.assertEqual(done, [0, 1, 2])

    # Changes

    async def test_change_of_a_watched_stream_is_reported(self) -> None:
        _, sink = await self.watched("a", "b")
        await self.add("a", b"data", b"1")
        await sink.when(lambda: "a" in sink.changes)
        self.assertNotIn("b", sink.changes)

    async def test_change_after_each_read_is_reported(self) -> None:
        history, sink = await self.watched("a")
        for number in range(5):
            sink.changes.clear()
            entry_id = await self.add("a", b"data", b"%d" % number)
            await sink.when(lambda: "a" in sink.changes)
            entries = await history.read("a", entry_id, 10)
            self.assertEqual([each.id for each in entries], [entry_id])

    async def test_many_watched_streams_are_reported_each(self) -> None:
        names = [f"c{number}" for number in range(50)]
        _, sink = await self.watched(*names)
        for name in names:
            await self.add(name, b"data", b"1")
        await sink.when(lambda: set(names) <= set(sink.changes))

    async def test_stream_that_is_not_watched_any_more_is_not_reported(self) -> None:
        history, sink = await self.watched("a", "b")
        history.unwatch(["a", "unknown"])
        await self.add("a", b"data", b"1")
        await self.add("b", b"data", b"1")
        await sink.when(lambda: "b" in sink.changes)
        self.assert_not_delivered(sink, "a")

    def assert_not_delivered(self, sink: HistorySink, channel: str) -> None:
        """Assert that a channel was not reported. A server may report once more what was read before."""
        self.assertLessEqual(sink.changes.count(channel), 1)

    # Adding

    async def test_appended_entry_has_the_id_that_is_returned_and_the_data(self) -> None:
        history, sink = await self.watched("a")
        payloads = [b"hello", b"", b"\xff\x00\r\n", b"x" * 70_000]
        results = [await history.append("a", payload, DAY) for payload in payloads]
        await sink.when(lambda: "a" in sink.changes)
        entries = await history.read("a", None, 10)
        self.assertEqual([each.data for each in entries], payloads)
        self.assertEqual([each.id for each in entries], [parse_id(result.position) for result in results])

    async def test_entries_that_are_appended_at_once_keep_their_order(self) -> None:
        history, _ = await self.connected()
        results = [history.append("a", b"%d" % number, DAY) for number in range(50)]
        for result in results:
            await result
        entries = await history.read("a", None, 100)
        self.assertEqual([each.data for each in entries], [b"%d" % number for number in range(50)])

    async def test_appending_bounds_the_stream(self) -> None:
        history, _ = await self.connected()
        for _ in range(BURST_ENTRIES + 300):
            history.append("a", b"x", Retention(10, 86400))
        await history.append("a", b"last", Retention(10, 86400))
        look = await history.look_at_newest("a", 1)
        assert look.info is not None
        # Redis trims whole nodes of 100 entries.
        self.assertLessEqual(look.info.length, BURST_ENTRIES + 10 + 100)
        self.assertEqual([each.data for each in look.entries], [b"last"])

    async def test_idempotency_key_adds_once_for_a_channel_and_repeats_the_result(self) -> None:
        history, _ = await self.connected()
        first = await history.append("a", b"1", DAY, "k")
        self.assertEqual(await history.append("a", b"2", DAY, "k"), first)
        self.assertNotEqual(await history.append("a", b"3", DAY, "other"), first)
        await history.append("b", b"4", DAY, "k")
        self.assertEqual([each.data for each in await history.read("a", None, 10)], [b"1", b"3"])
        self.assertEqual([each.data for each in await history.read("b", None, 10)], [b"4"])

    async def test_publisher_and_tags_are_fields_behind_the_payload(self) -> None:
        history, _ = await self.connected()
        for key in ("", "k"):
            await history.append("a", b"1", DAY, key, b"{}", b"[]")
        fields = (b"data", b"1", b"info", b"{}", b"tags", b"[]")
        self.assertEqual([tuple(each.fields) for each in await history.read("a", None, 10)], [fields, fields])

    async def test_cleared_stream_has_no_entries_and_its_numbers_stay(self) -> None:
        history, _ = await self.connected()
        ids = await self.add_several("a", 3)
        before = (await history.look("a", None, 1)).info
        await result_of(history.clear("a"))
        await result_of(history.clear("unknown"))
        after = (await history.look("a", None, 1)).info
        assert before is not None
        assert after is not None
        self.assertEqual((after.length, after.last_id, after.entries_added), (0, ids[-1], before.entries_added))

    async def test_maintained_stream_is_trimmed_to_its_size(self) -> None:
        history, _ = await self.connected()
        for _ in range(400):
            history.append("a", b"x", DAY)
        await history.append("a", b"x", DAY)
        history.maintain("a", Retention(20, 86400))
        await self.until_length(history, "a", lambda length: length <= 120)

    async def test_maintaining_a_channel_without_a_stream_does_nothing(self) -> None:
        history, _ = await self.connected()
        history.maintain("a", DAY)
        look = await history.look("a", None, 1)
        self.assertEqual(list(look.entries), [])

    async def until_length(self, history: IHistory, channel: str, is_right: Callable[[int], bool]) -> None:
        """Wait until a stream has the right number of entries."""
        for _ in range(500):
            look = await history.look(channel, None, 1)
            if look.info is not None and is_right(look.info.length):
                return
            await until(lambda: True)
        self.fail("the stream never had the right length")

    # Outages

    async def test_everything_fails_with_the_reason_once_the_broker_has_stopped(self) -> None:
        history, _ = await self.connected()
        await result_of(self.broker.stop())
        calls: list[Deferred[Any]] = [
            history.read("a", None, 1),
            history.look("a", None, 1),
            history.look_at_newest("a", 1),
            history.append("a", b"x", DAY),
            history.append("a", b"x", DAY, "key"),
            history.clear("a"),
        ]
        for call in calls:
            error = await self.assertFailure(call, BrokerUnavailable)
            self.assertTrue(str(error))
