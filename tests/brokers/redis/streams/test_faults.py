"""Tests of `wsrelay.brokers.redis.streams` against a real server: its user, its bounds, and what may happen to it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from random import Random
from typing import Any

import valkey
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from devtools.harness.redis_server import RedisServer
from tests.brokers.contract import result_of, until
from tests.brokers.history_contract import DAY, HistorySink
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.brokers.redis.streams.upkeep import UPKEEP_SECONDS
from wsrelay.brokers.redis.streams.ways import Way
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.history.entries import Entry
from wsrelay.core.history.retention import KEY_GRACE_SECONDS, Retention
from wsrelay.core.outcomes.errors import BrokerUnavailable, IdempotencyUnavailable
from wsrelay.interfaces import IHistory

REACTOR: Any = reactor

MINIMAL_USER = (
    "ACL SETUSER relay on >secret resetchannels &wsrelay:* resetkeys ~wsrelay:* -@all +auth +client|setname +ping "
    "+select +role +subscribe +unsubscribe +publish +hello +client|tracking +multi +exec +time +xadd +xrange "
    "+xrevrange +xinfo|stream +xtrim +expire"
)
"""The user that a relay with history needs, as docs/security.md has it, without what tickets and the API need."""


class FaultCase(TestCase):
    """A server of its own for each test."""

    timeout = 60

    def setUp(self) -> None:
        self.server = RedisServer().start()
        self.addCleanup(self.server.close)
        self.client: valkey.Valkey = self.server.client()
        self.addCleanup(self.client.close)

    async def connected(self, url: str = "", clock: Any = REACTOR, **options: Any) -> tuple[IHistory, HistorySink]:
        """Return the history of a ready broker, and its sink."""
        address = RedisAddress(RedisURL.parse(url or self.server.url), partial(redis_endpoint, REACTOR))
        broker = RedisBroker(address, "wsrelay:", clock, Random(1), keeps_history=True, now=time.time, **options)
        sink = HistorySink()
        broker.attach(sink)
        broker.start()
        self.addCleanup(broker.stop)
        self.broker = broker
        await until(lambda: broker.ready)
        assert broker.history is not None
        return broker.history, sink


class MinimalUserTests(FaultCase):
    """A user that may do what the documents say, and nothing else."""

    async def connected_as_minimal_user(self) -> tuple[IHistory, HistorySink]:
        """Return the history of a broker that signs in as that user."""
        self.client.execute_command(*MINIMAL_USER.split())
        return await self.connected(f"redis://relay:secret@127.0.0.1:{self.server.port}")

    async def test_user_of_the_documents_may_do_what_history_needs(self) -> None:
        history, sink = await self.connected_as_minimal_user()
        self.assertEqual(history.way, "client tracking")
        history.watch(["a"])
        await history.look_at_newest("a", 1)
        await history.append("a", b"1", DAY)
        await sink.when(lambda: "a" in sink.changes)
        self.assertEqual([each.data for each in await history.read("a", None, 10)], [b"1"])
        history.maintain("a", DAY)
        await result_of(history.clear("a"))

    async def test_idempotency_key_is_refused_where_the_user_may_run_no_script(self) -> None:
        history, _ = await self.connected_as_minimal_user()
        error = await self.assertFailure(history.append("a", b"1", DAY, "key"), IdempotencyUnavailable)
        self.assertIn("EVAL", str(error))
        self.assertEqual(await history.read("a", None, 10), [])

    async def test_permission_that_was_missing_at_first_is_found_once_it_is_there(self) -> None:
        self.client.execute_command(*MINIMAL_USER.replace(" +xinfo|stream", "").split())
        address = f"redis://relay:secret@127.0.0.1:{self.server.port}"
        connecting = Deferred.fromCoroutine(self.connected(address))
        await until(lambda: "NOPERM" in self.broker.problem)
        self.client.execute_command(*MINIMAL_USER.split())
        await connecting

    async def test_key_outside_the_prefix_is_out_of_reach(self) -> None:
        self.client.execute_command(*MINIMAL_USER.replace("~wsrelay:*", "~wsrelay:$* ~wsrelay:a").split())
        history, _ = await self.connected(f"redis://relay:secret@127.0.0.1:{self.server.port}")
        error: Any = await self.assertFailure(history.read("b", None, 1), BrokerUnavailable)
        self.assertEqual(error.code, "NOPERM")
        found: list[Any] = []
        entry = Entry.of((1, 0), (b"data", b"x"))
        history.read_behind([("a", entry), ("b", entry)], 1, found.extend)
        await until(lambda: len(found) == 2)
        readable, forbidden = found
        self.assertEqual((readable, forbidden.code), (None, "NOPERM"))


class BoundsTests(FaultCase):
    """Streams and keys do not grow without end."""

    def seconds_to_live(self, key: str) -> int:
        """Return the time to live of a key, in seconds."""
        ttl: Any = self.client.ttl(key)
        return int(ttl)

    async def test_every_key_that_the_relay_writes_has_a_time_to_live(self) -> None:
        history, _ = await self.connected()
        await history.append("a", b"1", DAY)
        await history.append("a", b"2", DAY, "key")
        keys: Any = self.client.keys("*")
        self.assertEqual(len(keys), 3)
        for key in keys:
            self.assertGreater(self.seconds_to_live(key), 0, key)
        self.assertGreater(self.seconds_to_live("wsrelay:a"), KEY_GRACE_SECONDS)

    async def test_changes_of_streams_that_nobody_watches_leave_nothing_behind(self) -> None:
        found, sink = await self.connected()
        history: Any = found
        history.watch(["a", "b"])
        for channel in ("a", "b", "c"):
            # The server reports the next change of each.
            await history.read(channel, None, 1)
        history.unwatch(["a"])
        for channel in ("a", "c", "b"):
            self.client.xadd(f"wsrelay:{channel}", {"data": "1"})
        await sink.when(lambda: "b" in sink.changes)
        self.assertEqual(history._reported, {"b"})

    async def test_stream_that_is_unwatched_while_it_is_read_is_not_waited_for(self) -> None:
        found, _ = await self.connected(ways=(Way.BLOCKING_READS,))
        history: Any = found
        history.watch(["a"])
        await history.append("a", b"1", DAY)
        (entry,) = await history.read("a", None, 1)
        results: list[Any] = []
        history.read_behind([("a", entry)], 1, results.extend)
        history.unwatch(["a"])
        await until(lambda: len(results) == 1)
        self.assertEqual((results, "a" in history._newest), ([[]], False))

    async def test_reply_that_is_none_is_a_failure_of_the_read_and_not_the_end_of_it(self) -> None:
        found, _ = await self.connected()
        history: Any = found
        entry = Entry.of((1, 0), (b"data", b"x"))
        for reply in (5, [5], [[b"1-0", [b"data", b"x"]], 5], b"text"):
            self.patch(history._connection, "send_each", lambda _commands, received, reply=reply: received([reply]))
            results: list[Any] = []
            history.read_behind([("a", entry)], 1, results.extend)
            (result,) = results
            if result is not None:
                self.assertIsInstance(result, BrokerUnavailable)

    async def test_foreign_stream_gets_a_time_to_live_and_is_trimmed_once_it_is_read(self) -> None:
        history, _ = await self.connected()
        for number in range(400):
            self.client.xadd("wsrelay:a", {"data": str(number)})
        self.assertEqual(self.seconds_to_live("wsrelay:a"), -1)
        history.maintain("a", Retention(100, 60))
        await until(lambda: self.seconds_to_live("wsrelay:a") > KEY_GRACE_SECONDS)
        length: Any = self.client.xlen("wsrelay:a")
        self.assertLessEqual(length, 200)

    async def test_time_to_live_that_another_program_has_set_stays(self) -> None:
        history, _ = await self.connected()
        self.client.xadd("wsrelay:a", {"data": "1"})
        self.client.expire("wsrelay:a", 100)
        history.maintain("a", DAY)
        await history.read("a", None, 1)
        await result_of(history.clear("b"))
        self.assertLessEqual(self.seconds_to_live("wsrelay:a"), 100)

    async def test_old_entries_are_trimmed_and_the_newest_stays(self) -> None:
        history, _ = await self.connected()
        for number in range(300):
            self.client.xadd("wsrelay:a", {"data": str(number)}, id=f"{1000 + number}-0")
        history.maintain("a", Retention(1000, 60))
        client: Any = self.client
        await until(lambda: client.xlen("wsrelay:a") < 300)
        newest: Any = self.client.xrevrange("wsrelay:a", count=1)
        self.assertEqual(newest[0][0], b"1299-0")

    async def test_stream_with_consumer_groups_is_not_trimmed(self) -> None:
        history, _ = await self.connected()
        for number in range(300):
            self.client.xadd("wsrelay:a", {"data": str(number)})
        self.client.xgroup_create("wsrelay:a", "workers", id="0")
        history.maintain("a", Retention(10, 60))
        await until(lambda: self.seconds_to_live("wsrelay:a") > 0)
        self.assertEqual(self.client.xlen("wsrelay:a"), 300)

    async def test_stream_is_not_trimmed_where_the_namespace_says_so(self) -> None:
        history, _ = await self.connected()
        for number in range(300):
            self.client.xadd("wsrelay:a", {"data": str(number)})
        history.maintain("a", Retention(10, 60, trims=False))
        await until(lambda: self.seconds_to_live("wsrelay:a") > 0)
        self.assertEqual(self.client.xlen("wsrelay:a"), 300)

    async def test_bounds_are_looked_at_once_a_minute(self) -> None:
        history, _ = await self.connected()
        self.client.xadd("wsrelay:a", {"data": "1"})
        self.client.config_resetstat()
        for _ in range(20):
            history.maintain("a", DAY)
        await history.read("a", None, 1)
        await until(lambda: self.seconds_to_live("wsrelay:a") > 0)
        statistics: Any = self.client.info("commandstats")
        self.assertEqual(statistics["cmdstat_xinfo|stream"]["calls"], 1)
        self.assertGreater(UPKEEP_SECONDS, 1)

    async def test_full_server_gives_the_publisher_its_error(self) -> None:
        history, _ = await self.connected()
        self.client.config_set("maxmemory", "1")
        error: Any = await self.assertFailure(history.append("a", b"1", DAY), BrokerUnavailable)
        self.assertEqual(error.code, "OOM")

    async def test_key_of_another_type_is_an_error_and_never_a_missing_stream(self) -> None:
        history, _ = await self.connected()
        self.client.set("wsrelay:a", "text")
        calls: list[Any] = [
            history.read("a", None, 1),
            history.look("a", None, 1),
            history.look_at_newest("a", 1),
            history.append("a", b"1", DAY),
        ]
        for call in calls:
            error = await self.assertFailure(call, BrokerUnavailable)
            self.assertEqual(error.code, "WRONGTYPE")


class FullServerTests(FaultCase):
    """A server that takes no entries, because it has no memory for them."""

    def fill(self) -> None:
        """Make the server reject what needs memory. It rejects transactions of reads then, too."""
        self.client.config_set("maxmemory", "1")

    def rejections(self) -> int:
        """Return how many commands it has rejected for want of memory."""
        statistics: Any = self.client.info("errorstats")
        return int(statistics.get("errorstat_OOM", {"count": 0})["count"])

    async def test_streams_can_be_looked_at(self) -> None:
        history, _ = await self.connected()
        self.client.xadd("wsrelay:a", {"data": "1"})
        self.client.xadd("wsrelay:a", {"data": "2"})
        expected = [await history.look("a", None, 10), await history.look_at_newest("a", 1)]
        missing = await history.look("b", None, 10)
        self.fill()
        found = [await history.look("a", None, 10), await history.look_at_newest("a", 1)]
        self.assertEqual(
            [(each.entries, each.info) for each in found], [(each.entries, each.info) for each in expected]
        )
        look = await history.look("b", None, 10)
        self.assertEqual((look.entries, look.info), (missing.entries, None))
        self.assertGreater(look.now_ms, missing.now_ms - 1)

    async def test_key_of_another_type_is_an_error_there_too(self) -> None:
        history, _ = await self.connected()
        self.client.set("wsrelay:a", "text")
        self.fill()
        error: Any = await self.assertFailure(history.look("a", None, 1), BrokerUnavailable)
        self.assertEqual(error.code, "WRONGTYPE")

    async def test_broker_stays_ready_and_connected(self) -> None:
        history, sink = await self.connected()
        self.fill()
        await until(lambda: self.rejections() >= 1)
        # On the connection of the probe, whose reply has been taken when this one comes.
        await self.assertFailure(history.append("a", b"1", DAY), BrokerUnavailable)
        self.assertEqual((self.broker.ready, sink.stream_states), (True, [True]))

    async def test_relay_that_starts_meanwhile_becomes_ready(self) -> None:
        self.fill()
        await self.connected()
        self.assertTrue(self.broker.ready)


class OutageTests(FaultCase):
    """A connection or a server that goes and comes back."""

    def kill(self, role: str) -> None:
        """Kill the relay's connections of a role."""
        listed: Any = self.client.client_list()
        for each in listed:
            if each["name"].endswith(f"-{role}"):
                self.client.client_kill_filter(_id=each["id"])

    async def test_lost_connection_is_reported_and_made_again(self) -> None:
        _, sink = await self.connected()
        self.kill("streams")
        await sink.when(lambda: sink.stream_states == [True, False, True])
        await until(lambda: self.broker.ready)

    async def test_readiness_ends_with_the_stream_connection(self) -> None:
        await self.connected()
        self.server.kill()
        await until(lambda: not self.broker.ready)
        self.assertTrue(self.broker.problem)
        self.server.start()
        await until(lambda: self.broker.ready)

    async def test_tracking_that_is_off_without_a_sign_is_found_by_the_probe(self) -> None:
        history, sink = await self.connected()
        connection: Any = self.broker.history
        connection._connection.link.current.command(b"CLIENT", b"TRACKING", b"OFF")
        await sink.when(lambda: False in sink.stream_states)
        await until(lambda: self.broker.ready)
        history.watch(["a"])
        await history.look_at_newest("a", 1)
        sink.changes.clear()
        self.client.xadd("wsrelay:a", {"data": "1"})
        await sink.when(lambda: "a" in sink.changes)

    async def test_replica_makes_the_broker_not_ready(self) -> None:
        await self.connected()
        master = RedisServer().start()
        self.addCleanup(master.close)
        self.client.replicaof("127.0.0.1", master.port)
        await until(lambda: not self.broker.ready)
        self.client.replicaof("NO", "ONE")
        await until(lambda: self.broker.ready)


