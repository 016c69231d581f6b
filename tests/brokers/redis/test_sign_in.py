"""Tests of `wsrelay.brokers.redis.sign_in` against servers of every age, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.problems import RedisProblemError
from wsrelay.brokers.redis.pubsub_listener import NullListener
from wsrelay.brokers.redis.sign_in import sign_in
from wsrelay.config.redis_url import RedisURL
from wsrelay.testing.transports import MemoryTransport

ONE_ARGUMENT = b"-ERR wrong number of arguments for 'auth' command\r\n"


class SignInTests(SynchronousTestCase):
    """`sign_in`."""

    def address(self, url: str) -> RedisAddress:
        """Return the address of a URL, to which nothing connects."""
        unused: Any = None
        return RedisAddress(RedisURL.parse(url), lambda _url: unused)

    def sign_in(self, url: str, *replies: bytes, address: RedisAddress | None = None) -> tuple[list[bytes], Any]:
        """Return what was sent after each reply, and the outcome of signing in on a connection to a URL."""
        self.connection = RedisConnection(NullListener(), lambda _connection: None)
        self.connection.url = RedisURL.parse(url)
        transport = MemoryTransport(self.connection)
        self.connection.makeConnection(transport)
        outcome = Deferred.fromCoroutine(sign_in(self.connection, address or self.address(url), b"test"))
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
        address = self.address("redis://h:pw@h")
        with capturedLogs() as events:
            for _ in range(3):
                sent, outcome = self.sign_in("redis://h:pw@h", ONE_ARGUMENT, b"+OK\r\n", address=address)
                self.successResultOf(outcome)
                self.assertEqual(sent[:2], [self.auth(b"h", b"pw"), self.auth(b"pw")])
        # Once, however often it connects.
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

    def test_connection_signs_in_with_the_url_that_it_was_made_with(self) -> None:
        """The password of another server, set while it was connecting, must not reach this one."""
        address = self.address("redis://:old@h")
        address.prepare(RedisURL.parse("rediss://:new@elsewhere"))()
        sent, outcome = self.sign_in("redis://:old@h", b"+OK\r\n", address=address)
        self.assertEqual(sent[0], self.auth(b"old"))
        self.assertEqual(self.successResultOf(outcome).password, "old")

    def test_echoed_password_is_in_no_text(self) -> None:
        for password in ("hunter2", "HUNTER", "ERR"):
            for reply in (
                f"ERR unknown command 'AUTH', with args beginning with: '{password}x'",
                f"ERR {password}x",
                f"WRONGPASS {password}x",
                f"{password}x is not known",
                f"{password}x",
            ):
                _sent, outcome = self.sign_in(f"redis://:{password}x@h", f"-{reply}\r\n".encode())
                error: Any = self.failureResultOf(outcome, RedisProblemError).value
                self.connection.connectionLost(Failure(ConnectionDone()))
                self.assertNotIn(f"{password}x", f"{error} {error.problem} {self.connection.problem}")

    def test_refusal_in_place_of_the_reply_to_auth_is_told_as_such(self) -> None:
        _sent, outcome = self.sign_in("redis://:pw@h", b"-ERR max number of clients reached\r\n")
        self.assertIn("max number of clients", str(self.failureResultOf(outcome, RedisProblemError).value))
