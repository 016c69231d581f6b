"""Tests of the benchmark: what can be tested without measuring."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from devtools.bench import setup
from devtools.bench.check import RULES, WAYS, event, frame, passes
from devtools.bench.load_fallback import varint
from devtools.bench.paths import HERE, PROJECT
from devtools.bench.redis_commands import APPEND_AND_PUBLISH, ask, calls, load_script
from devtools.bench.report import GOALS, TABLES
from devtools.bench.run import select
from devtools.bench.scenarios import SCENARIOS
from devtools.bench.servers import API_KEY, SERVERS, Start
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


class LoadClientTests(SynchronousTestCase):
    """Both load clients, against servers that are correct and servers that are not."""

    def client(self, language: str) -> list[str]:
        """Return the command of a client; the one in C is compiled first."""
        if language == "Python":
            return [sys.executable, str(HERE / "load_fallback.py")]
        if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
            raise SkipTest("there is no C compiler")
        program = Path(self.mktemp()).resolve()
        setup.compile_c(HERE / "load.c", program)
        return [str(program)]

    def assert_judges(self, language: str, *cases: tuple[str, str]) -> None:
        """Check that a client passes what is correct, and nothing else."""
        command = self.client(language)
        for way, rule in cases:
            self.assertEqual(bool(passes(way, rule, command, deadline=60)), not RULES[rule][0], f"{way}, {rule}")

    def test_joined_objects_and_pings_are_taken_in_python(self) -> None:
        self.assert_judges(
            "Python", ("objects", "joined"), ("objects", "pings"), ("API", "plain"), ("Protobuf", "plain")
        )

    def test_joined_objects_and_pings_are_taken_in_c(self) -> None:
        self.assert_judges("C", ("objects", "joined"), ("objects", "pings"), ("API", "plain"), ("Protobuf", "plain"))

    def test_refused_subscription_is_noticed_in_python(self) -> None:
        self.assert_judges("Python", ("objects", "error"))

    def test_refused_subscription_is_noticed_in_c(self) -> None:
        self.assert_judges("C", ("objects", "error"))

    def test_push_of_another_channel_is_noticed_in_c(self) -> None:
        self.assert_judges("C", ("objects", "other channel"))

    def test_ways_name_rules_that_exist(self) -> None:
        self.assertLessEqual({rule for way in WAYS.values() for rule in way.rules}, set(RULES))

    def test_numbers_of_protobuf_have_seven_bits_to_a_byte(self) -> None:
        self.assertEqual([varint(1), varint(127), varint(300)], [b"\x01", b"\x7f", b"\xac\x02"])


class CentrifugoTests(SynchronousTestCase):
    """The rows of Centrifugo's protocol."""

    def test_relay_speaks_it_and_needs_no_other_setting(self) -> None:
        raw = SERVERS["wsrelay"].environment(Start(1, 2, 3))
        own = SERVERS["wsrelay-centrifugo"].environment(Start(1, 2, 3))
        self.assertEqual(own, raw | {"WSRELAY_CENTRIFUGO": "true"})

    def test_centrifugo_uses_the_redis_of_the_benchmark_and_is_quiet(self) -> None:
        found = SERVERS["centrifugo"].environment(Start(port=1, redis_port=2, ping=4))
        expected = {
            "CENTRIFUGO_HTTP_SERVER_PORT": "1",
            "CENTRIFUGO_ENGINE_TYPE": "redis",
            "CENTRIFUGO_ENGINE_REDIS_ADDRESS": "redis://127.0.0.1:2",
            "CENTRIFUGO_CLIENT_PING_INTERVAL": "4s",
            "CENTRIFUGO_CLIENT_PONG_TIMEOUT": "2.0s",
            "CENTRIFUGO_LOG_LEVEL": "error",
            "CENTRIFUGO_ADMIN_ENABLED": "false",
            "CENTRIFUGO_HTTP_API_KEY": API_KEY,
        }
        self.assertEqual({name: found.get(name) for name in expected}, expected)

    def test_messages_come_to_a_server_by_http_or_by_redis(self) -> None:
        by_http = {name for name, server in SERVERS.items() if server.takes_messages}
        self.assertEqual(by_http, {"nchan", "centrifugo"})

    def test_centrifugo_is_reported_as_missing_where_go_is(self) -> None:
        folder = Path(self.mktemp())
        with mock.patch.object(setup, "CENTRIFUGO", folder / "centrifugo"), mock.patch.dict("os.environ", PATH=""):
            error = self.assertRaises(setup.SetupError, setup.install_centrifugo)
        self.assertEqual(str(error), "go is not installed")
        with mock.patch("devtools.bench.servers.CENTRIFUGO", folder / "centrifugo"):
            able, missing = select(["centrifugo"], {"centrifugo": str(error)})
        self.assertEqual(able, [])
        self.assertIn("(go is not installed)", missing["centrifugo"])

    def test_version_of_centrifugo_is_fixed(self) -> None:
        self.assertTrue(re.fullmatch(r"github\.com/centrifugal/centrifugo/v6@v6\.\d+\.\d+", setup.CENTRIFUGO_MODULE))

    def test_burst_is_compared_with_the_cheapest_that_makes_json(self) -> None:
        goal = next(goal for goal in GOALS if goal.text.startswith("Centrifugo's protocol: burst"))
        cost = {"wsrelay-centrifugo": 0.1, "centrifugo": 8.0, "centrifugo-redis": 2.5, "socketio": 5.0, "nchan": 1.0}
        rounds = {name: [{"round": 0, "cpu_us": value}] for name, value in cost.items()}
        self.assertEqual(goal.value({"values": {"burst": rounds}}), 0.04)

    def test_memory_has_goals_for_one_channel_and_for_many(self) -> None:
        kb = {"connections": 3.5, "channels": 11.5}
        values = {name: {"wsrelay-centrifugo": [{"round": 0, "kb": value}]} for name, value in kb.items()}
        found = [(goal.limit, goal.value({"values": values})) for goal in GOALS]
        self.assertEqual([pair for pair in found if pair[1] is not None], [(4.0, 3.5), (12.0, 11.5)])


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
