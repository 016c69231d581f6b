"""Tests of the benchmark: what can be tested without measuring."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from devtools.bench.check import event, frame
from devtools.bench.paths import PROJECT
from devtools.bench.redis_commands import APPEND_AND_PUBLISH, ask, calls, load_script
from devtools.bench.report import GOALS, TABLES
from devtools.bench.scenarios import SCENARIOS
from devtools.bench.servers import SERVERS
from devtools.harness.redis_server import RedisServer, require_redis

MODULES = ("devtools.bench.__main__", "devtools.bench.check")


class ImportTests(SynchronousTestCase):
    """The benchmark runs in environments without the packages of the tests."""

    def test_benchmark_imports_the_standard_library_only(self) -> None:
        program = (
            "import sys\n"
            f"for name in {MODULES!r}: __import__(name)\n"
            "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
            "print(sorted(name for name in names if not name.startswith('_')))\n"
        )
        # -S: no site-packages, so that an import of another package fails.
        done = subprocess.run(
            [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=False, cwd=PROJECT
        )
        self.assertEqual(done.stdout.strip(), "['devtools']", done.stderr)


class TableTests(SynchronousTestCase):
    """Servers, scenarios, tables and goals name each other."""

    def test_scenarios_of_each_server_exist_and_have_a_table(self) -> None:
        named = {scenario for server in SERVERS.values() for scenario in server.scenarios}
        self.assertEqual(named, set(SCENARIOS))
        self.assertEqual(named, {table.scenario for table in TABLES})

    def test_goals_have_no_value_where_nothing_was_measured(self) -> None:
        self.assertEqual({goal.value({"values": {}}) for goal in GOALS}, {None})

    def test_frames_become_events(self) -> None:
        expected = [b"data: %b\nid: 1-0.5f3a9c01\n\n" % payload for payload in (b"a", b"b" * 200)]
        self.assertEqual(event(frame(b"a") + frame(b"b" * 200)), b"".join(expected))


class RedisCommandTests(SynchronousTestCase):
    """Commands to a real server."""

    def setUp(self) -> None:
        self.server = RedisServer(program=require_redis()).start()
        self.addCleanup(self.server.close)

    def test_script_adds_and_publishes(self) -> None:
        script = load_script(self.server.port)
        self.assertEqual(ask(self.server.port, "EVALSHA", script, "1", "s", "10", "hello"), "0")
        self.assertEqual(ask(self.server.port, "XLEN", "s"), "1")
        self.assertIn("PUBLISH", APPEND_AND_PUBLISH)

    def test_calls_of_several_commands_are_counted_together(self) -> None:
        before = calls(self.server.port, "XLEN", "XRANGE")
        for _ in range(3):
            ask(self.server.port, "XLEN", "s")
        self.assertEqual(calls(self.server.port, "XLEN", "XRANGE") - before, 3)

    def test_error_is_raised(self) -> None:
        self.assertIn("unknown command", str(self.assertRaises(OSError, ask, self.server.port, "NONSENSE")))
