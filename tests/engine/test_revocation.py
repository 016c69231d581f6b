"""Tests of `wsrelay.engine.revocation`: control messages, and the lookup after an outage."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from tests.engine.harness import EngineCase, log_lines
from tests.engine.test_node import FailingConnection
from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.client import Client
from wsrelay.engine.revocation import RETRY_SECONDS, TARGETS_PER_LOOKUP
from wsrelay.engine.timers import RESOLUTION_SECONDS
from wsrelay.testing.connections import RecordingConnection

OUTAGE = BrokerUnavailable("the test says so")


class RevocationCase(EngineCase):
    """Authenticated clients, and the log."""

    def setUp(self) -> None:
        """Record the log, and number the connections."""
        super().setUp()
        self.events = self.enterContext(capturedLogs())
        self.count = 0

    def join_user(self, user: str, connection: RecordingConnection | None = None) -> tuple[RecordingConnection, Client]:
        """Return a client of a user, with a token of the same name, on the connections ``c1``, ``c2`` and so on."""
        self.count += 1
        identity = Identity(user, credential_id=f"token:{user}")
        return self.join(identity, connection=connection, connection_id=f"c{self.count}")

    @property
    def lines(self) -> list[tuple[object, str]]:
        """The level and the text of what was logged."""
        return list(log_lines(self.events))


class ControlTests(RevocationCase):
    """Control messages."""

    def test_clients_of_a_target_are_closed_and_the_log_says_how_many_and_not_which(self) -> None:
        mine, other = [self.join_user("42")[0] for _ in range(2)], self.join_user("43")[0]
        anonymous, _ = self.join_anonymous("public")
        self.send_control(disconnect={"user": "42"})
        self.send_control(disconnect={"token": "43"}, reconnect=True)
        self.send_control(disconnect={"connection": "c2"})
        self.assertEqual([each.disconnects for each in mine], [[Disconnect.REVOKED]] * 2)
        self.assertEqual((other.disconnects, anonymous.disconnects), ([Disconnect.RECONNECT], []))
        self.assertEqual(
            self.lines,
            [
                (LogLevel.info, "disconnecting 2 clients of one user"),
                (LogLevel.info, "disconnecting 1 clients of one token"),
                (LogLevel.info, "disconnecting 1 clients of one connection"),
            ],
        )

    def test_cached_answers_of_the_application_are_void(self) -> None:
        self.send_control(disconnect={"user": "42"})
        self.send_control(disconnect={"user": "43"})
        self.assertEqual(self.authenticator.cache_clears, 2)

    def test_target_that_no_client_here_has_closes_nobody(self) -> None:
        connection, client = self.join_user("42")
        for target in ({"user": "4"}, {"token": "user:42"}, {"connection": "42"}, {"ticket": "42"}):
            self.send_control(disconnect=target)
        client.connection_lost()
        self.send_control(disconnect={"user": "42"})
        self.assertEqual(connection.disconnects, [])

    def test_malformed_message_is_logged_without_its_text_and_ignored(self) -> None:
        connection, _ = self.join_user("42")
        for payload in (b"", b"secret-ticket", b'{"disconnect": {"user": "42", "token": "secret-ticket"}}', b"\xff"):
            self.broker.sink.control_received(payload)
        self.assertEqual((connection.disconnects, self.authenticator.cache_clears), ([], 0))
        self.assertEqual([level for level, _ in self.lines], [LogLevel.warn] * 4)
        self.assertFalse(any("secret-ticket" in line for _, line in self.lines))
        self.assertEqual(self.node.counters.control_messages_unknown, 0)

    def test_message_of_an_unknown_kind_is_counted_logged_once_and_ignored(self) -> None:
        # As a newer version sends them, beside this one during a deploy.
        connection, _ = self.join_user("42")
        self.send_control(rename={"user": "42", "channel": "news"})
        self.send_control(disconnect={"user": "43"})
        self.send_control(rename={"user": "42", "channel": "news"})
        self.send_control(version=2, pause={})
        self.assertEqual((connection.disconnects, self.node.counters.control_messages_unknown), ([], 3))
        self.assertEqual(
            self.lines,
            [
                (
                    LogLevel.info,
                    "control message of an unknown kind ignored: a process of a newer version sends them",
                ),
                (LogLevel.info, "disconnecting 0 clients of one user"),
            ],
        )
        self.assertEqual(self.authenticator.cache_clears, 1)
        self.send_control(disconnect={"user": "42"}, of_a_newer_version=True)
        self.assertEqual(connection.disconnects, [Disconnect.REVOKED])

    def test_client_that_cannot_be_closed_is_logged_and_costs_the_others_nothing(self) -> None:
        self.join_user("42", FailingConnection())
        last, _ = self.join_user("42")
        self.send_control(disconnect={"user": "42"})
        self.assertEqual(last.disconnects, [Disconnect.REVOKED])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ReconnectedTests(RevocationCase):
    """After an outage, in which control messages did not arrive."""

    def setUp(self) -> None:
        """Join users, and forget that they were looked up."""
        super().setUp()
        self.users = [self.join_user(user) for user in ("41", "42", "42", "43")]
        self.store.lookups.clear()

    @property
    def disconnects(self) -> list[list[AnyDisconnect]]:
        """The disconnects of each user."""
        return [connection.disconnects for connection, _ in self.users]

    def test_clients_that_were_revoked_meanwhile_by_any_target_are_closed_and_no_others(self) -> None:
        self.store.revoke("user:42", 60)
        self.store.revoke("token:43", 60)
        self.store.revoke("user:another", 60)
        self.assertEqual(self.disconnects, [[], [], [], []])
        self.broker.sink.disconnected(tuple(self.broker.wanted))
        self.broker.sink.reconnected()
        self.assertEqual(self.disconnects, [[], [Disconnect.REVOKED], [Disconnect.REVOKED], [Disconnect.REVOKED]])

    def test_one_connection_of_a_user_may_be_revoked(self) -> None:
        self.store.revoke("connection:c3", 60)
        self.broker.sink.reconnected()
        self.assertEqual(self.disconnects, [[], [], [Disconnect.REVOKED], []])

    def test_each_target_of_a_client_here_is_looked_up_once(self) -> None:
        self.users.pop()[1].connection_lost()
        self.join_anonymous("public")
        self.broker.sink.reconnected()
        connections, users, tokens = (
            (f"connection:c{each}" for each in (1, 2, 3)),
            ("user:41", "user:42"),
            ("token:41", "token:42"),
        )
        self.assertEqual(self.store.lookups, [[*connections, *users, *tokens]])

    def test_many_targets_are_looked_up_in_several_steps_one_after_the_other(self) -> None:
        crowd = [self.join_user(str(number))[0] for number in range(1000, 1000 + TARGETS_PER_LOOKUP)]
        self.store.lookups.clear()
        self.store.is_slow = True
        self.broker.sink.reconnected()
        total = len(self.node.registry.targets())
        sizes = []
        while self.store.answers:
            answer: Deferred[object]
            (answer,), self.store.answers = self.store.answers, []  # type: ignore[assignment]  # answered with bools
            targets = self.store.lookups[-1]
            sizes.append(len(targets))
            answer.callback([target == f"user:{999 + TARGETS_PER_LOOKUP}" for target in targets])
        self.assertEqual((sum(sizes), max(sizes), len(sizes)), (total, TARGETS_PER_LOOKUP, 4))
        self.assertEqual(len({target for targets in self.store.lookups for target in targets}), total)
        self.assertEqual(sum(len(connection.disconnects) for connection in crowd), 1)
        self.assertEqual(crowd[-1].disconnects, [Disconnect.REVOKED])

    def test_nothing_is_looked_up_where_no_client_is_authenticated(self) -> None:
        for _, client in self.users:
            client.connection_lost()
        self.join_anonymous("public")
        self.broker.sink.reconnected()
        self.assertEqual((self.store.lookups, self.lines), ([], []))

    def test_client_that_leaves_during_the_lookup_is_left_alone(self) -> None:
        self.store.is_slow = True
        self.broker.sink.reconnected()
        self.users[0][1].connection_lost()
        (targets,) = self.store.lookups
        self.store.answers[0].callback([True] * len(targets))
        self.assertEqual([len(each) > 0 for each in self.disconnects], [False, True, True, True])

    def test_client_that_cannot_be_closed_is_logged_and_costs_the_others_nothing(self) -> None:
        self.join_user("42", FailingConnection())
        last, _ = self.join_user("42")
        self.store.revoke("user:42", 60)
        self.broker.sink.reconnected()
        self.assertEqual(last.disconnects, [Disconnect.REVOKED])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_lookup_that_finds_the_store_away_is_repeated_until_it_succeeds(self) -> None:
        self.store.revoke("user:42", 60)
        self.store.failure = OUTAGE
        self.broker.sink.reconnected()
        self.broker.sink.reconnected()
        for _ in range(3):
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(RETRY_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((len(self.store.lookups), self.disconnects, self.lines), (5, [[], [], [], []], []))
        self.store.failure = None
        self.clock.advance(RETRY_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.disconnects, [[], [Disconnect.REVOKED], [Disconnect.REVOKED], []])
        self.clock.advance(10 * RETRY_SECONDS)
        self.assertEqual((len(self.store.lookups), self.clock.getDelayedCalls()), (6, []))

    def test_two_slow_lookups_that_fail_are_repeated_as_one(self) -> None:
        self.store.is_slow = True
        self.broker.sink.reconnected()
        self.broker.sink.reconnected()
        for answer in self.store.answers:
            answer.errback(OUTAGE)
        self.store.is_slow = False
        self.store.lookups.clear()
        self.clock.advance(2 * RETRY_SECONDS)
        self.assertEqual(len(self.store.lookups), 1)

    def test_failure_of_ours_is_logged_once_closes_nobody_and_is_repeated(self) -> None:
        self.store.failure = ZeroDivisionError()
        self.broker.sink.reconnected()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.disconnects, [[], [], [], []])
        self.store.failure = None
        self.store.revoke("user:41", 60)
        self.clock.advance(RETRY_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.disconnects, [[Disconnect.REVOKED], [], [], []])

    def test_stopped_node_does_not_repeat_the_lookup(self) -> None:
        self.store.failure = OUTAGE
        self.broker.sink.reconnected()
        self.node.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
