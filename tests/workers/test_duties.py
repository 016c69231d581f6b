"""Tests of `wsrelay.workers.duties`, over a real socket pair."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.support.polling import DEADLINE_SECONDS
from wsrelay.metrics.snapshot import Family
from wsrelay.workers.duties import WorkerDuties
from wsrelay.workers.link import WorkerLink

OWN = (Family("wsrelay_opened", "counter", "Opened.", None, "sum", {"": 1}),)
ALL = (Family("wsrelay_opened", "counter", "Opened.", None, "sum", {"": 7}),)


class DutiesTests(TestCase):
    """A worker, and a parent that a test plays."""

    def setUp(self) -> None:
        """Start a worker."""
        self.reports: list[Any] = []
        self.parent_ended: list[bool] = []
        self.closed: list[bool] = []
        self.answers: dict[str, Any] = {
            "readiness": (200, "ready: all"),
            "metrics": [family.to_json() for family in ALL],
        }
        ours, theirs = socket.socketpair()
        self.parent = WorkerLink(
            reactor,
            answer=lambda question: self.answers[question],
            reported=self.reports.append,
            closed=lambda: self.closed.append(True),
        )
        factory: Any = Factory.forProtocol(lambda: self.parent)
        factory.noisy = False
        own: Any = reactor
        with ours:
            ours.setblocking(False)
            own.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
        self.duties = WorkerDuties(
            reactor,
            theirs.detach(),
            readiness=lambda: (200, "ready"),
            snapshot=lambda: OWN,
            parent_ended=lambda: self.parent_ended.append(True),
        )
        self.duties.start()
        self.addCleanup(self.end)

    async def end(self) -> None:
        """End both."""
        await self.duties.finish()
        self.parent.close()
        await self.until(lambda: self.closed)

    def until(self, condition: Any) -> Deferred[None]:
        """Return a Deferred that fires when a condition holds."""

        async def wait() -> None:
            while not condition():
                await deferLater(reactor, 0.005)

        return Deferred.fromCoroutine(wait()).addTimeout(DEADLINE_SECONDS, reactor)

    async def test_first_report_has_state_memory_and_numbers(self) -> None:
        await self.until(lambda: self.reports)
        report = self.reports[0]
        self.assertEqual(report["readiness"], [200, "ready"])
        self.assertGreater(report["memory"], 1_000_000)
        self.assertEqual(report["numbers"], [family.to_json() for family in OWN])

    async def test_state_and_numbers_of_all_come_from_the_parent(self) -> None:
        self.assertEqual(await self.duties.readiness(), (200, "ready: all"))
        self.assertEqual(await self.duties.snapshot(), ALL)

    async def test_parent_may_ask_for_the_numbers(self) -> None:
        self.assertEqual(await self.parent.ask("numbers"), [family.to_json() for family in OWN])

    async def test_last_report_is_sent_before_the_end(self) -> None:
        await self.until(lambda: self.reports)
        await self.duties.finish()
        await self.until(lambda: len(self.reports) == 2)
        self.assertIn("numbers", self.reports[-1])
        self.assertEqual(self.parent_ended, [])

    async def test_worker_whose_parent_is_gone_says_so_and_answers_for_itself(self) -> None:
        self.parent.close()
        await self.until(lambda: self.parent_ended)
        self.assertEqual(await self.duties.readiness(), (200, "ready"))
        await self.assertFailure(self.duties.snapshot(), Exception)
