"""The commands of README.md and docs/ that need Python, Redis and a shell."""

from __future__ import annotations

import json
import re
import secrets
import socket
import ssl
import tomllib
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from devtools.harness.certificates import Issuer
from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer, require_redis
from devtools.harness.relay import Relay
from devtools.harness.stub_application import Request, ThreadedStubApplication
from tests.clients.sdk import JAVASCRIPT, PROGRAMS
from tests.docs.blocks import ROOT, DocumentedRelay, Shell, code_block, code_blocks, require_program, substitute
from tests.support.polling import DEADLINE_SECONDS, wait_until
from wsrelay.config import load

ACCESS = "docs/authentication.md"
KEY = "0123456789abcdef0123456789abcdef"


def socket_to(url: str, **options: Any) -> ClientConnection:
    """Return an open WebSocket."""
    return connect(url, open_timeout=DEADLINE_SECONDS, proxy=None, legacy=True, **options)


def status_of(url: str, **options: Any) -> int:
    """Return the status with which a handshake is answered."""
    try:
        socket_to(url, **options).close()
    except InvalidStatus as error:
        status: int = error.response.status_code
        return status
    return 101


def close_code(client: ClientConnection) -> int:
    """Wait for the close of a connection and return its code."""
    try:
        client.recv(DEADLINE_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006
    raise AssertionError("it was not closed")


class CommandCase(SynchronousTestCase):
    """A test with a Redis server and a shell whose `redis-cli` reaches it."""

    def setUp(self) -> None:
        """Start the server."""
        require_redis()
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.close)
        self.folder = Path(self.mktemp())
        self.port = free_port()
        self.shell = Shell(self.folder, self.redis.port, WSRELAY_PORT=str(self.port), KEY=KEY, WSRELAY_API_KEYS=KEY)

    def start(self, command: str, replacements: Mapping[str, str] | None = None) -> DocumentedRelay:
        """Start the relay by a printed command, on the test's Redis server."""
        filled = substitute(command, {"redis://localhost": self.redis.url, **(replacements or {})})
        return self.enterContext(DocumentedRelay(filled, self.shell.environment, self.port))

    def start_with(self, *flags: str, **variables: str) -> Relay:
        """Start the relay with settings that a page describes in its text."""
        return self.enterContext(Relay(*flags, env={"REDIS_URL": self.redis.url, "WSRELAY_API_KEYS": KEY, **variables}))

    def ws(self, channel: str) -> str:
        """Return the URL of a channel at the relay that `start` has started."""
        return f"ws://127.0.0.1:{self.port}/ws/{channel}"


