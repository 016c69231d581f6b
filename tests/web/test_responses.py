"""Tests of wsrelay.web.responses."""

from __future__ import annotations

from devtools.harness.http import answers, head
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire


class ResponseTests(EdgeCase):
    """Header fields of every response."""

    def test_response_has_length_type_and_security_headers_and_names_no_server(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("GET /healthz HTTP/1.1", "Host: x"))
        (answer,) = answers(wire.read())
        self.assertTrue(answer.headers.pop("date").endswith(" GMT"))
        self.assertEqual(
            answer.headers,
            {
                "content-type": "text/plain; charset=utf-8",
                "content-length": "52",
                "connection": "close",
                "cache-control": "no-store",
                "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
                "referrer-policy": "no-referrer",
                "x-content-type-options": "nosniff",
            },
        )

    def test_every_response_has_security_headers_and_names_no_software(self) -> None:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "NONSENSE"):
            for path in ("/", "/healthz", "/readyz", "/ws/chat", "/static/chat.js", "/static/", "/static", "/no", "*"):
                wire = ClientWire(self.relay())
                wire.send(head(f"{method} {path} HTTP/1.1", "Host: x"))
                data = wire.read()
                (answer,) = answers(data, to_head=method == "HEAD")
                self.assertIn("content-security-policy", answer.headers)
                self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
                self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
                self.assertNotIn("server", answer.headers)
                for word in (b"twisted", b"autobahn", b"python"):
                    self.assertNotIn(word, data.lower())

    def test_no_response_repeats_the_request(self) -> None:
        for path in ("/mirror", "/static/mirror", "/ws/mirror", "/?mirror", "/healthz?mirror=mirror"):
            for method in ("GET", "POST", "mirror"):
                wire = ClientWire(self.relay())
                wire.send(head(f"{method} {path} HTTP/1.1", "Host: mirror", "X-Mirror: mirror"))
                self.assertNotIn(b"mirror", wire.read().lower())
