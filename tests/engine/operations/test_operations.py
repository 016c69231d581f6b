"""Tests of wsrelay.engine.operations."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import make_node
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.client_commands import RefreshCommand, SubscribeCommand
from wsrelay.core.messaging.control import DisconnectCommand
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import (
    BrokerUnavailable,
    ChannelError,
    ClaimError,
    IdempotencyUnavailable,
    RejectedError,
)
from wsrelay.engine.operations import (
    MAX_IDEMPOTENCY_KEY_CHARACTERS,
    MAX_REVOKE_SECONDS,
    MAX_TICKET_SECONDS,
    Operations,
)
from wsrelay.testing.brokers import FakeBroker

USER = DisconnectCommand("user:42", Disconnect.REVOKED)


class OperationsCase(SynchronousTestCase):
    """Operations on a fake broker, at second 1000."""

    def setUp(self) -> None:
        self.broker = FakeBroker()
        namespaces = Namespaces((Namespace("rooms", ("room:*",), Access.AUTHENTICATED),))
        self.clock = Clock()
        node = make_node(self.broker, namespaces, self.clock)
        self.operations = Operations(self.broker, namespaces, lambda: 1000.0, node.survey, node.inflow)

    def stored(self, ticket: str) -> Any:
        """Redeem a ticket, and return its claims."""
        document = self.successResultOf(self.broker.credentials.redeem(ticket))
        return None if document is None else json.loads(document)

    def assert_nothing_sent(self) -> None:
        """Assert that no process was sent anything."""
        self.assertEqual((self.broker.published, self.broker.controls), ([], []))


class PublishTests(OperationsCase):
    """`Operations.publish`."""

    def test_message_is_published_byte_for_byte(self) -> None:
        result = self.successResultOf(self.operations.publish("room:1", b"\xff\0"))
        self.assertEqual(result, PublishResult())
        self.assertEqual(self.broker.published, [Publication("room:1", b"\xff\0")])

    def test_caller_waits_while_there_is_no_room(self) -> None:
        self.broker.sink.pressure_changed(is_high=True)
        first, second = self.operations.publish("room:1", b"1"), self.operations.publish("room:1", b"2")
        self.assertNoResult(first)
        self.assert_nothing_sent()
        self.broker.sink.pressure_changed(is_high=False)
        self.clock.advance(0)
        for outcome in (first, second):
            self.successResultOf(outcome)
        self.assertEqual([each.data for each in self.broker.published], [b"1", b"2"])

    def test_caller_that_gives_up_waiting_publishes_nothing(self) -> None:
        self.broker.sink.pressure_changed(is_high=True)
        outcome = self.operations.publish("room:1", b"1")
        outcome.cancel()
        self.failureResultOf(outcome, CancelledError)
        self.broker.sink.pressure_changed(is_high=False)
        self.clock.advance(0)
        self.assert_nothing_sent()

    def test_channel_outside_the_grammar_fails(self) -> None:
        self.failureResultOf(self.operations.publish("$control", b"x"), ChannelError)
        self.assert_nothing_sent()

    def test_channel_of_no_namespace_is_rejected(self) -> None:
        failure = self.failureResultOf(self.operations.publish("other", b"x"), RejectedError)
        error: Any = failure.value
        self.assertIs(error.client_error, ClientError.UNKNOWN_CHANNEL)
        self.assert_nothing_sent()

    def test_failure_of_the_broker_is_passed_on(self) -> None:
        self.broker.ready = False
        self.failureResultOf(self.operations.publish("room:1", b"x"), BrokerUnavailable)


class CreateTicketTests(OperationsCase):
    """`Operations.create_ticket`."""

    def test_ticket_has_the_claims_and_is_good_once(self) -> None:
        claims = {"sub": "42", "channels": ["room:1"], "exp": 1001}
        ticket = self.successResultOf(self.operations.create_ticket(claims))
        self.assertEqual(self.stored(ticket), claims)
        self.assertIsNone(self.stored(ticket))

    def test_tickets_differ(self) -> None:
        tickets = {self.successResultOf(self.operations.create_ticket({})) for _ in range(10)}
        self.assertEqual(len(tickets), 10)

    def test_lifetime_is_passed_to_the_store(self) -> None:
        lifetimes: list[int] = []

        def create(_ticket: str, _document: bytes, seconds: int) -> Deferred[bool]:
            lifetimes.append(seconds)
            return succeed(True)

        self.patch(self.broker.credentials, "create", create)
        for seconds in (1, MAX_TICKET_SECONDS):
            self.successResultOf(self.operations.create_ticket({}, seconds))
        self.successResultOf(self.operations.create_ticket({}))
        self.assertEqual(lifetimes, [1, 3600, 30])

    def test_unusable_claims_and_lifetimes_fail(self) -> None:
        odd: Any = True
        for claims, seconds in (
            ({"user": 1}, 30),
            ({"channels": "room:1"}, 30),
            ({"exp": 1000}, 30),
            ({"sub": "x", "channels": ["y" * 250] * 100}, 30),
            ({}, 0),
            ({}, MAX_TICKET_SECONDS + 1),
            ({}, odd),
        ):
            self.failureResultOf(self.operations.create_ticket(claims, seconds), ClaimError)

    def test_name_that_exists_fails(self) -> None:
        self.patch(self.broker.credentials, "create", lambda *_arguments: succeed(False))
        self.failureResultOf(self.operations.create_ticket({}), BrokerUnavailable)


class DisconnectTests(OperationsCase):
    """`Operations.disconnect`."""

    def test_all_processes_are_sent_the_command(self) -> None:
        self.assertIsNone(self.successResultOf(self.operations.disconnect(USER)))
        self.assertEqual(self.broker.controls, [(USER.to_bytes(), None)])
        self.assertEqual(self.successResultOf(self.broker.credentials.are_revoked(["user:42"])), [False])

    def test_target_is_revoked_before_the_command_is_sent(self) -> None:
        revoking: Deferred[None] = Deferred()
        self.patch(self.broker.credentials, "revoke", lambda _target, _seconds: revoking)
        done = self.operations.disconnect(USER, 60)
        self.assert_nothing_sent()
        revoking.callback(None)
        self.successResultOf(done)
        self.assertEqual(len(self.broker.controls), 1)

    def test_ticket_is_deleted(self) -> None:
        ticket = self.successResultOf(self.operations.create_ticket({"sub": "42"}))
        command = DisconnectCommand(f"ticket:{ticket}", Disconnect.REVOKED)
        self.successResultOf(self.operations.disconnect(command))
        self.assertIsNone(self.stored(ticket))

    def test_time_out_of_range_fails(self) -> None:
        odd: Any = "60"
        for seconds in (-1, MAX_REVOKE_SECONDS + 1, odd):
            self.failureResultOf(self.operations.disconnect(USER, seconds), ClaimError)
        self.assert_nothing_sent()


class ClientCommandTests(OperationsCase):
    """`Operations.subscribe` and `Operations.refresh`."""

    def test_all_processes_are_sent_the_command(self) -> None:
        subscribe, refresh = SubscribeCommand("42", ServerSubscription("room:1")), RefreshCommand("42", expires=5.0)
        self.assertIsNone(self.successResultOf(self.operations.subscribe(subscribe)))
        self.assertIsNone(self.successResultOf(self.operations.refresh(refresh)))
        self.assertEqual(self.broker.controls, [(each.to_bytes(), None) for each in (subscribe, refresh)])

    def test_channel_of_no_namespace_is_rejected(self) -> None:
        command = SubscribeCommand("42", ServerSubscription("other"))
        failure = self.failureResultOf(self.operations.subscribe(command), RejectedError)
        error: Any = failure.value
        self.assertIs(error.client_error, ClientError.UNKNOWN_CHANNEL)
        self.assert_nothing_sent()

    def test_failure_of_the_broker_is_passed_on(self) -> None:
        self.patch(self.broker, "send_control", lambda *_arguments: fail(BrokerUnavailable("away")))
        self.failureResultOf(self.operations.refresh(RefreshCommand("42")), BrokerUnavailable)
        command = SubscribeCommand("42", ServerSubscription("room:1"))
        self.failureResultOf(self.operations.subscribe(command), BrokerUnavailable)


class BroadcastTests(OperationsCase):
    """`Operations.broadcast`, and the options of `Operations.publish`."""

    def test_each_channel_has_an_outcome_of_its_own(self) -> None:
        outcomes = self.successResultOf(self.operations.broadcast(["room:1", "other", "$x", "room:2"], b"x"))
        kinds = [each.type if isinstance(each, Failure) else each for each in outcomes]
        self.assertEqual(kinds, [PublishResult(), RejectedError, ChannelError, PublishResult()])
        self.assertEqual(self.broker.published, [Publication("room:1", b"x"), Publication("room:2", b"x")])

    def test_idempotency_key_that_is_too_long_or_no_plain_text_is_refused(self) -> None:
        for key in ("k" * (MAX_IDEMPOTENCY_KEY_CHARACTERS + 1), "a\nb", "\u00e9", "\ud800"):
            self.failureResultOf(self.operations.publish("room:1", b"x", key), ClaimError)
        self.assert_nothing_sent()

    def test_idempotency_key_of_the_longest_length_reaches_the_publisher(self) -> None:
        key = "k" * MAX_IDEMPOTENCY_KEY_CHARACTERS
        self.failureResultOf(self.operations.publish("room:1", b"x", key), IdempotencyUnavailable)
