"""The set-up step: compile the C programs, and install relay and peers below `devtools/bench/.cache`.

Each part fails alone. Servers that need a missing part are reported as not measured, with the reason found here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

from devtools.bench.paths import (
    CACHE,
    CENTRIFUGO,
    CERTIFICATE,
    HERE,
    KERNEL_PRICE,
    LOAD,
    NGINX,
    NODE_MODULES,
    PEERS,
    PROJECT,
    RELAY_VENV,
    SECURE_LOAD,
    VENV,
    VENV_PYTHON,
)

REASONS = CACHE / "missing.json"
"""The reasons why parts are missing, for runs with --no-setup."""

BESIDE_PINS = frozenset({"pip", "setuptools", "wheel", "wsrelay"})
"""The packages that may stand beside those of requirements.txt: they make environments, or are the relay."""

NCHAN_MODULE = "ngx_nchan_module.so"
CENTRIFUGO_MODULE = "github.com/centrifugal/centrifugo/v6@v6.9.1"
SYSTEM_MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))


class SetupError(Exception):
    """A part cannot be set up; the message says why."""


def _run(
    command: list[str], *, cwd: Path | None = None, seconds: float = 300, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command to its end and return its output; raise SetupError with one line if it fails."""
    variables = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        raise SetupError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{command[0]} took longer than {seconds:.0f} s") from error
    if done.returncode:
        output = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in output if "error" in line.lower()] or output
        raise SetupError(f"{command[0]} failed: {errors[-1].strip() if errors else done.returncode}")
    return done.stdout


def compile_c(source: Path, target: Path, *flags: str) -> None:
    """Compile one C program, with flags of the compiler, unless it is newer than its source."""
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise SetupError("there is no C compiler")
    if not sys.platform.startswith("linux"):
        raise SetupError("the C programs need epoll, that is Linux")
    _run([compiler, "-O2", "-o", str(target), str(source), *flags])


SECURE_FLAGS = ("-DWITH_TLS", "-lssl", "-lcrypto")
"""The flags that the load client is compiled with to speak TLS."""


def make_certificate(target: Path) -> None:
    """Make a key and its certificate, in one file, for servers in which TLS ends."""
    if target.exists():
        return
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
    key, certificate = target.with_suffix(".key"), target.with_suffix(".part")
    files = ["-keyout", str(key), "-out", str(certificate)]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    _run(["openssl", "req", "-x509", *curve, *files, *names])
    target.write_text(key.read_text() + certificate.read_text())
    for part in (key, certificate):
        part.unlink()


def _stamped(stamp: Path, content: str) -> bool:
    return stamp.exists() and stamp.read_text() == content


def _pins() -> dict[str, str]:
    """Return what the relay runs with: the lines of requirements.txt but for the relay itself, by package."""
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    return {line.partition("==")[0]: line for line in lines if line and not line.startswith(("#", "."))}


def make_relay_environment() -> None:
    """Make the environment of the relay from requirements.txt alone. The relay is installed editable."""
    stamp = RELAY_VENV / "stamp"
    requirements = "\n".join([*_pins().values(), ""])
    # The paths in an environment are absolute: a cache that was copied from another checkout would run the relay there.
    content = hashlib.sha256((sys.version + str(PROJECT) + requirements).encode()).hexdigest()
    if _stamped(stamp, content):
        return
    shutil.rmtree(RELAY_VENV, ignore_errors=True)
    venv.create(RELAY_VENV, with_pip=True)
    wanted = RELAY_VENV / "requirements.txt"
    wanted.write_text(requirements)
    python = str(RELAY_VENV / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(wanted), "-e", str(PROJECT)], seconds=600)
    stamp.write_text(content)


def wrong_in_relay_environment() -> str:
    """Return in what the relay's environment differs from requirements.txt, or an empty text."""
    code = (
        "import importlib.metadata as m, json, pathlib, wsrelay\n"
        "found = {d.metadata['Name']: d.version for d in m.distributions()}\n"
        "print(json.dumps([found, str(pathlib.Path(wsrelay.__file__).parents[1])]))"
    )
    try:
        versions, folder = json.loads(_run([str(RELAY_VENV / "bin" / "python"), "-c", code], cwd=CACHE, seconds=60))
    except SetupError as error:
        return f"the relay's environment does not work: {error}"
    if Path(folder).resolve() != PROJECT.resolve():
        return f"the relay's environment runs the relay in {folder}"
    return differences({name: line.partition("==")[2] for name, line in _pins().items()}, versions)


