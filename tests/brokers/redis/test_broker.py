"""Tests of `wsrelay.brokers.redis` against a real server: the contracts, and faults of the server."""

from __future__ import annotations

import os
import signal
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import valkey
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, eventAsText

from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer
from tests.brokers import contract
from tests.brokers.contract import WaitingSink, until
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, ICredentialStore

PREFIX = "wsrelay:"


class OnRedis(contract.BrokerContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """A server of its own for each test, and brokers that use it."""

    url_of_server = "redis://127.0.0.1:{port}"

    def setUp(self) -> None:
        self.server = RedisServer().start()
        self.addCleanup(self.server.close)

    def make_broker(self, prefix: str = PREFIX) -> IBroker:
        url = RedisURL.parse(self.url_of_server.format(port=self.server.port, path=self.server.path))
        clock: Any = reactor
        return RedisBroker(RedisAddress(url, partial(redis_endpoint, reactor)), prefix, clock, Random(1))

    def redis(self) -> valkey.Valkey:
        """Return an independent client."""
        client = self.server.client()
        self.addCleanup(client.close)
        return client


class RedisBrokerTests(OnRedis, contract.BrokerContract):
    """The contract, and the broker as other programs see it."""

    async def other(self, broker: IBroker, sink: WaitingSink) -> tuple[IBroker, WaitingSink]:
        other, other_sink = self.connected()
        await until(lambda: other.ready)
        return other, other_sink

    def connections(self) -> list[dict[str, str]]:
        """Return the connections of relays as the server lists them."""
        listed: Any = self.redis().client_list()
        return [each for each in listed if each["name"].startswith("wsrelay-")]

    async def test_plain_publish_under_the_prefix_is_delivered(self) -> None:
        """The same name without it is not."""
        _, sink = await self.subscribed("chat")
        client = self.redis()
        client.publish("chat", b"not ours")
        client.publish("wsrelay:chat", b"007")
        await sink.when(lambda: bool(sink.delivered))
        self.assertEqual(sink.delivered, [Publication("chat", b"007")])

    async def test_published_message_is_plain_for_any_subscriber(self) -> None:
        broker, _ = await self.subscribed("chat")
        subscriber = self.redis().pubsub()
        self.addCleanup(subscriber.close)
        subscriber.subscribe("wsrelay:chat")
        subscriber.get_message(timeout=5)
        await broker.publish("chat", b"\xff\x00007")
        message = await deferToThread(subscriber.get_message, timeout=5)
        self.assertEqual(message["data"], b"\xff\x00007")

    async def test_two_named_connections_however_many_channels(self) -> None:
        """One subscriber connection, and one for commands."""
        await self.subscribed(*(f"c{number}" for number in range(1200)))
        mine = self.connections()
        self.assertEqual(sorted(int(each["sub"]) for each in mine), [0, 1203])
        self.assertEqual({each["psub"] for each in mine}, {"0"})
        self.assertEqual({each["name"].rpartition("-")[2] for each in mine}, {"subscriber", "commands"})

    async def test_applications_with_different_prefixes_are_kept_apart(self) -> None:
        _, ours = await self.subscribed("chat")
        theirs = self.make_broker("other:")
        theirs.attach(WaitingSink())
        theirs.start()
        self.addCleanup(theirs.stop)
        await until(lambda: theirs.ready)
        await theirs.publish("chat", b"theirs")
        self.redis().publish("wsrelay:chat", b"ours")
        await ours.when(lambda: bool(ours.delivered))
        self.assertEqual(ours.delivered, [Publication("chat", b"ours")])

    async def test_killed_connections_come_back_with_every_channel(self) -> None:
        """And the sink was notified of the outage."""
        _, sink = await self.subscribed("a", "b")
        sink.confirmations.clear()
        for each in self.connections():
            self.redis().client_kill_filter(_id=each["id"])
        await sink.when(lambda: sink.interruptions == 1 and set(sink.confirmations) == {"a", "b"})
        self.redis().publish("wsrelay:b", b"again")
        await sink.when(lambda: sink.delivered == [Publication("b", b"again")])

    async def test_nothing_is_delivered_while_paused_and_everything_after_resume(self) -> None:
        """Publishing works meanwhile, and the order is kept."""
        broker, sink = await self.subscribed("chat")
        client = self.redis()
        client.publish("wsrelay:chat", b"before")
        await sink.when(lambda: len(sink.delivered) == 1)
        broker.pause()
        payloads = [b"%04d" % number * 100 for number in range(1000)]
        for payload in payloads[:-1]:
            client.publish("wsrelay:chat", payload)
        await broker.publish("chat", payloads[-1])
        # Two round trips behind all that: whatever is delivered would have been by now.
        await broker.publish("other", b"")
        await broker.publish("other", b"")
        self.assertEqual((len(sink.delivered), broker.ready), (1, True))
        broker.resume()
        await sink.when(lambda: len(sink.delivered) == 1 + len(payloads))
        self.assertEqual([publication.data for publication in sink.delivered], [b"before", *payloads])
        self.assertEqual(sink.interruptions, 0)

    async def test_broker_connects_as_soon_as_there_is_a_server(self) -> None:
        """Meanwhile `problem` says why the broker is not ready."""
        self.server.kill()
        broker, sink = self.connected()
        broker.subscribe(["chat"])
        await until(lambda: "refuses the connection" in broker.problem)
        self.server.start()
        await sink.when(lambda: sink.confirmations == ["chat"])
        await until(lambda: broker.ready)

    async def test_restarted_server_has_every_channel_back(self) -> None:
        names = [f"c{number}" for number in range(1000)]
        broker, sink = await self.subscribed(*names)
        self.server.kill()
        await sink.when(lambda: sink.interruptions >= 1)
        self.assertFalse(broker.ready)
        sink.confirmations.clear()
        self.server.start()
        await sink.when(lambda: set(sink.confirmations) == set(names))

    async def test_frozen_server_is_detected_by_the_ping_without_reply(self) -> None:
        broker, sink = await self.subscribed("chat")
        os.kill(self.server.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, self.server.pid, signal.SIGCONT)
        await sink.when(lambda: sink.interruptions >= 1)
        self.assertFalse(broker.ready)
        sink.confirmations.clear()
        os.kill(self.server.pid, signal.SIGCONT)
        await sink.when(lambda: sink.confirmations == ["chat"])

    async def test_replica_makes_the_broker_not_ready_until_it_is_a_master_again(self) -> None:
        broker, sink = await self.subscribed("chat")
        master = RedisServer().start()
        self.addCleanup(master.close)
        self.redis().replicaof("127.0.0.1", master.port)
        await until(lambda: "replica" in broker.problem)
        self.assertFalse(broker.ready)
        await sink.when(lambda: sink.interruptions >= 1)
        self.redis().replicaof("NO", "ONE")
        await until(lambda: broker.ready)

    async def test_subscription_that_the_server_forgot_is_detected_by_the_probe(self) -> None:
        broker, sink = await self.subscribed("chat")
        redis_broker: Any = broker
        redis_broker._subscriber.link.current.send_unsubscribe()
        sink.confirmations.clear()
        await sink.when(lambda: sink.interruptions >= 1 and sink.confirmations == ["chat"])
        await until(lambda: broker.ready)

    async def test_wrong_password_is_the_problem_until_it_is_right(self) -> None:
        """The problem names the code and not the password."""
        self.redis().config_set("requirepass", "right")
        self.url_of_server = "redis://:s3cret-wrong@127.0.0.1:{port}"
        broker, sink = self.connected()
        broker.subscribe(["chat"])
        await until(lambda: "WRONGPASS" in broker.problem)
        self.assertNotIn("s3cret-wrong", broker.problem)
        self.server.client(password="right").config_set("requirepass", "s3cret-wrong")
        await sink.when(lambda: sink.confirmations == ["chat"])

    async def test_acl_user_limited_to_the_prefix_works(self) -> None:
        self.redis().execute_command(
            "ACL", "SETUSER", "relay", "on", ">pa ss/w", "resetchannels", "&wsrelay:*", "+@pubsub", "+ping", "+select"
        )
        self.url_of_server = "redis://relay:pa%20ss%2Fw@127.0.0.1:{port}/3"
        broker, sink = await self.subscribed("chat")
        await broker.publish("chat", b"x")
        await sink.when(lambda: sink.delivered == [Publication("chat", b"x")])

    async def test_forbidden_channel_is_rejected_and_the_others_work(self) -> None:
        self.redis().execute_command(
            "ACL",
            "SETUSER",
            "relay",
            "on",
            ">x",
            "resetchannels",
            "&wsrelay:a*",
            "&wsrelay:$probe:*",
            "+@pubsub",
            "+ping",
        )
        self.url_of_server = "redis://relay:x@127.0.0.1:{port}"
        broker, sink = await self.subscribed("a1", "a2")
        broker.subscribe(["a3", "b", "a4"])
        await sink.when(lambda: sink.confirmations[2:] == ["a3", "a4"] and sink.responses == ["b"])
        self.assertEqual((broker.ready, sink.interruptions), (True, 0))

    async def test_user_without_a_password_is_signed_in(self) -> None:
        """And not the default user in its place."""
        self.redis().execute_command(
            *("ACL", "SETUSER", "app", "on", "nopass", "allchannels", "-@all", "+auth", "+client|setname"),
            *("+ping", "+role", "+@pubsub"),
        )
        for credentials in ("app", "app:"):
            self.url_of_server = f"redis://{credentials}@127.0.0.1:{{port}}"
            broker, _ = self.connected()
            await until(partial(getattr, broker, "ready"))
            self.assertEqual({each["user"] for each in self.connections()}, {"app"})
            await broker.stop()

    async def test_refusal_of_more_clients_is_the_problem(self) -> None:
        client = self.redis()
        client.config_set("maxclients", 1)
        without, _ = self.connected()
        self.url_of_server = "redis://:pw@127.0.0.1:{port}"
        with_password, _ = self.connected()
        for broker in (without, with_password):
            await until(partial(self.is_told_of_too_many_clients, broker))

    def is_told_of_too_many_clients(self, broker: IBroker) -> bool:
        return "max number of clients reached" in broker.problem

    async def test_problem_names_neither_user_nor_channel(self) -> None:
        """For anybody may read it. The log has what Redis said."""
        self.redis().execute_command(
            *("ACL", "SETUSER", "svc-relay", "on", ">pw", "allchannels", "-@all", "+auth", "+ping", "+subscribe"),
        )
        self.url_of_server = "redis://svc-relay:pw@127.0.0.1:{port}"
        with capturedLogs() as events:
            broker, _ = self.connected()
            await until(lambda: "NOPERM" in broker.problem)
        self.assertEqual(broker.problem, "the ACL user may not do what the relay needs (NOPERM)")
        self.assertIn("publish", " ".join(str(event.get("problem")) for event in events))

    async def test_database_that_does_not_exist_is_the_problem(self) -> None:
        self.url_of_server = "redis://127.0.0.1:{port}/9999"
        broker, _ = self.connected()
        await until(lambda: broker.problem == "it has no database of the number in the URL")

    async def test_password_is_not_repeated_where_the_server_repeats_it(self) -> None:
        self.server.close()
        self.server = RedisServer("--rename-command", "AUTH", "").start()
        self.addCleanup(self.server.close)
        self.url_of_server = "redis://:s3cret@127.0.0.1:{port}"
        broker, _ = self.connected()
        await until(lambda: broker.problem == "it does not know the command AUTH")

    async def test_missing_password_is_the_problem(self) -> None:
        self.redis().config_set("requirepass", "right")
        broker, _ = self.connected()
        await until(lambda: "NOAUTH" in broker.problem)

    async def test_reconnected_is_called_once_after_an_outage_when_commands_work(self) -> None:
        broker, sink = await self.subscribed("chat")
        calls: list[tuple[bool, int]] = []
        lookups: list[Any] = []

        def reconnected() -> None:
            calls.append((broker.ready, sink.interruptions))
            lookups.append(broker.credentials.are_revoked(["user:42"]))
            WaitingSink.reconnected(sink)

        self.patch(sink, "reconnected", reconnected)
        for each in self.connections():
            self.redis().client_kill_filter(_id=each["id"])
        await sink.when(lambda: bool(lookups))
        self.assertEqual(list(await lookups[0]), [False])
        await broker.publish("chat", b"again")
        await sink.when(lambda: sink.delivered == [Publication("chat", b"again")])
        # The next probe that comes back is no end of an outage.
        redis_broker: Any = broker
        redis_broker._probe.start()
        await until(lambda: broker.ready)
        self.assertEqual(calls, [(True, 1)])

    async def test_reconnected_is_called_once_after_a_restart_however_often_it_was_tried(self) -> None:
        broker, sink = await self.subscribed("chat")
        self.server.kill()
        await until(lambda: "refuses the connection" in broker.problem)
        self.assertEqual(sink.resumptions, 0)
        was_ready: list[bool] = []

        def reconnected() -> None:
            was_ready.append(broker.ready)
            WaitingSink.reconnected(sink)

        self.patch(sink, "reconnected", reconnected)
        self.server.start()
        await sink.when(lambda: sink.resumptions == 1)
        self.assertEqual(was_ready, [True])

    async def test_plain_control_message_reaches_all_processes_of_the_prefix_alone(self) -> None:
        sinks = [(await self.subscribed("chat"))[1] for _ in range(2)]
        theirs, their_sink = self.make_broker("other:"), WaitingSink()
        theirs.attach(their_sink)
        theirs.start()
        self.addCleanup(theirs.stop)
        await until(lambda: theirs.ready)
        message = b'{"disconnect": {"user": "42"}}'
        self.assertEqual(self.redis().publish("wsrelay:$control", message), 2)
        await until(lambda: [sink.controls for sink in sinks] == [[message]] * 2)
        self.redis().publish("other:$control", b"theirs")
        await their_sink.when(lambda: their_sink.controls == [b"theirs"])
        self.assertEqual([sink.controls for sink in sinks], [[message]] * 2)

    async def test_forbidden_control_channel_is_logged_and_the_rest_works(self) -> None:
        events = self.enterContext(capturedLogs())
        self.redis().execute_command(
            *("ACL", "SETUSER", "relay", "on", ">x", "resetchannels", "&wsrelay:chat", "&wsrelay:$probe:*"),
            *("~wsrelay:*", "+@pubsub", "+ping", "+set", "+getdel", "+mget"),
        )
        self.url_of_server = "redis://relay:x@127.0.0.1:{port}"
        broker, sink = await self.subscribed("chat")
        await broker.publish("chat", b"x")
        await sink.when(lambda: sink.delivered == [Publication("chat", b"x")])
        await broker.credentials.create("ticket", b"{}", 30)
        self.assertEqual(await broker.credentials.redeem("ticket"), b"{}")
        self.assertEqual(list(await broker.credentials.are_revoked(["user:42"])), [False])
        with self.assertRaises(BrokerUnavailable) as caught:
            await broker.send_control(b"x")
        self.assertIn("NOPERM", str(caught.exception))
        self.assertEqual((broker.ready, broker.problem, sink.interruptions, sink.responses), (True, "", 0, []))
        lines = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
        self.assertEqual(lines.count("Redis rejects the channel $control: control messages do not arrive"), 1)


# A base for the type checker alone, as above, which mypy takes for none.
class OnRedisStore(OnRedis, contract.StoreContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """The store of a broker on a server of its own."""

    async def second_passes(self) -> None:
        """Let every key end a second earlier: without waiting, and a key that never ends is detected."""
        client = self.redis()
        keys: Any = client.keys("wsrelay:*")
        for key in keys:
            left: Any = client.pttl(key)
            self.assertGreater(left, 0, "a key that never ends")
            client.pexpire(key, left - 1000) if left > 1000 else client.delete(key)

    async def stores(self) -> list[ICredentialStore]:
        """Return the stores of two processes."""
        return [await self.store(), await self.store()]

    async def test_ticket_shown_to_two_processes_at_once_is_redeemed_by_one(self) -> None:
        stores, client = await self.stores(), self.redis()
        tickets = [f"ticket-{number}" for number in range(300)]
        for ticket in tickets:
            client.set(f"wsrelay:ticket:{ticket}", ticket, ex=30, nx=True)
        # One process begins at each end, so that both win some.
        shown = [stores[index].redeem(ticket) for ticket in tickets for index in (0, 1)]
        answers = await gatherResults(shown)
        pairs = list(zip(answers[::2], answers[1::2], strict=True))
        for ticket, pair in zip(tickets, pairs, strict=True):
            self.assertEqual({*pair}, {None, ticket.encode()}, ticket)
        self.assertEqual(client.keys("wsrelay:ticket:*"), [])

    async def test_ticket_written_with_one_plain_set_is_redeemed_once(self) -> None:
        first, second = await self.stores()
        client = self.redis()
        client.execute_command("SET", "wsrelay:ticket:0123456789abcdef", '{"sub": "42"}', "EX", "30", "NX")
        client.execute_command("SET", "ticket:fedcba9876543210", "{}", "EX", "30", "NX")
        self.assertEqual(await second.redeem("0123456789abcdef"), b'{"sub": "42"}')
        self.assertIsNone(await first.redeem("0123456789abcdef"))
        self.assertIsNone(await first.redeem("fedcba9876543210"))
        self.assertEqual(client.exists("wsrelay:ticket:0123456789abcdef"), 0)

    async def test_tickets_and_revocations_are_plain_keys_that_expire(self) -> None:
        store, client = await self.store(), self.redis()
        await store.create("ticket", b"{}", 30)
        await store.revoke("user:42", 3600)
        self.assertEqual(client.get("wsrelay:ticket:ticket"), b"{}")
        ends: Any = [client.pttl(key) for key in ("wsrelay:ticket:ticket", "wsrelay:revoked:user:42")]
        self.assertTrue(0 < ends[0] <= 30_000 and 3_500_000 < ends[1] <= 3_600_000, ends)
        keys: Any = client.keys("*")
        self.assertEqual(sorted(keys), [b"wsrelay:revoked:user:42", b"wsrelay:ticket:ticket"])

    async def test_revocation_written_with_one_plain_set_holds_until_it_is_deleted(self) -> None:
        stores, client = await self.stores(), self.redis()
        client.set("wsrelay:revoked:user:42", "", ex=3600)
        self.assertEqual([list(await store.are_revoked(["user:42"])) for store in stores], [[True]] * 2)
        client.delete("wsrelay:revoked:user:42")
        self.assertEqual([list(await store.are_revoked(["user:42"])) for store in stores], [[False]] * 2)

    async def test_key_of_another_type_is_no_ticket_and_stays(self) -> None:
        store, client = await self.store(), self.redis()
        client.lpush("wsrelay:ticket:list", "{}")
        client.hset("wsrelay:ticket:hash", "sub", "42")
        client.sadd("wsrelay:ticket:set", "{}")
        for name in ("list", "hash", "set"):
            self.assertEqual([await store.read(name), await store.redeem(name)], [None, None])
            self.assertEqual(client.exists(f"wsrelay:ticket:{name}"), 1)
        # And the next one is redeemed as ever.
        await store.create("ticket", b"{}", 30)
        self.assertEqual([await store.redeem("ticket"), await store.redeem("ticket")], [b"{}", None])

    async def test_every_operation_fails_while_the_server_is_away(self) -> None:
        """Nothing is taken for unknown or not revoked."""
        store = await self.store()
        self.server.kill()
        for ask in (
            lambda: store.create("ticket", b"{}", 30),
            lambda: store.read("ticket"),
            lambda: store.redeem("ticket"),
            lambda: store.delete("ticket"),
            lambda: store.revoke("user:42", 30),
            lambda: store.are_revoked(["user:42"]),
            lambda: store.are_revoked(["user:42", "connection:1"]),
        ):
            with self.assertRaises(BrokerUnavailable):
                await ask()


class RedisStoreTests(OnRedisStore, contract.StoreContract):
    """The contract of the store, and a server that forbids it."""

    async def test_forbidden_lookup_fails_and_the_ticket_is_not_spent(self) -> None:
        client = self.redis()
        client.execute_command(
            *("ACL", "SETUSER", "relay", "on", ">x", "allchannels", "+@pubsub", "+ping", "~other:*", "+getdel", "+mget")
        )
        client.set("wsrelay:ticket:ticket", "{}", ex=30)
        self.url_of_server = "redis://relay:x@127.0.0.1:{port}"
        store = await self.store()
        for ask in (lambda: store.redeem("ticket"), lambda: store.are_revoked(["user:42"])):
            with self.assertRaises(BrokerUnavailable) as caught:
                await ask()
            self.assertIn("NOPERM", str(caught.exception))
        self.assertEqual(client.get("wsrelay:ticket:ticket"), b"{}")


class RedisInClusterModeTests(OnRedisStore, contract.StoreContract):
    """The contract of the store on a cluster of one node, as hosters offer it: a command names keys of one slot."""

    def setUp(self) -> None:
        # Its bus listens 10000 above its port.
        port = free_port()
        while port > 55_000:
            port = free_port()
        self.server = RedisServer("--cluster-enabled", "yes", port=port).start()
        self.addCleanup(self.server.close)
        self.redis().execute_command("CLUSTER", "ADDSLOTS", *range(16384))

    async def store(self) -> ICredentialStore:
        """Wait until the node takes keys."""
        client = self.redis()
        await until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        return await super().store()

    async def test_keys_of_another_node_are_unavailable_and_no_ticket_is_spent(self) -> None:
        store = await self.store()
        await store.create("ticket", b"{}", 30)
        self.redis().execute_command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        slot: Any = self.redis().execute_command("CLUSTER", "KEYSLOT", "wsrelay:revoked:user:42")
        self.redis().execute_command("CLUSTER", "DELSLOTS", slot)
        with self.assertRaises(BrokerUnavailable) as caught:
            await store.are_revoked(["connection:1", "user:42"])
        self.assertEqual(caught.exception.code, "CLUSTERDOWN")
        self.assertEqual([await store.read("ticket"), await store.redeem("ticket")], [b"{}", b"{}"])


class RedisWithoutGetdelTests(OnRedisStore, contract.StoreContract):
    """The contract of the store on a server without GETDEL, which came with Redis 6.2."""

    def setUp(self) -> None:
        self.server = RedisServer("--rename-command", "GETDEL", "").start()
        self.addCleanup(self.server.close)

    async def test_missing_getdel_is_tried_once_and_then_replaced_by_the_script(self) -> None:
        client = self.redis()
        with self.assertRaises(valkey.ResponseError):
            client.getdel("x")
        store = await self.store()
        before: Any = client.info("errorstats")
        for number in range(3):
            await store.create(f"ticket-{number}", b"{}", 30)
            self.assertEqual(await store.redeem(f"ticket-{number}"), b"{}")
        stats, after = client.info("commandstats"), client.info("errorstats")
        # The client's types have no nested replies.
        self.assertEqual(stats["cmdstat_eval"]["calls"], 3)  # type: ignore[index]
        self.assertEqual(after["errorstat_ERR"]["count"] - before["errorstat_ERR"]["count"], 1)  # type: ignore[index]

    async def test_forbidden_script_fails_and_the_ticket_is_not_spent(self) -> None:
        client = self.redis()
        client.execute_command(
            *("ACL", "SETUSER", "relay", "on", ">x", "allchannels", "~wsrelay:*", "+@pubsub", "+ping", "+set")
        )
        self.url_of_server = "redis://relay:x@127.0.0.1:{port}"
        store = await self.store()
        await store.create("ticket", b"{}", 30)
        with self.assertRaises(BrokerUnavailable) as caught:
            await store.redeem("ticket")
        self.assertIn("NOPERM", str(caught.exception))
        self.assertEqual(client.get("wsrelay:ticket:ticket"), b"{}")


class RedisOnUnixSocketTests(OnRedis, contract.BrokerContract):
    """The contract over a unix socket."""

    url_of_server = "unix://{path}"
