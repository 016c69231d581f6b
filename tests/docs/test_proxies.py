"""The proxies of README.md and docs/deployment.md: the real programs, with the blocks as printed."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from devtools.harness.certificates import Issuer
from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess, wait_until_listening
from devtools.harness.relay import Relay
from tests.docs.blocks import ROOT, DocumentedRelay, Shell, code_block, require_program, substitute
from tests.support.polling import DEADLINE_SECONDS, wait_until
from wsrelay.config import Settings

HOST = "relay.example.com"
CLIENT = "127.0.0.2"
"""An address of loopback that is not the proxy's (Linux has all of 127.0.0.0/8)."""

PAGE = "docs/deployment.md"
KEY = "a key of sixteen bytes"
AnyRelay: TypeAlias = Relay | DocumentedRelay

CHANNEL = ("--publish", "room", "--access", "token")


class _ProxyCase(SynchronousTestCase):
    """One proxy in front of one relay that has the settings of the page."""

    program: ClassVar[str]

    def setUp(self) -> None:
        """Start the relay and choose a port for the proxy."""
        self.path = require_program(self.program)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.folder = self.folder.resolve()
        self.issuer = Issuer(self.folder)
        self.port = free_port()
        self.origin = f"https://{HOST}:{self.port}"

    def start_relay(self, *flags: str) -> Relay:
        """Start a relay with a channel that needs a ticket."""
        return self.enterContext(Relay(*CHANNEL, *flags, env={"WSRELAY_API_KEYS": KEY}))

    def start_documented_relay(self) -> Relay:
        """Start it with the settings that the page prints for the relay."""
        file = self.folder / "wsrelay.toml"
        file.write_text(code_block(PAGE, "toml", "trusted_proxies"))
        return self.start_relay("--config", str(file))

    def start_proxy(self, *arguments: str, process: ChildProcess | None = None) -> None:
        """Start the proxy, in a process of this name unless there is one, and wait until it listens."""
        proxy = process or ChildProcess(self.program)
        self.addCleanup(proxy.close)
        self.addCleanup(proxy.stop)
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        proxy.spawn([self.path, *arguments], {**os.environ, **home})
        wait_until_listening(proxy, self.port)

    def connect(self, relay: AnyRelay, *, address: str = CLIENT, origin: str | None = None) -> ClientConnection:
        """Connect through the proxy as a browser does, with a ticket that is bound to an address.

        The client claims another address in X-Forwarded-For, which must change nothing.
        """
        return connect(
            f"wss://{HOST}:{self.port}/ws/room?ticket={self.ticket(relay, address)}",
            sock=socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS, (CLIENT, 0)),
            ssl=self.tls(),
            server_hostname=HOST,
            origin=Origin(self.origin if origin is None else origin),
            additional_headers={"X-Forwarded-For": "198.51.100.9"},
            open_timeout=DEADLINE_SECONDS,
            proxy=None,
            legacy=True,
        )

    def call(self, relay: AnyRelay, path: str, body: bytes) -> Any:
        """Call the relay's API and return the document of its response."""
        call = urllib.request.Request(relay.url + path, body, {"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(call, timeout=DEADLINE_SECONDS) as response:
            return json.load(response)

    def ticket(self, relay: AnyRelay, address: str) -> str:
        """Return a new ticket that is bound to an address."""
        claims = {"sub": "42", "channels": ["room"], "publish": ["room"], "ip": address}
        ticket: str = self.call(relay, "/api/tickets", json.dumps(claims).encode())["ticket"]
        return ticket

    def check_stream(self, relay: AnyRelay) -> None:
        """Check that the events of a stream arrive through the proxy at once, and its end as well."""
        tcp = socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS, (CLIENT, 0))
        with self.tls().wrap_socket(tcp, server_hostname=HOST) as tls:
            target = f"/sse/room?ticket={self.ticket(relay, CLIENT)}"
            fields = f"Host: {HOST}:{self.port}\r\nOrigin: {self.origin}\r\nAccept: text/event-stream"
            tls.sendall(f"GET {target} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
            received = b""
            for wanted in (b'data: {"channel":"room"}\n\n', b"data: hello\n\n", b"event: credential\n"):
                while wanted not in received:
                    data = tls.recv(65536)
                    self.assertTrue(data, received)
                    received += data
                if b"hello" in wanted:
                    self.call(relay, "/api/disconnect", b'{"user": "42"}')
                elif b"room" in wanted:
                    self.call(relay, "/api/publish/room", b"hello")
        self.assertIn(f"\r\naccess-control-allow-origin: {self.origin}\r\n".encode(), received.lower())

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts the proxy's certificate."""
        context = ssl.create_default_context()
        self.issuer.authority.configure_trust(context)
        return context

    def status(self, relay: AnyRelay, *, address: str = CLIENT, origin: str | None = None) -> int:
        """Return the status with which a handshake is rejected."""
        with self.assertRaises(InvalidStatus) as caught:
            self.connect(relay, address=address, origin=origin)
        status: int = caught.exception.response.status_code
        return status

    def plain_status(self, path: str) -> int:
        """Return the status of a plain GET through the proxy."""
        tcp = socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS)
        with self.tls().wrap_socket(tcp, server_hostname=HOST) as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nConnection: close\r\n\r\n".encode())
            return int(tls.recv(64).split()[1])

    def check_proxy(self, relay: AnyRelay) -> None:
        """Check all that the page says a proxy has to do."""
        with self.connect(relay) as client:
            client.send("hello")
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
        self.check_stream(relay)
        self.assertEqual(self.status(relay, address="127.0.0.1"), 401)
        self.assertEqual(self.status(relay, address="198.51.100.9"), 401)
        self.assertEqual(self.status(relay, origin="https://other.example"), 403)
        self.assertEqual(self.status(relay, origin=self.origin.replace("https", "http")), 403)
        # Nothing but WebSockets and streams is reachable, and a plain request there is explained by the relay.
        paths = ("/ws/room", "/sse/room", "/readyz", "/")
        self.assertEqual([self.plain_status(path) for path in paths], [401, 401, 404, 404])

    def check_timeouts(self, block: str, names: str) -> None:
        """Check that the proxy's timeouts for open connections are above the relay's ping interval."""
        found = re.findall(rf"\b(?:{names})\s+(\d+)s", block)
        self.assertTrue(found)
        for seconds in found:
            self.assertGreater(int(seconds), Settings().ping_interval_seconds)


class NginxTests(_ProxyCase):
    """The block of the README."""

    program = "nginx"

    def test_block_works_as_printed(self) -> None:
        relay = self.start_documented_relay()
        printed = code_block("README.md", "nginx", "server {")
        self.check_timeouts(printed, "proxy_read_timeout|proxy_send_timeout")
        block = substitute(
            printed,
            {
                "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
                f"/etc/letsencrypt/live/{HOST}": str(self.issuer.pair("live", HOST)),
                "127.0.0.1:8080": f"127.0.0.1:{relay.port}",
            },
        )
        (self.folder / "wsrelay.conf").write_text(block)
        paths = "".join(
            f"{name}_temp_path {self.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid {self.folder}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; {paths} include {self.folder}/wsrelay.conf; }}\n"
        )
        # The mime types and modules of the distribution are not needed.
        self.start_proxy("-c", str(self.folder / "nginx.conf"), "-p", str(self.folder), "-e", "stderr")
        self.check_proxy(relay)


class HAProxyTests(_ProxyCase):
    """The blocks of docs/deployment.md."""

    program = "haproxy"

    def start_haproxy(self, block: str, relay_port: int) -> None:
        """Start it with a block, and wait until its health check has succeeded."""
        proxy = ChildProcess(self.program)
        # In its own folder: the path of a unix socket has 97 bytes at most.
        stats = proxy.folder / "stats"
        file = self.folder / "haproxy.cfg"
        filled = substitute(
            block,
            {
                "bind :443": f"bind 127.0.0.1:{self.port}",
                f"/etc/haproxy/{HOST}.pem": str(self.issuer.pem("haproxy.pem", HOST)),
                "127.0.0.1:8080": f"127.0.0.1:{relay_port}",
            },
        )
        file.write_text(f"global\n    stats socket {stats} level admin\n\n{filled}")
        self.start_proxy("-db", "-f", str(file), process=proxy)
        wait_until(lambda: self.check_status(stats) == "L7OK", lambda: self.check_status(stats))

    def check_status(self, stats: Path) -> str:
        """Return the result of the latest health check; empty as long as there is none."""
        # HAProxy listens on its ports a moment before this socket has its name.
        if not stats.exists():
            return ""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(stats))
            control.sendall(b"show stat\n")
            with control.makefile() as lines:
                names, *rows = (line.split(",") for line in lines if line.strip())
        return next(row[names.index("check_status")] for row in rows if row[1] == "relay1").removeprefix("* ")

    def test_block_works_as_printed(self) -> None:
        relay = self.start_documented_relay()
        block = code_block(PAGE, "haproxy", "frontend")
        self.check_timeouts(block, "timeout tunnel|timeout client|timeout server")
        self.start_haproxy(block, relay.port)
        self.check_proxy(relay)

    def test_line_with_the_proxy_protocol_works_as_printed(self) -> None:
        """X-Forwarded-Proto counts only behind trusted proxies, so that a page without TLS is not told apart."""
        port = free_port()
        line = code_block(PAGE, "haproxy", "send-proxy-v2")
        block = re.sub(r" +server relay1 .*\n", line, code_block(PAGE, "haproxy", "frontend"))
        self.assertIn("send-proxy-v2", block)
        (endpoint,) = re.findall(r"`--listen (haproxy:[^`]+)`", (ROOT / PAGE).read_text())
        # The API is called without the PROXY protocol, and so on another port.
        api = free_port()
        command = (
            f"twistd --nodaemon --pidfile= wsrelay {' '.join(CHANNEL)}"
            f" --listen {substitute(endpoint, {'8080': str(port)})} --listen tcp:{api}:interface=127.0.0.1"
        )
        shell = Shell(self.folder, WSRELAY_API_KEYS=KEY)
        relay = self.enterContext(DocumentedRelay(command, shell.environment, api))
        self.start_haproxy(block, port)
        with self.connect(relay) as client:
            client.send("hello")
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
        self.check_stream(relay)
        self.assertEqual(self.status(relay, address="127.0.0.1"), 401)
        self.assertEqual(self.status(relay, origin="https://other.example"), 403)


class CaddyTests(_ProxyCase):
    """The block of docs/deployment.md."""

    program = "caddy"

    def test_block_works_as_printed(self) -> None:
        relay = self.start_documented_relay()
        pair = self.issuer.pair("live", HOST)
        block = substitute(
            code_block(PAGE, "caddy", "reverse_proxy"),
            {
                f"{HOST} {{": f"{HOST}:{self.port} {{\n\ttls {pair}/fullchain.pem {pair}/privkey.pem",
                "127.0.0.1:8080": f"127.0.0.1:{relay.port}",
            },
        )
        file = self.folder / "Caddyfile"
        options = "admin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1"
        file.write_text(f"{{\n\t{options}\n}}\n{block}")
        self.start_proxy("run", "--config", str(file), "--adapter", "caddyfile")
        self.check_proxy(relay)