def differences(pinned: Mapping[str, str], installed: Mapping[str, str]) -> str:
    """Return what is installed but not pinned, or pinned but not installed at that version; else an empty text."""
    wanted = {_plain(name): version for name, version in pinned.items()}
    found = {_plain(name): version for name, version in installed.items() if _plain(name) not in BESIDE_PINS}
    wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    return f"the relay's environment is not that of requirements.txt: {', '.join(wrong)}" if wrong else ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def make_venv() -> None:
    """Make the environment of the Python peers.

    Twisted and Autobahn are installed at the versions that requirements.txt pins: the naive server must differ from
    wsrelay in what is written on top of them, not in what is below.
    """
    pins = _pins()
    lines = []
    for line in (HERE / "requirements.txt").read_text().splitlines():
        lines.append(pins.get(line.partition("==")[0], line))
    requirements = "\n".join([*lines, ""])
    stamp = VENV / "stamp"
    content = hashlib.sha256((sys.version + requirements).encode()).hexdigest()
    if _stamped(stamp, content):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    venv.create(VENV, with_pip=True)
    wanted = VENV / "requirements.txt"
    wanted.write_text(requirements)
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        _run([*pip, "-r", str(wanted)], seconds=600)
    except SetupError as error:
        # A package without a wheel for this platform must not prevent the others.
        failed = []
        for line in requirements.splitlines():
            if line and not line.startswith("#"):
                try:
                    _run([*pip, line])
                except SetupError:
                    failed.append(line)
        raise SetupError(f"could not install {', '.join(failed) or 'the requirements'}: {error}") from error
    stamp.write_text(content)


def install_node_modules() -> None:
    """Install the peers that run on node."""
    stamp = NODE_MODULES.parent / "stamp"
    content = hashlib.sha256((PEERS / "package.json").read_bytes()).hexdigest()
    if _stamped(stamp, content):
        return
    NODE_MODULES.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(PEERS / "package.json", NODE_MODULES.parent)
    _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NODE_MODULES.parent)
    stamp.write_text(content)


def nginx_paths() -> tuple[Path, Path] | None:
    """Find an nginx and the nchan module that belongs to it: in the cache, else in the system."""
    cached = NGINX / "usr/sbin/nginx", NGINX / "usr/lib/nginx/modules" / NCHAN_MODULE
    if all(path.exists() for path in cached):
        return cached
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    for folder in SYSTEM_MODULES:
        if program and (folder / NCHAN_MODULE).exists():
            return Path(program), folder / NCHAN_MODULE
    return None


def unpack_nginx() -> None:
    """Take nginx and nchan out of Debian's packages; nothing outside the cache changes."""
    if nginx_paths():
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise SetupError("nginx with the nchan module is not installed, and this is not Debian")
    NGINX.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "-q", "download", "nginx", "libnginx-mod-nchan"], cwd=NGINX)
    except SetupError as error:
        raise SetupError(f"{error} (does `apt-get update` help?)") from error
    for package in NGINX.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(NGINX)])
    # nchan makes nginx create a directory that was compiled into the module, whatever the configuration says.
    # A relative path of the same length puts it below the -p directory, in the cache.
    module = NGINX / "usr/lib/nginx/modules" / NCHAN_MODULE
    module.write_bytes(module.read_bytes().replace(b"/var/lib/nginx/", b"./././././././/"))
    try:
        _run([str(NGINX / "usr/sbin/nginx"), "-v"])
    except SetupError:
        shutil.rmtree(NGINX)
        raise


def install_centrifugo() -> None:
    """Compile Centrifugo from its published module. Sources and objects stay in Go's own caches."""
    stamp = CENTRIFUGO.parent / "stamp"
    if CENTRIFUGO.exists() and _stamped(stamp, CENTRIFUGO_MODULE):
        return
    CENTRIFUGO.parent.mkdir(parents=True, exist_ok=True)
    # Flags for a project of the user's do not fit another module.
    environment = {"GOBIN": str(CENTRIFUGO.parent), "GOFLAGS": ""}
    _run(["go", "install", CENTRIFUGO_MODULE], cwd=CENTRIFUGO.parent, seconds=1800, environment=environment)
    stamp.write_text(CENTRIFUGO_MODULE)


PARTS: dict[str, Callable[[], None]] = {
    "load": lambda: compile_c(HERE / "load.c", LOAD),
    "load_tls": lambda: compile_c(HERE / "load.c", SECURE_LOAD, *SECURE_FLAGS),
    "certificate": lambda: make_certificate(CERTIFICATE),
    "kernel_price": lambda: compile_c(PEERS / "kernel_price.c", KERNEL_PRICE),
    "relay": make_relay_environment,
    "python": make_venv,
    "node": install_node_modules,
    "nginx": unpack_nginx,
    "centrifugo": install_centrifugo,
}


def set_up(*, say: Callable[[str], None] = print) -> dict[str, str]:
    """Do everything that is not done yet; return why a part is missing, by its name."""
    CACHE.mkdir(exist_ok=True)
    reasons: dict[str, str] = {}
    for name, part in PARTS.items():
        try:
            part()
        except SetupError as error:
            reasons[name] = str(error)
            say(f"set-up: {name}: {error}")
    REASONS.write_text(json.dumps(reasons))
    return reasons


def known_reasons() -> dict[str, str]:
    """Return the parts that the last set-up could not install, with the reasons."""
    return dict(json.loads(REASONS.read_text())) if REASONS.exists() else {}
