"""Child processes that do not outlive the benchmark, however it ends."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from devtools.bench.measure import family
from devtools.bench.paths import LOGS

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_living: list[Child] = []


class Child:
    """One child process, pinned to its cores; its standard error goes to a file under `.cache/logs`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cores: set[int],
        environment: Mapping[str, str] | None = None,
        piped: bool = False,
        cwd: Path | None = None,
    ) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = LOGS / f"{name}.log"
        parent = os.getpid()

        def prepare() -> None:
            # Should this process be killed without time to clean up, the kernel ends the child.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)
            os.sched_setaffinity(0, cores)

        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                preexec_fn=prepare,
            )
        _living.append(self)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """Return the last lines of its log, in one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-3:])

    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return its standard input and output."""
        if not self.process.stdin or not self.process.stdout:
            raise ValueError(f"{self.name} has no pipes")
        return self.process.stdin, self.process.stdout

    def stop(self) -> None:
        """End it and its own children: first politely, after 2 s not."""
        if self in _living:
            _living.remove(self)
        if self.alive():
            members = family(self.pid)
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                for pid in reversed(members):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                self.process.wait(5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def stop_all() -> None:
    """End all children still running."""
    for child in list(_living):
        child.stop()


def clean_up_on_exit() -> None:
    """Arrange for `stop_all` on any exit; SIGTERM and SIGHUP end a run as Ctrl-C does."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    atexit.register(stop_all)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(child: Child, port: int, *, seconds: float = 15) -> None:
    """Wait until something accepts connections on the port.

    Raises:
        TimeoutError: It did not in time, or the child ended; the message has its last words.
    """
    deadline = time.monotonic() + seconds
    while child.alive() and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"{child.name} did not start: {child.last_words() or 'it said nothing'}")