class ReadmeTests(CommandCase):
    """README.md."""

    def test_quick_start_publishes_to_every_socket_and_keeps_what_is_added(self) -> None:
        self.start(code_block("README.md", "sh", "--chat-page true").splitlines()[-1])
        publish, add, read = code_block("README.md", "sh", "redis-cli XRANGE").splitlines()
        with socket_to(self.ws("news")) as one, socket_to(self.ws("news")) as two:
            self.shell.run(publish)
            self.assertEqual([one.recv(DEADLINE_SECONDS), two.recv(DEADLINE_SECONDS)], ["hello", "hello"])
        self.shell.run(add)
        with socket_to(self.ws("chat?history=10")) as client:
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
            client.send("hi")
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hi")
        printed = self.shell.run(read)
        self.assertIn("hello", printed)
        self.assertIn("hi", printed)

    def test_publish_carries_no_type(self) -> None:
        """The two Protobuf messages of the text arrive as two types."""
        (sentence,) = re.findall(r"Protobuf messages `([0-9 ]+)` and `([0-9 ]+)`", (ROOT / "README.md").read_text())
        with self.start_with() as relay, socket_to(relay.ws("chat")) as client, self.redis.client() as redis:
            for text in sentence:
                redis.publish("wsrelay:chat", bytes.fromhex(text))
            self.assertEqual(
                [client.recv(DEADLINE_SECONDS), client.recv(DEADLINE_SECONDS)], ["\x08\x01", b"\x08\x96\x01"]
            )

    def test_ticket_is_accepted_once(self) -> None:
        relay, ticket = code_block("README.md", "sh", "--access token").splitlines()
        self.start(relay)
        self.shell.run(ticket)
        (path,) = re.findall(r"ws/(room:1\?ticket=\w+)", code_block("README.md", "js", "?ticket=3f"))
        self.assertEqual([status_of(self.ws(path)) for _ in range(2)], [101, 401])

    def test_make_targets_that_are_named_exist(self) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        for page in ("README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))):
            named = set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
            self.assertLessEqual({first or second for first, second in named}, targets, page)


class TicketTests(CommandCase):
    """Tickets, in docs/authentication.md."""

    def test_shell_and_python_create_tickets_for_one_connection(self) -> None:
        relay = self.start_with("--access", "token", "--channels", "room:*")
        printed = self.shell.run(code_block(ACCESS, "sh", "openssl rand")).split()[-1]
        # Django's and most other users have a number for an id.
        with self.redis.client() as client:
            names = {"secrets": secrets, "json": json, "redis": client, "user": SimpleNamespace(id=42)}
            exec(code_block(ACCESS, "python", "ticket ="), names)
        for ticket in (printed, names["ticket"]):
            url = relay.ws(f"room:1?ticket={ticket}")
            self.assertEqual([status_of(url) for _ in range(2)], [101, 401])

    def test_revocation_disconnects_and_rejects_until_its_key_is_gone(self) -> None:
        relay = self.start_with("--channels", "user:{sub}")
        disconnect = code_block(ACCESS, "sh", "redis-cli PUBLISH")
        revoke, accept = code_block(ACCESS, "sh", "wsrelay:revoked:user").splitlines()

        def url() -> str:
            with self.redis.client() as client:
                client.set(f"wsrelay:ticket:{(ticket := secrets.token_urlsafe(24))}", '{"sub": "42"}', ex=30)
            return relay.ws(f"user:42?ticket={ticket}")

        with socket_to(url()) as client:
            self.shell.run(disconnect)
            self.assertEqual(close_code(client), 4505)
        (reconnect,) = re.findall(r"`(\{[^`]*\"reconnect\"[^`]*\})`", (ROOT / ACCESS).read_text())
        with socket_to(url()) as client:
            self.shell.run(substitute(disconnect, {'{"disconnect": {"user": "42"}}': reconnect}))
            self.assertEqual(close_code(client), 4012)
        self.shell.run(revoke)
        self.assertEqual(status_of(url()), 401)
        self.shell.run(accept)
        self.assertEqual(status_of(url()), 101)


class AccessPageTests(CommandCase):
    """The rest of docs/authentication.md."""

    def test_namespaces_and_their_short_form_are_accepted(self) -> None:
        file = self.folder / "wsrelay.toml"
        file.write_text(code_block(ACCESS, "toml", "[namespaces.rooms]"))
        settings = load({}, {"WSRELAY_CONFIG": str(file)})
        self.assertEqual([each.name for each in settings.namespaces], ["news", "lobby", "rooms", "inbox"])
        (flags,) = re.findall(r"`(--access token [^`]+)`", (ROOT / ACCESS).read_text().replace("\n", " "))
        relay = f"REDIS_URL=redis://localhost twistd --nodaemon --pidfile= wsrelay {flags}"
        self.start(relay)
        self.assertEqual([status_of(self.ws(name)) for name in ("room:1", "user:42", "other")], [401, 401, 404])

    def test_api_calls_work(self) -> None:
        require_program("curl")
        relay = self.start_with("--channels", "room:*")
        calls = substitute(code_block(ACCESS, "sh", "/api/tickets"), {"https://example.com": relay.url})
        with socket_to(relay.ws("room:1")) as client:
            _published, ticket, _disconnected = (json.loads(self.shell.run(call)) for call in calls.splitlines())
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
        self.assertEqual(ticket["expires_in"], 30)
        self.assertEqual(status_of(relay.ws(f"room:1?ticket={ticket['ticket']}")), 401)

    def test_methods_of_the_api_work_as_printed(self) -> None:
        require_program("curl")
        relay = self.start_with("--channels", "chat", "--history-size", "10")
        calls = substitute(
            code_block("docs/api.md", "sh", "/api/history"), {"127.0.0.1:8080": f"127.0.0.1:{relay.port}"}
        )
        published, history, own = (json.loads(self.shell.run(call)) for call in calls.splitlines())
        self.assertEqual([each["data"] for each in history["result"]["publications"]], [{"text": "hello"}])
        self.assertEqual((published["result"]["epoch"], own), (history["result"]["epoch"], {"channel": "chat"}))
        example = substitute(code_block("docs/api.md", "python", "cent"), {"127.0.0.1:8080": f"127.0.0.1:{relay.port}"})
        names: dict[str, Any] = {"key": KEY}
        exec(example, names)
        names["client"].close()
        last = json.loads(self.shell.run(calls.splitlines()[1]))["result"]["publications"]
        self.assertEqual([each["data"] for each in last], [{"text": "hello"}, "hello", {"text": "hello"}])

    def test_plain_request_gets_the_status_and_the_sentence(self) -> None:
        require_program("curl")
        command = code_block(ACCESS, "sh", "curl -i")
        for status, flags in ((403, ()), (426, ("--origins", "https://www.example.com"))):
            relay = self.start_with(*flags)
            answer = self.shell.run(substitute(command, {"127.0.0.1:8080": f"127.0.0.1:{relay.port}"}))
            self.assertEqual(answer.split()[:2], ["HTTP/1.1", str(status)])

    def test_hook_is_asked_as_printed_and_its_statuses_mean_what_the_table_says(self) -> None:
        statuses: list[int] = []

        def answer(_request: Request) -> tuple[int, Any]:
            return statuses[-1], {} if statuses[-1] == 200 else None

        application = ThreadedStubApplication(answer)
        self.addCleanup(application.close)
        relay = self.start_with("--channels", "room:*", "--hook-url", f"{application.url}relay")
        cookie = {"additional_headers": {"Cookie": "session=x"}, "origin": relay.url}
        with self.redis.client() as client:
            for number in range(2):
                client.set(f"wsrelay:ticket:ticket-of-a-test-{number}", '{"sub": "42"}', ex=30)
        outcomes = []
        for status, credential in (
            (200, ""),
            (204, ""),
            (401, ""),
            (401, "?ticket=ticket-of-a-test-0"),
            (403, ""),
            (403, "?ticket=ticket-of-a-test-1"),
            (500, ""),
        ):
            statuses.append(status)
            outcomes.append(status_of(relay.ws(f"room:1{credential}"), **cookie))
        self.assertEqual(outcomes, [101, 101, 401, 403, 403, 403, 503])
        printed = re.search(r'^\{"event": "connect".*?^ .*?\}$', (ROOT / ACCESS).read_text(), re.MULTILINE | re.DOTALL)
        assert printed is not None
        asked = application.requests[0]
        self.assertEqual((asked.path, sorted(asked.json())), ("/relay", sorted(json.loads(printed[0]))))

    def test_relay_ends_tls_itself(self) -> None:
        issuer = Issuer(self.folder)
        port = free_port()
        command = substitute(
            code_block(ACCESS, "sh", "--listen-tls"),
            {
                "tcp:8443": f"tcp:{port}:interface=127.0.0.1",
                "/etc/letsencrypt/live/example.com": str(issuer.pair("live", "example.com").resolve()),
                "/etc/own.pem": str(issuer.pem("own.pem", "own.example").resolve()),
            },
        )
        environment = {name: value for name, value in self.shell.environment.items() if name != "WSRELAY_PORT"}
        self.enterContext(DocumentedRelay(command, environment, port))
        context = ssl.create_default_context()
        issuer.authority.configure_trust(context)
        for host in ("example.com", "own.example"):
            url = f"wss://{host}:{port}/ws/chat"
            tcp = socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS)
            self.assertEqual(status_of(url, sock=tcp, ssl=context, server_hostname=host), 101)


