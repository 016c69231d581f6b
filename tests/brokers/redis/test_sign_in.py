"""Tests of `wsrelay.brokers.redis.sign_in` against servers of every age, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.connection import NullListener, RedisConnection
from wsrelay.brokers.redis.problems import RedisProblemError
from wsrelay.brokers.redis.sign_in import sign_in
from wsrelay.config.redis_url import RedisURL
from wsrelay.testing.transports import MemoryTransport

ONE_ARGUMENT = b"-ERR wrong number of arguments for 'auth' command\r\n"


class SignInTests(SynchronousTestCase):
    """`sign_in`."""

    def sign_in(self, url: str, *replies: bytes) -> tuple[list[bytes], Deferred[None]]:
        """Return what was sent after each reply, and the outcome."""
        self.connection = RedisConnection(NullListener(), lambda _connection: None)
        transport = MemoryTransport(self.connection)
        self.connection.makeConnection(transport)
        outcome = Deferred.fromCoroutine(sign_in(self.connection, RedisURL.parse(url), b"test"))
        sent: list[bytes] = []
        for reply in replies:
            sent.append(transport.drain())
            self.connection.dataReceived(reply)
        sent.append(transport.drain())
        return sent, outcome

    def auth(self, *words: bytes) -> bytes:
        """Return AUTH as it is sent."""
        parts = [b"AUTH", *words]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    def test_no_credentials_send_no_auth(self) -> None:
        for url in ("redis://h", "redis://default@h", "redis://:@h"):
            [sent], outcome = self.sign_in(url)
            self.successResultOf(outcome)
            self.assertIn(b"SETNAME", sent)
            self.assertNotIn(b"AUTH", sent)

    def test_user_without_a_password_signs_in_with_an_empty_one(self) -> None:
        for url in ("redis://app@h", "redis://app:@h"):
            sent, outcome = self.sign_in(url, b"+OK\r\n")
            self.successResultOf(outcome)
            self.assertEqual(sent[0], self.auth(b"app", b""))

    def test_server_without_users_gets_the_password_alone(self) -> None:
        """Redis before 6."""
        with capturedLogs() as events:
            sent, outcome = self.sign_in("redis://h:pw@h", ONE_ARGUMENT, b"+OK\r\n")
        self.successResultOf(outcome)
        self.assertEqual(sent[:2], [self.auth(b"h", b"pw"), self.auth(b"pw")])
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["Redis has no users (it is older than 6.0): signing in by the password alone"],
        )

    def test_wrong_password_of_a_server_without_users_is_told_as_such(self) -> None:
        _sent, outcome = self.sign_in("redis://h:pw@h", ONE_ARGUMENT, b"-ERR invalid password\r\n")
        self.assertIn("WRONGPASS", str(self.failureResultOf(outcome, RedisProblemError).value))

    def test_server_that_always_miscounts_is_asked_twice_at_most(self) -> None:
        sent, outcome = self.sign_in("redis://h:pw@h", ONE_ARGUMENT, ONE_ARGUMENT)
        self.failureResultOf(outcome, RedisProblemError)
        self.assertEqual(sent[-1], b"")

    def test_echoed_password_is_in_no_text(self) -> None:
        for reply in (
            b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n",
            b"-ERR hunter2\r\n",
            b"-WRONGPASS hunter2\r\n",
            b"-hunter2\r\n",
        ):
            _sent, outcome = self.sign_in("redis://:hunter2@h", reply)
            error: Any = self.failureResultOf(outcome, RedisProblemError).value
            self.connection.connectionLost(Failure(ConnectionDone()))
            self.assertNotIn("hunter2", f"{error} {error.problem} {self.connection.problem}")

    def test_refusal_in_place_of_the_reply_to_auth_is_told_as_such(self) -> None:
        _sent, outcome = self.sign_in("redis://:pw@h", b"-ERR max number of clients reached\r\n")
        self.assertIn("max number of clients", str(self.failureResultOf(outcome, RedisProblemError).value))
