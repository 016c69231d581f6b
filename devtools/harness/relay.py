"""The real thing: `twistd wsrelay` as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from devtools.harness.redis_server import free_port

__all__ = ["Relay", "clean_environ"]

START_SECONDS = 30.0
STOP_SECONDS = 30.0


def clean_environ(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would configure a relay, and with what is given."""
    # PYTHONPATH, because a parallel test run sets it and the source tree would come before an installation.
    mine = ("PORT", "REDIS_URL", "REDIS_TLS_URL", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in mine and not name.startswith("WSRELAY_")}
    return {**kept, **(more or {})}


class Relay:
    """One relay process on a port of loopback.

    Args:
        *flags: Flags of ``twistd wsrelay``.
        port: The port, or 0 for a free one.
        env: Environment variables.
        ready: Wait for ``/readyz``; else only for ``/healthz``, for a relay that has no Redis yet.
        python: The interpreter whose environment has the relay.

    Attributes:
        port: The port.
        url: ``http://127.0.0.1:port``.
    """

    def __init__(
        self,
        *flags: str,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
        python: str = sys.executable,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="wsrelay-")
        self._log = Path(self._folder.name) / "log"
        self._ready = ready
        command = [
            str(Path(python).with_name("twistd")),
            "--nodaemon",
            "--pidfile=",
            "wsrelay",
            "--port",
            str(self.port),
        ]
        with self._log.open("wb") as log:
            # Not in the source tree: what is tested is what is installed.
            self.process = subprocess.Popen(
                [*command, *flags], cwd=self._folder.name, env=clean_environ(env), stdout=log, stderr=log
            )

    def ws(self, channel: str) -> str:
        """The address of a channel's WebSocket."""
        return f"ws://127.0.0.1:{self.port}/ws/{channel}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_for(self, path: str, status: int = 200, seconds: float = START_SECONDS) -> str:
        """Ask until the path answers with this status; gives the body."""
        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the relay ended with status {self.process.returncode}:\n{self.log()}")
            try:
                last = code, body = self.get(path)
                if code == status:
                    return body
            except OSError as error:
                last = error
            time.sleep(0.02)
        raise AssertionError(f"{path} never answered {status}, at last {last}; the log:\n{self.log()}")

    def log(self) -> str:
        """All it wrote so far."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; gives its exit status, negative for a signal."""
        return self.process.wait(timeout=seconds)

    def stop(self) -> None:
        """Stop it, by force if it will not; twice is fine."""
        if self.process.poll() is None:
            self.signal()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Relay:
        try:
            self.wait_for("/readyz" if self._ready else "/healthz")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()
