"""Tests of `wsrelay.transports.ping_schedule`."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.messages import Message
from wsrelay.core.wire.frames import Opcode, frame
from wsrelay.core.wire.framing import WebSocketFraming
from wsrelay.dialects import CENTRIFUGO_ROUTES, RAW
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.timers import TimerWheel
from wsrelay.transports.ping_schedule import PONG_GRACE_SECONDS, Ping, PingGroup, PingSchedule

CENTRIFUGO_JSON = next(route for route in CENTRIFUGO_ROUTES if route.dialect.ping() == Message(b"{}"))
INTERVAL = 10.0
TIMEOUT = 4.0


class _Connection:
    """A connection that keeps what it is sent. Implements `Pinged`."""

    def __init__(self, *, answers: bool = True) -> None:
        self.ping_group: PingGroup | None = None
        self.pings: list[Ping] = []
        self.missing = 0
        self.answers = answers
        self.error: Exception | None = None

    def send_ping(self, ping: Ping) -> bool:
        self.pings.append(ping)
        if self.error is not None:
            raise self.error
        return self.answers

    def pong_missing(self) -> None:
        self.missing += 1
        if self.error is not None:
            raise self.error


class PingScheduleTests(SynchronousTestCase):
    """Pings every ten seconds, answers within four."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.timers = TimerWheel(self.clock)
        self.schedule = PingSchedule(self.timers, INTERVAL, TIMEOUT, Random(1))

    def started(self, *, answers: bool = True) -> _Connection:
        """Return a connection that is pinged from now on."""
        connection = _Connection(answers=answers)
        self.schedule.start(connection)
        return connection

    def wait_for_ping(self, connection: _Connection) -> float:
        """Let time pass until a connection is pinged once more; return how long that took, in seconds."""
        start, count = self.clock.seconds(), len(connection.pings)
        while len(connection.pings) == count:
            self.pass_time(0.25)
            self.assertLessEqual(self.clock.seconds() - start, INTERVAL + 0.5)
        took: float = self.clock.seconds() - start
        return took

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps of a quarter of a second."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def test_pings_are_spread_over_the_last_fifth_of_the_interval(self) -> None:
        connections = [self.started() for _ in range(500)]
        self.pass_time(7.75)
        self.assertEqual(sum(len(each.pings) for each in connections), 0)
        counts = []
        for _ in range(10):
            self.pass_time(0.25)
            counts.append(sum(len(each.pings) for each in connections))
        self.assertEqual(counts[-1], 500)
        self.assertEqual(len(set(counts)), 5)

    def test_connections_that_are_due_together_are_sent_the_same_ping(self) -> None:
        connections = [self.started() for _ in range(500)]
        self.pass_time(INTERVAL + 0.5)
        self.assertLessEqual(len({id(each.pings[0]) for each in connections}), 5)

    def test_payload_of_one_ping_is_not_that_of_the_next(self) -> None:
        connection = self.started()
        for _ in range(5):
            self.wait_for_ping(connection)
            self.assertTrue(self.schedule.pong_received(connection, connection.pings[-1].payload))
        self.assertEqual(len({each.payload for each in connection.pings}), 5)

    def test_next_ping_is_counted_from_the_answer(self) -> None:
        connection = self.started()
        self.wait_for_ping(connection)
        self.pass_time(3)
        self.schedule.answered(connection)
        self.assertGreaterEqual(self.wait_for_ping(connection), INTERVAL * 0.8)

    def test_connection_that_answers_nothing_is_given_up_after_timeout_and_grace(self) -> None:
        connections = [self.started() for _ in range(40)]
        silent = connections[0]
        self.wait_for_ping(silent)
        together = [each for each in connections if each.ping_group is silent.ping_group]
        self.assertGreater(len(together), 1)
        self.pass_time(TIMEOUT + PONG_GRACE_SECONDS - 0.25)
        for connection in together[1:]:
            self.assertTrue(self.schedule.pong_received(connection, silent.pings[0].payload))
        self.assertEqual(silent.missing, 0)
        self.pass_time(0.25)
        self.assertEqual((silent.missing, silent.ping_group), (1, None))
        self.assertEqual([each.missing for each in together[1:]], [0] * (len(together) - 1))

    def test_pong_with_any_other_payload_is_no_answer(self) -> None:
        connection = self.started()
        self.assertFalse(self.schedule.pong_received(connection, b""))
        self.wait_for_ping(connection)
        for payload in (b"", b"\0", connection.pings[0].payload + b"\0"):
            self.assertFalse(self.schedule.pong_received(connection, payload))
        self.pass_time(TIMEOUT + PONG_GRACE_SECONDS)
        self.assertEqual(connection.missing, 1)

    def test_second_pong_is_no_answer(self) -> None:
        connection = self.started()
        self.wait_for_ping(connection)
        payload = connection.pings[0].payload
        self.assertEqual([self.schedule.pong_received(connection, payload) for _ in range(2)], [True, False])

    def test_pong_that_comes_after_a_stall_is_in_time(self) -> None:
        connection = self.started()
        self.wait_for_ping(connection)
        self.clock.advance(60)
        self.assertTrue(self.schedule.pong_received(connection, connection.pings[0].payload))
        self.pass_time(TIMEOUT + PONG_GRACE_SECONDS)
        self.assertEqual(connection.missing, 0)

    def test_message_without_a_pending_ping_changes_nothing(self) -> None:
        connection = self.started()
        group = connection.ping_group
        self.schedule.answered(connection)
        self.assertIs(connection.ping_group, group)
        self.schedule.answered(_Connection())

    def test_connection_whose_pings_have_no_answer_is_pinged_at_the_interval(self) -> None:
        connection = self.started(answers=False)
        for _ in range(5):
            self.assertGreaterEqual(self.wait_for_ping(connection), INTERVAL * 0.8 - 0.5)
        self.assertEqual(connection.missing, 0)

    def test_stopped_connections_are_not_pinged_and_leave_no_timer(self) -> None:
        due, pending = self.started(), self.started()
        self.wait_for_ping(pending)
        self.schedule.start(again := _Connection())
        for connection in (due, pending, again, _Connection()):
            self.schedule.stop(connection)
            self.schedule.stop(connection)
        count = len(due.pings)
        self.assertEqual(sum(map(len, self.timers._buckets.values())), 0)
        self.pass_time(INTERVAL * 3)
        self.assertEqual((len(due.pings), due.missing, pending.missing), (count, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connection_that_ends_while_others_of_its_group_are_pinged_is_not_pinged(self) -> None:
        schedule = self.schedule

        class _Ending(_Connection):
            def send_ping(self, ping: Ping) -> bool:
                for connection in connections:
                    if connection is not self:
                        schedule.stop(connection)
                return super().send_ping(ping)

        connections = [_Ending() for _ in range(40)]
        for connection in connections:
            schedule.start(connection)
        self.pass_time(INTERVAL + 0.5)
        self.assertEqual(sum(len(connection.pings) for connection in connections), 1)

    def test_connection_that_ends_while_others_are_given_up_is_not_given_up(self) -> None:
        schedule = self.schedule

        class _Ending(_Connection):
            def pong_missing(self) -> None:
                super().pong_missing()
                for connection in connections:
                    schedule.stop(connection)

        connections = [_Ending() for _ in range(40)]
        for connection in connections:
            schedule.start(connection)
        self.pass_time(INTERVAL + 0.5 + TIMEOUT + PONG_GRACE_SECONDS)
        self.assertEqual(sum(connection.missing for connection in connections), 1)

    def test_failure_of_one_connection_costs_the_others_neither_ping_nor_deadline(self) -> None:
        connections = [self.started() for _ in range(40)]
        for connection in connections[::2]:
            connection.error = ValueError("broken")
        self.pass_time(INTERVAL + 0.5 + TIMEOUT + PONG_GRACE_SECONDS)
        self.assertEqual([(len(each.pings), each.missing) for each in connections], [(1, 1)] * 40)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 40)

    def test_suspended_connection_is_pinged_and_expected_to_answer_nothing(self) -> None:
        connection = self.started()
        self.wait_for_ping(connection)
        self.schedule.suspend(connection)
        for _ in range(5):
            self.assertGreaterEqual(self.wait_for_ping(connection), INTERVAL * 0.8 - 0.5)
        self.assertEqual(connection.missing, 0)
        self.schedule.resume(connection)
        self.pass_time(INTERVAL + 0.5 + TIMEOUT + PONG_GRACE_SECONDS)
        self.assertEqual(connection.missing, 1)

    def test_connection_suspended_before_its_ping_is_expected_to_answer_the_first_behind_the_end_of_that(self) -> None:
        connection = self.started()
        self.schedule.suspend(connection)
        self.wait_for_ping(connection)
        self.assertFalse(self.schedule.pong_received(connection, connection.pings[0].payload))
        self.schedule.resume(connection)
        self.wait_for_ping(connection)
        self.assertTrue(self.schedule.pong_received(connection, connection.pings[1].payload))

    def test_connection_that_is_not_pinged_cannot_be_suspended(self) -> None:
        connection = self.started()
        self.schedule.suspend(connection)
        self.schedule.stop(connection)
        self.schedule.suspend(connection)
        self.schedule.resume(connection)
        self.assertEqual(self.schedule._suspended, set())


class PingTests(SynchronousTestCase):
    """The pings of a group."""

    def test_frame_is_a_ping_with_the_payload(self) -> None:
        self.assertEqual(Ping(b"1234").frame, frame(Opcode.PING, b"1234"))

    def test_ping_of_a_dialect_is_made_once_for_each_encoding(self) -> None:
        ping, dialect = Ping(b"1234"), CENTRIFUGO_JSON.dialect
        encoding = Encoding(dialect, WebSocketFraming())
        data = ping.of_dialect(dialect, encoding)
        self.assertEqual(data, b"\x81\x02{}")
        self.assertIs(ping.of_dialect(dialect, encoding), data)

    def test_dialect_without_pings_of_its_own_has_no_bytes(self) -> None:
        self.assertEqual(Ping(b"1234").of_dialect(RAW.dialect, Encoding(RAW.dialect, WebSocketFraming())), b"")
