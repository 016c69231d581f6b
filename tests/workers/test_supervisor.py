"""Tests of `wsrelay.workers.supervisor` and `wsrelay.workers.together`, without processes and without waiting."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.workers.fakes import FakeProcesses
from wsrelay.metrics.snapshot import Family
from wsrelay.workers.supervisor import CORE_SECONDS, END_SECONDS, HANG_SECONDS, READY_SECONDS, Supervisor
from wsrelay.workers.together import RESTART_GRACE_SECONDS

DRAIN = 25.0


class SupervisorCase(SynchronousTestCase):
    """Supervises two workers."""

    workers = 2
    max_memory_bytes = 0

    def setUp(self) -> None:
        """Start the workers; they have not reported anything."""
        self.clock = Clock()
        self.processes = FakeProcesses(self.clock)
        self.given_up: list[str] = []
        self.supervisor = Supervisor(
            self.workers,
            self.processes.spawn,
            self.clock,
            Random(1),
            drain_timeout_seconds=DRAIN,
            max_memory_bytes=self.max_memory_bytes,
            gave_up=self.given_up.append,
        )
        self.supervisor.startService()

    def all_ready(self) -> None:
        """Let every running worker be ready."""
        for each in self.processes.running:
            each.report()

    def advance(self, seconds: float) -> None:
        """Let time pass in which every running worker reports once a second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.all_ready()


class RestartTests(SupervisorCase):
    """Workers that end by themselves."""

    def test_worker_that_was_steady_is_started_again_at_once(self) -> None:
        self.all_ready()
        self.advance(60)
        self.processes.all[0].end(signal=9)
        self.clock.advance(0)
        self.assertEqual([each.worker.slot for each in self.processes.running], [1, 0])

    def test_one_that_ends_again_and_again_is_started_ever_later(self) -> None:
        self.all_ready()
        times = []
        for _ in range(8):
            self.processes.running[-1].report()
            self.processes.running[-1].end(code=1)
            before = len(self.processes.all)
            waited = 0.0
            while len(self.processes.all) == before:
                self.clock.advance(0.25)
                waited += 0.25
                self.processes.running[0].report()
            times.append(waited)
        self.assertLessEqual(max(times), 30.25)
        self.assertGreater(sum(times[4:]), sum(times[:4]))
        self.assertEqual(self.given_up, [])

    def test_workers_that_never_start_are_given_up(self) -> None:
        for _ in range(3):
            self.assertEqual(self.given_up, [])
            for each in self.processes.running:
                each.end(code=1)
            self.clock.advance(4)
        self.assertIn("cannot start", self.given_up[0])
        self.assertIn("status 1", self.given_up[0])

    def test_process_that_cannot_be_made_is_tried_again(self) -> None:
        self.all_ready()
        self.advance(60)
        self.processes.failures = 2
        self.processes.all[0].end(signal=9)
        self.clock.advance(0)
        for _ in range(10):
            self.clock.advance(1)
            self.processes.all[1].report()
        self.assertEqual(sorted(each.worker.slot for each in self.processes.running), [0, 1])
        self.assertEqual(self.processes.failures, 0)
        stopped = self.supervisor.stopService()
        for each in self.processes.running:
            each.end(signal=15)
        self.successResultOf(stopped)

    def test_relay_that_has_served_is_never_given_up(self) -> None:
        self.all_ready()
        for _ in range(20):
            for each in self.processes.running:
                each.end(code=1)
            self.clock.advance(31)
        self.assertEqual(self.given_up, [])
        self.assertEqual(len(self.processes.running), 2)

    def test_worker_that_stands_still_is_ended_and_started_again(self) -> None:
        self.all_ready()
        still, other = self.processes.all
        for _ in range(int(HANG_SECONDS) + 1):
            self.clock.advance(1)
            other.report()
        self.assertEqual((still.signals, other.signals), (["ABRT"], []))
        self.clock.advance(CORE_SECONDS)
        self.assertEqual(still.signals, ["ABRT", "KILL"])
        still.end(signal=9)
        self.clock.advance(31)
        self.assertEqual(self.processes.running[-1].worker.slot, 0)

    def test_worker_that_starts_slowly_does_not_stand_still(self) -> None:
        self.clock.advance(HANG_SECONDS * 3)
        self.assertEqual([each.signals for each in self.processes.all], [[], []])


