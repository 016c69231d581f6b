"""Tests of the API's methods for the switch."""

from __future__ import annotations

from twisted.internet.defer import fail

from tests.support.websocket_client import WebSocketClient
from tests.web.api.method_case import MethodCase
from wsrelay.core.outcomes.errors import BrokerUnavailable


class SwitchMethodTests(MethodCase):
    """Websockets off and on."""

    def test_websockets_are_turned_off_and_on_for_all(self) -> None:
        client = WebSocketClient(self.relay, "/ws/news").connect()
        self.assertEqual(self.result("websockets"), {"enabled": True})
        off = {"enabled": False, "explanation": "back at 14:00"}
        self.assertEqual(self.result("websockets_disable", explanation=" back at 14:00"), off)
        self.assertEqual(self.result("websockets"), off)
        client.read()
        self.assertEqual(client.close_received, (4013, "disabled, reconnect later"))
        self.assertEqual(self.result("websockets_enable"), {"enabled": True})
        WebSocketClient(self.relay, "/ws/news").connect()

    def test_explanation_is_optional(self) -> None:
        self.assertEqual(self.result("websockets_disable"), {"enabled": False})
        self.assertEqual(self.result("websockets"), {"enabled": False})

    def test_explanation_that_cannot_be_shown_is_rejected_and_changes_nothing(self) -> None:
        for explanation in ("a\nb", "a" * 201, 1):
            self.assertEqual(self.code("websockets_disable", explanation=explanation), 107)
        self.assertEqual(self.result("websockets"), {"enabled": True})

    def test_position_is_kept_although_no_process_can_be_told(self) -> None:
        self.patch(self.broker, "send_control", lambda *_arguments: fail(BrokerUnavailable("away")))
        self.assertEqual(self.result("websockets_disable"), {"enabled": False})
        self.assertEqual(self.result("websockets"), {"enabled": False})

    def test_outage_is_an_internal_error(self) -> None:
        def away(*_arguments: object) -> object:
            return fail(BrokerUnavailable("away"))

        for name, method in (("read", "websockets"), ("set", "websockets_disable"), ("clear", "websockets_enable")):
            self.patch(self.broker.switch, name, away)
            self.assertEqual(self.code(method), 100)
