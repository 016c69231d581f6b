"""The link to Redis on a clock: what it does when the other side does not do its part."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.link import Link
from wsrelay.testing.transports import MemoryTransport

GARBAGE = (
    b"*3\r\n$7\r\nmessage\r\n",
    b"*3\r\n:1\r\n:2\r\n:3\r\n",
    b"*3\r\n$-1\r\n$-1\r\n$-1\r\n",
    b"*3\r\n$9\r\nsubscribe\r\n:1\r\n:1\r\n",
    b"*3\r\n*0\r\n*0\r\n*0\r\n",
    b"*1000\r\n",
    b"*-5\r\n",
    b"$99999999999999\r\n",
    b"-ERR no\r\n",
    b"+OK\r\n",
    b"#t\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b">3\r\n+message\r\n+a\r\n+b\r\n",
    b"_\r\n",
    b"\r\n",
)
"""Replies that no command of ours has, some of them not even replies."""


class Endpoint:
    """Connects at once to a transport in memory, or refuses, or never answers."""

    def __init__(self) -> None:
        self.transports: list[MemoryTransport] = []
        self.mode = "connect"
        self.attempts = 0

    def connect(self, factory: Factory) -> Deferred[Any]:
        self.attempts += 1
        if self.mode == "refuse":
            return fail(ConnectionRefusedError())
        if self.mode == "hang":
            return Deferred()
        connection: Any = factory.buildProtocol(None)
        transport = MemoryTransport(connection)
        self.transports.append(transport)
        connection.makeConnection(transport)
        result: Deferred[Any] = Deferred()
        result.callback(connection)
        return result


class LinkTests(SynchronousTestCase):
    """Up, down, and up again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.events: list[str] = []
        self.messages: list[tuple[bytes, bytes]] = []
        self.subscribed: list[bytes] = []
        self.refused: list[tuple[tuple[bytes, ...], str]] = []
        self.password: bytes | None = None
        endpoint: Any = self.endpoint
        clock: Any = self.clock
        self.link = Link(
            "test link",
            endpoint,
            lambda: RedisConnection(
                lambda channel, payload: self.messages.append((channel, payload)),
                self.subscribed.append,
                on_refused=lambda names, why: self.refused.append((names, why)),
            ),
            self.greet,
            up=lambda: self.events.append("up"),
            down=lambda: self.events.append("down"),
            clock=clock,
            rng=Random(7),
        )
        self.addCleanup(self.link.stop)

    async def greet(self, connection: RedisConnection) -> None:
        if self.password is not None:
            await connection.command(b"AUTH", self.password)
        await connection.command(b"PING")

    def answer(self, data: bytes) -> None:
        """Redis says something on the newest connection."""
        transport = self.endpoint.transports[-1]
        transport.clear()
        transport.protocol.dataReceived(data)

    def lose(self) -> None:
        """The newest connection breaks."""
        transport = self.endpoint.transports[-1]
        transport.connected = False
        transport.protocol.connectionLost(Failure(ConnectionLost()))

    def come_up(self) -> None:
        """Start, and answer the greeting."""
        self.link.start()
        self.answer(b"+PONG\r\n")

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.1] * round(seconds * 10))

    def test_up_after_the_greeting(self) -> None:
        """TCP alone is nothing: the link is up when the greeting was answered."""
        self.link.start()
        self.assertFalse(self.link.is_up)
        self.assertEqual(self.endpoint.transports[0].value(), b"*1\r\n$4\r\nPING\r\n")
        self.answer(b"+PONG\r\n")
        self.assertTrue(self.link.is_up)
        self.assertEqual((self.events, self.link.problem), (["up"], ""))

    def test_silent_server(self) -> None:
        """A server that accepts and then says nothing is given up at a deadline and tried again."""
        self.link.start()
        self.wait(5.1)
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.assertEqual(self.link.problem, "Redis does not answer")
        self.wait(1)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_connect_that_hangs(self) -> None:
        """A connect that never ends is given up at a deadline and tried again."""
        self.endpoint.mode = "hang"
        self.link.start()
        self.wait(11)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_unanswered_ping(self) -> None:
        """A PING without an answer ends a link that was up; answered ones keep it."""
        self.come_up()
        for _ in range(3):
            self.wait(5.1)
            self.assertEqual(self.endpoint.transports[0].value(), b"*1\r\n$4\r\nPING\r\n")
            self.answer(b"+PONG\r\n")
        self.wait(9.1)
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.assertEqual(self.events, ["up", "down"])
        self.assertFalse(self.link.is_up)

    def test_late_by_a_stall(self) -> None:
        """A PONG that is there when the reactor comes round late keeps the link."""
        self.come_up()
        self.wait(5.1)
        self.wait(3.0)
        self.answer(b"+PONG\r\n")
        self.wait(2.0)
        self.assertEqual(self.events, ["up"])

    def test_refused_subscription(self) -> None:
        """An error in answer to SUBSCRIBE is told with its names, and is not taken for the answer to a PING."""
        self.come_up()
        connection = self.link.connection
        assert connection is not None
        connection.write_unanswered(b"SUBSCRIBE", b"a", b"b")
        reply = connection.command(b"PING")
        connection.write_unanswered(b"SUBSCRIBE", b"c", b"d")
        self.answer(b"-NOPERM no\r\n+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
        self.answer(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n")
        self.assertEqual(self.refused, [((b"a", b"b"), "NOPERM no")])
        self.assertEqual(self.successResultOf(reply), b"PONG")
        self.assertEqual(self.subscribed, [b"c", b"d"])
        self.assertTrue(self.link.is_up)

    def test_held(self) -> None:
        """A link that is held reads nothing and asks nothing, and stays up for as long as it takes."""
        self.come_up()
        transport = self.endpoint.transports[0]
        for held, state in ((True, "paused"), (True, "paused"), (False, "producing"), (True, "paused")):
            self.link.hold(held)
            self.assertEqual(transport.producerState, state)
        self.wait(100)
        self.assertEqual((transport.value(), self.link.is_up, self.events), (b"", True, ["up"]))

    def test_pings_after_a_hold(self) -> None:
        """Once it reads again the link is pinged again, and a PING without an answer ends it as ever."""
        self.come_up()
        self.link.hold(True)
        self.wait(60)
        self.assertEqual(self.events, ["up"])
        self.link.hold(False)
        self.wait(9.5)
        self.assertEqual(self.events[:2], ["up", "down"])

    def test_held_while_a_ping_is_under_way(self) -> None:
        """A PING whose answer may be among what is not read is forgiven; its answer may come late."""
        self.come_up()
        transport = self.endpoint.transports[0]
        self.wait(5.1)
        self.assertEqual(transport.value(), b"*1\r\n$4\r\nPING\r\n")
        self.link.hold(True)
        self.wait(30)
        self.assertTrue(self.link.is_up)
        self.link.hold(False)
        self.answer(b"+PONG\r\n")
        self.wait(5.1)
        self.assertEqual(transport.value(), b"*1\r\n$4\r\nPING\r\n")
        self.answer(b"+PONG\r\n")
        self.wait(5.1)
        self.assertEqual((self.events, self.link.is_up), (["up"], True))

    def test_new_connection_while_held(self) -> None:
        """A connection that comes while the link is held is greeted, and then starts paused."""
        self.come_up()
        self.link.hold(True)
        self.lose()
        self.wait(1)
        transport = self.endpoint.transports[-1]
        self.assertEqual((len(self.endpoint.transports), transport.producerState), (2, "producing"))
        self.answer(b"+PONG\r\n")
        self.assertEqual((self.link.is_up, transport.producerState), (True, "paused"))
        self.link.hold(False)
        self.assertEqual(transport.producerState, "producing")

    def test_held_while_it_is_greeted(self) -> None:
        """A hold that comes while a connection is greeted waits until it is up."""
        self.link.start()
        self.link.hold(True)
        transport = self.endpoint.transports[0]
        self.assertEqual(transport.producerState, "producing")
        self.answer(b"+PONG\r\n")
        self.assertEqual((self.link.is_up, transport.producerState), (True, "paused"))

    def test_held_without_a_connection(self) -> None:
        """What a link is told before it is started, or while it has no connection, holds for the next one."""
        self.link.hold(True)
        self.come_up()
        self.assertEqual(self.endpoint.transports[-1].producerState, "paused")
        self.lose()
        self.link.hold(False)
        self.wait(1)
        self.answer(b"+PONG\r\n")
        self.assertEqual((self.link.is_up, self.endpoint.transports[-1].producerState), (True, "producing"))

    def test_lost_while_idle(self) -> None:
        """A lost connection is felt at once, not at the next PING, and the link comes back."""
        self.come_up()
        self.lose()
        self.assertEqual(self.events, ["up", "down"])
        self.wait(1)
        self.answer(b"+PONG\r\n")
        self.assertEqual(self.events, ["up", "down", "up"])

    def test_lost_while_authenticating(self) -> None:
        """A link lost while AUTH is in flight is tried again (txredisapi given the password would stop for ever)."""
        self.password = b"secret"
        self.link.start()
        for _ in range(5):
            self.lose()
            self.wait(4)
        self.assertGreaterEqual(self.endpoint.attempts, 6)
        self.answer(b"+OK\r\n")
        self.answer(b"+PONG\r\n")
        self.assertTrue(self.link.is_up)

    def test_refused_password(self) -> None:
        """A refused password is the problem told, in Redis' words, and tried again."""
        self.password = b"secret"
        self.link.start()
        self.answer(b"-WRONGPASS invalid username-password pair\r\n")
        self.assertEqual(self.link.problem, "WRONGPASS invalid username-password pair")
        self.wait(1)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_garbage(self) -> None:
        """A server that speaks something else is told as that."""
        self.link.start()
        self.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.link.problem, "the server does not speak the Redis protocol")
        self.assertTrue(self.endpoint.transports[0].aborted)

    def test_one_line_for_an_outage(self) -> None:
        """An outage is one line in the log however many tries it takes, and its end another one."""
        self.endpoint.mode = "refuse"
        with capturedLogs() as events:
            self.link.start()
            self.wait(60)
            self.endpoint.mode = "connect"
            self.wait(11)
            self.answer(b"+PONG\r\n")
            self.link.proved()
        self.assertGreater(self.endpoint.attempts, 5)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn, LogLevel.info])

    def test_back_off(self) -> None:
        """Tries come less and less often, and never more than 10 s apart."""
        self.endpoint.mode = "refuse"
        self.link.start()
        self.wait(600)
        self.assertGreaterEqual(self.endpoint.attempts, 60)
        self.assertLessEqual(self.endpoint.attempts, 180)

    def test_stop(self) -> None:
        """Stopping leaves nothing behind, in whatever state the link is."""
        for mode in ("connect", "refuse", "hang"):
            self.setUp()
            self.endpoint.mode = mode
            self.link.start()
            self.link.stop()
            self.link.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertFalse(self.link.is_up)
            self.assertEqual(self.link.problem, "stopped")
        self.setUp()
        self.come_up()
        self.link.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.assertEqual(self.events, ["up", "down"])

    def test_messages_and_replies(self) -> None:
        """Messages go to their receiver and answers to SUBSCRIBE to the book-keeping, between replies of commands."""
        self.come_up()
        connection = self.link.connection
        assert connection is not None
        replies = [connection.command(b"PING"), connection.command(b"GET", b"x")]
        stream = (
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
            b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
            b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\n007\r\n"
            b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"
            b"$2\r\n42\r\n"
        )
        for byte in stream:
            connection.dataReceived(bytes((byte,)))
        self.assertEqual(self.messages, [(b"a", b"007")])
        self.assertEqual(self.subscribed, [b"a"])
        self.assertEqual([self.successResultOf(reply) for reply in replies], [[b"pong", b""], b"42"])

    def test_replies_fail_with_the_connection(self) -> None:
        """Commands that wait when the connection is lost fail: nobody waits for ever."""
        self.come_up()
        assert self.link.connection is not None
        waiting = self.link.connection.command(b"GET", b"x")
        self.lose()
        self.failureResultOf(waiting)

    def test_unexpected_failure(self) -> None:
        """Even a failure of our own greeting is told and tried again."""

        async def broken(_connection: RedisConnection) -> None:
            raise RuntimeError("bug")

        self.link._greet = broken
        self.link.start()
        self.assertEqual(self.link.problem, "bug")
        self.wait(1)
        self.assertGreater(self.endpoint.attempts, 1)


class StreamTests(SynchronousTestCase):
    """What comes from the server, in any pieces and of any kind."""

    def setUp(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.connection = RedisConnection(
            lambda name, payload: self.messages.append((name, payload)), lambda _name: None
        )
        self.transport = MemoryTransport(self.connection)
        self.connection.factory = Factory()
        self.connection.makeConnection(self.transport)

    @given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200)), max_size=10), st.data())
    def test_any_pieces(self, messages: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
        """However a stream of messages is cut, each arrives once, whole and in order."""
        self.setUp()
        stream = b"".join(
            b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(name), name, len(payload), payload)
            for name, payload in messages
        )
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            self.connection.dataReceived(stream[:size])
            stream = stream[size:]
        self.assertEqual(self.messages, messages)

    @given(st.lists(st.binary(max_size=40) | st.sampled_from(GARBAGE), max_size=8))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Whatever comes is understood, waited for, or the end of the connection; never an exception."""
        self.setUp()
        for piece in pieces:
            if self.transport.connected:
                self.connection.dataReceived(piece)
        self.assertTrue(self.transport.connected or self.transport.aborted)
