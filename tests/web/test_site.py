"""Tests of wsrelay.web.site and wsrelay.web.one_request: routes, bodies and the ends of connections."""

from __future__ import annotations

from devtools.harness.http import Answer, answers, head
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.testing.brokers import FakeBroker
from wsrelay.web.one_request import MAX_DROPPED_BYTES, RESPONSE_LINGER_SECONDS

_HEALTH = head("GET /healthz HTTP/1.1", "Host: x")
_NOT_FOUND = b"Not found. WebSockets are at /ws/<channel>, probes at /healthz and /readyz.\n"


_ALIVE = b"alive; largest reactor lag in the last minute: 0 ms\n"


class SiteTests(EdgeCase):
    """Routes."""

    def ask(self, request_line: str, relay: InMemoryRelay | None = None) -> Answer:
        """Return the response to one request on a connection of its own."""
        wire = ClientWire(relay or self.relay())
        wire.send(head(f"{request_line} HTTP/1.1", "Host: x"))
        (answer,) = answers(wire.read(), to_head=request_line.startswith("HEAD "))
        return answer

    def test_healthz_is_200_whatever_the_broker_does(self) -> None:
        broker = FakeBroker()
        broker.ready = False
        answer = self.ask("GET /healthz", self.relay(broker))
        self.assertEqual((answer.status, answer.body), (200, _ALIVE))

    def test_readyz_has_the_status_and_text_of_the_moment(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker)
        answer = self.ask("GET /readyz", relay)
        self.assertEqual((answer.status, answer.body), (200, b"ready\n"))
        broker.ready, broker.problem = False, "no address"
        answer = self.ask("GET /readyz", relay)
        self.assertEqual((answer.status, answer.body), (503, b"not ready: fake: no address\n"))

    def test_head_gets_the_header_fields_of_get_and_no_body(self) -> None:
        for path in ("/healthz", "/", "/static/chat.css", "/nowhere", "/ws/chat"):
            of_get, of_head = self.ask(f"GET {path}"), self.ask(f"HEAD {path}")
            self.assertEqual(of_head.status, of_get.status)
            self.assertEqual(of_head.headers | {"date": ""}, of_get.headers | {"date": ""})
            self.assertEqual(of_head.headers["content-length"], str(len(of_get.body)))

    def test_other_method_is_rejected_with_405_and_the_allowed_ones(self) -> None:
        for path in ("/healthz", "/readyz", "/", "/static/chat.js"):
            for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
                answer = self.ask(f"{method} {path}")
                self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
                self.assertEqual(answer.body, b"Only GET, HEAD and OPTIONS are supported here.\n")

    def test_options_has_the_status_of_get_and_the_allowed_methods(self) -> None:
        """See HAProxy's `option httpchk`, which sends OPTIONS / by default."""
        broker = FakeBroker()
        broker.ready = False
        for path, status in (("/", 200), ("*", 200), ("/healthz", 200), ("/readyz", 503), ("/nowhere", 404)):
            answer = self.ask(f"OPTIONS {path}", self.relay(broker))
            self.assertEqual((answer.status, answer.headers["allow"]), (status, "GET, HEAD, OPTIONS"), path)

    def test_two_slashes_at_the_beginning_are_not_the_root(self) -> None:
        """A probe of `http://host/` + `/readyz` must not be green by mistake."""
        for path in ("//readyz", "//healthz", "//nowhere", "///readyz", "//ws/chat", "//", "/static//chat.js"):
            self.assertEqual(self.ask(f"GET {path}").status, 404, path)

    def test_target_in_absolute_form_is_served(self) -> None:
        for path in ("/healthz", "/readyz", "/", "/static/chat.js", "/nowhere", "/ws/chat"):
            self.assertEqual(self.ask(f"GET http://relay.example{path}").status, self.ask(f"GET {path}").status, path)

    def test_unknown_path_is_404_by_any_method_and_names_the_known_ones(self) -> None:
        self.assertEqual(self.ask("POST /nothing").status, 404)
        for path in ("/nothing", "/index.html", "/ws.html", "/static", "/static/", "/static/a/b", "/%00", "/../etc"):
            answer = self.ask(f"GET {path}")
            self.assertEqual((answer.status, answer.body), (404, _NOT_FOUND))

    def test_root_is_a_text_and_no_file_is_served_without_the_chat_page(self) -> None:
        relay = self.relay(chat_page=False)
        answer = self.ask("GET /", relay)
        self.assertEqual((answer.status, answer.body), (200, b"wsrelay: WebSockets are at /ws/<channel>.\n"))
        self.assertEqual(self.ask("GET /static/chat.js", relay).status, 404)

    def test_failing_route_is_500_without_a_traceback(self) -> None:
        """The log has it."""

        class BrokenBroker(FakeBroker):
            @property
            def ready(self) -> bool:
                raise ArithmeticError("broken in the test")

            @ready.setter
            def ready(self, _ready: bool) -> None:
                """Ignore it."""

        answer = self.ask("GET /readyz", self.relay(BrokenBroker()))
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"Traceback", answer.body)
        self.assertNotIn(b"broken in the test", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)


