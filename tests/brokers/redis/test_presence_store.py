"""Tests of `wsrelay.brokers.redis.presence_store` against a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.brokers import presence_contract
from tests.brokers.contract import until
from tests.brokers.presence_contract import ANN, BOB, CHAT, HERE, NOBODY, texts
from tests.brokers.redis.test_broker import OnRedis
from wsrelay.brokers.redis.presence_store import TABLE_SECONDS
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.lease_book import LEASE_SECONDS
from wsrelay.core.presence.member import Member
from wsrelay.core.presence.tables import OCCUPIED
from wsrelay.interfaces import IPresence


# A base for the type checker alone, which mypy takes for none.
class OnRedisPresence(OnRedis, presence_contract.PresenceContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """The stores of two processes on a server of its own."""

    async def stores(self) -> tuple[IPresence, IPresence]:
        first, second = await self.ready_broker(), await self.ready_broker()
        return first.presence, second.presence

    async def pass_time(self, seconds: float) -> None:
        """Have every lease end so much earlier: without waiting."""
        client = self.redis()
        keys: Any = client.keys("wsrelay:$*")
        for key in keys:
            names: Any = client.zrange(key, 0, -1, withscores=True)
            client.zadd(key, {name: score - seconds * 1000 for name, score in names})


class RedisPresenceStoreTests(OnRedisPresence, presence_contract.PresenceContract):
    """The contract, and the keys as other programs see them."""

    async def test_tables_are_sorted_sets_that_end_by_themselves(self) -> None:
        store, _ = await self.stores()
        client = self.redis()
        for table, name in ((CHAT, ANN.text), (HERE, ANN.key), (OCCUPIED, "chat")):
            await store.hold(table, [name])
        names: dict[bytes, Any] = {key: client.zrange(key, 0, -1, withscores=True) for key in self.keys()}
        time: Any = client.time()
        for (_name, score), *_more in names.values():
            left = score / 1000 - time[0]
            self.assertTrue(LEASE_SECONDS - 20 < left < LEASE_SECONDS + 2, left)
        self.assertEqual(
            {key: [name for name, _score in found] for key, found in names.items()},
            {
                b"wsrelay:$here:{chat}": [b"user:ann"],
                b"wsrelay:$occupied": [b"chat"],
                b"wsrelay:$presence:{chat}": [b'{"client":"c1","user":"ann"}'],
            },
        )
        for key in names:
            ttl: Any = client.ttl(key)
            self.assertTrue(LEASE_SECONDS < ttl <= TABLE_SECONDS, ttl)

    def keys(self) -> list[bytes]:
        """Return the keys of the server."""
        found: Any = self.redis().keys("*")
        return list(found)

    async def test_renewal_extends_the_life_of_the_key(self) -> None:
        store, _ = await self.stores()
        await store.hold(CHAT, [ANN.text])
        client = self.redis()
        client.expire("wsrelay:$presence:{chat}", 30)
        await store.hold(CHAT, [ANN.text])
        left: Any = client.ttl("wsrelay:$presence:{chat}")
        self.assertGreater(left, 500)

    async def test_hundreds_of_members_are_renewed_by_one_command(self) -> None:
        store, _ = await self.stores()
        names = texts(*(Member(f"c{number}") for number in range(500)))
        await store.hold(CHAT, names)
        client = self.redis()
        client.config_resetstat()
        await store.hold(CHAT, names)
        stats: Any = client.info("commandstats")
        self.assertEqual((stats["cmdstat_zadd"]["calls"], stats["cmdstat_expire"]["calls"]), (1, 1))

    async def test_names_that_are_no_members_are_left_out(self) -> None:
        """Whichever program wrote them."""
        store, _ = await self.stores()
        await store.hold(CHAT, texts(NOBODY))
        junk = [b"", b"\xff", b"{}", b"[]", b'{"client": 1, "user": ""}', b'{"client": "c1"}', b"[" * 100_000]
        self.redis().zadd("wsrelay:$presence:{chat}", dict.fromkeys(junk, 9e15))
        found = await store.presence("chat")
        self.assertEqual((found.clients, found.members), (1 + len(junk), (NOBODY,)))

    async def test_key_of_another_type_is_unavailable_and_stays(self) -> None:
        store, _ = await self.stores()
        client = self.redis()
        client.set("wsrelay:$presence:{chat}", "x")
        for ask in (
            lambda: store.presence("chat"),
            lambda: store.hold(CHAT, texts(BOB)),
            lambda: store.release(CHAT, texts(BOB)),
            lambda: store.take_ended(CHAT),
        ):
            with self.assertRaises(BrokerUnavailable) as caught:
                await ask()
            self.assertEqual(caught.exception.code, "WRONGTYPE")
        self.assertEqual(client.get("wsrelay:$presence:{chat}"), b"x")

    async def test_clock_of_the_server_counts_and_is_asked_again_after_a_failure(self) -> None:
        broker = await self.ready_broker()
        store: IPresence = broker.presence
        client = self.redis()
        await store.hold(CHAT, texts(ANN))
        client.config_resetstat()
        for _ in range(5):
            await store.presence("chat")
        stats: Any = client.info("commandstats")
        self.assertNotIn("cmdstat_time", stats)
        self.server.kill()
        with self.assertRaises(BrokerUnavailable):
            await store.presence("chat")
        await until(lambda: not broker.ready)
        self.server.start()
        await until(lambda: broker.ready)
        await store.presence("chat")
        stats = self.redis().info("commandstats")
        self.assertEqual(stats["cmdstat_time"]["calls"], 1)

    async def test_user_without_the_needed_rights_is_unavailable(self) -> None:
        self.redis().execute_command(
            *(
                "ACL",
                "SETUSER",
                "relay",
                "on",
                ">x",
                "allchannels",
                "+@pubsub",
                "+ping",
                "~wsrelay:*",
                "+time",
                "+multi",
            ),
            *("+exec", "+zrangebyscore"),
        )
        self.redis().zadd("wsrelay:$here:{chat}", {"user:ann": 1})
        self.url_of_server = "redis://relay:x@127.0.0.1:{port}"
        broker = await self.ready_broker()
        with self.assertRaises(BrokerUnavailable) as caught:
            await broker.presence.take_ended(HERE)
        self.assertEqual(caught.exception.code, "EXECABORT")
        with self.assertRaises(BrokerUnavailable):
            await broker.presence.hold(HERE, ["user:ann"])
        # And the connection is none the worse.
        await broker.publish("chat", b"x")
        self.assertEqual(self.redis().zrange("wsrelay:$here:{chat}", 0, -1), [b"user:ann"])