class ReplacementTests(SupervisorCase):
    """New workers in place of old ones."""

    def test_one_is_replaced_after_the_other_each_when_its_successor_is_ready(self) -> None:
        self.all_ready()
        one, two = self.processes.all
        self.supervisor.replace_workers()
        three = self.processes.all[2]
        self.assertEqual((three.worker.slot, one.signals, len(self.processes.all)), (0, [], 3))
        three.report(503, "not ready: redis")
        self.assertEqual(one.signals, [])
        three.report()
        self.assertEqual((one.signals, len(self.processes.all)), (["TERM"], 3))
        one.end(signal=15)
        four = self.processes.all[3]
        self.assertEqual((four.worker.slot, two.signals), (1, []))
        four.report()
        two.end(signal=15)
        self.clock.advance(60)
        self.assertEqual(self.processes.running, [three, four])

    def test_successor_that_does_not_become_ready_leaves_all_as_it_was(self) -> None:
        for end in (lambda new: new.end(code=1), lambda _new: self.advance_others(READY_SECONDS)):
            self.all_ready()
            before = list(self.processes.running)
            self.supervisor.replace_workers()
            new = self.processes.all[-1]
            end(new)
            if not new.has_ended:
                self.assertEqual(new.signals, ["TERM"])
                new.end(signal=15)
            self.clock.advance(1)
            self.assertEqual(self.processes.running, before)
            self.assertEqual([each.signals for each in before], [[], []])

    def advance_others(self, seconds: float) -> None:
        """Let time pass in which the first two workers report."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            for each in self.processes.all[:2]:
                each.report()

    def test_second_request_begins_once_more_behind_the_end_of_the_first(self) -> None:
        self.all_ready()
        self.supervisor.replace_workers()
        self.supervisor.replace_workers()
        for _ in range(3):
            self.processes.all[-1].report()
            next(each for each in self.processes.running if each.signals == ["TERM"]).end(signal=15)
        self.assertEqual([each.worker.slot for each in self.processes.all], [0, 1, 0, 1, 0])
        self.assertEqual(self.processes.running, self.processes.all[3:])

    def test_place_whose_worker_has_just_ended_is_filled_at_once(self) -> None:
        self.all_ready()
        self.processes.all[0].end(code=1)
        self.supervisor.replace_workers()
        self.assertEqual([each.worker.slot for each in self.processes.running], [1, 0, 1])
        self.clock.advance(31)
        self.assertEqual([each.worker.slot for each in self.processes.running], [1, 0, 1])

    def test_successor_takes_the_place_also_of_one_that_has_ended_meanwhile(self) -> None:
        for passed in (0, 31):
            with self.subTest(passed=passed):
                self.setUp()
                self.all_ready()
                self.supervisor.replace_workers()
                new = self.processes.all[2]
                self.processes.all[0].end(code=1)
                # In the second case the one that is started for it is there first.
                for _ in range(passed):
                    self.clock.advance(1)
                    for each in self.processes.running:
                        if each is not new:
                            each.report()
                new.report()
                for each in self.processes.running:
                    if each.signals == ["TERM"]:
                        each.end(signal=15)
                self.assertEqual([each.worker.slot for each in self.processes.running].count(0), 1)
                self.assertIn(new, self.processes.running)
                for _ in range(60):
                    self.clock.advance(1)
                    for each in self.processes.running:
                        each.report()
                        if each.signals == ["TERM"]:
                            each.end(signal=15)
                self.assertEqual(sorted(each.worker.slot for each in self.processes.running), [0, 1])

    def test_predecessor_that_does_not_end_is_killed(self) -> None:
        self.all_ready()
        self.supervisor.replace_workers()
        self.processes.all[2].report()
        self.clock.advance(DRAIN + END_SECONDS)
        self.assertEqual(self.processes.all[0].signals, ["TERM", "KILL"])


class MemoryTests(SupervisorCase):
    """Workers that grow."""

    max_memory_bytes = 1000

    def test_worker_above_the_bound_is_replaced(self) -> None:
        self.all_ready()
        self.processes.all[1].report(memory=1001)
        self.clock.advance(1)
        self.assertEqual(self.processes.all[2].worker.slot, 1)
        self.processes.all[2].report(memory=10)
        self.assertEqual(self.processes.all[1].signals, ["TERM"])
        self.processes.all[1].end(signal=15)
        self.clock.advance(1)
        self.assertEqual(len(self.processes.all), 3)


class StopTests(SupervisorCase):
    """The end of all."""

    def test_all_drain_at_once_and_the_stop_waits_for_them(self) -> None:
        self.all_ready()
        stopped = self.supervisor.stopService()
        self.assertEqual([each.signals for each in self.processes.all], [["TERM"], ["TERM"]])
        self.processes.all[0].end(signal=15)
        self.assertNoResult(stopped)
        self.processes.all[1].end(signal=15)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_does_not_end_is_killed(self) -> None:
        stopped = self.supervisor.stopService()
        self.clock.advance(DRAIN + END_SECONDS)
        for each in self.processes.all:
            self.assertEqual(each.signals, ["TERM", "KILL"])
            each.end(signal=9)
        self.successResultOf(stopped)

    def test_nothing_is_started_any_more(self) -> None:
        self.all_ready()
        self.processes.all[0].end(code=1)
        self.supervisor.replace_workers()
        stopped = self.supervisor.stopService()
        for each in self.processes.running:
            each.end(signal=15)
        self.successResultOf(stopped)
        count = len(self.processes.all)
        self.clock.advance(60)
        self.assertEqual(len(self.processes.all), count)

    def test_hangup_goes_to_every_worker(self) -> None:
        self.supervisor.reload()
        self.assertEqual([each.signals for each in self.processes.all], [["HUP"], ["HUP"]])


def numbers(count: float, connections: float = 0) -> list[Any]:
    """Return a worker's numbers as it reports them."""
    families = (
        Family("wsrelay_opened", "counter", "Opened.", None, "sum", {"": count}),
        Family("wsrelay_connections", "gauge", "Open.", None, "sum", {"": connections}),
    )
    return [family.to_json() for family in families]


