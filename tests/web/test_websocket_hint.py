"""Tests of wsrelay.web.websocket_hint."""

from __future__ import annotations

from typing import Any

from devtools.harness.http import Answer, answers, head, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from wsrelay.core.messaging.namespaces import Access
from wsrelay.testing.brokers import FakeBroker


class WebSocketHintTests(EdgeCase):
    """Plain requests at a WebSocket's path. Upgrades are in tests.transports.listening.test_router."""

    def get(self, path: str, *lines: str, broker: FakeBroker | None = None, **settings: Any) -> Answer:
        """Return the response to a plain GET with these header fields."""
        wire = ClientWire(self.relay(broker, **settings))
        wire.send(head(f"GET {path} HTTP/1.1", "Host: relay.example", *lines))
        (answer,) = answers(wire.read())
        return answer

    def handshake(self, path: str, *lines: str, **settings: Any) -> Answer:
        """Return the response to a handshake at the same address with the same header fields."""
        wire = ClientWire(self.relay(**settings))
        wire.send(upgrade(path, *lines))
        (answer,) = answers(wire.read())
        return answer

    def test_plain_get_is_426_with_the_protocol_and_an_explanation(self) -> None:
        for path in ("/ws/chat", "/ws", "/ws/chat?auth=message", "/ws/chat?ticket=0123456789abcdef"):
            answer = self.get(path)
            self.assertEqual(answer.status, 426)
            self.assertEqual((answer.headers["upgrade"], answer.headers["connection"]), ("websocket", "Upgrade, close"))
            self.assertEqual(
                answer.body,
                b"This is the address of a WebSocket. Connect with a WebSocket client, in a browser: "
                b"new WebSocket('wss://' + location.host + '/ws/<channel>').\n",
            )

    def test_plain_get_at_the_path_of_another_dialect_is_426_where_it_is_enabled(self) -> None:
        path = "/connection/websocket"
        self.assertEqual(self.get(path).status, 404)
        answer = self.get(path, centrifugo=True)
        self.assertEqual(answer.status, 426)
        self.assertIn(b"client library", answer.body)
        self.assertEqual(self.get("/connection/other", centrifugo=True).status, 404)

    def test_plain_get_gets_the_answer_of_a_handshake_that_is_rejected(self) -> None:
        """Status, text and header fields are the same."""
        rooms = {"publish": ("room",), "access": Access.TOKEN}
        cases: tuple[tuple[int, str, str, dict[str, Any]], ...] = (
            (400, "/ws/", "X: y", {}),
            (400, "/ws/a/b", "X: y", {}),
            (403, "/ws/chat", "Origin: https://other.example", {}),
            (403, "/ws/chat", "Origin: null", {"origins": ("https://other.example",)}),
            (403, "/ws/chat", "X: y", {"require_origin": True}),
            (404, "/ws/chat", "X: y", {"channels": ("news",)}),
            (401, "/ws/room", "X: y", rooms),
            (401, "/ws/room?ticket=short", "X: y", rooms),
        )
        for status, path, line, settings in cases:
            plain, handshake = self.get(path, line, **settings), self.handshake(path, line, **settings)
            self.assertEqual((plain.status, plain.body), (status, handshake.body))
            self.assertEqual(handshake.status, status)
            self.assertEqual(plain.headers.get("www-authenticate"), handshake.headers.get("www-authenticate"))

    def test_credential_is_not_spent_and_the_application_not_asked(self) -> None:
        """The answer leaves open whatever depends on them."""
        rooms: dict[str, Any] = {"publish": ("room",), "access": Access.TOKEN}
        self.assertEqual(self.get("/ws/room?ticket=0123456789abcdef", **rooms).status, 426)
        self.assertEqual(self.get("/ws/room?auth=message", **rooms).status, 426)
        self.assertEqual(self.get("/ws/room", hook_url="http://127.0.0.1:9", **rooms).status, 426)
        self.assertEqual(self.get("/ws/none?ticket=0123456789abcdef", **rooms).status, 404)

    def test_plain_get_is_503_while_the_broker_is_not_ready(self) -> None:
        broker = FakeBroker()
        broker.ready = False
        answer = self.get("/ws/chat", broker=broker)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertIn(b"Redis", answer.body)

    def test_page_of_the_same_host_shows_its_origin_in_referer(self) -> None:
        """Browsers send no Origin with its requests. The Referer of a link is not that of a page that connects."""
        cases: tuple[tuple[int, list[str], dict[str, Any]], ...] = (
            (426, ["Referer: http://relay.example/"], {}),
            (403, ["Referer: https://public.example/"], {}),
            (426, ["Referer: https://public.example/", "Sec-Fetch-Mode: navigate"], {}),
            (426, ["Referer: https://public.example/", "Origin: http://relay.example"], {}),
            (403, ["Referer: http://relay.example/"], {"origins": ("https://other.example",)}),
            (426, ["Referer: http://[/"], {}),
            (426, ["Referer: about:blank"], {}),
        )
        for status, lines, settings in cases:
            self.assertEqual(self.get("/ws/chat", *lines, **settings).status, status, lines)

    def test_scheme_of_the_page_is_compared_as_in_a_handshake(self) -> None:
        lines = ("Referer: http://relay.example/", "X-Forwarded-Proto: https")
        self.assertEqual(self.get("/ws/chat", *lines, trusted_proxies=1).status, 403)
        self.assertEqual(self.get("/ws/chat", *lines).status, 426)

    def test_head_is_426_without_a_body_upgrade_or_not(self) -> None:
        for request in (head("HEAD /ws/chat HTTP/1.1", "Host: x"), upgrade().replace(b"GET", b"HEAD", 1)):
            wire = ClientWire(self.relay())
            wire.send(request)
            (answer,) = answers(wire.read(), to_head=True)
            self.assertEqual(answer.status, 426)

    def test_upgrade_to_another_protocol_is_426(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head("GET /ws/chat HTTP/1.1", "Host: x", "Upgrade: h2c", "Connection: Upgrade"))
        self.assertEqual([answer.status for answer in answers(wire.read())], [426])

    def test_other_method_is_rejected_with_405(self) -> None:
        for method in ("POST", "PUT", "OPTIONS"):
            wire = ClientWire(self.relay())
            wire.send(head(f"{method} /ws/chat HTTP/1.1", "Host: x"))
            (answer,) = answers(wire.read())
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET"))
            self.assertEqual(answer.body, b"A WebSocket handshake is a GET (RFC 6455 section 4.1).\n")
