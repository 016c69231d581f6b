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

from devtools.conformance.echo import COMPRESS, HOST, PATH
from devtools.harness.processes import ChildProcess

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
    """The suite cannot be run, or did not finish; the message says why."""


def python27() -> str | None:
    """Return a CPython 2.7 with pip: the one that PYTHON27 names, else on PATH, else the newest of pyenv; else None.

    Raises:
        SuiteError: PYTHON27 does not name a CPython 2.7 with pip.
    """
    if named := os.environ.get("PYTHON27"):
        found = shutil.which(named)
        if found is None or not _is_python27(found):
            raise SuiteError(f"PYTHON27 is {named!r}, which is not a CPython 2.7 with pip")
        return found
    return next(filter(_is_python27, _candidates()), None)


def _candidates() -> Iterator[str]:
    # A python2.7 on PATH may be a shim of pyenv that fails because no 2.7 is chosen here; its folder has the real one.
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
    """Return the pinned version of one of the suite's packages."""
    lines = REQUIREMENTS.read_text(encoding="ascii").splitlines()
    return next(line.removeprefix(f"{package}==") for line in lines if line.startswith(f"{package}=="))


def install(python: str) -> None:
    """Install the suite in a folder of its own, unless that is done.

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
    # zope is a namespace package through a .pth file, which Python reads in its own folders only.
    (SITE / "zope" / "__init__.py").touch()
    stamp.write_text(content, encoding="ascii")


def fuzz(python: str, cases: Sequence[str], seconds: float, say: Callable[[str], None], *, compress: bool) -> int:
    """Run the fuzzing client against the echoing relay; the report is in `REPORT` afterwards.

    Args:
        python: A CPython 2.7.
        cases: Patterns of case numbers such as "9.*".
        seconds: How long it may take.
        say: Called with the number of each group that begins.
        compress: Whether the relay agrees to compression, without which the cases about it test nothing.

    Returns:
        The number of cases to be reported on.

    Raises:
        SuiteError: It did not finish.
    """
    shutil.rmtree(REPORT, ignore_errors=True)
    CACHE.mkdir(exist_ok=True)
    server = ChildProcess("echo", log=ECHO_LOG)
    try:
        server.spawn(
            [sys.executable, "-m", "devtools.conformance.echo", str(seconds + START_SECONDS), *[COMPRESS] * compress],
            piped=True,
            cwd=HERE.parents[1],
        )
        return _fuzz_at(python, _port(server), cases, seconds, say)
    finally:
        server.stop(END_SECONDS)
        server.close()


def tracebacks() -> list[str]:
    """Return the tracebacks that the relay logged during the last run. No client may cause one."""
    log = ECHO_LOG.read_text(encoding="utf-8", errors="replace")
    return re.findall(r"^\s*Traceback \(most recent call last\).*\n(?:\t.*\n)*", log, re.MULTILINE)


def _port(server: ChildProcess) -> int:
    _, output = server.pipes
    ready, _, _ = select.select([output], [], [], START_SECONDS)
    line = output.readline() if ready else b""
    if not line.strip().isdigit():
        raise SuiteError(f"the relay did not start; its log is {_shown(ECHO_LOG)}")
    return int(line)


def _fuzz_at(python: str, port: int, cases: Sequence[str], seconds: float, say: Callable[[str], None]) -> int:
    spec = CACHE / "spec.json"
    url = f"ws://{HOST}:{port}{PATH}"
    server = {"agent": AGENT, "url": url}
    spec.write_text(json.dumps({"outdir": str(REPORT), "servers": [server], "cases": list(cases)}), encoding="ascii")
    deadline = time.monotonic() + seconds
    client = ChildProcess("suite", log=SUITE_LOG)
    try:
        client.spawn(
            [python, "-u", "-m", "autobahntestsuite.wstest", "-m", "fuzzingclient", "-s", str(spec)],
            _environment(PYTHONPATH=str(SITE)),
            cwd=CACHE,
        )
        begun: set[str] = set()
        while client.is_running:
            if time.monotonic() > deadline:
                raise SuiteError(f"the suite did not end within {seconds:.0f} s; its log is {_shown(SUITE_LOG)}")
            time.sleep(0.5)
            for group in re.findall(r"^Running test case ID (\d+)\.", client.log(), re.MULTILINE):
                if group not in begun:
                    begun.add(group)
                    say(group)
        status = client.status
    finally:
        client.close()
    promised = re.search(r"^Ok, will run (\d+) test cases", client.log(), re.MULTILINE)
    if status or promised is None or not (REPORT / "index.json").exists():
        raise SuiteError(f"the suite failed with status {status}; its log is {_shown(SUITE_LOG)}")
    return int(promised[1])


def _run(command: list[str], seconds: float) -> str:
    """Return the output of a command; raise SuiteError if it fails."""
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
    """Return our environment without the variables of our Python, which the suite's Python would read too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more


def _shown(path: Path) -> str:
    return os.path.relpath(path)
