"""Tests of the benchmark: what can be tested without measuring."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar
from unittest import mock

import jwt
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from devtools.bench import setup
from devtools.bench.check import RULES, WAYS, client_of, event, frame, passes
from devtools.bench.goals import BESIDE_CENTRIFUGO, GOALS, Goal, Measure, goals
from devtools.bench.load_fallback import varint
from devtools.bench.measure import Meter
from devtools.bench.paths import HERE, PROJECT
from devtools.bench.redis_commands import APPEND_AND_PUBLISH, ask, calls, load_script
from devtools.bench.report import rows
from devtools.bench.run import plan, scenarios_missing, select
from devtools.bench.scenarios import ALIASES, HEAVY, NEEDS, SCENARIOS
from devtools.bench.servers import API_KEY, SERVERS, Option, Start
from devtools.bench.tables import TABLES
from devtools.bench.web_tokens import SECRET, write_tokens
from devtools.harness.redis_server import RedisServer, require_redis

MODULES = ("devtools.bench.__main__", "devtools.bench.check")


class MeterTests(SynchronousTestCase):
    """The figures of a server's process."""

    def test_server_that_has_ended_fails_its_own_row_alone(self) -> None:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as server:
            meter = Meter(server.pid)
            self.assertGreater(meter.peak(), 0)
            assert server.stdin is not None, "a pipe"
            server.stdin.close()
            # Until it is waited for, it is a zombie.
            os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
            self.assertRaises(OSError, meter.peak)


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

    def test_other_names_and_needs_are_of_scenarios(self) -> None:
        self.assertLessEqual({name for names in ALIASES.values() for name in names} | set(NEEDS), set(SCENARIOS))
        self.assertLessEqual({goal.value.scenario for goal in GOALS}, set(SCENARIOS))

    def test_centrifugo_has_a_row_in_every_scenario_that_it_can_do(self) -> None:
        # The recovery is that of event streams, which Centrifugo resumes in another way.
        self.assertEqual(SERVERS["centrifugo"].scenarios, set(SCENARIOS) - {"recovery"})
        self.assertEqual(set(BESIDE_CENTRIFUGO) | {"slow", "overload"}, SERVERS["centrifugo"].scenarios)

    def test_peer_that_is_missing_or_cannot_do_it_has_a_row(self) -> None:
        tables = {table.scenario: table for table in TABLES}
        values: dict[str, object] = {"wsrelay": [{"round": 0}], "ws": [{"round": 0}], "nchan": [], "wsrelay-sse": []}
        results = {"values": {"echo": values, "fanout": values}, "missing": {"centrifugo": "go is not installed"}}
        absent = {"centrifugo": "Centrifugo, its HTTP API: not measured"}
        measured = {"wsrelay": "wsrelay", "ws": "node ws"}
        self.assertEqual(rows(results, tables["fanout"]), measured | absent)
        self.assertEqual(rows(results, tables["echo"]), measured | {"nchan": "nchan (nginx)"} | absent)

    def test_goals_have_no_value_where_nothing_was_measured(self) -> None:
        self.assertEqual({goal.value({"values": {}}) for goal in GOALS}, {None})

    def test_frames_become_events(self) -> None:
        expected = [b"data: %b\nid: 1-0.5f3a9c01\n\n" % payload for payload in (b"a", b"b" * 200)]
        self.assertEqual(event(frame(b"a") + frame(b"b" * 200)), b"".join(expected))


