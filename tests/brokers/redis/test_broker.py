"""The Redis broker against a real server: the contract, and what a server can do to it."""

from __future__ import annotations

import os
import signal
from random import Random
from typing import TYPE_CHECKING, Any

import valkey
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, eventAsText

from devtools.harness.redis_server import RedisServer
from tests.brokers import contract
from tests.brokers.contract import WaitingSink, until
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, ICredentialStore

PREFIX = "wsrelay:"


class OnRedis(contract.BrokerContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """A server of its own for each test, and brokers on it."""

    url_of_server = "redis://127.0.0.1:{port}"

    def setUp(self) -> None:
        self.server = RedisServer().start()
        self.addCleanup(self.server.close)

    def make_broker(self, prefix: str = PREFIX) -> IBroker:
        url = RedisURL.parse(self.url_of_server.format(port=self.server.port, path=self.server.path))
        clock: Any = reactor
        return RedisBroker(redis_endpoint(reactor, url), url, prefix, clock, Random(1))

    def redis(self) -> valkey.Valkey:
        """An independent client."""
        client = self.server.client()
        self.addCleanup(client.close)
        return client


class RedisBrokerTests(OnRedis, contract.BrokerContract):
    """The contract, and Redis as other programs see it."""

    async def other(self, broker: IBroker) -> IBroker:
        other, _ = self.connected()
        await until(lambda: other.ready)
        return other

    def connections(self) -> list[dict[str, str]]:
        """The connections of relays, as the server lists them."""
        listed: Any = self.redis().client_list()
        return [each for each in listed if each["name"].startswith("wsrelay-")]

    async def test_plain_publish(self) -> None:
        """What any program PUBLISHes under the prefix is delivered; the same name without it is not."""
        _, sink = await self.listening("chat")
        client = self.redis()
        client.publish("chat", b"not ours")
        client.publish("wsrelay:chat", b"007")
        await sink.when(lambda: bool(sink.delivered))
        self.assertEqual(sink.delivered, [Publication("chat", b"007")])

    async def test_publishes_plainly(self) -> None:
        """What the broker publishes is a plain message for any subscriber."""
        broker, _ = await self.listening("chat")
        heard = self.redis().pubsub()
        self.addCleanup(heard.close)
        heard.subscribe("wsrelay:chat")
        heard.get_message(timeout=5)
        await broker.publish("chat", b"\xff\x00007")
        message = await deferToThread(heard.get_message, timeout=5)
        self.assertEqual(message["data"], b"\xff\x00007")

    async def test_connections(self) -> None:
        """However many channels: one subscriber connection, and one for commands; both say whose they are."""
        await self.listening(*(f"c{number}" for number in range(1200)))
        mine = self.connections()
        self.assertEqual(sorted(int(each["sub"]) for each in mine), [0, 1203])
        self.assertEqual({each["psub"] for each in mine}, {"0"})
        self.assertEqual({each["name"].rpartition("-")[2] for each in mine}, {"subscriber", "commander"})

    async def test_prefix(self) -> None:
        """Two applications with prefixes of their own on one server do not hear each other."""
        _, ours = await self.listening("chat")
        theirs = self.make_broker("other:")
        theirs.attach(WaitingSink())
        theirs.start()
        self.addCleanup(theirs.stop)
        await until(lambda: theirs.ready)
        await theirs.publish("chat", b"theirs")
        self.redis().publish("wsrelay:chat", b"ours")
        await ours.when(lambda: bool(ours.delivered))
        self.assertEqual(ours.delivered, [Publication("chat", b"ours")])

    async def test_killed_connections(self) -> None:
        """Connections that the server kills come back with every channel, and the sink was told of the break."""
        _, sink = await self.listening("a", "b")
        sink.confirmations.clear()
        for each in self.connections():
            self.redis().client_kill_filter(_id=each["id"])
        await sink.when(lambda: sink.interruptions == 1 and set(sink.confirmations) == {"a", "b"})
        self.redis().publish("wsrelay:b", b"again")
        await sink.when(lambda: sink.delivered == [Publication("b", b"again")])

    async def test_hold(self) -> None:
        """While it is held nothing is delivered, and publishing works; afterwards everything comes in its order."""
        broker, sink = await self.listening("chat")
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

    async def test_server_comes_later(self) -> None:
        """A broker that finds no server connects as soon as there is one; meanwhile it says why it is not ready."""
        self.server.kill()
        broker, sink = self.connected()
        broker.subscribe(["chat"])
        await until(lambda: "refused" in broker.problem)
        self.server.start()
        await sink.when(lambda: sink.confirmations == ["chat"])
        await until(lambda: broker.ready)

    async def test_restart(self) -> None:
        """A server that is killed and started again has all channels back."""
        names = [f"c{number}" for number in range(1000)]
        broker, sink = await self.listening(*names)
        self.server.kill()
        await sink.when(lambda: sink.interruptions >= 1)
        self.assertFalse(broker.ready)
        sink.confirmations.clear()
        self.server.start()
        await sink.when(lambda: set(sink.confirmations) == set(names))

    async def test_frozen_server(self) -> None:
        """A server that stops answering, its connections still open, is noticed by the unanswered PING."""
        broker, sink = await self.listening("chat")
        os.kill(self.server.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, self.server.pid, signal.SIGCONT)
        await sink.when(lambda: sink.interruptions >= 1)
        self.assertFalse(broker.ready)
        sink.confirmations.clear()
        os.kill(self.server.pid, signal.SIGCONT)
        await sink.when(lambda: sink.confirmations == ["chat"])

    async def test_replica(self) -> None:
        """A server that is, or becomes, a replica makes the broker not ready; as a master again it is ready again."""
        broker, sink = await self.listening("chat")
        master = RedisServer().start()
        self.addCleanup(master.close)
        self.redis().replicaof("127.0.0.1", master.port)
        await until(lambda: "replica" in broker.problem)
        self.assertFalse(broker.ready)
        self.assertGreaterEqual(sink.interruptions, 1)
        self.redis().replicaof("NO", "ONE")
        await until(lambda: broker.ready)

    async def test_forgotten_subscription(self) -> None:
        """A server that lets a subscription go, its connections healthy, is found out by the probe."""
        broker, sink = await self.listening("chat")
        subscriber: Any = broker
        subscriber._subscriber.connection.write_unanswered(b"UNSUBSCRIBE")
        sink.confirmations.clear()
        await sink.when(lambda: sink.interruptions >= 1 and sink.confirmations == ["chat"])
        await until(lambda: broker.ready)

    async def test_password(self) -> None:
        """A wrong password is told as the problem, by its code; once it is right all works by itself."""
        self.redis().config_set("requirepass", "right")
        self.url_of_server = "redis://:s3cret-wrong@127.0.0.1:{port}"
        broker, sink = self.connected()
        broker.subscribe(["chat"])
        await until(lambda: "WRONGPASS" in broker.problem)
        self.assertNotIn("s3cret-wrong", broker.problem)
        self.server.client(password="right").config_set("requirepass", "s3cret-wrong")
        await sink.when(lambda: sink.confirmations == ["chat"])

    async def test_acl_user(self) -> None:
        """An ACL user signs in with name and password, and may be limited to the prefix."""
        self.redis().execute_command(
            "ACL", "SETUSER", "relay", "on", ">pa ss/w", "resetchannels", "&wsrelay:*", "+@pubsub", "+ping", "+select"
        )
        self.url_of_server = "redis://relay:pa%20ss%2Fw@127.0.0.1:{port}/3"
        broker, sink = await self.listening("chat")
        await broker.publish("chat", b"x")
        await sink.when(lambda: sink.delivered == [Publication("chat", b"x")])

    async def test_narrow_acl(self) -> None:
        """A channel that an ACL forbids is refused, and takes neither the link nor the others with it."""
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
        broker, sink = await self.listening("a1", "a2")
        broker.subscribe(["a3", "b", "a4"])
        await sink.when(lambda: sink.confirmations[2:] == ["a3", "a4"] and sink.responses == ["b"])
        self.assertEqual((broker.ready, sink.interruptions), (True, 0))

    async def test_server_without_auth(self) -> None:
        """A server that repeats the password in its answer does not make us repeat it."""
        self.server.close()
        self.server = RedisServer("--rename-command", "AUTH", "").start()
        self.addCleanup(self.server.close)
        self.url_of_server = "redis://:s3cret@127.0.0.1:{port}"
        broker, _ = self.connected()
        await until(lambda: "refused to sign us in (ERR)" in broker.problem)

    async def test_no_password_given(self) -> None:
        """A server that wants a password and gets none is told as NOAUTH."""
        self.redis().config_set("requirepass", "right")
        broker, _ = self.connected()
        await until(lambda: "NOAUTH" in broker.problem)

    async def test_resumed(self) -> None:
        """After an interruption the sink is told once that messages flow again, when commands are answered, too."""
        broker, sink = await self.listening("chat")
        told: list[tuple[bool, int]] = []
        asked: list[Any] = []

        def resumed() -> None:
            WaitingSink.reconnected(sink)
            told.append((broker.ready, sink.interruptions))
            asked.append(broker.credentials.are_revoked(["user:42"]))

        self.patch(sink, "reconnected", resumed)
        for each in self.connections():
            self.redis().client_kill_filter(_id=each["id"])
        await until(lambda: bool(asked))
        self.assertEqual(list(await asked[0]), [False])
        await broker.publish("chat", b"again")
        await sink.when(lambda: sink.delivered == [Publication("chat", b"again")])
        # The next probe that comes back is no news.
        prober: Any = broker
        prober._probe.start()
        await until(lambda: broker.ready)
        self.assertEqual(told, [(True, 1)])

    async def test_resumed_after_a_restart(self) -> None:
        """A server that was away for a while is told of once when it is back, however often it was tried."""
        broker, sink = await self.listening("chat")
        self.server.kill()
        await until(lambda: "refused" in broker.problem)
        self.assertEqual(sink.resumptions, 0)
        self.server.start()
        await until(lambda: sink.resumptions == 1)
        self.assertTrue(broker.ready)

    async def test_plain_control(self) -> None:
        """What any program PUBLISHes on the control channel comes to all processes, and to those of no other prefix."""
        sinks = [(await self.listening("chat"))[1] for _ in range(2)]
        theirs, stranger = self.make_broker("other:"), WaitingSink()
        theirs.attach(stranger)
        theirs.start()
        self.addCleanup(theirs.stop)
        await until(lambda: theirs.ready)
        message = b'{"disconnect": {"user": "42"}}'
        self.assertEqual(self.redis().publish("wsrelay:$control", message), 2)
        await until(lambda: [sink.controls for sink in sinks] == [[message]] * 2)
        self.redis().publish("other:$control", b"theirs")
        await stranger.when(lambda: stranger.controls == [b"theirs"])
        self.assertEqual([sink.controls for sink in sinks], [[message]] * 2)

    async def test_control_forbidden(self) -> None:
        """An ACL that forbids the control channel costs what is told there and nothing else; the operator is told."""
        events = self.enterContext(capturedLogs())
        self.redis().execute_command(
            *("ACL", "SETUSER", "relay", "on", ">x", "resetchannels", "&wsrelay:chat", "&wsrelay:$probe:*"),
            *("~wsrelay:*", "+@pubsub", "+ping", "+set", "+getdel", "+mget"),
        )
        self.url_of_server = "redis://relay:x@127.0.0.1:{port}"
        broker, sink = await self.listening("chat")
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
        told = "Redis rejects the channel $control: control messages do not arrive"
        self.assertEqual(lines.count(told), 1)


# A base for the type checker alone, as above, which mypy takes for none.
class OnRedisStore(OnRedis, contract.StoreContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """The store of a broker on a server of its own."""

    async def second_passes(self) -> None:
        """Let every key end a second earlier: nothing is waited for, and what never ends is found out."""
        client = self.redis()
        keys: Any = client.keys("wsrelay:*")
        for key in keys:
            left: Any = client.pttl(key)
            self.assertGreater(left, 0, "a key that never ends")
            client.pexpire(key, left - 1000) if left > 1000 else client.delete(key)

    async def stores(self) -> list[ICredentialStore]:
        """Those of two processes."""
        return [await self.store(), await self.store()]

    async def test_race(self) -> None:
        """Of two processes that are shown the same ticket at the same moment exactly one gets it."""
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

    async def test_plain_ticket(self) -> None:
        """What any program writes with one plain SET is a ticket, for the process that is shown it first."""
        first, second = await self.stores()
        client = self.redis()
        client.execute_command("SET", "wsrelay:ticket:0123456789abcdef", '{"sub": "42"}', "EX", "30", "NX")
        client.execute_command("SET", "ticket:fedcba9876543210", "{}", "EX", "30", "NX")
        self.assertEqual(await second.redeem("0123456789abcdef"), b'{"sub": "42"}')
        self.assertIsNone(await first.redeem("0123456789abcdef"))
        self.assertIsNone(await first.redeem("fedcba9876543210"))
        self.assertEqual(client.exists("wsrelay:ticket:0123456789abcdef"), 0)

    async def test_plain_keys(self) -> None:
        """What is minted and denied are plain keys, which end when they should."""
        store, client = await self.store(), self.redis()
        await store.create("ticket", b"{}", 30)
        await store.revoke("user:42", 3600)
        self.assertEqual(client.get("wsrelay:ticket:ticket"), b"{}")
        ends: Any = [client.pttl(key) for key in ("wsrelay:ticket:ticket", "wsrelay:revoked:user:42")]
        self.assertTrue(0 < ends[0] <= 30_000 and 3_500_000 < ends[1] <= 3_600_000, ends)
        keys: Any = client.keys("*")
        self.assertEqual(sorted(keys), [b"wsrelay:revoked:user:42", b"wsrelay:ticket:ticket"])

    async def test_plain_denial(self) -> None:
        """What any program writes under denied: is a denial for all processes, until it is deleted."""
        stores, client = await self.stores(), self.redis()
        client.set("wsrelay:revoked:user:42", "", ex=3600)
        self.assertEqual([list(await store.are_revoked(["user:42"])) for store in stores], [[True]] * 2)
        client.delete("wsrelay:revoked:user:42")
        self.assertEqual([list(await store.are_revoked(["user:42"])) for store in stores], [[False]] * 2)

    async def test_other_kinds(self) -> None:
        """A key that holds no text is no ticket, and stays as it is."""
        store, client = await self.store(), self.redis()
        client.lpush("wsrelay:ticket:list", "{}")
        client.hset("wsrelay:ticket:hash", "sub", "42")
        client.sadd("wsrelay:ticket:set", "{}")
        for name in ("list", "hash", "set"):
            self.assertIsNone(await store.redeem(name))
            self.assertEqual(client.exists(f"wsrelay:ticket:{name}"), 1)
        # And the next one is redeemed as ever.
        await store.create("ticket", b"{}", 30)
        self.assertEqual([await store.redeem("ticket"), await store.redeem("ticket")], [b"{}", None])

    async def test_away(self) -> None:
        """While the server cannot be asked everything fails, and nothing is taken for unknown or not denied."""
        store = await self.store()
        self.server.kill()
        for ask in (
            lambda: store.create("ticket", b"{}", 30),
            lambda: store.redeem("ticket"),
            lambda: store.delete("ticket"),
            lambda: store.revoke("user:42", 30),
            lambda: store.are_revoked(["user:42"]),
        ):
            with self.assertRaises(BrokerUnavailable):
                await ask()


class RedisStoreTests(OnRedisStore, contract.StoreContract):
    """The contract of the store, and tickets as other programs write them."""

    async def test_forbidden(self) -> None:
        """A server that does not let this process look fails, and the ticket is neither unknown nor spent."""
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


class RedisWithoutGetdelTests(OnRedisStore, contract.StoreContract):
    """The same on a server that does not know GETDEL, which came with Redis 6.2."""

    def setUp(self) -> None:
        self.server = RedisServer("--rename-command", "GETDEL", "").start()
        self.addCleanup(self.server.close)

    async def test_really_without(self) -> None:
        """The server does not know the command; it is asked for it once, and from then on for the script."""
        client = self.redis()
        with self.assertRaises(valkey.ResponseError):
            client.getdel("x")
        store = await self.store()
        before: Any = client.info("errorstats")
        for number in range(3):
            await store.create(f"ticket-{number}", b"{}", 30)
            self.assertEqual(await store.redeem(f"ticket-{number}"), b"{}")
        stats, after = client.info("commandstats"), client.info("errorstats")
        # The client's types know of no answers within answers.
        self.assertEqual(stats["cmdstat_eval"]["calls"], 3)  # type: ignore[index]
        self.assertEqual(after["errorstat_ERR"]["count"] - before["errorstat_ERR"]["count"], 1)  # type: ignore[index]

    async def test_script_forbidden(self) -> None:
        """Where the script is not allowed either it fails, and the ticket is neither unknown nor spent."""
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
