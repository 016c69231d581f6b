"""The load client: a child process that takes commands by line and answers with lines of JSON."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

from devtools.bench.paths import HERE, LOAD, LOGS, SECURE_LOAD
from devtools.harness.processes import ChildProcess

Reply = dict[str, Any]


class LoadError(Exception):
    """Messages were lost, doubled or out of order, or a deadline passed."""


def client_command(*, tls: bool = False) -> list[str]:
    """Return the command of the load client: the compiled one, else the slower one in Python, which has no TLS."""
    if tls:
        return [str(SECURE_LOAD)]
    return [str(LOAD)] if LOAD.exists() else [sys.executable, str(HERE / "load_fallback.py")]


class Load:
    """A running load client.

    Attributes:
        command: The last command, for error messages.
    """

    def __init__(
        self,
        port: int,
        *,
        publish: str,
        publish_port: int,
        flavour: str,
        path: str,
        channel: str,
        cores: set[int],
        command: list[str] | None = None,
        tls: bool = False,
        tokens: Path | None = None,
    ) -> None:
        arguments = [str(port), publish, str(publish_port), flavour, path, channel]
        arguments += ["tls"] * tls + ([f"tokens={tokens}"] if tokens else [])
        self._child = ChildProcess("load", log=LOGS / "load.log", cores=cores)
        self._child.spawn([*(command or client_command(tls=tls)), *arguments], piped=True, cwd=HERE)
        self.command = ""

    def ask(self, command: str, *, deadline: float = 60, **arguments: float) -> Reply:
        """Send a command and return the reply.

        Raises:
            LoadError: The client reports an error, or does not answer in time.
        """
        words = [command, *(f"{name}={value}" for name, value in arguments.items()), f"timeout={deadline}"]
        self.command = " ".join(words)
        stdin, stdout = self._child.pipes
        until = time.monotonic() + deadline + 5
        line = b""
        try:
            stdin.write(self.command.encode() + b"\n")
            stdin.flush()
            while not line.endswith(b"\n"):
                if not select.select([stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                    raise LoadError(f"{self.command}: no reply")
                chunk = os.read(stdout.fileno(), 65536)
                if not chunk:
                    raise LoadError(f"{self.command}: the load client ended: {self._child.last_lines()}")
                line += chunk
        except BrokenPipeError as error:
            raise LoadError(f"{self.command}: the load client ended: {self._child.last_lines()}") from error
        reply: Reply = json.loads(line)
        if not reply["ok"]:
            counts = {name: reply.get(name) for name in ("expected", "delivered", "lost", "late", "malformed", "open")}
            raise LoadError(f"{self.command}: {reply.get('failure', 'failed')} {counts}")
        return reply

    def stop(self) -> None:
        """End the client, whatever it is doing."""
        self._child.stop(2.0)
        self._child.close()