class PresenceTests(CommandCase):
    """docs/presence.md and docs/events.md."""

    def start_with_file(self, page: str) -> Relay:
        """Start the relay with the namespaces that a page prints."""
        file = self.folder / "wsrelay.toml"
        file.write_text(code_block(page, "toml", "[namespaces.rooms]"))
        return self.start_with(WSRELAY_CONFIG=str(file.resolve()))

    def test_members_are_listed_and_counted_by_the_printed_commands(self) -> None:
        require_program("curl")
        relay = self.start_with_file("docs/presence.md")
        listed, counted = code_block("docs/presence.md", "sh", "curl").splitlines()
        with socket_to(relay.ws("room:1")), socket_to(relay.ws("room:1")):
            # A member is there a moment after the handshake, and an answer is kept for a second.
            wait_until(lambda: json.loads(self.curl(relay, counted)) == {"clients": 2, "users": 1}, relay.log)
            document = json.loads(self.curl(relay, listed))
            self.assertEqual([document["clients"], document["users"], len(document["members"])], [2, 1, 2])
            count = self.shell.run(code_block("docs/presence.md", "sh", "ZCOUNT"))
        self.assertEqual(count, "2\n")

    def curl(self, relay: Relay, command: str) -> str:
        """Run a printed command."""
        return self.shell.run(substitute(command, {"http://127.0.0.1:8080": relay.url}))

    def test_events_are_read_by_the_printed_commands(self) -> None:
        relay = self.start_with_file("docs/events.md")
        create, read, acknowledge = code_block("docs/events.md", "sh", "XREADGROUP").splitlines()
        self.assertEqual(self.shell.run(create), "OK\n")
        socket_to(relay.ws("room:1")).close()
        read_events = ""
        while "client_gone" not in read_events:
            printed = self.shell.run(read)
            self.assertNotEqual(printed, "None\n", read_events)
            read_events += printed
        for name in ("client_connected", "channel_occupied", "room:1", "closed by the client"):
            self.assertIn(name, read_events)
        (entry, *_) = re.findall(r"[0-9]+-[0-9]+", read_events)
        self.assertEqual(self.shell.run(substitute(acknowledge, {"1767225600000-0": entry})), "1\n")


