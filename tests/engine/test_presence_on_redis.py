"""Tests of `wsrelay.engine.presence` over a real server: two processes, and the programs that read what they write."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from devtools.harness.redis_server import RedisServer
from tests.brokers.contract import until
from tests.engine.harness import make_node, messages_of
from tests.engine.presence_harness import DIALECT, RULES, UserAuthenticator
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.brokers.redis.event_log import EVENTS_SECONDS
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.presence.lease_book import LEASE_SECONDS, RENEW_SECONDS
from wsrelay.core.presence.tables import LEAVE_SECONDS
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client import Client
from wsrelay.engine.node import Node
from wsrelay.testing.connections import RecordingConnection

REACTOR: Any = reactor


class Process:
    """A node with a broker of its own. Its clock is the test's."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        address = RedisAddress(RedisURL.parse(url), partial(redis_endpoint, REACTOR))
        self.broker = RedisBroker(address, "wsrelay:", REACTOR, Random(1))
        self.node: Node = make_node(self.broker, RULES, self.clock, UserAuthenticator())
        self.broker.start()

    def crash(self) -> None:
        """End without a word to anybody."""
        self.broker._commands.link.stop()
        self.broker._subscriber.link.stop()
        self.broker.stop()
        self.node.stop()


class PresenceOnRedisTests(TestCase):
    """Two processes."""

    timeout = 60

    def setUp(self) -> None:
        self.server = RedisServer().start()
        self.addCleanup(self.server.close)
        self.redis: Any = self.server.client()
        self.addCleanup(self.redis.close)
        self.processes = [Process(self.server.url), Process(self.server.url)]
        for process in self.processes:
            self.addCleanup(process.broker.stop)

    async def ready(self) -> None:
        """Wait until both processes work."""
        await until(lambda: all(process.broker.ready for process in self.processes))

    async def join(self, number: int, channel: str, user: str = "") -> tuple[RecordingConnection, Client]:
        """Return a client that is subscribed."""
        await self.ready()
        connection = RecordingConnection(DIALECT)
        client = self.processes[number].node.client(connection)
        connection.attach(client)
        client.open(Handshake(f"/line/{channel}", "192.0.2.1", query=user, connection=f"of-{user}"))
        await self.until(lambda: connection.accepted)
        return connection, client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the processes run until a condition holds."""

        def holds() -> bool:
            for process in self.processes:
                process.clock.advance(0)
            return condition()

        await until(holds)

    def pass_time(self, seconds: float) -> None:
        """Let the clocks of the processes go on, and have every lease end so much earlier."""
        for key in self.redis.keys("wsrelay:$*"):
            if self.redis.type(key) == b"zset":
                scores = self.redis.zrange(key, 0, -1, withscores=True)
                self.redis.zadd(key, {name: score - seconds * 1000 for name, score in scores})
        for process in self.processes:
            process.clock.pump([0.5] * round(seconds * 2))

    def told(self, connection: RecordingConnection) -> list[str]:
        """Return the joins and leaves that a connection has been sent."""
        return [message.decode() for message in messages_of(connection)]

    async def members(self, number: int, channel: str) -> list[str]:
        """Return the users on a channel, as one of the processes finds them."""
        found = await self.processes[number].broker.presence.presence(channel)
        return sorted(each.user for each in found.members)

    async def test_joins_leaves_and_reconnects_are_told_in_both_processes(self) -> None:
        ann, _ = await self.join(0, "chat", "ann")
        await self.until(lambda: self.told(ann) == ["+of-ann/ann"])
        _, bob = await self.join(1, "chat", "bob")
        await self.until(lambda: self.told(ann) == ["+of-ann/ann", "+of-bob/bob"])
        self.assertEqual([await self.members(number, "chat") for number in (0, 1)], [["ann", "bob"]] * 2)
        bob.connection_lost()
        await self.until(lambda: self.redis.zcard("wsrelay:$presence:{chat}") == 1)
        _, bob = await self.join(0, "chat", "bob")
        await self.until(lambda: self.redis.zcard("wsrelay:$presence:{chat}") == 2)
        self.pass_time(LEAVE_SECONDS + 3)
        bob.connection_lost()
        await self.until(
            lambda: self.redis.zscore("wsrelay:$presence:{chat}", '{"client":"of-bob","user":"bob"}') is None
        )
        self.pass_time(LEAVE_SECONDS + 3)
        await self.until(lambda: len(self.told(ann)) > 2)
        self.assertEqual(self.told(ann), ["+of-ann/ann", "+of-bob/bob", "-/bob"])

    async def test_members_of_a_process_that_crashed_are_gone_and_their_leave_is_told(self) -> None:
        ann, _ = await self.join(0, "chat", "ann")
        for user in ("bob", "cat"):
            await self.join(1, "chat", user)
        await self.until(lambda: len(self.told(ann)) == 3)
        self.processes.pop().crash()
        # What it held ends, and what the other one holds has been renewed in time.
        self.pass_time(RENEW_SECONDS)
        await self.until(lambda: self.redis.zcard("wsrelay:$here:{chat}") == 3)
        self.assertEqual(await self.members(0, "chat"), ["ann", "bob", "cat"])
        ann_in_here = self.redis.zscore("wsrelay:$here:{chat}", "user:ann")
        await self.until(lambda: self.redis.zscore("wsrelay:$here:{chat}", "user:bob") < ann_in_here)
        for key in ("wsrelay:$here:{chat}", "wsrelay:$presence:{chat}"):
            for name, score in self.redis.zrange(key, 0, -1, withscores=True):
                if b"ann" not in name:
                    self.redis.zadd(key, {name: score - LEASE_SECONDS * 1000})
        self.assertEqual(await self.members(0, "chat"), ["ann"])
        self.processes[0].clock.pump([0.5] * round(2 * RENEW_SECONDS))
        await self.until(lambda: len(self.told(ann)) == 5)
        self.assertEqual(sorted(self.told(ann)[3:]), ["-/bob", "-/cat"])
        await self.until(lambda: self.redis.zcard("wsrelay:$presence:{chat}") == 1)

    async def test_consumer_group_reads_events_with_plain_commands(self) -> None:
        _, ann = await self.join(0, "job", "ann")
        await self.until(lambda: self.redis.xlen("wsrelay:$events") == 2)
        ann.connection_lost(1001)
        await self.until(lambda: self.redis.xlen("wsrelay:$events") == 3)
        self.redis.xgroup_create("wsrelay:$events", "app", 0)
        ((_key, entries),) = self.redis.xreadgroup("app", "one", {"wsrelay:$events": ">"})
        node = self.processes[0].broker.node_id.encode()
        about = {b"channel": b"job", b"node": node}
        client = {b"client": b"of-ann", b"user": b"ann"}
        self.assertEqual(
            [fields for _entry_id, fields in entries],
            [
                {b"event": b"client_connected", **about, **client},
                {b"event": b"channel_occupied", **about},
                {
                    b"event": b"client_gone",
                    **about,
                    **client,
                    b"code": b"1001",
                    b"reason": b"closed by the client",
                },
            ],
        )
        self.assertTrue(EVENTS_SECONDS - 60 < self.redis.ttl("wsrelay:$events") <= EVENTS_SECONDS)

    async def test_channel_is_occupied_and_vacated_once_for_both_processes(self) -> None:
        clients = [(await self.join(number, "job", f"user-{number}"))[1] for number in (0, 1, 0, 1)]
        await self.until(lambda: self.redis.xlen("wsrelay:$events") == 5)
        for client in clients:
            client.connection_lost()
        await self.until(lambda: self.redis.xlen("wsrelay:$events") == 9)
        self.pass_time(LEAVE_SECONDS + 3)
        await self.until(lambda: self.redis.xlen("wsrelay:$events") == 10)
        self.pass_time(LEASE_SECONDS)
        events = [fields[b"event"] for _entry_id, fields in self.redis.xrange("wsrelay:$events")]
        self.assertEqual([events.count(name) for name in (b"channel_occupied", b"channel_vacated")], [1, 1])

    async def test_documented_acl_user_may_do_all_that_is_needed(self) -> None:
        """And nothing of what it did was denied."""
        page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
        (line,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER wsrelay on ")]
        self.redis.execute_command(*line.split())
        self.processes = [Process(self.server.url.replace("//", "//wsrelay:password@"))]
        self.addCleanup(self.processes[0].broker.stop)
        ann, _ = await self.join(0, "chat", "ann")
        _, bob = await self.join(0, "chat", "bob")
        await self.until(lambda: len(self.told(ann)) == 2)
        self.assertEqual(await self.members(0, "chat"), ["ann", "bob"])
        bob.connection_lost()
        await self.until(lambda: self.redis.zcard("wsrelay:$presence:{chat}") == 1)
        self.pass_time(LEAVE_SECONDS + 3)
        await self.until(lambda: len(self.told(ann)) == 3)
        await self.until(lambda: self.redis.xlen("wsrelay:$events") == 4)
        self.assertEqual(self.processes[0].node.counters.presence_failures, 0)
        self.assertEqual(self.redis.execute_command("ACL", "LOG"), [])

    async def test_stream_of_events_is_bounded(self) -> None:
        await self.ready()
        event = {"event": "x"}
        for _ in range(21):
            self.assertEqual(await self.processes[0].broker.events.append([event] * 1000), 1000)
        self.assertTrue(10_000 <= self.redis.xlen("wsrelay:$events") < 10_200, self.redis.xlen("wsrelay:$events"))

    async def test_events_that_redis_does_not_take_are_not_counted_as_added(self) -> None:
        await self.ready()
        self.redis.set("wsrelay:$events", "x")
        self.assertEqual(await self.processes[0].broker.events.append([{"event": "x"}] * 3), 0)