class TrackingTableTests(FaultCase):
    """A server that remembers fewer keys than are watched."""

    async def test_another_way_is_used_where_the_table_is_too_small(self) -> None:
        self.client.config_set("tracking-table-max-keys", "20")
        history, sink = await self.connected()
        names = [f"c{number}" for number in range(100)]
        history.watch(names)

        def read(channels: Iterable[str], **_options: object) -> None:
            for channel in channels:
                history.read(channel, None, 1).addErrback(lambda failure: failure.trap(BrokerUnavailable))

        # As the readers of the engine do.
        self.patch(sink, "streams_changed", read)
        read(names)
        await until(lambda: history.way == "blocking reads")
        await until(lambda: self.broker.ready)


class CertaintyTests(FaultCase):
    """A stream that comes and goes before it is read."""

    async def test_report_names_the_stream_so_that_its_loss_is_known(self) -> None:
        history, sink = await self.connected()
        history.watch(["a"])
        await history.look_at_newest("a", 1)
        certain: list[str] = []

        def record(channels: Iterable[str], *, is_certain: bool = False) -> None:
            if is_certain:
                certain.extend(channels)

        self.patch(sink, "streams_changed", record)
        pipeline = self.client.pipeline()
        pipeline.xadd("wsrelay:a", {"data": "1"})
        pipeline.flushall()
        pipeline.execute()
        await until(lambda: "a" in certain)
