"""Tests of wsrelay.transports.listening.request_checks: what is rejected, and what is known of a client."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.logger import capturedLogs, formatEvent

from devtools.harness.http import answers, head, upgrade
from tests.support.in_memory_relay import ClientWire
from tests.transports.listening.test_router import RouterCase
from wsrelay.core.access.client_address import UNREADABLE
from wsrelay.testing.brokers import FakeBroker

_HEALTH = head("GET /healthz HTTP/1.1", "Host: x")
_ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


class RequestCheckTests(RouterCase):
    """Request heads of all kinds."""

    def test_id_that_a_router_gave_the_request_is_in_the_log_and_nothing_else_in_its_place(self) -> None:
        router_id = "4f0a7a7e-7f0c-4bd6-9f0e-1c2d3e4f5a6b"
        for fields, shown in (
            ((f"X-Request-Id: {router_id}",), router_id),
            ((f"X-Request-ID: {router_id}",), router_id),
            ((f"x-request-id: {router_id}",), router_id),
            (("X-Request-Id: a\t[x] forged",), None),
            ((f"X-Request-Id: {router_id}", "X-Request-Id: 2"), None),
            ((f"X-Request-Id: {'a' * 201}",), None),
            ((), None),
        ):
            for start in ("GET /ws/room HTTP/1.1", "GET /sse/room HTTP/1.1"):
                handshake = upgrade("/ws/room", "Origin: https://evil.example", *fields)
                stream = head(start, "Host: x", "Origin: https://evil.example", *fields)
                with capturedLogs() as events:
                    self.connect(handshake if "/ws/" in start else stream)
                (event,) = [each for each in events if "request_id" in each or "connection" in each]
                self.assertEqual((event.get("request_id"), len(event["connection"])), (shown, 16), fields)

    def test_malformed_requests_and_probes_are_not_logged(self) -> None:
        with capturedLogs() as events:
            for data in (
                b"garbage\r\n\r\n",
                b"\x16\x03\x01\x00\xff\r\n\r\n",
                upgrade("/nowhere"),
                head("GET /healthz HTTP/1.1", "Host: x"),
            ):
                self.connect(data)
        self.assertEqual([formatEvent(each) for each in events], [])

    def test_stream_is_not_for_other_versions_of_http_nor_without_a_host(self) -> None:
        cases = {
            head("GET /sse/room HTTP/1.0"): 200,
            head("GET /sse/room HTTP/1.1"): 400,
            head("GET /sse/room HTTP/2.0", "Host: x"): 505,
            head("GET /sse/room http/1.1", "Host: x"): 505,
            head("GET http://x/sse/room HTTP/1.1"): 200,
        }
        for data, status in cases.items():
            _, wire = self.connect(data)
            self.assertTrue(wire.read().startswith(b"HTTP/1.1 %d " % status), data)

    def test_each_rejection_has_its_status_and_text(self) -> None:
        nowhere = b"There is no WebSocket at this path. Use /ws/<channel>.\n"
        for data, status, body in (
            (upgrade("/"), 404, nowhere),
            (upgrade("/ws"), 404, nowhere),
            (upgrade("http://relay.example/ws"), 404, nowhere),
            (upgrade("/ws/room", "Content-Length: 1"), 400, b"A WebSocket handshake has no body.\n"),
            (upgrade("/ws/room", "Transfer-Encoding: chunked"), 400, b"A WebSocket handshake has no body.\n"),
            (head("GET /"), 400, b"The request line is malformed (RFC 9112 section 3).\n"),
        ):
            _, wire = self.connect(data)
            answer = self.response(wire)
            self.assertEqual((answer.status, answer.body), (status, body))

    def test_bytes_outside_ascii_are_accepted_in_cookies_and_rejected_in_handshake_fields(self) -> None:
        _, wire = self.connect(upgrade("/ws/room", "Cookie: name=J\xfcrgen"))
        self.assertIn(_ACCEPT, wire.read())
        for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Key"):
            _, wire = self.connect(upgrade("/ws/room", f"{name}: \xfc"))
            self.assertEqual(self.response(wire).status, 400)

    def test_upgrade_by_post_is_rejected_with_405(self) -> None:
        _, wire = self.connect(upgrade().replace(b"GET", b"POST", 1))
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET"))

    def test_stopping_relay_rejects_handshakes_with_503_and_still_serves_probes(self) -> None:
        relay = self.relay()
        relay.connections.start_draining()
        _, wire = self.connect(upgrade(), relay)
        answer = self.response(wire)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        _, wire = self.connect(_HEALTH, relay)
        self.assertEqual(answers(wire.read())[0].status, 200)

    def test_client_of_a_unix_socket_is_accepted_without_an_address(self) -> None:
        relay = self.relay(FakeBroker())
        wire = ClientWire(relay)
        wire.transport.peerAddr = UNIXAddress("/run/wsrelay.sock")
        wire.send(upgrade())
        handshake: Any = wire.connection._handshake
        self.assertEqual(handshake.peer, "unix")
        relay.node.subscribed("room")
        self.assertIn(_ACCEPT, wire.read())

    def test_ipv4_client_of_a_port_for_both_protocols_has_its_ipv4_address(self) -> None:
        wire = ClientWire(self.relay(FakeBroker()))
        wire.transport.peerAddr = IPv6Address("TCP", "::ffff:192.0.2.7", 1234)
        wire.send(upgrade())
        handshake: Any = wire.connection._handshake
        self.assertEqual(handshake.peer, "192.0.2.7")

    def test_proxy_that_names_no_address_is_logged_and_its_client_is_nobody(self) -> None:
        wire = ClientWire(self.relay(FakeBroker(), trusted_proxies=1))
        with capturedLogs() as events:
            wire.send(upgrade("/ws/room", "X-Forwarded-For: _hidden"))
        handshake: Any = wire.connection._handshake
        self.assertEqual(handshake.peer, UNREADABLE)
        (text,) = (formatEvent(event) or "" for event in events)
        self.assertIn("X-Forwarded-For has no address where trusted_proxies says", text)
