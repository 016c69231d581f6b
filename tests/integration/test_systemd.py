"""The units in packaging/systemd/, and `twistd wsrelay` with what systemd gives a service: sockets and a watchdog."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect, unix_connect

from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess
from devtools.harness.relay import clean_environ
from tests.docs.blocks import ROOT, code_blocks, require_program
from tests.support.polling import DEADLINE_SECONDS, wait_until
from wsrelay.config import Settings

UNITS = ROOT / "packaging" / "systemd"
TWISTD = str(Path(sys.executable).with_name("twistd"))

MAX_EXPOSURE = 1.5
"""Of ten, by `systemd-analyze security`. A service without any hardening has 9.6; a network service cannot have 0."""

WATCHDOG_SECONDS = 0.9


def directives(unit: str) -> dict[str, str]:
    """Return the settings of a unit, each with its last value."""
    return dict(re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE))


def unit_command(config: Path) -> list[str]:
    """Return the command of the unit with the program of this environment, and with a configuration."""
    command = directives("wsrelay.service")["ExecStart"]
    return shlex.split(
        command.replace("/opt/wsrelay/bin/twistd", TWISTD).replace("/etc/wsrelay/wsrelay.toml", str(config))
    )


class SystemdCase(SynchronousTestCase):
    """Processes in a directory whose path is short enough for a socket."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(TemporaryDirectory()))
        self.config = self.folder / "wsrelay.toml"
        self.config.write_text('broker = "memory"\n')
        self.relay = self.enterContext(closing(ChildProcess("relay")))

    def assert_ends(self, text: str = "Main loop terminated") -> None:
        """Stop the relay, and check that it ends as systemd takes for a success."""
        self.relay.signal()
        self.assertEqual(self.relay.wait(), -signal.SIGTERM)
        self.assertIn(text, self.relay.log())