class GoalTests(SynchronousTestCase):
    """Goals with their figures."""

    def test_limit_is_the_most_or_the_least(self) -> None:
        measure = Measure("echo", lambda results: None)
        most, least = Goal("", 0.9, measure), Goal("", 0.9, measure, is_least=True)
        self.assertEqual([most.is_met(value) for value in (0.8, 0.9, 1.0)], [True, True, False])
        self.assertEqual([least.is_met(value) for value in (0.8, 0.9, 1.0)], [False, True, True])

    def test_goals_of_the_run_are_listed_and_those_without_a_figure_as_well(self) -> None:
        cost = {"wsrelay": 60.0, "ws": 100.0}
        text = goals({"values": {"echo": {name: [{"round": 0, "cpu_us": value}] for name, value in cost.items()}}})
        lines = {line.split("|")[1].strip(): line.split("|")[2:5] for line in text.splitlines()[2:]}
        found = {name: [cell.strip() for cell in cells] for name, cells in lines.items()}
        expected = {
            "from a client through Redis and back, CPU / node ws's": ["0.6", "at most 0.8", "yes"],
            "worst ratio to Centrifugo, echo: cpu_us": ["-", "at most 1", "not measured"],
            "Centrifugo's protocol: worst ratio to Centrifugo, echo: cpu_us": ["-", "at most 1", "not measured"],
        }
        self.assertEqual(found, expected)

    def test_ratio_to_centrifugo_is_the_worst_of_a_scenario(self) -> None:
        goal = next(goal for goal in GOALS if goal.text.startswith("worst ratio to Centrifugo, direct"))
        cost = {"wsrelay": (50.0, 9.0), "centrifugo": (100.0, 10.0), "centrifugo-redis": (100.0, 4.5)}
        values = {name: [{"round": 0, "paced_us": pair[0], "flat_us": pair[1]}] for name, pair in cost.items()}
        self.assertEqual(goal.value({"values": {"direct": values}}), 2.0)


class PlanTests(SynchronousTestCase):
    """The order of measurements."""

    def test_servers_take_turns_and_heavy_scenarios_run_in_every_third_round(self) -> None:
        steps = plan(["fanout", "return"], ["wsrelay", "ws"], 4, {})
        order = [(step.number, step.scenario, step.server) for step in steps]
        first = [(0, "fanout", "wsrelay"), (0, "fanout", "ws"), (0, "return", "wsrelay"), (0, "return", "ws")]
        self.assertEqual(order[:6], [*first, (1, "fanout", "ws"), (1, "fanout", "wsrelay")])
        self.assertIn("return", HEAVY)
        self.assertEqual([step.number for step in steps if step.scenario == "return"], [0, 0, 3, 3])

    def test_scenario_without_its_load_client_is_left_out_with_the_reason(self) -> None:
        absent = Path(self.mktemp())
        with mock.patch.dict(NEEDS, {"tls": ((absent, "load_tls"),)}):
            missing = scenarios_missing(["tls", "fanout"], {"load_tls": "cc failed"})
        self.assertEqual(missing, {"tls": f"there is no {absent.name} (cc failed)"})
        self.assertEqual(plan(["tls"], ["wsrelay"], 1, missing), [])


