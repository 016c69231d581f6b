"""The Autobahn test suite: its Python 2.7, its packages, and one run of its fuzzing client."""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from devtools.conformance.echo import HOST, PATH

__all__ = ["CACHE", "REPORT", "SuiteError", "fuzz", "install", "pinned", "python27", "tracebacks"]

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
REPORT = CACHE / "report"
SITE = CACHE / "site"
REQUIREMENTS = HERE / "requirements27.txt"
ECHO_LOG = CACHE / "echo.log"
SUITE_LOG = CACHE / "suite.log"

AGENT = "wsrelay"

PROBE_SECONDS = 30.0
INSTALL_SECONDS = 600.0
START_SECONDS = 30.0
END_SECONDS = 10.0

_PROBE = "import pip, platform, sys; print(platform.python_implementation() + ' %d.%d' % sys.version_info[:2])"


class SuiteError(Exception):
    """The suite cannot be run, or did not come to its end; the message says why."""


def python27() -> str | None:
    """A CPython 2.7 that has pip: what PYTHON27 names, else one on PATH, else the newest of pyenv's.

    Raises:
        SuiteError: PYTHON27 names something else.
    """
    if named := os.environ.get("PYTHON27"):
        found = shutil.which(named)
        if found is None or not _is_python27(found):
            raise SuiteError(f"PYTHON27 is {named!r}, which is not a CPython 2.7 with pip")
        return found
    return next(filter(_is_python27, _candidates()), None)


def _candidates() -> Iterator[str]:
    # pyenv's python2.7 on PATH may be a shim that only says that no 2.7 is chosen here; then its folder is looked into.
    if found := shutil.which("python2.7"):
        yield found
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    by_patch = {int(path.name[4:]): path for path in versions.glob("2.7.*") if path.name[4:].isdecimal()}
    for patch in sorted(by_patch, reverse=True):
        yield str(by_patch[patch] / "bin" / "python2.7")


def _is_python27(program: str) -> bool:
    try:
        return _run([program, "-c", _PROBE], PROBE_SECONDS).split() == ["CPython", "2.7"]
    except SuiteError:
        return False


def pinned(package: str) -> str:
    """The version of one of the suite's packages."""
    lines = REQUIREMENTS.read_text(encoding="ascii").splitlines()
    return next(line.removeprefix(f"{package}==") for line in lines if line.startswith(f"{package}=="))


def install(python: str) -> None:
    """Install the suite where nothing but it looks, unless it is there already.

    Raises:
        SuiteError: It cannot be installed.
    """
    stamp = SITE / "stamp"
    content = hashlib.sha256(python.encode() + REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == content:
        return
    shutil.rmtree(SITE, ignore_errors=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--target", str(SITE), "-r", str(REQUIREMENTS)], INSTALL_SECONDS)
    # zope is a namespace package by a .pth file, which Python reads in its own folders only.
    (SITE / "zope" / "__init__.py").touch()
    stamp.write_text(content, encoding="ascii")


def fuzz(python: str, cases: Sequence[str], seconds: float, say: Callable[[str], None]) -> int:
    """Run the fuzzing client against the echoing relay; the report is in `REPORT` afterwards.

    Args:
        python: A CPython 2.7.
        cases: Patterns of case numbers: "9.*".
        seconds: How long it may take.
        say: Is told of each case group that begins.

    Returns:
        How many cases there are to report on.

    Raises:
        SuiteError: It did not come to its end.
    """
    shutil.rmtree(REPORT, ignore_errors=True)
    CACHE.mkdir(exist_ok=True)
    with ECHO_LOG.open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 -- our own module
            [sys.executable, "-m", "devtools.conformance.echo", str(seconds + START_SECONDS)],
            cwd=HERE.parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        return _fuzz_at(python, _port(server), cases, seconds, say)
    finally:
        _end(server)


def tracebacks() -> list[str]:
    """The exceptions that the relay logged during the last run. There should be none, whatever a client sends."""
    log = ECHO_LOG.read_text(encoding="utf-8", errors="replace")
    return re.findall(r"^\s*Traceback \(most recent call last\).*\n(?:\t.*\n)*", log, re.MULTILINE)


def _port(server: subprocess.Popen[bytes]) -> int:
    assert server.stdout is not None, "a pipe"  # noqa: S101 -- for the type checker
    ready, _, _ = select.select([server.stdout], [], [], START_SECONDS)
    line = server.stdout.readline() if ready else b""
    if not line.strip().isdigit():
        raise SuiteError(f"the relay did not start; its log is {_shown(ECHO_LOG)}")
    return int(line)


def _fuzz_at(python: str, port: int, cases: Sequence[str], seconds: float, say: Callable[[str], None]) -> int:
    spec = CACHE / "spec.json"
    url = f"ws://{HOST}:{port}{PATH}"
    server = {"agent": AGENT, "url": url}
    spec.write_text(json.dumps({"outdir": str(REPORT), "servers": [server], "cases": list(cases)}), encoding="ascii")
    deadline = time.monotonic() + seconds
    with SUITE_LOG.open("wb") as log:
        client = subprocess.Popen(  # noqa: S603 -- the interpreter was probed, the rest is ours
            [python, "-u", "-m", "autobahntestsuite.wstest", "-m", "fuzzingclient", "-s", str(spec)],
            cwd=CACHE,
            env=_environment(PYTHONPATH=str(SITE)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        told: set[str] = set()
        while client.poll() is None:
            if time.monotonic() > deadline:
                raise SuiteError(f"the suite did not end within {seconds:.0f} s; its log is {_shown(SUITE_LOG)}")
            time.sleep(0.5)
            for group in re.findall(r"^Running test case ID (\d+)\.", _suite_said(), re.MULTILINE):
                if group not in told:
                    told.add(group)
                    say(group)
    finally:
        _end(client)
    promised = re.search(r"^Ok, will run (\d+) test cases", _suite_said(), re.MULTILINE)
    if client.returncode or promised is None or not (REPORT / "index.json").exists():
        raise SuiteError(f"the suite failed with status {client.returncode}; its log is {_shown(SUITE_LOG)}")
    return int(promised[1])


def _suite_said() -> str:
    return SUITE_LOG.read_text(encoding="utf-8", errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a child of ours: politely, then for certain."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    if process.poll() is None and process.stdin is None:
        process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run(command: list[str], seconds: float) -> str:
    """What a command says, unless it fails."""
    try:
        done = subprocess.run(  # noqa: S603 -- a Python and its pip
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise SuiteError(f"{command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SuiteError(f"{' '.join(command[:4])} took longer than {seconds:.0f} s") from error
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise SuiteError(f"{' '.join(command[:4])} failed: {said[0] if said else f'status {done.returncode}'}")
    return done.stdout


def _environment(**more: str) -> dict[str, str]:
    """Ours without what is meant for our Python: the suite's would read it, too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more


def _shown(path: Path) -> str:
    return os.path.relpath(path)
