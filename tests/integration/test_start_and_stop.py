"""How `twistd wsrelay` starts and stops: as a daemon, without standard streams, and when it cannot start."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess, wait_until_listening
from devtools.harness.relay import Relay, clean_environ
from tests.support.daemon import Daemon
from tests.support.polling import DEADLINE_SECONDS

NODAEMON = ("--nodaemon", "--pidfile=twistd.pid")
ALL_CLOSED = "<&- >&- 2>&-"


def answers(port: int) -> bool:
    """Return whether a relay answers on a port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def open_when_read(pipe: Path, relay: Relay) -> int:
    """Return a descriptor to write to a named pipe, as soon as a relay waits for what is written."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while relay.is_running and time.monotonic() < deadline:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads
            time.sleep(0.02)
    raise TimeoutError(f"the relay does not read the pipe: {relay.log()}")


class DaemonCase(SynchronousTestCase):
    """Relays in a directory of the test's own."""

    def setUp(self) -> None:
        self.daemon = self.enterContext(Daemon())


class DaemonTests(DaemonCase):
    """A daemon that starts."""

    def test_prompt_is_back_when_the_port_is_open_and_sigterm_removes_the_pid_file(self) -> None:
        port = free_port()
        ended = self.daemon.start("--port", str(port))
        self.assertEqual((ended.returncode, ended.stdout), (0, ""))
        self.assertTrue(answers(port))
        self.daemon.stop()
        self.assertFalse(self.daemon.pidfile.exists())
        self.assertIn("draining 0 connections", self.daemon.log())

    def test_sighup_reloads_a_daemon_that_was_started_at_a_terminal(self) -> None:
        terminal, stdin = pty.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, stdin)
        port = free_port()
        self.assertEqual(self.daemon.start("--port", str(port), stdin=stdin).returncode, 0)
        os.kill(self.daemon.pid, signal.SIGHUP)
        self.daemon.wait_for(lambda: "read again: no setting has changed" in self.daemon.log())
        self.assertTrue(answers(port))

    def test_stale_unix_socket_is_taken_over_behind_a_proxy_and_a_live_one_is_not(self) -> None:
        path = self.daemon.folder / "relay.sock"
        flags = ("--listen", f"haproxy:unix:{path}")
        self.assertEqual(self.daemon.start(*flags).returncode, 0)
        self.daemon.kill()
        # As in a container, where the ID belongs to a process that is alive.
        lock = Path(f"{path}.lock")
        lock.unlink()
        lock.symlink_to("1")
        self.assertEqual(self.daemon.start(*flags).returncode, 0)
        ended = self.daemon.start(*flags, twistd=("--pidfile=other.pid",))
        self.assertEqual(ended.returncode, 1)
        self.assertIn("a process answers there", ended.stdout)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(path))
            client.sendall(b"PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b" 200 ", client.recv(1000))
        self.daemon.stop()
        self.assertFalse(path.exists() or lock.is_symlink())


class MissingStreamTests(DaemonCase):
    """Standard streams that are closed, as by cron, init scripts and process managers."""

    def test_daemon_starts_without_any_of_them(self) -> None:
        for redirect, log in (("<&-", ()), (ALL_CLOSED, ()), (ALL_CLOSED, ("--syslog",))):
            port = free_port()
            ended = self.daemon.start("--port", str(port), redirect=redirect, twistd=log)
            self.assertEqual((ended.returncode, ended.stdout), (0, ""), redirect)
            self.assertTrue(answers(port), redirect)
            self.daemon.stop()

    def test_foreground_process_starts_without_any_of_them(self) -> None:
        logs: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("<&-", ()),
            (ALL_CLOSED, ()),
            (ALL_CLOSED, ("--logfile=twistd.log",)),
            (ALL_CLOSED, ("--syslog",)),
        )
        for redirect, log in logs:
            port = free_port()
            self.daemon.start("--port", str(port), redirect=f"{redirect} &", twistd=(*NODAEMON, *log))
            self.daemon.wait_for(partial(answers, port))
            self.daemon.stop()

    def test_errors_are_reported_without_them(self) -> None:
        for mode in ((), NODAEMON):
            ended = self.daemon.start("--listen", "unix:missing/x", redirect=ALL_CLOSED, twistd=mode)
            self.assertEqual(ended.returncode, 1)
            self.assertFalse(self.daemon.pidfile.exists())


