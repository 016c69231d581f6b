"""Tests of wsrelay.web.site: routes, bodies and connections that stay."""

from __future__ import annotations

from devtools.harness.http import Answer, answers, head
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.web.one_request import MAX_DROPPED_BYTES

_HEALTH = head("GET /healthz HTTP/1.1", "Host: x")
_NOTHING = b"Not found. WebSockets are at /ws/<channel>, probes at /healthz and /readyz.\n"


class SiteTests(EdgeCase):
    """What is where."""

    def ask(self, request_line: str, house: InMemoryRelay | None = None) -> Answer:
        """The answer to one request on a connection of its own."""
        wire = ClientWire(house or self.house())
        wire.send(head(f"{request_line} HTTP/1.1", "Host: x"))
        (answer,) = answers(wire.read(), to_head=request_line.startswith("HEAD "))
        return answer

    def test_alive(self) -> None:
        """A process that answers is alive, whatever its broker does."""
        house = self.house()
        house.ready = (503, "not ready")
        answer = self.ask("GET /healthz", house)
        self.assertEqual((answer.status, answer.body), (200, b"alive\n"))

    def test_ready(self) -> None:
        """`/readyz` says at each request whether clients should be sent here, and why not."""
        house = self.house()
        answer = self.ask("GET /readyz", house)
        self.assertEqual((answer.status, answer.body), (200, b"ready\n"))
        house.ready = (503, "not ready: redis: no address")
        answer = self.ask("GET /readyz", house)
        self.assertEqual((answer.status, answer.body), (503, b"not ready: redis: no address\n"))

    def test_head(self) -> None:
        """HEAD gets the headers of GET, and no body."""
        for path in ("/healthz", "/", "/static/chat.css", "/nowhere", "/ws/chat"):
            asked, told = self.ask(f"GET {path}"), self.ask(f"HEAD {path}")
            self.assertEqual(told.status, asked.status)
            self.assertEqual(told.headers | {"date": ""}, asked.headers | {"date": ""})
            self.assertEqual(told.headers["content-length"], str(len(asked.body)))

    def test_other_methods(self) -> None:
        """Any other method gets 405 and the list of those that are served."""
        for path in ("/healthz", "/readyz", "/", "/static/chat.js"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
                answer = self.ask(f"{method} {path}")
                self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))
                self.assertEqual(answer.body, b"Only GET and HEAD are supported here.\n")

    def test_nothing_there(self) -> None:
        """Every other path gets 404, by any method, and is told where to look."""
        self.assertEqual(self.ask("POST /nothing").status, 404)
        for path in ("/nothing", "/index.html", "/ws.html", "/static", "/static/", "/static/a/b", "/%00", "/../etc"):
            answer = self.ask(f"GET {path}")
            self.assertEqual((answer.status, answer.body), (404, _NOTHING))

    def test_without_page(self) -> None:
        """Without the page the root says what this is, and no file is there."""
        house = self.house(with_page=False)
        answer = self.ask("GET /", house)
        self.assertEqual((answer.status, answer.body), (200, b"wsrelay: WebSockets are at /ws/<channel>.\n"))
        self.assertEqual(self.ask("GET /static/chat.js", house).status, 404)

    def test_broken_route(self) -> None:
        """A route that fails answers 500 without a traceback; the log has it."""
        house = self.house()
        house.ready = None  # type: ignore[assignment]
        answer = self.ask("GET /readyz", house)
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"Traceback", answer.body)
        self.assertNotIn(b"NoneType", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class ConnectionTests(EdgeCase):
    """Connections and their ends."""

    def test_closed(self) -> None:
        """A connection serves one request, whatever the client asks for, and says so."""
        for request in (
            _HEALTH,
            head("GET /healthz HTTP/1.1", "Host: x", "Connection: close"),
            head("GET /healthz HTTP/1.1", "Host: x", "Connection: keep-alive"),
        ):
            wire = ClientWire(self.house())
            wire.send(request)
            (answer,) = answers(wire.read())
            self.assertEqual((answer.headers["connection"], answer.body), ("close", b"alive\n"))
            self.assertTrue(wire.closed)
        for line in ("Host: x", "Connection: keep-alive"):
            wire = ClientWire(self.house())
            wire.send(head("GET /healthz HTTP/1.0", line))
            self.assertTrue(wire.read().endswith(b"\r\n\r\nalive\n"))
            self.assertTrue(wire.closed)


class BodyTests(EdgeCase):
    """No route takes a body."""

    def refused(self, wire: ClientWire) -> None:
        """The connection got one 413 and has ended."""
        (answer,) = answers(wire.read())
        self.assertEqual(answer.status, 413)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.body, b"The request body is too large.\n")
        self.assertTrue(wire.closed)

    def test_small(self) -> None:
        """A small body is read and dropped."""
        wire = ClientWire(self.house())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", f"Content-Length: {MAX_DROPPED_BYTES}"))
        self.assertEqual(wire.read(), b"")
        wire.send(b"x" * MAX_DROPPED_BYTES + _HEALTH)
        self.assertEqual([answer.status for answer in answers(wire.read())], [405])

    def test_small_chunks(self) -> None:
        """The same in chunks."""
        wire = ClientWire(self.house())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"))
        for _ in range(64):
            wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
        self.assertEqual(wire.read(), b"")
        wire.send(b"0\r\n\r\n" + _HEALTH)
        self.assertEqual([answer.status for answer in answers(wire.read())], [405])

    def test_announced(self) -> None:
        """A body that is announced as too big is refused before it comes; what comes of it is not kept."""
        wire = ClientWire(self.house())
        request = head("POST /healthz HTTP/1.1", "Host: x", f"Content-Length: {MAX_DROPPED_BYTES + 1}")
        wire.send(request + b"x" * 1000)
        wire.send(b"x" * MAX_DROPPED_BYTES)
        wire.send(_HEALTH)
        self.refused(wire)

    def test_announced_in_one_piece(self) -> None:
        """A body that is too big and comes at once with its request is refused once."""
        wire = ClientWire(self.house())
        request = head("POST /healthz HTTP/1.1", "Host: x", f"Content-Length: {MAX_DROPPED_BYTES + 1}")
        wire.send(request + b"x" * (MAX_DROPPED_BYTES + 1) + _HEALTH)
        self.refused(wire)

    def test_chunks(self) -> None:
        """A body in chunks is refused when it has become too big, and answered once even if its end has come."""
        for more in (b"", b"0\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n" + _HEALTH):
            wire = ClientWire(self.house())
            wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"))
            for _ in range(64):
                wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
            wire.send(b"1\r\nx\r\n" + more)
            self.refused(wire)

    def test_read_on(self) -> None:
        """A transport that reads on behind the refusal, as TLS does, costs nothing."""
        wire = ClientWire(self.house())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Content-Length: 99999999"))
        for _ in range(100):
            wire.send(b"x" * 65536)
        self.refused(wire)

    def test_broken(self) -> None:
        """A request whose length makes no sense is refused by twisted.web and the connection ends."""
        for line in ("Content-Length: -1", "Content-Length: x"):
            wire = ClientWire(self.house())
            wire.send(head("POST /healthz HTTP/1.1", "Host: x", line))
            self.assertEqual([answer.status for answer in answers(wire.read())], [400])
            self.assertTrue(wire.closed)
