"""Child processes that do not outlive this one, however it ends."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

__all__ = [
    "ChildProcess",
    "family",
    "interrupt_on_signals",
    "resident_bytes",
    "stop_all",
    "wait_until_listening",
]

STOP_SECONDS = 30.0
LISTEN_SECONDS = 60.0

_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running: set[ChildProcess] = set()


class ChildProcess:
    """A program that may be started, ended and started again. Everything that it prints is appended to one log file.

    The kernel ends it if this process is killed without time to clean up.

    Args:
        name: What messages call it.
        log: Its log file, which is emptied first; if None, a file in its folder.
        cores: The processors that it may run on; if None, all.
        death_signal: What the kernel sends it when this process has died. SIGKILL reaches a stopped process too;
            SIGTERM lets a program with children of its own end those.

    Attributes:
        name: See above.
        folder: A temporary folder, which is its working directory unless `spawn` says otherwise; `close` removes it.
    """

    def __init__(
        self,
        name: str,
        *,
        log: Path | None = None,
        cores: set[int] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"wsrelay-{name}-"))
        self._log = log or self.folder / "log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._cores = cores
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        piped: bool = False,
        cwd: Path | None = None,
    ) -> None:
        """Start the program. Call it from a thread that lives as long as the program: its end ends the program.

        Args:
            command: Program and arguments.
            environment: All its environment variables; if None, those of this process.
            piped: True if standard input and output are pipes, see `pipes`; else both go to the log.
            cwd: Its working directory; if None, `folder`.
        """
        parent = os.getpid()

        def prepare() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, self._death_signal)
            # This process may have died before prctl was called.
            if os.getppid() != parent:
                os._exit(1)
            if self._cores is not None:
                os.sched_setaffinity(0, self._cores)

        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                env=None if environment is None else dict(environment),
                cwd=cwd or self.folder,
                preexec_fn=prepare,
            )
        _running.add(self)

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            RuntimeError: It was not started.
        """
        return self._started.pid

    @property
    def is_running(self) -> bool:
        """True if it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._started.poll()

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Its standard input and output.

        Raises:
            RuntimeError: It was not started with pipes.
        """
        process = self._started
        if process.stdin is None or process.stdout is None:
            raise RuntimeError(f"{self.name} has no pipes")
        return process.stdin, process.stdout

    def log(self) -> str:
        """Return everything that it has printed since this object was made."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def last_lines(self) -> str:
        """Return the last three lines of its log, joined to one."""
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        return " | ".join(lines[-3:])

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, if it was started."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end.

        Returns:
            The exit status, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        return self._started.wait(timeout=seconds)

    def kill(self) -> None:
        """End it by SIGKILL. Does nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._release()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """End it by SIGTERM, or after `seconds` it and its descendants by SIGKILL. Does nothing if it does not run.

        Returns:
            True if it ended by itself in time.
        """
        ended = True
        if self.is_running:
            members = family(self.pid)
            self._terminate()
            try:
                self.wait(seconds)
            except subprocess.TimeoutExpired:
                ended = False
                _kill_all(members)
                self.wait()
        self._release()
        return ended

    async def stop_async(self, seconds: float = STOP_SECONDS) -> bool:
        """End it as `stop` does, without blocking the event loop.

        Returns:
            True if it ended by itself in time.
        """
        if self.is_running:
            self._terminate()
            deadline = time.monotonic() + seconds
            while self.is_running and time.monotonic() < deadline:
                await asyncio.sleep(_POLL_SECONDS)
        ended = not self.is_running
        self.kill()
        return ended

    def close(self) -> None:
        """End it by SIGKILL and remove its folder. May be called twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def descriptors(self) -> int:
        """Return how many files it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self) -> int:
        """Return its resident memory in bytes."""
        return resident_bytes(self.pid)

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _terminate(self) -> None:
        self.signal(signal.SIGTERM)
        # A stopped process gets SIGTERM only after it has been continued.
        self.signal(signal.SIGCONT)

    def _release(self) -> None:
        _running.discard(self)
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def stop_all() -> None:
    """End all children that still run."""
    for child in list(_running):
        child.stop(2.0)


atexit.register(stop_all)


def interrupt_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, so that children are ended."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def wait_until_listening(child: ChildProcess, port: int, seconds: float = LISTEN_SECONDS) -> None:
    """Wait until a child accepts connections on a port of loopback.

    Raises:
        TimeoutError: It did not in time, or it ended; the message has its last lines.
    """
    deadline = time.monotonic() + seconds
    while child.is_running and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise TimeoutError(f"{child.name} did not start: {child.last_lines() or 'it printed nothing'}")


def family(pid: int) -> list[int]:
    """Return the ids of a process and of all its descendants (nginx does its work in a child)."""
    members = [pid]
    for member in members:
        try:
            tasks = list(Path(f"/proc/{member}/task").iterdir())
        except FileNotFoundError:
            continue
        for task in tasks:
            children = task / "children"
            if children.exists():
                members += [int(child) for child in children.read_text().split()]
    return members


def resident_bytes(pid: int) -> int:
    """Return the resident memory of one process in bytes.

    From `smaps_rollup`, which is exact; VmRSS in `status` is summed from per-CPU counters that lag behind.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    text = rollup.read_text() if rollup.exists() else Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^(?:Rss|VmRSS):\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _kill_all(pids: Sequence[int]) -> None:
    for pid in reversed(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