class FailedStartTests(DaemonCase):
    """A start that fails: status 1, the reason at the prompt, and no pid file."""

    def assert_fails(self, ended: subprocess.CompletedProcess[str], reason: str) -> None:
        """Check the end of a start that failed."""
        self.assertEqual(ended.returncode, 1, ended.stdout)
        self.assertIn(reason, ended.stdout)
        self.assertNotIn("Traceback", ended.stdout + self.daemon.log())
        self.assertFalse(self.daemon.pidfile.exists())

    def test_daemon_that_cannot_listen_says_so_at_the_prompt_and_in_its_log(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for flags, reason in (
                (("--port", str(port)), f"cannot listen on 127.0.0.1:{port}: Address already in use"),
                (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1:8080: Cannot assign requested address"),
                (("--listen", "unix:missing/x"), "missing/x: No such file or directory"),
                (("--listen", "tcp:99999"), "cannot listen: "),
            ):
                self.assert_fails(self.daemon.start(*flags), reason)
                self.assertIn(reason, self.daemon.log())

    def test_unix_socket_is_not_left_behind_when_another_endpoint_cannot_be_used(self) -> None:
        for scheme in ("unix:", "haproxy:unix:"):
            for mode in ((), NODAEMON):
                flags = ("--listen", f"{scheme}{self.daemon.folder}/b.sock", "--listen", "tcp:8080:interface=192.0.2.1")
                self.assert_fails(self.daemon.start(*flags, twistd=mode), "cannot listen on 192.0.2.1:8080")
                self.assertEqual([each.name for each in self.daemon.folder.glob("b.sock*")], [])

    def test_long_reason_is_cut_at_the_prompt_and_complete_in_the_log(self) -> None:
        path = "missing/" + "x" * 90
        self.assert_fails(self.daemon.start("--listen", f"unix:{path}"), "xxx...")
        self.assertIn(f"{path}: No such file or directory", self.daemon.log())

    def test_daemon_that_cannot_change_its_user_is_reported_too(self) -> None:
        prefix: tuple[str, ...] = ()
        if os.getuid() == 0:
            if shutil.which("setpriv") is None:
                raise SkipTest("root may change its user, and there is no setpriv to forbid it")
            prefix = ("setpriv", "--bounding-set=-setuid,-setgid")
        ended = self.daemon.start("--port", str(free_port()), twistd=("--uid=1", "--gid=1"), prefix=prefix)
        self.assert_fails(ended, "the process ended before it had started")
        self.assertIn("failed to set uid/gid", self.daemon.log())

    def test_foreground_process_reports_what_its_log_would_hide(self) -> None:
        for log in (("--logfile=twistd.log",), ("--syslog",)):
            ended = self.daemon.start("--host", "192.0.2.1", twistd=(*NODAEMON, *log))
            self.assert_fails(ended, "wsrelay: cannot listen on 192.0.2.1:8080")
            self.assertEqual(ended.stdout.count("\n"), 1, ended.stdout)

    def test_unusable_paths_of_twistd_are_one_line(self) -> None:
        cases = (("--rundir=missing", ()), ("--pidfile=missing/x", ()), ("--logfile=missing/x", ("--nodaemon",)))
        for option, mode in cases:
            ended = self.daemon.start("--port", str(free_port()), twistd=(*mode, option))
            self.assert_fails(ended, f"wsrelay: twistd {option.partition('=')[0]}: there is no directory")
            self.assertEqual(ended.stdout.count("\n"), 1, ended.stdout)

    def test_root_without_the_null_device_is_one_line_and_no_endless_wait(self) -> None:
        if os.getuid() != 0:
            raise SkipTest("only root may change the root directory")
        root = self.daemon.folder / "root"
        root.mkdir()
        ended = self.daemon.start("--port", str(free_port()), twistd=(f"--chroot={root}",))
        self.assert_fails(ended, f"{root}/dev/null as its standard streams, which cannot be opened")
        self.assertEqual(ended.stdout.count("\n"), 1, ended.stdout)

    def test_second_start_in_one_directory_leaves_the_pid_file_of_the_first(self) -> None:
        self.daemon.start("--port", str(free_port()))
        pid = self.daemon.pid
        ended = self.daemon.start("--port", str(free_port()))
        self.assertEqual(ended.returncode, 1)
        self.assertIn("Another twistd server is running", ended.stdout)
        self.assertEqual(self.daemon.pid, pid)


class OtherRunnerTests(SynchronousTestCase):
    """`twist`, Twisted's other runner, which starts services in one step."""

    def test_relay_listens(self) -> None:
        relay = self.enterContext(contextlib.closing(ChildProcess("twist")))
        port = free_port()
        relay.spawn([sys.executable, "-m", "twisted", "wsrelay", "--port", str(port)], clean_environ())
        wait_until_listening(relay, port)
        self.assertTrue(answers(port))
        relay.signal()
        relay.wait()
        self.assertIn("draining", relay.log())


class SignalTests(SynchronousTestCase):
    """Signals before the reactor handles them."""

    def setUp(self) -> None:
        # A shell starts jobs in the background with SIGINT ignored, and so would be every relay started from here.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))

    def test_sigterm_and_sigint_end_a_start_without_a_traceback(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            relay = Relay("--listen-tls", "tcp:0", "--tls-certificates", "pipe")
            self.addCleanup(relay.close)
            pipe = relay.folder / "pipe"
            os.mkfifo(pipe)
            relay._spawn_relay()
            # The start goes no further than to this pipe.
            self.addCleanup(os.close, open_when_read(pipe, relay))
            relay.signal(number)
            self.assertEqual(relay.wait(), -number)
            self.assertNotIn("Traceback", relay.log())


class ServiceVariableTests(SynchronousTestCase):
    """Variables that look like settings and belong to others."""

    def test_relay_starts_and_names_what_it_ignores_in_one_line(self) -> None:
        variables = {
            "WSRELAY_VERSION": "1.0",
            "WSRELAY_REDIS_SERVICE_HOST": "10.0.0.1",
            "WSRELAY_REDIS_PORT": "tcp://10.0.0.1:6379",
        }
        with Relay(env=variables) as relay:
            (line,) = (line for line in relay.log().splitlines() if "ignored environment variables" in line)
        for name in variables:
            self.assertIn(name, line)


class ShutdownDelayTests(SynchronousTestCase):
    """The time for load balancers to notice that a process is about to stop."""

    def test_clients_are_accepted_after_sigterm_and_a_second_one_does_not_shorten_the_delay(self) -> None:
        with Relay("--shutdown-delay-seconds", "5", "--drain-timeout-seconds", "12") as relay:
            began = time.monotonic()
            relay.signal()
            self.assertEqual(relay.wait_for("/readyz", 503), "not ready: stopping\n")
            relay.signal()
            with connect(relay.ws("chat"), proxy=None, legacy=True) as client:
                with self.assertRaises(ConnectionClosed) as closed:
                    client.recv(DEADLINE_SECONDS)
                self.assertEqual(closed.exception.rcvd and closed.exception.rcvd.code, 1012)
            self.assertEqual(relay.wait(), -signal.SIGTERM)
            self.assertGreater(time.monotonic() - began, 5.0)
            self.assertIn("already stopping", relay.log())
