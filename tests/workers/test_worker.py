"""Tests of `wsrelay.workers.worker`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.workers.fakes import FakeProcess
from wsrelay.metrics.snapshot import Family
from wsrelay.workers.link import ANSWER_SECONDS
from wsrelay.workers.worker import MAX_LINE_BYTES, Worker


class WorkerTests(SynchronousTestCase):
    """A child process as its parent sees it."""

    def setUp(self) -> None:
        """Start one."""
        self.clock = Clock()
        self.ended: list[Worker] = []
        self.worker = Worker(0, self.clock, str, self.ended.append)
        self.process = FakeProcess(self.worker, 42)

    def test_it_is_ready_when_it_says_so(self) -> None:
        ready = self.worker.until_ready()
        self.process.report(503, "not ready: redis")
        self.assertNoResult(ready)
        self.process.report()
        self.assertTrue(self.successResultOf(ready))
        self.assertTrue(self.worker.is_ready)

    def test_end_says_why(self) -> None:
        for end, text in (
            ({"signal": 9}, "ended by SIGKILL"),
            ({"signal": 15}, "ended by SIGTERM"),
            ({"code": 1}, "ended with status 1"),
            ({}, "ended with status 0"),
        ):
            worker = Worker(0, self.clock, str, self.ended.append)
            process = FakeProcess(worker, 42)
            ready, ended = worker.until_ready(), worker.until_ended()
            process.end(**end)
            self.assertEqual(worker.status, text)
            self.assertFalse(self.successResultOf(ready))
            self.successResultOf(ended)
            self.successResultOf(worker.until_ended())
            self.assertFalse(worker.is_ready)
            self.assertEqual(self.ended[-1], worker)

    def test_end_after_a_drain_is_no_accident(self) -> None:
        self.worker.leave()
        self.worker.leave()
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.end(signal=15)
        self.assertEqual(self.worker.status, "has drained and ended")
        self.worker.signal("KILL")
        self.assertEqual(self.process.signals, ["TERM"])

    def test_numbers_are_the_last_ones_if_it_does_not_answer(self) -> None:
        family = Family("wsrelay_opened", "counter", "Opened.", None, "sum", {"": 5})
        gauge = Family("wsrelay_open", "gauge", "Open.", None, "sum", {"": 5})
        self.process.report(numbers=[family.to_json(), gauge.to_json()])
        asked = self.worker.numbers()
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.successResultOf(asked), (family, gauge))
        self.assertEqual(self.worker.remains(), (family,))

    def test_numbers_that_it_answers_are_kept(self) -> None:
        family = Family("wsrelay_opened", "counter", "Opened.", None, "sum", {"": 5})
        asked = self.worker.numbers()
        self.worker.link.stringReceived(
            b'{"answer":[["wsrelay_opened","counter","Opened.",null,"sum",{"":5}]],"number":1}'
        )
        self.assertEqual(self.successResultOf(asked), (family,))
        self.assertEqual(self.worker.snapshot, (family,))

    def test_lines_are_logged_whole(self) -> None:
        with capturedLogs() as events:
            self.worker.outReceived(b"one\ntw")
            self.worker.outReceived(b"o\n\n")
            self.worker.errReceived(b"\xff" + b"x" * MAX_LINE_BYTES)
            self.worker.outReceived(b"end")
            self.process.end(code=1)
        lines: list[Any] = [event["line"] for event in events]
        self.assertEqual(lines[:2], ["one", "two"])
        self.assertEqual(lines[2][:5], "\\xffx")
        self.assertEqual(lines[3], "end")
