"""The SDKs that are tested, each in a small program of its own below programs/.

A program takes commands from the lines of its standard input, carries them out with its SDK, and prints lines of JSON:
`{"call": 1, "result": ...}` or `{"call": 1, "error": {"code", "message"}}` for each command, and `{"event": ...}` for
what the SDK reports by itself. So a scenario is written once, in Python, and run with each of them. A program may hold
several clients, each with a name; without one it is the client "".

| command | fields |
|---|---|
| connect | url; token; tokens: what the SDK is given one after the other when it asks for a token |
| subscribe | channel; token; tokens; recoverable; positioned; join_leave; state: positions, one for each question |
| unsubscribe, presence, presence_stats | channel |
| publish | channel; data |
| history | channel; limit; since {offset, epoch}; reverse |
| rpc | method; data |
| send | data |
| disconnect, reconnect | |
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import IO, Any, Protocol, Self
from unittest import SkipTest

from tests.support.polling import DEADLINE_SECONDS

__all__ = [
    "GO",
    "JAVA",
    "JAVASCRIPT",
    "JAVASCRIPT_HTTP_STREAM",
    "PROGRAMS",
    "PYTHON",
    "SDK",
    "CallError",
    "Client",
    "ProgramClient",
    "Record",
]

PROGRAMS = Path(__file__).parent / "programs"

_INSTALL = "it is not installed: make test-clients"


class CallError(Exception):
    """A command failed.

    Args:
        code: The code of the reply's error, or 0 for an error of the SDK's own.
        message: The text.

    Attributes:
        code: See above.
        message: See above.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class SDK:
    """An SDK, and how to run its program.

    Args:
        name: What people call it.
        command: Program and arguments; the encoding is added.
        missing: Returns why it cannot be run, or an empty text.
        encodings: The encodings that it speaks: json, protobuf.
    """

    name: str
    command: tuple[str, ...]
    missing: Callable[[], str]
    encodings: tuple[str, ...] = ("json", "protobuf")

    def require(self) -> None:
        """Check that it can be run.

        Raises:
            SkipTest: It cannot.
            AssertionError: It cannot, in continuous integration (CI is set), where a skip would go unnoticed.
        """
        if reason := self.missing():
            if os.environ.get("CI"):
                raise AssertionError(f"{self.name}: {reason}")
            raise SkipTest(f"{self.name}: {reason}")


def _missing(program: str, name: str, *needed: Path) -> Callable[[], str]:
    def reason() -> str:
        if shutil.which(program) is None:
            return f"{name} is not installed"
        return "" if all(path.exists() for path in needed) else _INSTALL

    return reason


JAVASCRIPT = SDK(
    "centrifuge (npm)",
    ("node", str(PROGRAMS / "javascript" / "client.mjs")),
    _missing("node", "Node.js", PROGRAMS / "javascript" / "node_modules" / "centrifuge"),
)
JAVASCRIPT_HTTP_STREAM = replace(
    JAVASCRIPT, name=f"{JAVASCRIPT.name}, http_stream", command=(*JAVASCRIPT.command, "http_stream")
)
PYTHON = SDK(
    "centrifuge-python",
    (sys.executable, str(PROGRAMS / "python" / "client.py")),
    lambda: "" if find_spec("centrifuge") else _INSTALL,
)
GO = SDK(
    "centrifuge-go",
    (str(PROGRAMS / "go" / "build" / "client"),),
    _missing("go", "Go", PROGRAMS / "go" / "build" / "client"),
)
JAVA = SDK(
    "centrifuge-java",
    (
        *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp"),
        *(
            os.pathsep.join((str(PROGRAMS / "java" / "build" / folder)) for folder in ("classes", "jars/*")),
            "TestClient",
        ),
    ),
    _missing("java", "Java", PROGRAMS / "java" / "build" / "classes" / "TestClient.class"),
    ("protobuf",),
)