class SwitchTests(CommandCase):
    """docs/switch.md."""

    def test_switch_is_turned_by_the_printed_commands(self) -> None:
        relay = self.start_with("--channels", "news")
        page = "docs/switch.md"
        for line in code_block(page, "sh", "websockets:disable").splitlines():
            self.shell.run(line.replace("wsrelay web", f"REDIS_URL={self.redis.url} wsrelay web", 1))
            expected = {"disable": 503, "enable": 101}.get(line.partition(":")[2].partition(" ")[0])
            if expected is not None:
                wait_until(lambda expected=expected: status_of(relay.ws("news")) == expected, relay.log)  # type: ignore[misc]  # mypy cannot infer it
        for text, status in (("SET wsrelay:disabled", 503), ("DEL wsrelay:disabled", 101)):
            (line, *_) = [each for each in code_block(page, "sh", "redis-cli SET").splitlines() if text in each]
            self.shell.run(line)
            wait_until(lambda status=status: status_of(relay.ws("news")) == status, relay.log)  # type: ignore[misc]  # mypy cannot infer it
        for line in code_block(page, "sh", "/api/websockets_disable").splitlines():
            answer = self.shell.run(substitute(line, {"http://127.0.0.1:8080": relay.url}))
            self.assertEqual(json.loads(answer)["result"]["enabled"], "enable" in line)


