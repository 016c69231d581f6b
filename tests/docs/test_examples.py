"""The JavaScript of README.md and docs/ in a real browser, with the commands beside it."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import IO, Any, cast

from devtools.harness.ports import free_port
from tests.docs.blocks import ROOT, DocumentedRelay, code_block, require_program, substitute
from tests.docs.test_commands import ACCESS, CommandCase
from tests.integration.test_browser import require_browser
from tests.support.browser import Browser, Page
from tests.support.polling import wait_until

README = "README.md"
STREAMS = "docs/sse.md"

_LOG = "window.logged = []; console.log = (text) => window.logged.push(text); 0"
"""Keeps what is written to the console."""


class _ExampleCase(CommandCase):
    """A test with a relay that a printed command starts, and a browser."""

    def setUp(self) -> None:
        """Start the Redis server and the browser."""
        super().setUp()
        require_browser()
        self.browser = self.enterContext(Browser())

    def console(self, url: str) -> Page:
        """Return the console of a page."""
        page = self.browser.open(url)
        page.evaluate(_LOG)
        return page

    def paste(self, page: Page, example: str) -> None:
        """Paste a printed example into a console, with the port of this test's relay."""
        page.evaluate(substitute(example, {"127.0.0.1:8080": f"127.0.0.1:{self.port}"}) + "\n;0")

    def wait_for_log(self, page: Page, text: str) -> None:
        """Wait until a text has been written to the console."""
        page.wait_for(f"window.logged.includes({json.dumps(text)})")


class ConsoleTests(_ExampleCase):
    """Examples for the console of the relay's own page."""

    def test_first_example_prints_what_is_published(self) -> None:
        """So does it with a second process whose page is the first one's."""
        command = code_block(README, "sh", "--chat-page true").splitlines()[-1]
        publish, add, _read = code_block(README, "sh", "redis-cli XRANGE").splitlines()
        example = code_block(README, "js", "new EventSource")
        first = self.start(command)
        page = self.console(first.url)
        self.paste(page, example)
        page.wait_for("socket.readyState === 1 && source.readyState === 1")
        self.shell.run(publish)
        self.wait_for_log(page, "news: hello")
        self.shell.run(add)
        self.wait_for_log(page, "chat: hello")

        (origins,) = re.findall(r"`(--origins http://127.0.0.1:\d+)`", (ROOT / README).read_text())
        self.port = free_port()
        origins = substitute(origins, {"8080": str(first.port)})
        self.enterContext(
            DocumentedRelay(
                substitute(f"{command} --port {self.port} {origins}", {"redis://localhost": self.redis.url}),
                {name: value for name, value in self.shell.environment.items() if name != "WSRELAY_PORT"},
                self.port,
            )
        )
        page = self.console(first.url)
        self.paste(page, example)
        page.wait_for("socket.readyState === 1 && source.readyState === 1")
        self.shell.run(publish)
        self.wait_for_log(page, "news: hello")
        self.shell.run(add)
        self.wait_for_log(page, "chat: hello")

    def test_example_with_a_ticket_works_where_there_is_no_chat_page(self) -> None:
        command, ticket = code_block(README, "sh", "--access token").splitlines()
        page = self.console(self.start(command).url)
        self.shell.run(ticket)
        self.paste(page, code_block(README, "js", "?ticket=3f"))
        self.wait_for_log(page, "subscribed")

    def test_page_from_a_file_connects_where_null_is_allowed(self) -> None:
        command, ticket = code_block(README, "sh", "--access token").splitlines()
        (origins,) = re.findall(r"`(--origins null)`", (ROOT / README).read_text())
        self.start(f"{command} {origins}")
        self.shell.run(ticket)
        file = self.folder / "page.html"
        file.write_text("<!doctype html><title>a file</title>")
        page = self.console(file.resolve().as_uri())
        self.paste(page, code_block(README, "js", "?ticket=3f"))
        self.wait_for_log(page, "subscribed")