class Record:
    """The lines that a program has printed. One thread adds them, and another waits for them."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._events: list[dict[str, Any]] = []
        self._taken: set[int] = set()
        self._results: dict[int, dict[str, Any]] = {}
        self._end: str | None = None

    def add(self, line: dict[str, Any]) -> None:
        """Add an event or the result of a command."""
        with self._changed:
            if "call" in line:
                self._results[line["call"]] = line
            else:
                self._events.append(line)
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        """Note that there will be no more."""
        with self._changed:
            self._end = reason
            self._changed.notify_all()

    def result(self, call: int) -> Any:
        """Wait for the result of a command, and return it.

        Raises:
            CallError: The command failed.
            AssertionError: There is no result in time.
        """
        line = self._wait(lambda: self._results.pop(call, None), f"no result of command {call}")
        if "error" in line:
            raise CallError(line["error"]["code"], line["error"]["message"])
        return line["result"]

    def all(self, **fields: Any) -> list[dict[str, Any]]:
        """Return all events with these fields, taken or not."""
        with self._changed:
            return [event for event in self._events if _has(event, fields)]

    def take(self, **fields: Any) -> dict[str, Any]:
        """Wait for the first event with these fields that was not taken yet, and return it.

        Raises:
            AssertionError: There is none in time.
        """
        found: dict[str, Any] = self._wait(lambda: self._take(fields), f"no {fields}")
        return found

    def wait_for(self, count: int, **fields: Any) -> list[dict[str, Any]]:
        """Wait until there are so many events with these fields, taken or not, and return them all.

        Raises:
            AssertionError: There are fewer in time.
        """

        def enough() -> list[dict[str, Any]] | None:
            # Counting takes a while where there are many, and the reader waits meanwhile.
            if len(self._events) < count:
                return None
            found = [event for event in self._events if _has(event, fields)]
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = self._wait(enough, f"not {count} {fields}", 0.02)
        return found

    def _take(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        for index, event in enumerate(self._events):
            if index not in self._taken and _has(event, fields):
                self._taken.add(index)
                return event
        return None

    def _wait_for_more(self, seconds: float) -> bool:
        """Wait until there may be more lines.

        Returns:
            False if there were none in time.
        """
        return self._changed.wait(seconds)

    def _wait(self, find: Callable[[], Any], missing: str, pause: float = 0.0) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            with self._changed:
                if (found := find()) is not None:
                    return found
                if self._end is not None or not self._wait_for_more(deadline - time.monotonic()):
                    last = "\n".join(json.dumps(event)[:300] for event in self._events[-25:])
                    why = self._end or "the deadline has passed"
                    raise AssertionError(f"{missing}: {why}; the last of {len(self._events)} events:\n{last}")
            time.sleep(pause)


def _has(event: dict[str, Any], fields: dict[str, Any]) -> bool:
    return all(key in event and event[key] == value for key, value in fields.items())


class Client(Protocol):
    """An SDK that carries out commands, wherever it runs."""

    @property
    def record(self) -> Record:
        """Its reports."""

    def call(self, do: str, **fields: Any) -> Any:
        """Carry out a command and return its result.

        Raises:
            CallError: It failed.
        """

    def pause(self) -> None:
        """Make it read nothing any more."""

    def resume(self) -> None:
        """Make it read again."""


class ProgramClient:
    """An SDK in a process of its own. As a context manager it is started and ended.

    Args:
        sdk: The SDK.
        encoding: json or protobuf.

    Attributes:
        record: What it has reported.
    """

    def __init__(self, sdk: SDK, encoding: str) -> None:
        self.record = Record()
        self._command = [*sdk.command, encoding]
        self._calls = 0

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        assert self._process.stdout is not None
        self._reader = Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        self._errors.close()

    def call(self, do: str, **fields: Any) -> Any:
        """Carry out a command and return its result.

        Raises:
            CallError: It failed.
            AssertionError: There is no result in time.
        """
        self._calls += 1
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": self._calls, "do": do, **fields}) + "\n")
        self._process.stdin.flush()
        return self.record.result(self._calls)

    def pause(self) -> None:
        """Stop the process, so that it reads nothing any more."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process."""
        self._process.send_signal(signal.SIGCONT)

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self.record.add(json.loads(line))
        self._errors.seek(0)
        self.record.end(f"the program has ended: {self._errors.read()[-2000:]}")