class ConnectionTests(EdgeCase):
    """Connections and their ends."""

    def test_connection_is_closed_after_one_request_also_for_keep_alive(self) -> None:
        for request in (
            _HEALTH,
            head("GET /healthz HTTP/1.1", "Host: x", "Connection: close"),
            head("GET /healthz HTTP/1.1", "Host: x", "Connection: keep-alive"),
        ):
            wire = ClientWire(self.relay())
            wire.send(request)
            (answer,) = answers(wire.read())
            self.assertEqual((answer.headers["connection"], answer.body), ("close", _ALIVE))
            self.assertTrue(wire.closed)
        for line in ("Host: x", "Connection: keep-alive"):
            wire = ClientWire(self.relay())
            wire.send(head("GET /healthz HTTP/1.0", line))
            self.assertTrue(wire.read().endswith(b"\r\n\r\n" + _ALIVE))
            self.assertTrue(wire.closed)


class BodyTests(EdgeCase):
    """Request bodies of routes that take none."""

    def assert_too_large(self, wire: ClientWire) -> None:
        """Assert that the connection got one 413 and has ended."""
        (answer,) = answers(wire.read())
        self.assertEqual(answer.status, 413)
        self.assertEqual(answer.headers["connection"], "close")
        text = b"The request body is too large: this request needs none, or lacks a valid API key.\n"
        self.assertEqual(answer.body, text)
        self.assertTrue(wire.closed)

    def test_small_body_is_read_and_dropped(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", f"Content-Length: {MAX_DROPPED_BYTES}"))
        self.assertEqual(wire.read(), b"")
        wire.send(b"x" * MAX_DROPPED_BYTES + _HEALTH)
        self.assertEqual([answer.status for answer in answers(wire.read())], [405])

    def test_small_chunked_body_is_read_and_dropped(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"))
        for _ in range(64):
            wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
        self.assertEqual(wire.read(), b"")
        wire.send(b"0\r\n\r\n" + _HEALTH)
        self.assertEqual([answer.status for answer in answers(wire.read())], [405])

    def test_announced_large_body_is_rejected_with_413_before_it_arrives(self) -> None:
        """The part that arrives is not kept."""
        wire = ClientWire(self.relay())
        request = head("POST /healthz HTTP/1.1", "Host: x", f"Content-Length: {MAX_DROPPED_BYTES + 1}")
        wire.send(request + b"x" * 1000)
        wire.send(b"x" * MAX_DROPPED_BYTES)
        wire.send(_HEALTH)
        self.assert_too_large(wire)

    def test_large_body_in_one_piece_with_its_head_is_rejected_once(self) -> None:
        wire = ClientWire(self.relay())
        request = head("POST /healthz HTTP/1.1", "Host: x", f"Content-Length: {MAX_DROPPED_BYTES + 1}")
        wire.send(request + b"x" * (MAX_DROPPED_BYTES + 1) + _HEALTH)
        self.assert_too_large(wire)

    def test_chunked_body_is_rejected_once_when_it_has_become_too_large(self) -> None:
        for more in (b"", b"0\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n" + _HEALTH):
            wire = ClientWire(self.relay())
            wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"))
            for _ in range(64):
                wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
            wire.send(b"1\r\nx\r\n" + more)
            self.assert_too_large(wire)

    def test_malformed_chunk_behind_the_rejection_gets_no_second_response(self) -> None:
        wire = ClientWire(self.relay())
        size = MAX_DROPPED_BYTES + 1
        request = head("POST /healthz HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
        wire.send(request + b"%x\r\n" % size + b"x" * size + b"\r\nnonsense\r\n")
        self.assert_too_large(wire)

    def test_input_behind_the_rejection_costs_nothing(self) -> None:
        """A transport under TLS keeps reading."""
        wire = ClientWire(self.relay())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Content-Length: 99999999"))
        for _ in range(100):
            wire.send(b"x" * 65536)
        self.assert_too_large(wire)

    def test_rejected_body_is_not_asked_for(self) -> None:
        """The client would get a 100 behind its 413."""
        wire = ClientWire(self.relay())
        lines = ("Host: x", f"Content-Length: {MAX_DROPPED_BYTES + 1}", "Expect: 100-continue")
        wire.send(head("POST /healthz HTTP/1.1", *lines))
        self.assert_too_large(wire)

    def test_accepted_body_is_asked_for(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue"))
        self.assertEqual(wire.read(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_form_that_cannot_be_parsed_is_like_any_other_body(self) -> None:
        for content_type in (
            "multipart/form-data",
            "multipart/form-data; boundary=\xe4",
            "application/x-www-form-urlencoded",
        ):
            wire = ClientWire(self.relay())
            wire.send(
                head("POST /nowhere HTTP/1.1", "Host: x", f"Content-Type: {content_type}", "Content-Length: 3") + b"%zz"
            )
            self.assertEqual([answer.status for answer in answers(wire.read())], [404], content_type)

    def test_malformed_chunk_is_rejected_with_400_and_a_text(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + b"nonsense\r\n")
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.body), (400, b"The request is malformed (RFC 9112).\n"))
        self.assertTrue(wire.closed)

    def test_other_version_of_http_is_rejected_with_400_and_nothing_behind_it_is_parsed(self) -> None:
        """The first bytes of HTTP/2 and some others look like a head."""
        for line in ("PRI * HTTP/2.0", "GET /healthz HTTP/0.9", "GET /healthz RTSP/1.0"):
            wire = ClientWire(self.relay())
            wire.send(head(line, "Host: x") + b"SM\r\n\r\n")
            self.assertEqual([answer.status for answer in answers(wire.read())], [400])
            self.assertTrue(wire.closed)

    def test_malformed_content_length_is_rejected_with_400_and_closed(self) -> None:
        for line in ("Content-Length: -1", "Content-Length: x"):
            wire = ClientWire(self.relay())
            wire.send(head("POST /healthz HTTP/1.1", "Host: x", line))
            self.assertEqual([answer.status for answer in answers(wire.read())], [400])
            self.assertTrue(wire.closed)


class EndTests(EdgeCase):
    """The ends of connections."""

    def test_input_behind_the_response_is_dropped_until_the_client_ends(self) -> None:
        wire = ClientWire(self.relay())
        wire.transport.ends_with_relay = False
        wire.send(_HEALTH)
        self.assertEqual([answer.status for answer in answers(wire.read())], [200])
        wire.send(_HEALTH * 1000)
        self.assertFalse(wire.closed)
        wire.half_close()
        self.assertEqual((wire.read(), wire.closed, wire.transport.aborted), (b"", True, False))

    def test_client_that_does_not_end_is_reset_after_the_linger_time(self) -> None:
        relay = self.relay()
        wire = ClientWire(relay)
        wire.transport.ends_with_relay = False
        wire.send(_HEALTH)
        wire.read()
        relay.pass_time(RESPONSE_LINGER_SECONDS - 0.25)
        self.assertFalse(wire.closed)
        relay.pass_time(0.5)
        self.assertTrue(wire.transport.aborted)

    def test_client_that_ends_its_direction_inside_its_request_is_closed(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("POST /healthz HTTP/1.1", "Host: x", "Content-Length: 5") + b"hel")
        wire.half_close()
        self.assertEqual((wire.read(), wire.closed, wire.transport.aborted), (b"", True, False))