class StreamTests(_ExampleCase):
    """docs/sse.md."""

    def test_commands_print_what_is_added_and_what_is_published(self) -> None:
        self.start(code_block(STREAMS, "sh", "--history-size"))
        command = substitute(code_block(STREAMS, "sh", "curl"), {"8080": str(self.port)})
        arguments = [require_program("curl"), *shlex.split(command, comments=True)[1:]]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as curl:
            self.addCleanup(curl.kill)
            lines = iter(cast(IO[bytes], curl.stdout).readline, b"")
            while next(lines) != b'data: {"channel":"chat"}\n':
                pass
            self.shell.run(code_block(STREAMS, "sh", "XADD"))
            printed = [next(lines), next(lines), next(lines)]
            while printed.count(b"data: hello\n") < 2:
                printed.append(next(lines))
            curl.kill()
        # Of the two, the one that is kept has a position.
        self.assertEqual([line for line in printed if line.startswith(b"id: ")][1:], [printed[-4]])
        self.assertEqual(printed[-3::2], [b"data: hello\n"] * 2)

    def test_examples_print_the_events_of_one_channel_and_of_several(self) -> None:
        relay = self.start(code_block(STREAMS, "sh", "--history-size"))
        page = self.console(relay.url)
        page.evaluate(code_block(STREAMS, "js", "console.log(event.data)") + "\n;0")
        page.wait_for("source.readyState === 1")
        add = code_block(STREAMS, "sh", "XADD").splitlines()[0]
        self.shell.run(add)
        self.wait_for_log(page, "hello")
        page.evaluate("source.close()")
        page.evaluate(code_block(STREAMS, "js", "message:news") + "\n;0")
        page.wait_for("source.readyState === 1")
        self.shell.run(substitute(add, {":chat": ":news"}))
        self.wait_for_log(page, "news: hello")

    def test_example_with_tickets_goes_on_from_its_position(self) -> None:
        command = code_block(STREAMS, "sh", "--history-size")
        relay = self.start(f"{command.rstrip()} --access authenticated")
        tickets = ["first-0123456789abcdef", "second-0123456789abcdef"]
        redis = self.enterContext(self.redis.client())
        for ticket in tickets:
            redis.set(f"wsrelay:ticket:{ticket}", json.dumps({"sub": "42"}), ex=60)
        page = self.console(relay.url)
        page.evaluate(
            f"window.tickets = {json.dumps(tickets)}; window.show = (text) => window.logged.push(text);"
            "window.fetch = async () => ({ json: async () => ({ ticket: tickets.shift() }) }); 0"
        )
        page.evaluate(code_block(STREAMS, "js", "/relay-ticket") + "\n;0")
        page.wait_for("window.tickets.length === 1")
        page.wait_for("position !== ''")
        add = code_block(STREAMS, "sh", "XADD").splitlines()[0]
        self.shell.run(substitute(add, {"hello": "first"}))
        self.wait_for_log(page, "first")
        redis.publish("wsrelay:$control", json.dumps({"disconnect": {"user": "42"}, "reconnect": True}))
        self.shell.run(add)
        page.wait_for("window.tickets.length === 0")
        self.wait_for_log(page, "hello")
        self.assertEqual(page.evaluate("window.logged"), ["first", "hello"])


class PushTests(_ExampleCase):
    """The application of "Push from your application", in Python."""

    def setUp(self) -> None:
        """Serve the application's page, and run its view."""
        super().setUp()
        self.tickets = 0
        self.client = self.enterContext(self.redis.client())
        view = self.view()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805 -- self is the test
                if handler.path == "/relay-ticket":
                    self.tickets += 1
                    kind, body = "application/json", json.dumps(view(request))
                else:
                    kind, body = "text/html", "<!doctype html><title>the application</title>"
                handler.send_response(200)
                handler.send_header("Content-Type", kind)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body.encode())

            def log_message(handler, *_arguments: object) -> None:  # noqa: N805 -- self is the test
                """Write no access log."""

        request = SimpleNamespace(user=SimpleNamespace(pk=42))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def view(self) -> Callable[[Any], Any]:
        """Return the Django view as printed, in place of Django's names plain functions."""
        names: dict[str, Any] = {
            "login_required": lambda view: view,
            "never_cache": lambda view: view,
            "JsonResponse": dict,
            "secrets": secrets,
            "json": json,
            "redis": self.client,
        }
        exec(code_block(README, "python", "def relay_ticket"), names)
        found: Callable[[Any], Any] = names["relay_ticket"]
        return found

    def test_page_receives_its_users_messages_and_reconnects(self) -> None:
        origin = f"http://localhost:{self.server.server_address[1]}"
        self.start(code_block(README, "sh", "--origins http://localhost:3000"), {"http://localhost:3000": origin})
        page = self.console(origin + "/")
        page.evaluate("window.show = (message) => console.log(JSON.stringify(message)); 0")
        example = code_block(README, "js", "/relay-ticket")
        (_production, development) = re.findall(r"'(wss?://[^']+)'", example.splitlines()[0])
        self.paste(page, substitute(example, {"wss://relay.example.com": development}))
        publish = code_block(README, "python", "redis.publish")
        shown = '{"order":7,"state":"paid"}'

        def received() -> bool:
            exec(publish, {"redis": self.client, "json": json, "user": SimpleNamespace(id=42)})
            return bool(page.evaluate(f"window.logged.includes({json.dumps(shown)})"))

        wait_until(received, lambda: page.evaluate("window.logged"))
        page.evaluate("window.logged.length = 0; 0")
        disconnect = substitute(
            code_block(ACCESS, "sh", "redis-cli PUBLISH"), {'{"user": "42"}': '{"user": "42", "reconnect": true}'}
        )
        self.shell.run(disconnect)
        wait_until(lambda: self.tickets >= 2, lambda: self.tickets)
        wait_until(received, lambda: page.evaluate("window.logged"))
