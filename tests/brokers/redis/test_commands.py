"""Tests of `wsrelay.brokers.redis.commands` on a fake clock."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.command_sender import (
    HIGH_BYTES,
    HIGH_COMMANDS,
    MAX_BYTES_IN_FLIGHT,
    MAX_COMMANDS_IN_FLIGHT,
    TURN_COMMANDS,
)
from wsrelay.brokers.redis.commands import Commands
from wsrelay.brokers.redis.problems import Problem
from wsrelay.brokers.redis.request_protocol import MAX_COLLECTED, NotConnectedError, pack_command
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.testing.transports import MemoryTransport

TOO_SLOW = "Redis is too slow: too many commands wait for its reply"


class Endpoint:
    """Connects at once to a transport in memory."""

    transport: MemoryTransport

    def connect(self, factory: Factory) -> Deferred[Any]:
        connection: Any = factory.buildProtocol(None)
        self.transport = MemoryTransport(connection)
        connection.makeConnection(self.transport)
        return succeed(connection)


class CommandsTests(SynchronousTestCase):
    """Commands in flight."""

    def setUp(self) -> None:
        endpoint: Any = Endpoint()
        clock: Any = Clock()
        self.clock = clock
        self.endpoint = endpoint
        self.pressure: list[bool] = []
        self.commands = Commands(
            RedisAddress(RedisURL.parse("redis://h"), lambda _url: endpoint),
            on_up=lambda: None,
            on_down=lambda: None,
            clock=clock,
            rng=Random(1),
            on_pressure=self.pressure_changed,
        )
        self.commands.link.start()
        self.addCleanup(self.commands.link.stop)
        self.receive(b"+OK\r\n+PONG\r\n-ERR This instance has cluster support disabled\r\n")

    def receive(self, data: bytes) -> None:
        """Let data of Redis arrive."""
        self.endpoint.transport.protocol.dataReceived(data)

    def pressure_changed(self, *, is_high: bool) -> None:
        """Record it."""
        self.pressure.append(is_high)

    def ask(self, word: bytes = b"x") -> None:
        """Send a command whose outcome does not matter."""
        self.commands.post((b"GET", word), lambda _error: None)

    def written(self) -> int:
        """Return how many commands have been written since the last call."""
        data: bytes = self.endpoint.transport.value()
        self.endpoint.transport.clear()
        return data.count(b"\r\nGET\r\n")

    @property
    def in_flight(self) -> tuple[int, int]:
        return self.commands.in_flight, self.commands.bytes_in_flight

    def test_reply_is_the_result_and_nothing_is_in_flight_afterwards(self) -> None:
        replies = [self.commands.send(b"GET", b"a"), self.commands.send(b"GET", b"bc")]
        self.assertEqual(self.in_flight, (2, 9))
        self.receive(b"$1\r\n1\r\n-ERR no\r\n")
        self.assertEqual(self.successResultOf(replies[0]), b"1")
        self.assertEqual(str(self.failureResultOf(replies[1], BrokerUnavailable).value), "ERR no")
        self.assertEqual(self.in_flight, (0, 0))

    def test_every_word_counts_towards_the_bytes_in_flight(self) -> None:
        document = bytes(MAX_BYTES_IN_FLIGHT - 11)
        first = self.commands.send(b"SET", b"t", document, b"EX", b"30", b"NX")
        self.assertEqual(self.in_flight, (1, MAX_BYTES_IN_FLIGHT - 1))
        error = self.failureResultOf(self.commands.send(b"GET", b"a"), BrokerUnavailable).value
        self.assertEqual((str(error), self.in_flight), (TOO_SLOW, (1, MAX_BYTES_IN_FLIGHT - 1)))
        one_byte = self.commands.send(b"X")
        self.receive(b"+OK\r\n+OK\r\n")
        self.assertEqual([self.successResultOf(reply) for reply in (first, one_byte)], [b"OK", b"OK"])
        self.assertEqual(self.in_flight, (0, 0))

    def test_commands_beyond_the_limit_fail_until_a_reply_comes(self) -> None:
        replies = [self.commands.send(b"PING") for _ in range(MAX_COMMANDS_IN_FLIGHT)]
        error = self.failureResultOf(self.commands.send(b"PING"), BrokerUnavailable).value
        self.assertEqual(str(error), TOO_SLOW)
        self.receive(b"+PONG\r\n")
        replies.append(self.commands.send(b"PING"))
        self.receive(b"+PONG\r\n" * MAX_COMMANDS_IN_FLIGHT)
        self.assertEqual({self.successResultOf(reply) for reply in replies}, {b"PONG"})

    def test_posted_command_has_one_outcome(self) -> None:
        outcomes: list[BrokerUnavailable | None] = []
        for _ in range(2):
            self.commands.post((b"GET", b"abc"), outcomes.append)
        self.assertEqual((outcomes, self.in_flight), ([], (2, 12)))
        self.receive(b"$1\r\n1\r\n-ERR no\r\n")
        self.assertEqual(([str(each) for each in outcomes], self.in_flight), (["None", "ERR no"], (0, 0)))
        self.commands.post((b"GET", bytes(MAX_BYTES_IN_FLIGHT)), outcomes.append)
        self.assertEqual(str(outcomes[2]), TOO_SLOW)
        self.commands.post((b"GET", b"abc"), outcomes.append)
        self.endpoint.transport.connected = False
        self.endpoint.transport.protocol.connectionLost(Failure(ConnectionLost()))
        self.commands.post((b"GET", b"abc"), outcomes.append)
        self.assertEqual([type(each) for each in outcomes[3:]], [BrokerUnavailable] * 2)

    def test_command_that_finds_nothing_in_flight_is_written_at_once_and_the_others_when_the_turn_ends(self) -> None:
        self.written()
        for number in range(5):
            self.ask(b"%d" % number)
            self.assertEqual(self.written(), 1 if number == 0 else 0)
        self.clock.advance(0)
        self.assertEqual(self.written(), 4)
        self.receive(b"+OK\r\n" * 5)
        self.ask(b"5")
        self.assertEqual((self.written(), self.clock_calls()), (1, 0))

    def test_many_commands_are_written_before_the_turn_ends(self) -> None:
        self.written()
        for _ in range(1 + MAX_COLLECTED):
            self.ask()
        self.assertEqual(self.written(), 1 + MAX_COLLECTED)

    def test_order_is_that_of_the_calls_whatever_is_collected(self) -> None:
        connection = self.commands.link.current
        assert connection is not None
        self.endpoint.transport.clear()
        self.ask(b"0")
        self.ask(b"1")
        connection.command(b"GET", b"2")
        self.commands.send_each([pack_command((b"GET", b"3"))], lambda _replies: None)
        self.ask(b"4")
        connection.send_subscribe(b"5")
        self.ask(b"6")
        self.clock.advance(0)
        written = self.endpoint.transport.value()
        places = [written.index(b"$1\r\n%d\r\n" % number) for number in range(7)]
        self.assertEqual(places, sorted(places))
        self.receive(b"+OK\r\n" * 7)

    def test_commands_that_are_collected_when_the_connection_is_lost_fail_and_are_not_written(self) -> None:
        replies = [self.commands.send(b"GET", b"x") for _ in range(2)]
        self.endpoint.transport.connected = False
        self.endpoint.transport.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0)
        for reply in replies:
            self.failureResultOf(reply, BrokerUnavailable)
        self.assertEqual(self.in_flight, (0, 0))

    def test_many_commands_in_one_turn_are_pressure_until_the_next(self) -> None:
        for number in range(TURN_COMMANDS + 10):
            self.assertEqual(self.pressure, [True] if number >= TURN_COMMANDS else [])
            self.ask()
        self.receive(b"+OK\r\n" * 5)
        self.assertEqual(self.pressure, [True])
        self.clock.advance(0)
        self.assertEqual(self.pressure, [True, False])

    def test_many_commands_in_flight_are_pressure_until_half_of_them_are_answered(self) -> None:
        for _ in range(HIGH_COMMANDS):
            self.ask()
            self.clock.advance(0)
        self.assertEqual(self.pressure, [True])
        self.receive(b"+OK\r\n" * (HIGH_COMMANDS // 2 - 1))
        self.assertEqual(self.pressure, [True])
        self.receive(b"+OK\r\n")
        self.assertEqual(self.pressure, [True, False])

    def test_many_bytes_in_flight_are_pressure_until_half_of_them_are_answered(self) -> None:
        replies = [self.commands.send(b"GET", bytes(HIGH_BYTES // 4)) for _ in range(4)]
        self.clock.advance(0)
        for number, reply in enumerate(replies):
            self.assertEqual(self.pressure, [True, False] if number == 3 else [True])
            self.receive(b"+OK\r\n")
            self.successResultOf(reply)

    def test_pressure_ends_with_the_connection(self) -> None:
        replies = [self.commands.send(b"GET", b"x") for _ in range(HIGH_COMMANDS)]
        self.endpoint.transport.connected = False
        self.endpoint.transport.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0)
        self.assertEqual((self.pressure, self.in_flight), ([True, False], (0, 0)))
        for reply in replies:
            self.failureResultOf(reply, BrokerUnavailable)

    def clock_calls(self) -> int:
        """Return how many calls are due now."""
        return sum(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())

    def test_commands_in_flight_fail_with_the_connection(self) -> None:
        reply = self.commands.send(b"GET", b"a")
        self.endpoint.transport.connected = False
        self.endpoint.transport.protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(reply, BrokerUnavailable)
        self.assertEqual(self.in_flight, (0, 0))
        self.failureResultOf(self.commands.send(b"GET", b"a"), BrokerUnavailable)

    def test_several_nodes_of_a_cluster_are_logged_once(self) -> None:
        for description, warnings in (
            (b"cluster_enabled:1\r\ncluster_size:1\r\n", 0),
            (b"cluster_state:ok\r\ncluster_size:3\r\n", 1),
            (b"cluster_state:ok\r\ncluster_size:3\r\n", 0),
            (b"nothing", 0),
        ):
            self.commands.link.restart(Problem("test"))
            self.endpoint.transport.protocol.connectionLost(Failure(ConnectionLost()))
            self.clock.pump([0.1] * 20)
            with capturedLogs() as events:
                self.receive(b"+OK\r\n+PONG\r\n$%d\r\n%s\r\n" % (len(description), description))
            self.assertTrue(self.commands.link.is_up)
            found = [event for event in events if "is a cluster of" in event["log_format"]]
            self.assertEqual(len(found), warnings, description)

    def test_commands_that_are_sent_together_have_one_result(self) -> None:
        before = self.endpoint.transport.value()
        replies: list[Any] = []
        self.commands.send_each([pack_command((b"GET", name)) for name in (b"a", b"b", b"c")], replies.extend)
        self.assertEqual(self.in_flight, (3, 3 * len(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")))
        self.assertEqual(self.endpoint.transport.value()[len(before) :].count(b"GET"), 3)
        self.receive(b"$1\r\n1\r\n-WRONGTYPE no\r\n")
        self.assertEqual(replies, [])
        self.receive(b"$1\r\n3\r\n")
        first, second, third = replies
        self.assertEqual((first, str(second), third), (b"1", "WRONGTYPE no", b"3"))
        self.assertEqual(self.in_flight, (0, 0))

    def test_commands_that_are_sent_together_have_an_error_each_when_the_connection_is_lost(self) -> None:
        replies: list[Any] = []
        self.commands.send_each([pack_command((b"GET", name)) for name in (b"a", b"b", b"c")], replies.extend)
        self.receive(b"$1\r\n1\r\n")
        self.endpoint.transport.connected = False
        self.endpoint.transport.protocol.connectionLost(Failure(ConnectionLost()))
        first, *others = replies
        self.assertEqual((first, [type(each) for each in others]), (b"1", [NotConnectedError] * 2))
        self.assertEqual(self.in_flight, (0, 0))
        with self.assertRaises(BrokerUnavailable):
            self.commands.send_each([pack_command((b"GET", b"a"))], replies.extend)

    def test_transaction_has_the_replies_of_its_commands(self) -> None:
        replies = self.commands.transaction((b"GET", b"a"), (b"XINFO", b"STREAM", b"b"))
        self.receive(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n-ERR no such key\r\n")
        first, second = self.successResultOf(replies)
        self.assertEqual((first, str(second), self.in_flight), (b"1", "ERR no such key", (0, 0)))

    def test_rejected_transaction_fails_with_the_error_of_its_end(self) -> None:
        replies = self.commands.transaction((b"NO", b"a"))
        self.receive(b"+OK\r\n-ERR unknown command\r\n-EXECABORT discarded\r\n")
        self.assertEqual(str(self.failureResultOf(replies, BrokerUnavailable).value), "EXECABORT discarded")

    def test_commands_that_a_reply_causes_are_written_together_and_in_order(self) -> None:
        def go_on(_reply: object) -> None:
            connection = self.commands.link.current
            assert connection is not None
            self.commands.send(b"GET", b"1")
            self.commands.send(b"GET", b"2")
            connection.command(b"GET", b"3")
            self.commands.send(b"GET", b"4")

        self.commands.send(b"GET", b"0").addCallback(go_on)
        self.endpoint.transport.clear()
        self.receive(b"$1\r\n0\r\n")
        written = self.endpoint.transport.value()
        places = [written.index(b"$1\r\n%d\r\n" % number) for number in range(1, 5)]
        self.assertEqual(places, sorted(places))
        self.receive(b"$1\r\n0\r\n" * 4)