class OtherPagesTests(CommandCase):
    """docs/security.md, docs/configuration.md and docs/centrifugo.md."""

    def test_acl_user_may_do_all_that_the_relay_needs(self) -> None:
        # A command for the prompt of redis-cli: a shell would read its special characters.
        with self.redis.client() as client:
            client.execute_command(*code_block("docs/security.md", "", "-@all").split())
        url = self.redis.url.replace("redis://", "redis://wsrelay:password@")
        relay = self.start_with("--channels", "room", "--publish", "room", "--access", "token", REDIS_URL=url)
        request = '{"sub": "42", "channels": ["room"], "publish": ["room"]}'
        ticket = self.call(relay, "tickets", request)["ticket"]
        with socket_to(relay.ws(f"room?ticket={ticket}")) as client:
            client.send("hello")
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
            self.call(relay, "disconnect", '{"user": "42", "revoke_seconds": 60}')
            self.assertEqual(close_code(client), 4505)
        self.assertNotIn("NOPERM", relay.log())

    def call(self, relay: Relay, name: str, body: str) -> Any:
        """Call the API and return its answer."""
        headers = {"Authorization": f"Bearer {KEY}"}
        request = urllib.request.Request(f"{relay.url}/api/{name}", body.encode(), headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
            return json.load(response)

    def test_configuration_examples_are_accepted(self) -> None:
        page = "docs/configuration.md"
        file = self.folder / "wsrelay.toml"
        file.write_text(code_block(page, "toml", "[namespaces.rooms]"))
        self.assertEqual([each.name for each in load({}, {"WSRELAY_CONFIG": str(file)}).namespaces], ["rooms", "news"])
        self.start(f"REDIS_URL=redis://localhost {code_block(page, 'sh', '--publish')}")
        self.assertEqual([status_of(self.ws(name)) for name in ("news", "room:1", "other")], [101, 101, 404])

    def test_centrifugo_is_served_by_the_printed_command(self) -> None:
        self.start(code_block("docs/centrifugo.md", "sh", "--centrifugo true"))
        (url,) = re.findall(r'"(ws://[^"]+)"', code_block("docs/centrifugo.md", "js", "new Centrifuge"))
        with socket_to(substitute(url, {"8080": str(self.port)})) as client:
            client.send('{"id": 1, "connect": {}}')
            self.assertIn('"connect"', str(client.recv(DEADLINE_SECONDS)))

    def test_centrifugo_example_prints_what_it_publishes(self) -> None:
        """Run with the SDK of tests/clients, and with the WebSocket that Node before version 22 has to be given."""
        JAVASCRIPT.require()
        relay = self.start(code_block("docs/centrifugo.md", "sh", "--centrifugo true"))
        example = code_block("docs/centrifugo.md", "js", "new Centrifuge")
        wait = 'const printed = new Promise((resolve) => room.on("publication", resolve));'
        filled = substitute(
            example,
            {"127.0.0.1:8080": f"127.0.0.1:{relay.port}", "client.connect();": f"{wait} client.connect();"},
        )
        prelude = 'import WebSocket from "ws"; globalThis.WebSocket = WebSocket;\n'
        (self.folder / "example.mjs").write_text(f"{prelude}{filled}await printed; client.disconnect();\n")
        (self.folder / "node_modules").symlink_to(PROGRAMS / "javascript" / "node_modules")
        self.assertEqual(self.shell.run(f"node {self.folder.resolve()}/example.mjs"), "{ text: 'hello' }\n")

    def test_configuration_of_the_page_about_sdks_serves_them(self) -> None:
        file = self.folder / "wsrelay.toml"
        file.write_text(code_block("docs/sdks.md", "toml", "centrifugo = true"))
        relay = self.start_with("--config", str(file.resolve()))
        with socket_to(f"ws://127.0.0.1:{relay.port}/connection/websocket") as client:
            client.send('{"id": 1, "connect": {}}\n{"id": 2, "subscribe": {"channel": "chat:1"}}')
            self.assertIn('"connect"', str(client.recv(DEADLINE_SECONDS)))

    def test_releases_that_the_page_about_sdks_names_are_those_that_are_tested(self) -> None:
        rows = re.findall(r"^\| (.+?) \| ([0-9]+\.[0-9.]+) \|", (ROOT / "docs" / "sdks.md").read_text(), re.MULTILINE)
        pins = (ROOT / "requirements-dev.txt").read_text()
        go, java = ((PROGRAMS / path).read_text() for path in ("go/go.mod", "java/pom.xml"))
        package = json.loads((PROGRAMS / "javascript" / "package.json").read_text())
        found = {
            "centrifuge": package["dependencies"]["centrifuge"],
            "centrifuge-python": re.findall(r"^centrifuge-python==(.+)$", pins, re.MULTILINE)[0],
            "centrifuge-go": re.findall(r"centrifuge-go v([0-9.]+)", go)[0],
            "centrifuge-java": re.findall(r"centrifuge-java</artifactId>\s*<version>([0-9.]+)", java)[0],
            "cent": re.findall(r"^cent==(.+)$", pins, re.MULTILINE)[0],
        }
        named = {re.findall(r"`(?:.*[/:])?([^`]+)`", name)[0]: release for name, release in rows}
        self.assertEqual(named, found)
        board = json.loads((ROOT / "examples" / "board" / "package.json").read_text())
        self.assertEqual(board["dependencies"]["centrifuge"], found["centrifuge"])


class LinkTests(SynchronousTestCase):
    """Links between the documents."""

    def test_every_link_within_the_repository_leads_to_a_file_and_a_heading(self) -> None:
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")]:
            for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                self.assertTrue(target.exists(), f"{page.name}: {link}")
                if anchor:
                    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                    anchors = [re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings]
                    self.assertIn(anchor, anchors, f"{page.name}: {link}")

    def test_every_toml_block_can_be_parsed(self) -> None:
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
            for block in code_blocks(str(page.relative_to(ROOT)), "toml"):
                tomllib.loads(block)
