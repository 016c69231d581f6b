"""The relay as its users run it: `twistd wsrelay` in a child process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from devtools.harness.http import get
from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess

__all__ = ["AsyncRelay", "Relay", "clean_environ"]

START_SECONDS = 90.0


def clean_environ(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without variables that would configure a relay, and with those given."""
    # PYTHONPATH, because a parallel test run sets it and the source tree would come before an installation.
    mine = ("PORT", "REDIS_URL", "REDIS_URL_FILE", "REDIS_TLS_URL", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in mine and not name.startswith("WSRELAY_")}
    return {**kept, **(more or {})}


class _RelayProcess(ChildProcess):
    """The relay process, and what blocking and asyncio programs share.

    Args:
        *flags: Flags of ``twistd wsrelay``.
        port: The port, or 0 for a free one.
        env: Environment variables.
        python: The interpreter whose environment has the relay.

    Attributes:
        port: The port.
        url: ``http://127.0.0.1:port``.
    """

    def __init__(
        self, *flags: str, port: int = 0, env: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> None:
        super().__init__("relay")
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        twistd = str(Path(python).with_name("twistd"))
        self._command = [twistd, "--nodaemon", "--pidfile=", "wsrelay", "--port", str(self.port), *flags]
        self._environment = clean_environ(env)

    def ws(self, channel: str) -> str:
        """Return the URL of a channel's WebSocket."""
        return f"ws://127.0.0.1:{self.port}/ws/{channel}"

    def _spawn_relay(self) -> None:
        # Its folder is not in the source tree: the relay that is tested is the one that is installed.
        self.spawn(self._command, self._environment)


class Relay(_RelayProcess):
    """A relay for programs that block; see `_RelayProcess`. As a context manager it is started and closed.

    Args:
        *flags: Flags of ``twistd wsrelay``.
        port: The port, or 0 for a free one.
        env: Environment variables.
        ready: True to wait for ``/readyz``, else only for ``/healthz``, for a relay that has no Redis yet.
        python: The interpreter whose environment has the relay.
    """

    def __init__(
        self,
        *flags: str,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
        python: str = sys.executable,
    ) -> None:
        super().__init__(*flags, port=port, env=env, python=python)
        self._ready = ready

    def start(self) -> Self:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: It did not start.
        """
        self._spawn_relay()
        try:
            self.wait_for("/readyz" if self._ready else "/healthz")
        except BaseException:
            self.close()
            raise
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET.

        Raises:
            OSError: There is no answer.
        """
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_for(self, path: str, status: int = 200, seconds: float = START_SECONDS) -> str:
        """Repeat a GET until it is answered with a status.

        Returns:
            The body.

        Raises:
            RuntimeError: The relay ended, or did not answer so in time; the message has its log.
        """
        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            if not self.is_running:
                raise RuntimeError(f"the relay ended with status {self.status}:\n{self.log()}")
            try:
                last = code, body = self.get(path)
                if code == status:
                    return body
            except OSError as error:
                last = error
            time.sleep(0.02)
        raise RuntimeError(f"{path} never answered {status}, at last {last}; the log:\n{self.log()}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.close()


class AsyncRelay(_RelayProcess):
    """A relay for asyncio programs; see `_RelayProcess`."""

    async def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it is ready, or only until it is alive.

        Raises:
            RuntimeError: It did not start.
        """
        self._spawn_relay()
        deadline = time.monotonic() + START_SECONDS
        answer = 0, ""
        while time.monotonic() < deadline and self.is_running:
            answer = await self.get("/readyz" if ready else "/healthz")
            if answer[0] == 200:
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the relay did not start; its last answer was {answer}: {self.log()[-1000:]}")

    async def get(self, path: str, seconds: float = 2.0) -> tuple[int, str]:
        """Return status and body of a GET; 0 and the reason if there is no answer in time."""
        return await get(self.port, path, seconds)

    async def metrics_by_label(self, name: str) -> dict[str, float]:
        """Return the values of one of its metrics with one label, by the label's value. Empty if there is no answer."""
        status, text = await self.get("/metrics")
        found = re.findall(rf'^{name}{{\w+="([^"]*)"}} (\S+)$', text, re.MULTILINE) if status == 200 else []
        return {label: float(value) for label, value in found}

    async def metric(self, name: str) -> float | None:
        """Return the value of one of its metrics without labels, or None if there is none of this name."""
        status, text = await self.get("/metrics")
        if status == 200:
            for line in text.splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[1])
        return None
