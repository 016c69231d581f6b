"""Tests of `wsrelay.workers.context`, `wsrelay.workers.count` and the command line of workers."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config import load
from wsrelay.workers.context import VARIABLE, WorkerContext
from wsrelay.workers.count import divided, worker_count
from wsrelay.workers.spawning import command


class ContextTests(SynchronousTestCase):
    """The knowledge of a worker about its parent."""

    def test_it_is_taken_out_of_the_environment(self) -> None:
        context = WorkerContext(1, 2, 3, [(4, 2), (5, 1)])
        environ = {VARIABLE: context.to_text(), "HOME": "/"}
        self.assertEqual(WorkerContext.take(environ), context)
        self.assertEqual(environ, {"HOME": "/"})
        self.assertIsNone(WorkerContext.take(environ))


class CountTests(SynchronousTestCase):
    """The number of workers, and their shares."""

    def test_auto_is_one_for_each_processor_that_may_be_used(self) -> None:
        self.assertEqual(worker_count(0, uses_redis=True), len(os.sched_getaffinity(0)))

    def test_without_redis_there_is_one(self) -> None:
        self.assertEqual([worker_count(number, uses_redis=False) for number in (0, 1, 4)], [1, 1, 1])

    def test_limits_of_all_are_divided(self) -> None:
        settings = load({"max_connections": "10", "max_handshakes_per_second": "100"}, {})
        found = divided(settings, 4)
        self.assertEqual((found.max_connections, found.max_handshakes_per_second), (3, 25))
        self.assertEqual(divided(load({}, {}), 4), load({}, {}))

    def test_setting_is_read_from_heroku_s_variable(self) -> None:
        self.assertEqual(load({}, {"WEB_CONCURRENCY": "3"}).workers, 3)
        self.assertEqual(load({}, {"WEB_CONCURRENCY": "3", "WSRELAY_WORKERS": "auto"}).workers, 0)


class CommandTests(SynchronousTestCase):
    """The command line."""

    def test_flags_are_those_of_the_parent(self) -> None:
        flags = {"port": "8080", "max_connections": "5", "origins": "a,b"}
        self.assertEqual(command(flags)[-4:], ["wsrelay", "--port=8080", "--max-connections=5", "--origins=a,b"])
