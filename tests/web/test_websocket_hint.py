"""Tests of wsrelay.web.websocket_hint."""

from __future__ import annotations

from devtools.harness.http import answers, head, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire


class WebSocketHintTests(EdgeCase):
    """Plain requests at a WebSocket's path. Upgrades are in tests.transports.listening.test_router."""

    def test_plain_get_is_426_with_the_protocol_and_an_explanation(self) -> None:
        for path in ("/ws/chat", "/ws/", "/ws", "/ws/a/b"):
            wire = ClientWire(self.relay())
            wire.send(head(f"GET {path} HTTP/1.1", "Host: x"))
            (answer,) = answers(wire.read())
            self.assertEqual(answer.status, 426)
            self.assertEqual((answer.headers["upgrade"], answer.headers["connection"]), ("websocket", "Upgrade, close"))
            self.assertEqual(
                answer.body,
                b"This is the address of a WebSocket. Connect with a WebSocket client, in a browser: "
                b"new WebSocket('wss://' + location.host + '/ws/<channel>').\n",
            )

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