class TogetherTests(SupervisorCase):
    """Numbers and readiness of all workers."""

    def values(self) -> dict[str, float]:
        """Return the sums, once every worker has not answered in time."""
        found = self.supervisor.together.numbers()
        self.clock.advance(2)
        return {family.name: family.samples[""] for family in self.successResultOf(found)}

    def test_numbers_are_added_up(self) -> None:
        for each in self.processes.all:
            each.report(numbers=numbers(3, connections=2))
        found = self.values()
        self.assertEqual((found["wsrelay_opened"], found["wsrelay_connections"], found["wsrelay_workers"]), (6, 4, 2))

    def test_counters_of_workers_that_have_ended_stay(self) -> None:
        for each in self.processes.all:
            each.report(numbers=numbers(3, connections=2))
        self.processes.all[0].end(signal=9)
        self.clock.advance(31)
        self.processes.all[2].report(numbers=numbers(1, connections=1))
        found = self.values()
        self.assertEqual((found["wsrelay_opened"], found["wsrelay_connections"]), (7, 3))
        self.assertEqual(found["wsrelay_worker_restarts"], 1)

    def test_worker_that_is_being_replaced_does_not_make_the_relay_unready(self) -> None:
        ready = Family("wsrelay_ready", "gauge", "Ready.", None, "min", {"": 1})
        for each in self.processes.all:
            each.report(numbers=[ready.to_json()])
        self.supervisor.replace_workers()
        self.processes.all[2].report(numbers=[ready.to_json()])
        self.processes.all[0].report(503, "not ready: stopping", numbers=[replace(ready, samples={"": 0}).to_json()])
        self.assertEqual(self.values()["wsrelay_ready"], 1)
        self.processes.all[2].report(503, "not ready: redis", numbers=[replace(ready, samples={"": 0}).to_json()])
        self.assertEqual(self.values()["wsrelay_ready"], 0)

    def test_relay_is_ready_when_every_worker_is(self) -> None:
        self.assertEqual(self.supervisor.together.answer("readiness")[0], 503)
        self.processes.all[0].report()
        self.assertEqual(self.supervisor.together.readiness()[0], 503)
        self.processes.all[1].report()
        self.assertEqual(self.supervisor.together.readiness(), (200, "ready: 2 of 2 workers are ready"))

    def test_problem_of_a_worker_is_named(self) -> None:
        self.all_ready()
        self.processes.all[1].report(503, "not ready: redis: refused")
        status, text = self.supervisor.together.readiness()
        self.assertEqual((status, text), (503, "1 of 2 workers are ready; not ready: redis: refused"))

    def test_restart_of_a_worker_has_its_time(self) -> None:
        self.all_ready()
        self.supervisor.together.readiness()
        self.processes.all[0].end(signal=9)
        self.assertEqual(self.supervisor.together.readiness()[0], 200)
        self.clock.advance(RESTART_GRACE_SECONDS + 1)
        self.assertEqual(self.supervisor.together.readiness()[0], 503)

    def test_relay_that_stops_is_not_ready(self) -> None:
        self.all_ready()
        self.supervisor.stopService()
        self.assertEqual(self.supervisor.together.readiness(), (503, "not ready: stopping"))

    def test_unknown_question_is_an_error(self) -> None:
        self.assertRaises(ValueError, self.supervisor.together.answer, "weather")