class LoadClientTests(SynchronousTestCase):
    """Both load clients, against servers that are correct and servers that are not."""

    compiled: ClassVar[Path | None] = None

    def client(self, language: str) -> list[str]:
        """Return the command of a client; the one in C is compiled once."""
        if language == "Python":
            return [sys.executable, str(HERE / "load_fallback.py")]
        if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
            raise SkipTest("there is no C compiler")
        if LoadClientTests.compiled is None:
            LoadClientTests.compiled = Path(self.mktemp()).resolve()
            setup.compile_c(HERE / "load.c", LoadClientTests.compiled)
        return [str(LoadClientTests.compiled)]

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

    def test_publications_of_connections_come_back_once_and_in_order_in_c(self) -> None:
        rules = ("plain", "byte by byte", "lost", "doubled", "swapped", "cut")
        self.assert_judges("C", *(("echo", rule) for rule in rules))

    def test_messages_over_tls_are_judged_in_c(self) -> None:
        program, certificate = Path(self.mktemp()).resolve(), Path(self.mktemp()).resolve()
        try:
            setup.compile_c(HERE / "load.c", program, *setup.SECURE_FLAGS)
            setup.make_certificate(certificate)
        except setup.SetupError as error:
            raise SkipTest(str(error)) from error
        for way, rule in (("PUBLISH", "fragments and pings"), ("PUBLISH", "swapped"), ("echo", "plain")):
            found = passes(way, rule, [str(program)], deadline=60, certificate=certificate)
            self.assertEqual(bool(found), not RULES[rule][0], f"{way}, {rule}: {found}")

    def test_what_is_lost_of_an_offer_is_counted_in_c(self) -> None:
        with client_of("echo", "lost", self.client("C")) as client:
            client.ask("connect", n=1)
            client.ask("sync")
            reply = client.ask("offer", rate=400, seconds=0.1, size=100, quiet=0.3)
        # Every seventh of 40 messages.
        self.assertEqual((reply["offered"], reply["delivered"], reply["lost"]), (40, 34, 6))

    def test_refused_clients_of_a_crowd_come_back_in_c(self) -> None:
        with client_of("PUBLISH", "busy", self.client("C")) as client:
            client.ask("connect", n=1)
            client.ask("sync")
            reply = client.ask("arrive", n=5, first=1)
        self.assertEqual((reply["open"], reply["refusals"]), (6, 2))
        self.assertGreater(reply["subscribed"], 0)

    def test_refusal_is_an_error_elsewhere_in_c(self) -> None:
        self.assert_judges("C", ("PUBLISH", "busy"))

    def assert_silent(self, language: str) -> None:
        """Check that silent connections answer no ping."""
        with client_of("PUBLISH", "fragments and pings", self.client(language)) as client:
            client.ask("connect", n=2, silent=1)
            client.ask("connect", n=1)
            client.ask("sync")
            reply = client.ask("paced", rate=400, count=3, size=100)
        self.assertEqual((reply["pings"], reply["pinged"]), (9, 2))

    def test_silent_connections_are_counted_when_they_are_pinged_in_c(self) -> None:
        self.assert_silent("C")

    def test_silent_connections_are_counted_when_they_are_pinged_in_python(self) -> None:
        self.assert_silent("Python")

    def test_ways_name_rules_that_exist(self) -> None:
        self.assertLessEqual({rule for way in WAYS.values() for rule in way.rules}, set(RULES))

    def test_numbers_of_protobuf_have_seven_bits_to_a_byte(self) -> None:
        self.assertEqual([varint(1), varint(127), varint(300)], [b"\x01", b"\x7f", b"\xac\x02"])


class OptionTests(SynchronousTestCase):
    """Differences from the ordinary start."""

    def environment(self, name: str, *options: Option) -> dict[str, str]:
        """Return the environment of a server with options."""
        return SERVERS[name].environment(Start(1, 2, 0, frozenset(options)))

    def test_returning_crowd_meets_the_default_limits_of_the_relay(self) -> None:
        self.assertEqual(set(self.environment("wsrelay", Option.DEFAULTS)), {"REDIS_URL", "PORT"})
        self.assertEqual(self.environment("wsrelay")["WSRELAY_MAX_HANDSHAKES_PER_SECOND"], "0")

    def test_tls_takes_the_place_of_the_plain_port(self) -> None:
        found = self.environment("wsrelay", Option.TLS)
        self.assertEqual(found["WSRELAY_LISTEN_TLS"], "tcp:1:interface=127.0.0.1")
        self.assertNotIn("PORT", found)

    def test_clients_may_publish_where_they_have_to(self) -> None:
        self.assertEqual(self.environment("wsrelay", Option.PUBLISHING)["WSRELAY_PUBLISH"], "b*")
        found = self.environment("centrifugo", Option.PUBLISHING)
        self.assertEqual(found["CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT"], "true")
        self.assertEqual(SERVERS["ws"].command(Start(1, 2, 0, frozenset({Option.PUBLISHING})))[2:], [*"120", "publish"])

    def test_each_client_has_a_token_of_its_own(self) -> None:
        lines = write_tokens(Path(self.mktemp()), 2).read_text().splitlines()
        users = [jwt.decode(line, SECRET, ["HS256"])["sub"] for line in lines]
        self.assertEqual(users, ["user-0", "user-1"])


class EnvironmentTests(SynchronousTestCase):
    """The relay's environment."""

    def test_environment_of_the_pins_alone_is_right(self) -> None:
        installed = {"Zope.Interface": "8.7", "pip": "23.2", "wsrelay": "0.1"}
        self.assertEqual(setup.differences({"zope-interface": "8.7"}, installed), "")

    def test_further_missing_and_other_packages_are_named(self) -> None:
        found = setup.differences({"twisted": "26.10.0", "attrs": "26.1.0"}, {"twisted": "25.5.0", "click": "8.1"})
        self.assertEqual(found, "the relay's environment is not that of requirements.txt: attrs, click, twisted")


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
