"""`twistd wsrelay` as a daemon: it leaves the process that started it, and is found again by its environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devtools.harness.relay import clean_environ
from tests.support.polling import DEADLINE_SECONDS, wait_until

__all__ = ["Daemon"]

_MARK = "RELAY_DAEMON_OF_TEST"


class Daemon:
    """One directory in which relays are started; whatever runs there is killed at the end.

    Attributes:
        folder: The directory.
        pidfile: twistd's pid file.
        logfile: twistd's log.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.pidfile = self.folder / "twistd.pid"
        self.logfile = self.folder / "twistd.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda: not self._pids())
        self._temporary.cleanup()

    def start(
        self,
        *flags: str,
        twistd: tuple[str, ...] = (),
        redirect: str = "",
        env: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        **popen: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run `twistd wsrelay` as at a prompt, until the prompt is back.

        Args:
            *flags: Flags of the relay.
            twistd: Flags of twistd.
            redirect: Redirections of the shell, such as `<&-`.
            env: More environment variables.
            prefix: A command that runs the command.
            **popen: More arguments of `subprocess.run`.

        Returns:
            Status, and what was printed.

        Raises:
            subprocess.TimeoutExpired: The prompt did not come back.
        """
        script = f'exec "$@" {redirect}'
        command = ["/bin/sh", "-c", script, "sh", *prefix, str(Path(sys.executable).with_name("twistd"))]
        popen.setdefault("stdin", subprocess.DEVNULL)
        # A file: a daemon that keeps a pipe open would keep the reader waiting.
        with (self.folder / "printed").open("w+") as printed:
            ended = subprocess.run(
                [*command, *twistd, "wsrelay", *flags],
                env={**clean_environ(env), _MARK: str(self.folder)},
                cwd=self.folder,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=DEADLINE_SECONDS,
                check=False,
                **popen,
            )
            printed.seek(0)
            if ended.returncode:
                # The prompt is back before the daemon has ended, which may have to write down what it covered.
                self.wait_for(lambda: set(self._pids()) <= self._pid_of_file())
            return subprocess.CompletedProcess(ended.args, ended.returncode, printed.read(), "")

    @property
    def pid(self) -> int:
        """The process ID in the pid file."""
        return int(self.pidfile.read_text())

    def log(self) -> str:
        """Return the log; empty if there is none."""
        return self.logfile.read_text() if self.logfile.exists() else ""

    def stop(self) -> None:
        """End the daemon of the pid file by SIGTERM.

        Raises:
            TimeoutError: It did not end.
        """
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        self.wait_for(lambda: pid not in self._pids())

    def kill(self) -> None:
        """End the daemon of the pid file by SIGKILL, and remove that file: its process may be a zombie for a while."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda: pid not in self._pids())
        self.pidfile.unlink()

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until a function returns a true value.

        Raises:
            TimeoutError: It never did; the text has the log.
        """
        wait_until(condition, self.log)

    def _pid_of_file(self) -> set[int]:
        return {self.pid} if self.pidfile.exists() else set()

    def _pids(self) -> list[int]:
        """Return the processes that were started here. A zombie has no environment any more."""
        mark = f"{_MARK}={self.folder}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
