"""A few of the faults, and that the suite of faults would see what it looks for."""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from devtools.faults import acts
from devtools.faults.clients import Connection
from devtools.faults.faults import TABLE
from devtools.faults.publisher import Publication, State
from devtools.faults.run import run
from devtools.faults.verdict import Account, Result, audit
from devtools.harness.redis_server import require_redis

TELLING = (
    "subscriptions-are-forgotten",
    "failover-leaves-a-deaf-replica",
    "redis-is-killed",
    "rolling-deploy",
    "clients-do-not-read",
    "nobody-wants-to-know",
)


class FaultTests(SynchronousTestCase):
    """Real processes; all faults are tried by ``make faults``."""

    timeout = 180

    def test_telling_faults(self) -> None:
        """Nobody loses a message without being told, whatever breaks; and where nobody wants to be told it is seen."""
        require_redis()
        self.assertTrue(acts.__all__)
        told: list[Result] = []
        results = asyncio.run(run([TABLE[name] for name in TELLING], lanes=3, minutes=2, told=told.append))
        self.assertEqual({result.name: result.problems for result in results if result.problems}, {})
        self.assertEqual(len(told), len(TELLING))


class AuditTests(SynchronousTestCase):
    """What the account of a connection is."""

    def audit(self, *numbers: int, closed: float | None = None, opened: float = 0.5) -> Account:
        """The account of a connection that got these numbers of five that were published at 0, 1, 2, 3 and 4."""
        log = [Publication(float(moment), State.TAKEN) for moment in range(5)]
        connection = Connection("c0", 1, opened, numbers=list(numbers), times=[9.0] * len(numbers), closed=closed)
        return audit([connection], {"c0": log}, until=10.0)

    def test_whole(self) -> None:
        """All that was published since it was opened came; what was published before is owed to nobody."""
        account = self.audit(1, 2, 3, 4)
        self.assertEqual((account.owed, account.lost, account.disordered), (4, 0, 0))

    def test_silent(self) -> None:
        """What is missing on a connection that is open was lost in silence, in the middle and at both ends."""
        for numbers in ((1, 2, 4), (2, 3, 4), (1, 2, 3)):
            account = self.audit(*numbers)
            self.assertEqual((account.lost, account.silent, account.announced), (1, 1, 0))

    def test_announced(self) -> None:
        """What is missing on a connection that ended was announced by that; after its end nothing is owed."""
        account = self.audit(1, closed=3.5)
        self.assertEqual((account.owed, account.lost, account.silent, account.announced), (3, 2, 0, 2))
        self.assertEqual((account.told_after, account.told_at), (1.5, 3.5))

    def test_disorder(self) -> None:
        """Twice and out of order are seen."""
        self.assertEqual(self.audit(1, 2, 2, 3, 4).disordered, 1)
        self.assertEqual(self.audit(1, 3, 2, 4).disordered, 1)

    def test_late(self) -> None:
        """Order is owed within one connection of a sender; what comes late from an ended one is counted apart."""
        log = [Publication(float(number), State.TAKEN, origin=number // 2) for number in range(4)]
        for numbers, disordered, late in (([0, 2, 1, 3], 0, 1), ([1, 0, 2, 3], 1, 0), ([0, 1, 2, 3, 1], 1, 0)):
            connection = Connection("s0", 1, -1.0, numbers=numbers, times=[9.0] * len(numbers))
            account = audit([connection], {"s0": log}, until=10.0)
            self.assertEqual((account.disordered, account.late, account.lost), (disordered, late, 0))

    def test_left(self) -> None:
        """Who left by itself was not told anything."""
        connection = Connection("c0", 1, 0.5, numbers=[1, 3], times=[1.0, 3.0], closed=4.0, code=1000, owed_until=3.5)
        log = [Publication(float(moment), State.TAKEN) for moment in range(5)]
        self.assertEqual(audit([connection], {"c0": log}, until=10.0).silent, 1)

    def test_not_taken(self) -> None:
        """What Redis did not take, or perhaps not, is owed to nobody."""
        log = [Publication(1.0, State.REFUSED), Publication(2.0, State.SENT), Publication(3.0, State.TAKEN)]
        account = audit([Connection("c0", 1, 0.5, numbers=[2], times=[3.0])], {"c0": log}, until=10.0)
        self.assertEqual((account.owed, account.lost), (1, 0))
