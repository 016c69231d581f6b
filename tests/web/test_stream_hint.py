"""Tests of wsrelay.web.stream_hint."""

from __future__ import annotations

from typing import Any

from devtools.harness.http import Answer, answers, head, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from wsrelay.testing.brokers import FakeBroker

ORIGIN = "Origin: https://a.example"


class StreamHintTests(EdgeCase):
    """Requests at the paths of event streams that do not ask for one."""

    def request(self, method: str, path: str, *lines: str, broker: FakeBroker | None = None, **settings: Any) -> Answer:
        """Return the response to a request."""
        wire = ClientWire(self.relay(broker, origins=("https://a.example",), **settings))
        wire.send(head(f"{method} {path} HTTP/1.1", "Host: relay.example", *lines))
        (answer,) = answers(wire.read(), to_head=method == "HEAD")
        self.assertTrue(wire.closed)
        return answer

    def test_head_is_answered_as_the_get_without_a_stream(self) -> None:
        answer = self.request("HEAD", "/sse/room?channel=b", ORIGIN)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://a.example")
        self.assertEqual(self.request("HEAD", "/sse/a/b").status, 400)
        self.assertEqual(self.request("HEAD", "/sse/other", channels=("room",)).status, 404)
        away = FakeBroker()
        away.ready = False
        self.assertEqual(self.request("HEAD", "/sse/room", broker=away).status, 503)

    def test_preflight_permits_position_and_credential(self) -> None:
        answer = self.request("OPTIONS", "/sse/room", ORIGIN, "Access-Control-Request-Method: GET")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://a.example")
        self.assertIn("Last-Event-ID", answer.headers["access-control-allow-headers"])
        self.assertEqual(answer.headers["vary"], "Origin")
        self.assertNotIn("content-length", answer.headers)
        self.assertNotIn("content-type", answer.headers)

    def test_options_without_an_origin_says_which_methods_there_are(self) -> None:
        answer = self.request("OPTIONS", "/sse/room")
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "GET, HEAD, OPTIONS"))
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_other_origin_is_rejected_and_permitted_nothing(self) -> None:
        for method in ("OPTIONS", "HEAD", "POST"):
            answer = self.request(method, "/sse/room", "Origin: https://b.example")
            self.assertEqual(answer.status, 403)
            self.assertFalse([name for name in answer.headers if name.startswith("access-control-")])

    def test_other_methods_are_rejected_with_405(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "FOO"):
            answer = self.request(method, "/sse/room", ORIGIN)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
            self.assertEqual(answer.headers["access-control-allow-origin"], "https://a.example")

    def test_path_without_a_channel_says_where_streams_are(self) -> None:
        answer = self.request("GET", "/sse")
        self.assertEqual(answer.status, 404)
        self.assertIn(b"/sse/<channel>", answer.body)

    def test_without_event_streams_there_is_nothing_at_their_paths(self) -> None:
        for method in ("GET", "HEAD", "OPTIONS"):
            self.assertEqual(self.request(method, "/sse/room", sse=False).status, 404)

    def test_websocket_at_the_path_of_a_stream_is_rejected_with_the_remedy(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(upgrade("/sse/room"))
        (answer,) = answers(wire.read())
        self.assertEqual(answer.status, 404)
        self.assertIn(b"EventSource", answer.body)
        self.assertIn(b"/ws/<channel>", answer.body)

    def test_plain_get_at_the_path_of_a_websocket_is_not_a_stream(self) -> None:
        self.assertEqual(self.request("GET", "/ws/room", "Accept: text/event-stream").status, 426)
