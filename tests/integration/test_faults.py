"""The most telling faults, and the audit that every fault relies on."""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from devtools.faults import scenarios
from devtools.faults.audit import DeliveryReport, audit
from devtools.faults.clients import ConnectionRecord
from devtools.faults.fault import TABLE
from devtools.faults.publisher import MessageState, NumberedMessage
from devtools.faults.result import FaultResult
from devtools.faults.run import run
from devtools.harness.redis_server import require_redis

SMOKE_FAULTS = (
    "subscriptions-are-forgotten",
    "failover-leaves-a-deaf-replica",
    "redis-is-killed",
    "rolling-deploy",
    "clients-do-not-read",
    "nobody-wants-to-know",
)


class FaultTests(SynchronousTestCase):
    """Faults of real processes. ``make faults`` runs all of them."""

    timeout = 180

    def test_no_message_is_lost_silently_in_the_smoke_faults(self) -> None:
        """Every loss is announced; where gap notices are off, the silent loss is seen."""
        require_redis()
        self.assertTrue(scenarios.__all__)
        seen: list[FaultResult] = []
        results = asyncio.run(
            run([TABLE[name] for name in SMOKE_FAULTS], concurrency=3, minutes=2, on_result=seen.append)
        )
        self.assertEqual({result.name: result.problems for result in results if result.problems}, {})
        self.assertEqual(len(seen), len(SMOKE_FAULTS))


class AuditTests(SynchronousTestCase):
    """The delivery report of a connection."""

    def audit(self, *numbers: int, closed: float | None = None, opened: float = 0.5) -> DeliveryReport:
        """Return the report of a connection that received these of five messages, published at 0, 1, 2, 3 and 4."""
        log = [NumberedMessage(float(moment), MessageState.ACCEPTED) for moment in range(5)]
        connection = ConnectionRecord("c0", 1, opened, numbers=list(numbers), times=[9.0] * len(numbers), closed=closed)
        return audit([connection], {"c0": log}, until=10.0)

    def test_messages_before_the_handshake_are_not_expected(self) -> None:
        delivery = self.audit(1, 2, 3, 4)
        self.assertEqual((delivery.expected, delivery.lost, delivery.disordered), (4, 0, 0))

    def test_message_missing_on_an_open_connection_is_a_silent_loss(self) -> None:
        for numbers in ((1, 2, 4), (2, 3, 4), (1, 2, 3)):
            delivery = self.audit(*numbers)
            self.assertEqual((delivery.lost, delivery.silent, delivery.announced), (1, 1, 0))

    def test_message_missing_on_a_closed_connection_is_an_announced_loss(self) -> None:
        """After its end no message is expected."""
        delivery = self.audit(1, closed=3.5)
        self.assertEqual((delivery.expected, delivery.lost, delivery.silent, delivery.announced), (3, 2, 0, 2))
        self.assertEqual((delivery.announced_after, delivery.announced_at), (1.5, 3.5))

    def test_duplicates_and_wrong_order_are_seen(self) -> None:
        self.assertEqual(self.audit(1, 2, 2, 3, 4).disordered, 1)
        self.assertEqual(self.audit(1, 3, 2, 4).disordered, 1)

    def test_order_is_checked_within_one_connection_of_a_sender(self) -> None:
        """A message of an ended connection that comes after those of a later one is late, not out of order."""
        log = [NumberedMessage(float(number), MessageState.ACCEPTED, origin=number // 2) for number in range(4)]
        for numbers, disordered, late in (([0, 2, 1, 3], 0, 1), ([1, 0, 2, 3], 1, 0), ([0, 1, 2, 3, 1], 1, 0)):
            connection = ConnectionRecord("s0", 1, -1.0, numbers=numbers, times=[9.0] * len(numbers))
            delivery = audit([connection], {"s0": log}, until=10.0)
            self.assertEqual((delivery.disordered, delivery.late, delivery.lost), (disordered, late, 0))

    def test_loss_before_the_client_closed_is_silent(self) -> None:
        connection = ConnectionRecord(
            "c0", 1, 0.5, numbers=[1, 3], times=[1.0, 3.0], closed=4.0, code=1000, expected_until=3.5
        )
        log = [NumberedMessage(float(moment), MessageState.ACCEPTED) for moment in range(5)]
        self.assertEqual(audit([connection], {"c0": log}, until=10.0).silent, 1)

    def test_message_that_redis_did_not_accept_is_not_expected(self) -> None:
        log = [
            NumberedMessage(1.0, MessageState.REJECTED),
            NumberedMessage(2.0, MessageState.SENT),
            NumberedMessage(3.0, MessageState.ACCEPTED),
        ]
        delivery = audit([ConnectionRecord("c0", 1, 0.5, numbers=[2], times=[3.0])], {"c0": log}, until=10.0)
        self.assertEqual((delivery.expected, delivery.lost), (1, 0))
