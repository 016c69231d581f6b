"""Tests of `wsrelay.brokers.redis.link` and `connection` on a fake clock: faults of the server."""

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
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem
from wsrelay.brokers.redis.pubsub_listener import NullListener
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
"""Input that is no reply to any command of ours, some of it no reply at all."""


class Endpoint:
    """Connects at once to a transport in memory, or refuses, or never connects."""

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


class RecordingListener(NullListener):
    """Records messages and the replies to SUBSCRIBE."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.confirmed: list[bytes] = []
        self.rejected: list[tuple[tuple[bytes, ...], str]] = []

    def messages_received(self, messages: list[list[bytes]]) -> None:
        self.messages += [(name, payload) for _, name, payload in messages]

    def subscribed(self, name: bytes) -> None:
        self.confirmed.append(name)

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        self.rejected.append((names, why))


class ReconnectingConnectionTests(SynchronousTestCase):
    """Up, down, and up again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.events: list[str] = []
        self.listener = RecordingListener()
        self.harmless = False
        self.password: bytes | None = None
        self.setup_error: Exception | None = None
        self.down_error: Exception | None = None
        endpoint: Any = self.endpoint
        clock: Any = self.clock
        self.link = ReconnectingConnection(
            "test connection",
            endpoint,
            self.set_up_connection,
            on_up=lambda: self.events.append("up"),
            on_down=self.on_down,
            clock=clock,
            rng=Random(7),
            listener=self.listener,
        )
        self.addCleanup(self.link.stop)

    async def set_up_connection(self, connection: RedisConnection) -> None:
        if self.setup_error is not None:
            raise self.setup_error
        if self.harmless:
            connection.command(b"CLIENT").addErrback(lambda _failure: None)
        if self.password is not None:
            await connection.command(b"AUTH", self.password)
        await connection.ping()

    def on_down(self) -> None:
        self.events.append("down")
        if self.down_error is not None:
            raise self.down_error

    def receive(self, data: bytes) -> None:
        """Let data of Redis arrive on the newest connection."""
        transport = self.endpoint.transports[-1]
        transport.clear()
        transport.protocol.dataReceived(data)

    def lose(self) -> None:
        """Break the newest connection."""
        transport = self.endpoint.transports[-1]
        transport.connected = False
        transport.protocol.connectionLost(Failure(ConnectionLost()))

    def come_up(self) -> None:
        """Start, and let the setup finish."""
        self.link.start()
        self.receive(b"+PONG\r\n")

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.1] * round(seconds * 10))

    def test_connection_is_up_when_it_is_set_up_not_when_tcp_connected(self) -> None:
        self.link.start()
        self.assertFalse(self.link.is_up)
        self.assertEqual(self.endpoint.transports[0].value(), b"*1\r\n$4\r\nPING\r\n")
        self.receive(b"+PONG\r\n")
        self.assertTrue(self.link.is_up)
        self.assertEqual((self.events, self.link.problem), (["up"], NO_PROBLEM))

    def test_silent_server_is_abandoned_at_the_deadline_and_retried(self) -> None:
        self.link.start()
        self.wait(5.1)
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.assertEqual(self.link.problem, Problem("Redis does not answer"))
        self.wait(1)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_hanging_connect_is_abandoned_at_the_deadline_and_retried(self) -> None:
        self.endpoint.mode = "hang"
        self.link.start()
        self.wait(11)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_ping_without_reply_ends_the_connection(self) -> None:
        """And pings with replies keep it."""
        self.come_up()
        for _ in range(3):
            self.wait(5.1)
            self.assertEqual(self.endpoint.transports[0].value(), b"*1\r\n$4\r\nPING\r\n")
            self.receive(b"+PONG\r\n")
        self.wait(9.1)
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.assertEqual(self.events, ["up", "down"])
        self.assertFalse(self.link.is_up)

    def test_reply_within_the_grace_keeps_the_connection(self) -> None:
        """A busy reactor runs timers before it reads."""
        self.come_up()
        self.wait(5.1)
        self.wait(3.0)
        self.receive(b"+PONG\r\n")
        self.wait(2.0)
        self.assertEqual(self.events, ["up"])

    def test_error_reply_to_subscribe_is_reported_with_its_names(self) -> None:
        """And is not taken for the reply to a PING."""
        self.come_up()
        connection = self.link.current
        assert connection is not None
        connection.send_subscribe(b"a", b"b")
        reply = connection.command(b"PING")
        connection.send_subscribe(b"c", b"d")
        self.receive(b"-NOPERM no\r\n+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
        self.receive(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n")
        self.assertEqual(self.listener.rejected, [((b"a", b"b"), "NOPERM no")])
        self.assertEqual(self.successResultOf(reply), b"PONG")
        self.assertEqual(self.listener.confirmed, [b"c", b"d"])
        self.assertTrue(self.link.is_up)

    def test_paused_connection_neither_reads_nor_pings_and_stays_up(self) -> None:
        self.come_up()
        transport = self.endpoint.transports[0]
        pause, resume = self.link.pause, self.link.resume
        for call, state in ((pause, "paused"), (pause, "paused"), (resume, "producing"), (pause, "paused")):
            call()
            self.assertEqual(transport.producerState, state)
        self.wait(100)
        self.assertEqual((transport.value(), self.link.is_up, self.events), (b"", True, ["up"]))

    def test_resumed_connection_is_pinged_again(self) -> None:
        self.come_up()
        self.link.pause()
        self.wait(60)
        self.assertEqual(self.events, ["up"])
        self.link.resume()
        self.wait(9.5)
        self.assertEqual(self.events[:2], ["up", "down"])

    def test_ping_without_reply_while_paused_does_not_end_the_connection(self) -> None:
        """Its reply may come late."""
        self.come_up()
        transport = self.endpoint.transports[0]
        self.wait(5.1)
        self.assertEqual(transport.value(), b"*1\r\n$4\r\nPING\r\n")
        self.link.pause()
        self.wait(30)
        self.assertTrue(self.link.is_up)
        self.link.resume()
        self.receive(b"+PONG\r\n")
        self.wait(5.1)
        self.assertEqual(transport.value(), b"*1\r\n$4\r\nPING\r\n")
        self.receive(b"+PONG\r\n")
        self.wait(5.1)
        self.assertEqual((self.events, self.link.is_up), (["up"], True))

    def test_new_connection_while_paused_is_set_up_and_then_paused(self) -> None:
        self.come_up()
        self.link.pause()
        self.lose()
        self.wait(1)
        transport = self.endpoint.transports[-1]
        self.assertEqual((len(self.endpoint.transports), transport.producerState), (2, "producing"))
        self.receive(b"+PONG\r\n")
        self.assertEqual((self.link.is_up, transport.producerState), (True, "paused"))
        self.link.resume()
        self.assertEqual(transport.producerState, "producing")

    def test_pause_during_the_setup_takes_effect_when_it_is_up(self) -> None:
        self.link.start()
        self.link.pause()
        transport = self.endpoint.transports[0]
        self.assertEqual(transport.producerState, "producing")
        self.receive(b"+PONG\r\n")
        self.assertEqual((self.link.is_up, transport.producerState), (True, "paused"))

    def test_pause_and_resume_without_a_connection_hold_for_the_next_one(self) -> None:
        self.link.pause()
        self.come_up()
        self.assertEqual(self.endpoint.transports[-1].producerState, "paused")
        self.lose()
        self.link.resume()
        self.wait(1)
        self.receive(b"+PONG\r\n")
        self.assertEqual((self.link.is_up, self.endpoint.transports[-1].producerState), (True, "producing"))

    def test_lost_connection_is_noticed_at_once_and_made_again(self) -> None:
        self.come_up()
        self.lose()
        self.assertEqual(self.events, ["up", "down"])
        self.wait(1)
        self.receive(b"+PONG\r\n")
        self.assertEqual(self.events, ["up", "down", "up"])

    def test_connection_lost_during_auth_is_retried(self) -> None:
        """txredisapi, given the password, would stop for ever."""
        self.password = b"secret"
        self.link.start()
        for _ in range(5):
            self.lose()
            self.wait(4)
        self.assertGreaterEqual(self.endpoint.attempts, 6)
        self.receive(b"+OK\r\n")
        self.receive(b"+PONG\r\n")
        self.assertTrue(self.link.is_up)

    def test_error_reply_of_the_setup_is_the_problem_and_retried(self) -> None:
        self.link.start()
        self.receive(b"-LOADING Redis is loading the dataset in memory\r\n")
        self.assertEqual(self.link.problem.summary, "it is loading its data (LOADING)")
        self.assertEqual(self.link.problem.detail, "LOADING Redis is loading the dataset in memory")
        self.wait(1)
        self.assertEqual(self.endpoint.attempts, 2)

    def test_error_before_the_end_is_the_problem(self) -> None:
        """The reply to a command whose failure does no harm, followed by the end of the connection."""
        for reply, summary in (
            (b"-ERR max number of clients reached\r\n", "it rejects the connection: max number of clients reached"),
            (b"-DENIED Redis is in protected mode\r\n", "it rejects the connection: it is in protected mode (DENIED)"),
            (b"-ERR upstream failure\r\n", "it replied with an error (ERR)"),
        ):
            self.harmless = True
            self.link.start()
            self.receive(reply)
            self.lose()
            self.assertEqual(self.link.problem.summary, summary)
            self.assertIn(reply[1:-2].decode(), self.link.problem.detail)
            self.link.stop()
            self.setUp()

    def test_error_is_the_problem_if_nothing_follows_it_at_all(self) -> None:
        self.harmless = True
        self.link.start()
        self.receive(b"-ERR max number of clients reached\r\n")
        self.wait(6)
        self.assertIn("max number of clients", self.link.problem.summary)

    def test_error_that_other_replies_followed_is_not_the_problem(self) -> None:
        self.harmless = True
        self.link.start()
        self.receive(b"-NOPERM no\r\n+PONG\r\n")
        self.lose()
        self.assertEqual(self.link.problem.summary, "the connection ended")

    def test_error_to_no_command_ends_the_connection(self) -> None:
        """A later reply would be taken for that to another command."""
        self.come_up()
        self.receive(b"-ERR Protocol error: invalid bulk length\r\n")
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.lose()
        self.assertEqual(self.link.problem.detail, "ERR Protocol error: invalid bulk length")

    def test_end_before_the_first_reply_points_at_tls(self) -> None:
        self.link.start()
        self.lose()
        self.assertEqual(
            self.link.problem.summary,
            "it ended the connection before its first reply: a port with TLS needs a rediss:// URL",
        )

    def test_server_of_another_protocol_is_the_problem(self) -> None:
        self.link.start()
        self.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.link.problem, Problem("the server does not speak the Redis protocol"))
        self.assertTrue(self.endpoint.transports[0].aborted)

    def test_outage_is_one_log_line_and_its_end_another(self) -> None:
        self.endpoint.mode = "refuse"
        with capturedLogs() as events:
            self.link.start()
            self.wait(60)
            self.endpoint.mode = "connect"
            self.wait(11)
            self.receive(b"+PONG\r\n")
            self.link.mark_healthy()
        self.assertGreater(self.endpoint.attempts, 5)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn, LogLevel.info])

    def test_retries_become_rarer_and_never_more_than_ten_seconds_apart(self) -> None:
        self.endpoint.mode = "refuse"
        self.link.start()
        self.wait(600)
        self.assertGreaterEqual(self.endpoint.attempts, 60)
        self.assertLessEqual(self.endpoint.attempts, 180)

    def test_stop_leaves_nothing_behind_in_any_state(self) -> None:
        for mode in ("connect", "refuse", "hang"):
            self.setUp()
            self.endpoint.mode = mode
            self.link.start()
            self.link.stop()
            self.link.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertFalse(self.link.is_up)
            self.assertEqual(self.link.problem, Problem("stopped"))
        self.setUp()
        self.come_up()
        self.link.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.assertEqual(self.events, ["up", "down"])

    def test_messages_and_replies_go_to_their_receivers_however_they_are_mixed(self) -> None:
        self.come_up()
        connection = self.link.current
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
        self.assertEqual(self.listener.messages, [(b"a", b"007")])
        self.assertEqual(self.listener.confirmed, [b"a"])
        self.assertEqual([self.successResultOf(reply) for reply in replies], [[b"pong", b""], b"42"])

    def test_waiting_commands_fail_when_the_connection_is_lost(self) -> None:
        self.come_up()
        assert self.link.current is not None
        waiting = self.link.current.command(b"GET", b"x")
        self.lose()
        self.failureResultOf(waiting)

    def test_unexpected_failure_of_the_setup_is_the_problem_and_retried(self) -> None:

        self.setup_error = RuntimeError("bug")
        self.link.start()
        self.assertEqual(self.link.problem, Problem("the connection failed", "bug"))
        self.wait(1)
        self.assertGreater(self.endpoint.attempts, 1)

    def test_end_of_an_earlier_connection_does_not_end_the_back_off(self) -> None:
        self.setup_error = RuntimeError("bug")
        self.link.start()
        self.lose()
        self.assertEqual((self.endpoint.attempts, len(self.clock.getDelayedCalls())), (1, 1))
        self.setup_error = None
        self.wait(1)
        self.receive(b"+PONG\r\n")
        self.assertEqual((self.endpoint.attempts, self.link.is_up), (2, True))

    def test_broken_callback_is_logged_and_the_connection_is_made_again(self) -> None:
        self.come_up()
        self.down_error = RuntimeError("bug")
        self.lose()
        self.assertEqual([failure.value for failure in self.flushLoggedErrors(RuntimeError)], [self.down_error])
        self.down_error = None
        self.wait(1)
        self.receive(b"+PONG\r\n")
        self.assertEqual(self.events, ["up", "down", "up"])

    def test_restarted_connection_ends_with_the_given_problem(self) -> None:
        self.link.restart(Problem("nothing to restart yet"))
        self.come_up()
        self.link.restart(Problem("no reply to the probe"))
        self.assertTrue(self.endpoint.transports[0].aborted)
        self.lose()
        self.assertEqual((self.events, self.link.problem), (["up", "down"], Problem("no reply to the probe")))


class StreamTests(SynchronousTestCase):
    """Input from the server, in any pieces and of any kind."""

    def setUp(self) -> None:
        self.listener = RecordingListener()
        self.connection = RedisConnection(self.listener, lambda _connection: None)
        self.transport = MemoryTransport(self.connection)
        self.connection.factory = Factory()
        self.connection.makeConnection(self.transport)

    @given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200)), max_size=10), st.data())
    def test_each_message_arrives_once_whole_and_in_order_however_the_stream_is_cut(
        self, messages: list[tuple[bytes, bytes]], data: st.DataObject
    ) -> None:
        self.setUp()
        stream = b"".join(
            b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(name), name, len(payload), payload)
            for name, payload in messages
        )
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            self.connection.dataReceived(stream[:size])
            stream = stream[size:]
        self.assertEqual(self.listener.messages, messages)

    @given(st.lists(st.binary(max_size=40) | st.sampled_from(GARBAGE), max_size=8))
    def test_any_input_is_understood_awaited_or_the_end_of_the_connection(self, pieces: list[bytes]) -> None:
        """Never an exception."""
        self.setUp()
        for piece in pieces:
            if self.transport.connected:
                self.connection.dataReceived(piece)
        self.assertTrue(self.transport.connected or self.transport.aborted)