class UnitTests(SystemdCase):
    """The unit files."""

    def installed(self) -> list[str]:
        """Return the paths of the units as they are on a machine where the program exists."""
        for unit in UNITS.iterdir():
            (self.folder / unit.name).write_text(unit.read_text().replace("/opt/wsrelay/bin/twistd", TWISTD))
        return [str(self.folder / unit.name) for unit in UNITS.iterdir()]

    def analyze(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `systemd-analyze`."""
        program = require_program("systemd-analyze")
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)

    def test_systemd_finds_nothing_wrong_with_the_units(self) -> None:
        ended = self.analyze("verify", "--man=no", *self.installed())
        self.assertEqual((ended.returncode, ended.stdout + ended.stderr), (0, ""))

    def test_systemd_finds_nothing_wrong_with_the_files_of_the_page(self) -> None:
        units = self.installed()
        is_newer = self.version() >= 253
        for block in code_blocks("docs/systemd.md", "ini"):
            path = self.folder / Path(block.splitlines()[0].removeprefix("# /etc/systemd/system/"))
            path.parent.mkdir(exist_ok=True)
            if is_newer or "notify-reload" not in block:
                path.write_text(block)
            if path.suffix == ".socket":
                units.append(str(path))
        self.assertEqual(len(units), 3)
        ended = self.analyze("verify", "--man=no", *units)
        self.assertEqual((ended.returncode, ended.stdout + ended.stderr), (0, ""))

    def version(self) -> int:
        """Return the version of systemd."""
        return int(self.analyze("--version").stdout.split()[1])

    def test_service_is_exposed_as_little_as_systemd_can_make_it(self) -> None:
        (service,) = (path for path in self.installed() if path.endswith(".service"))
        ended = self.analyze("security", "--offline=yes", "--no-pager", f"--threshold={MAX_EXPOSURE * 10:.0f}", service)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn("Overall exposure level", ended.stdout)

    def test_system_calls_of_io_uring_are_permitted(self) -> None:
        ended = self.analyze("syscall-filter", "--no-pager", "@aio")
        self.assertIn("\nSystemCallFilter=@system-service @aio\n", (UNITS / "wsrelay.service").read_text())
        self.assertLessEqual({"io_uring_setup", "io_uring_enter", "io_uring_register"}, set(ended.stdout.split()))

    def test_stop_has_more_time_than_the_drain(self) -> None:
        self.assertGreater(float(directives("wsrelay.service")["TimeoutStopSec"]), Settings().drain_timeout_seconds)


class ActivationTests(SystemdCase):
    """Sockets that are open before the relay is."""

    def activate(self, address: str, *flags: str, options: tuple[str, ...] = ()) -> None:
        """Let a program of systemd listen, and start the relay when a client comes."""
        program = require_program("systemd-socket-activate")
        command = [program, "-l", address, *options, *unit_command(self.config), *flags]
        self.relay.spawn(command, clean_environ())

    def answer(self, port: int) -> int:
        """Return the status of /readyz, as soon as something listens."""

        def listens() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, self.relay.log)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)) as client:
            client.request("GET", "/readyz")
            return client.getresponse().status

    def test_socket_is_used_without_a_setting_and_also_if_it_has_no_name(self) -> None:
        for options in ((), ("--fdname=http",)):
            port = free_port()
            self.activate(f"127.0.0.1:{port}", options=options)
            self.assertEqual(self.answer(port), 200)
            with connect(f"ws://127.0.0.1:{port}/ws/chat", proxy=None, legacy=True) as client:
                client.send("hello")
                self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
            self.assert_ends()

    def test_socket_of_ipv6_serves_clients_of_ipv4(self) -> None:
        """As ListenStream=8080 opens it."""
        port = free_port()
        self.activate(str(port), "--listen", "systemd:domain=INET:index=0")
        self.assertEqual(self.answer(port), 200)
        self.assert_ends(f"listening on http://[::]:{port}/")

    def test_socket_is_chosen_by_its_name(self) -> None:
        port = free_port()
        self.activate(f"127.0.0.1:{port}", "--listen", "systemd:http", options=("--fdname=http",))
        self.assertEqual(self.answer(port), 200)
        self.assert_ends()

    def test_unix_socket_is_not_removed_at_the_end(self) -> None:
        path = self.folder / "s"
        self.activate(str(path))
        wait_until(path.exists, self.relay.log)
        with unix_connect(str(path), "ws://localhost/ws/chat") as client:
            client.send("hello")
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
        self.assert_ends(f"listening on unix:{path}")
        self.assertTrue(path.exists())

    def test_name_that_was_not_passed_ends_the_start_with_those_that_were(self) -> None:
        port = free_port()
        self.activate(f"127.0.0.1:{port}", "--listen", "systemd:https", options=("--fdname=http",))

        def has_ended() -> bool:
            with socket.socket() as client:
                client.connect_ex(("127.0.0.1", port))
            return not self.relay.is_running

        wait_until(has_ended, self.relay.log)
        self.assertEqual(self.relay.status, 1)
        self.assertIn("systemd has passed no such socket; those passed, from index 0: http", self.relay.log())


class NotificationTests(SystemdCase):
    """Reports to a socket in the place of systemd's."""

    def setUp(self) -> None:
        super().setUp()
        path = str(self.folder / "notify")
        self.socket = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(path)
        variables = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": f"{WATCHDOG_SECONDS * 1e6:.0f}"}
        self.port = free_port()
        self.relay.spawn([*unit_command(self.config), "--port", str(self.port)], clean_environ(variables))

    def receive(self, seconds: float = DEADLINE_SECONDS) -> list[str]:
        """Return the lines of the next datagram."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096).decode().splitlines()
        except TimeoutError:
            raise TimeoutError(f"no datagram: {self.relay.log()}") from None

    def receive_other(self) -> list[str]:
        """Return the lines of the next datagram that does not feed the watchdog."""
        while (lines := self.receive()) == ["WATCHDOG=1"]:
            pass
        return lines

    def assert_watchdog_is_fed(self) -> None:
        """Check that the watchdog is fed several times."""
        for _ in range(3):
            self.assertEqual(self.receive(), ["WATCHDOG=1"])

    def assert_watchdog_starves(self) -> None:
        """Check that nothing comes in a time in which the watchdog ends the process; what came before is dropped."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            with self.assertRaises(TimeoutError):
                self.receive(WATCHDOG_SECONDS)

    def test_life_of_a_process_is_reported_in_order(self) -> None:
        self.assertEqual(self.receive(), ["READY=1", "STATUS=ready"])
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        self.assert_watchdog_is_fed()
        before = time.monotonic_ns() // 1000
        self.relay.signal(signal.SIGHUP)
        reloading, when = self.receive_other()
        self.assertEqual(reloading, "RELOADING=1")
        # Of the same clock in all processes.
        self.assertTrue(before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000, when)
        self.assertEqual(self.receive_other(), ["READY=1"])
        with connect(f"ws://127.0.0.1:{self.port}/ws/chat", proxy=None, legacy=True):
            self.relay.signal()
            self.assertEqual(self.receive_other(), ["STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000"])
            self.assertEqual(self.receive_other(), ["STATUS=not ready: stopping"])
        self.assertEqual(self.relay.wait(), -signal.SIGTERM)

    def test_watchdog_is_fed_by_the_reactor_alone(self) -> None:
        self.receive()
        self.assert_watchdog_is_fed()
        self.relay.signal(signal.SIGSTOP)
        wait_until(lambda: " T " in Path(f"/proc/{self.relay.pid}/stat").read_text(), self.relay.log)
        self.assert_watchdog_starves()
        self.relay.signal(signal.SIGCONT)
        self.assert_watchdog_is_fed()
        # A reload that waits for its file keeps the reactor from turning, and nothing else.
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        pipe.rename(self.config)
        self.relay.signal(signal.SIGHUP)
        self.assertEqual(self.receive_other()[0], "RELOADING=1")
        self.assert_watchdog_starves()
        self.config.write_text('broker = "memory"\n')
        self.assertEqual(self.receive_other(), ["READY=1"])
        self.assert_watchdog_is_fed()
        self.assertIn("the reactor was occupied for ", self.relay.log())
        self.relay.signal()
        self.assertEqual(self.relay.wait(), -signal.SIGTERM)
