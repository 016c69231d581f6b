"""Tests of `wsrelay.web.api`: calls through the router and the site, in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import answers, head
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.testing.brokers import FakeBroker
from wsrelay.web.api.call import CALL_TIMEOUT_SECONDS

OLD, NEW = "an-old-key-of-the-operator", "a-new-key-of-the-operator"
ROOMS = Namespace("rooms", ("room:*",), Access.AUTHENTICATED)


class APICase(SynchronousTestCase):
    """A relay with two API keys."""

    def relay(self, broker: Any = None, **settings: Any) -> InMemoryRelay:
        """Return a relay with two keys."""
        settings.setdefault("namespaces", (ROOMS,))
        return InMemoryRelay(broker, api_keys=(Secret(OLD), Secret(NEW)), **settings)

    def ask(
        self,
        relay: InMemoryRelay,
        path: str,
        body: bytes | dict[str, Any] = b"",
        *lines: str,
        method: str = "POST",
        key: str = NEW,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and document of the response to a request; status 0 if there is none yet."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        authorization = (f"Authorization: Bearer {key}",) if key else ()
        wire = ClientWire(relay)
        wire.send(
            head(f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}", *authorization, *lines) + data
        )
        found = answers(wire.read())
        if not found:
            return 0, {}
        self.assertEqual(found[0].headers["content-type"], "application/json")
        self.assertEqual(found[0].headers["cache-control"], "no-store")
        return found[0].status, json.loads(found[0].body)


class KeyTests(APICase):
    """API keys."""

    def test_each_key_is_accepted(self) -> None:
        """So that keys can be rotated."""
        relay = self.relay()
        for key in (OLD, NEW):
            self.assertEqual(self.ask(relay, "/api/publish/room:1", b"x", key=key), (200, {"channel": "room:1"}))

    def test_missing_or_wrong_key_is_rejected_with_401_whatever_the_call(self) -> None:
        relay = self.relay()
        error = {"error": "This needs an API key: Authorization: Bearer <key>, or X-API-Key: <key>."}
        for key in ("", "wrong", NEW[:-1], NEW + "x", NEW.upper(), f"{OLD},{NEW}"):
            for path in ("/api/publish/room:1", f"/api/publish/room:1?key={NEW}", "/api/nothing", "/api", "/api/"):
                self.assertEqual(self.ask(relay, path, b"x", key=key), (401, error), (key, path))
        self.assertEqual(self.ask(relay, "/api/tickets", {}, f"Authorization: Basic {NEW}", key=""), (401, error))
        self.assertEqual(relay.node.counters.auth_rejections["api_key"], 31)

    def test_401_has_a_challenge(self) -> None:
        """RFC 9110 section 11.6.1."""
        wire = ClientWire(self.relay())
        wire.send(head("POST /api/tickets HTTP/1.1", "Host: x", "Content-Length: 0"))
        self.assertEqual(answers(wire.read())[0].headers["www-authenticate"], "Bearer")

    def test_two_authorization_fields_are_rejected_with_400(self) -> None:
        wire = ClientWire(self.relay())
        twice = (f"Authorization: Bearer {NEW}", "Authorization: Bearer x")
        wire.send(head("POST /api/tickets HTTP/1.1", "Host: x", "Content-Length: 0", *twice))
        self.assertEqual([answer.status for answer in answers(wire.read())], [400])

    def test_relay_without_keys_responds_404_and_names_the_setting(self) -> None:
        wire = ClientWire(InMemoryRelay())
        wire.send(head("POST /api/tickets HTTP/1.1", "Host: x", "Content-Length: 0", "Authorization: Bearer "))
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, b"api_keys" in answer.body), (404, True))

    def test_other_method_than_post_is_rejected_with_405(self) -> None:
        error = {"error": "API calls use POST."}
        self.assertEqual(self.ask(self.relay(), "/api/tickets", method="GET"), (405, error))

    def test_unknown_call_is_404_and_lists_the_calls(self) -> None:
        status, document = self.ask(self.relay(), "/api/xyzzy")
        self.assertEqual(status, 404)
        self.assertIn("/api/publish/<channel>", document["error"])


class PublishTests(APICase):
    """POST /api/publish."""

    def test_body_is_published_verbatim_also_where_clients_may_not_publish(self) -> None:
        broker = FakeBroker()
        self.assertEqual(self.ask(self.relay(broker), "/api/publish/room%3A1", b"\xff\x00007")[0], 200)
        self.assertEqual(broker.published, [Publication("room:1", b"\xff\x00007")])

    def test_unknown_channel_is_404_and_an_invalid_one_400(self) -> None:
        relay = self.relay()
        for path, status in (
            ("/api/publish/other", 404),
            ("/api/publish/$control", 400),
            ("/api/publish/%24control", 400),
            ("/api/publish/", 400),
            ("/api/publish", 400),
            ("/api/publish/room:1/x", 400),
            ("/api/publish/room:%0a", 400),
        ):
            self.assertEqual(self.ask(relay, path, b"x")[0], status, path)

    def test_body_is_limited_to_api_max_body_bytes_whatever_clients_may_send(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker, api_max_body_bytes=100_000, max_message_bytes=10)
        self.assertEqual(self.ask(relay, "/api/publish/room:1", b"x" * 100_000)[0], 200)
        wire = ClientWire(relay)
        wire.send(head("POST /api/publish/room:1 HTTP/1.1", "Host: x", "Content-Length: 100001"))
        self.assertEqual([answer.status for answer in answers(wire.read())], [413])

    def test_body_that_is_too_long_is_rejected_with_json_that_names_the_setting(self) -> None:
        text = "The body is longer than 100000 bytes. Raise api_max_body_bytes."
        for lines in ((), ("Expect: 100-continue",)):
            wire = ClientWire(self.relay(api_max_body_bytes=100_000))
            lines = ("Host: x", "Content-Length: 100001", f"Authorization: Bearer {NEW}", *lines)
            wire.send(head("POST /api/publish/room:1 HTTP/1.1", *lines))
            (answer,) = answers(wire.read())
            self.assertEqual((answer.status, json.loads(answer.body)), (413, {"error": text}))
            self.assertEqual(answer.headers["content-type"], "application/json")

    def test_body_is_published_byte_for_byte_whatever_its_content_type(self) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nv\r\n--b--\r\n'
        for body in (b"%zz=%&a=b", part, part[:-8], part.replace(b'name="x"', b"name*=utf-8''x"), bytes(range(256))):
            for content_type in (
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "multipart/form-data; boundary=b",
                "MULTIPART/FORM-DATA; BOUNDARY=b; charset=nonsense",
                "text/plain; charset=utf-16",
                ";;;",
                "",
            ):
                broker = FakeBroker()
                status, _ = self.ask(self.relay(broker), "/api/publish/room:1", body, f"Content-Type: {content_type}")
                self.assertEqual((status, broker.published), (200, [Publication("room:1", body)]), content_type)

    def test_client_that_ends_its_direction_behind_its_request_gets_the_response(self) -> None:
        """As `nc -N` does, and some health checkers."""
        broker = FakeBroker()
        broker.publishing = Deferred()
        wire = ClientWire(self.relay(broker))
        lines = ("Host: x", "Content-Length: 5", f"Authorization: Bearer {NEW}")
        wire.send(head("POST /api/publish/room:1 HTTP/1.1", *lines) + b"hello")
        wire.half_close()
        self.assertEqual((wire.read(), wire.closed), (b"", False))
        broker.publishing.callback(PublishResult())
        self.assertEqual([answer.status for answer in answers(wire.read())], [200])
        self.assertTrue(wire.closed)

    def test_unavailable_or_slow_broker_is_503_with_retry_after(self) -> None:
        broker = FakeBroker()
        broker.ready = False
        self.assertEqual(self.ask(self.relay(broker), "/api/publish/room:1", b"x")[0], 503)
        broker.publishing = Deferred()
        relay = self.relay(broker)
        wire = ClientWire(relay)
        wire.send(
            head("POST /api/publish/room:1 HTTP/1.1", "Host: x", "Content-Length: 0", f"Authorization: Bearer {NEW}")
        )
        self.assertEqual(wire.read(), b"")
        relay.pass_time(CALL_TIMEOUT_SECONDS)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))

    def test_client_that_disconnects_before_the_response_leaves_nothing(self) -> None:
        broker = FakeBroker()
        broker.publishing = Deferred()
        relay = self.relay(broker)
        wire = ClientWire(relay)
        wire.send(
            head("POST /api/publish/room:1 HTTP/1.1", "Host: x", "Content-Length: 0", f"Authorization: Bearer {NEW}")
        )
        wire.hang_up()
        self.assertEqual(relay.leftovers(), [])

    def test_call_is_completed_after_its_client_has_disconnected(self) -> None:
        broker = FakeBroker()
        slow: Deferred[None] = Deferred()
        self.patch(broker.credentials, "revoke", lambda _target, _seconds: slow)
        relay = self.relay(broker)
        wire = ClientWire(relay)
        data = b'{"user": "42", "revoke_seconds": 60}'
        lines = ("Host: x", f"Content-Length: {len(data)}", f"Authorization: Bearer {NEW}")
        wire.send(head("POST /api/disconnect HTTP/1.1", *lines) + data)
        wire.hang_up()
        slow.callback(None)
        self.assertEqual(len(broker.controls), 1)
        self.assertEqual(relay.leftovers(), [])

    def test_body_without_a_key_is_not_kept_and_has_the_small_limit(self) -> None:
        relay = self.relay(max_message_bytes=1_000_000)
        wire = ClientWire(relay)
        wire.send(head("POST /api/publish/room:1 HTTP/1.1", "Host: x", "Content-Length: 60000") + b"x" * 50_000)
        channel: Any = wire.transport.protocol
        self.assertEqual(channel.requests[0].content.getvalue(), b"")
        wire = ClientWire(relay)
        wire.send(head("POST /api/publish/room:1 HTTP/1.1", "Host: x", "Content-Length: 70000"))
        self.assertEqual([answer.status for answer in answers(wire.read())], [413])

    def test_unexpected_failure_is_500_without_details(self) -> None:
        """The log has the traceback."""
        broker = FakeBroker()
        broker.publishing = Deferred()
        relay = self.relay(broker)
        wire = ClientWire(relay)
        wire.send(
            head("POST /api/publish/room:1 HTTP/1.1", "Host: x", "Content-Length: 0", f"Authorization: Bearer {NEW}")
        )
        broker.publishing.errback(ZeroDivisionError("inside"))
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, b"inside" in answer.body), (500, False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TicketTests(APICase):
    """POST /api/tickets."""

    def test_ticket_authenticates_one_client_once(self) -> None:
        relay = self.relay()
        status, document = self.ask(relay, "/api/tickets", {"sub": "42", "channels": ["room:1"]})
        self.assertEqual((status, document["expires_in"]), (201, 30))
        path = f"/ws/room:1?ticket={document['ticket']}"
        WebSocketClient(relay, path).connect()
        again = WebSocketClient(relay, path)
        again.send_handshake()
        self.assertTrue(again.wire.read().startswith(b"HTTP/1.1 401 "))

    def test_ticket_expires_after_the_requested_seconds(self) -> None:
        relay = self.relay()
        _, document = self.ask(relay, "/api/tickets", {"sub": "42", "seconds": 5})
        relay.pass_time(5)
        client = WebSocketClient(relay, f"/ws/room:1?ticket={document['ticket']}")
        client.send_handshake()
        self.assertTrue(client.wire.read().startswith(b"HTTP/1.1 401 "))

    def test_invalid_claims_are_rejected_with_400(self) -> None:
        relay = self.relay()
        for body, error in (
            (b"", "The body must be a JSON object."),
            (b"[]", "The body must be a JSON object."),
            (b"{", "The body must be a JSON object."),
            (b"[" * 60_000, "The body must be a JSON object."),
            ({"seconds": 0}, "seconds must be a whole number from 1 to 3600"),
            ({"seconds": True}, "seconds must be a whole number from 1 to 3600"),
            ({"seconds": 9999}, "seconds must be a whole number from 1 to 3600"),
            (
                {"user": 1},
                "user is not a claim of a ticket; these are: sub, channels, publish, ip, exp, expire_at, info, "
                "b64info, subs, and seconds",
            ),
            ({"channels": "a"}, "channels must be a list of at most 100 channel patterns"),
            ({"sub": "x", "channels": ["y" * 250] * 100}, "the claims of a ticket are limited to 16384 bytes of JSON"),
            ({"exp": -1}, "exp is in the past"),
            ({"ip": "here"}, "ip must be an address, or a network such as 192.0.2.0/24"),
        ):
            self.assertEqual(self.ask(relay, "/api/tickets", body), (400, {"error": error}))


class DisconnectTests(APICase):
    """POST /api/disconnect."""

    def test_command_reaches_every_process_and_revoke_seconds_revokes(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker)
        answer = self.ask(relay, "/api/disconnect", {"user": "42", "reconnect": True})
        self.assertEqual(answer, (202, {"disconnect": {"user": "42"}}))
        self.assertEqual(
            [json.loads(payload) for payload, _node in broker.controls],
            [{"disconnect": {"user": "42"}, "reconnect": True}],
        )
        self.assertEqual(self.successResultOf(broker.credentials.are_revoked(["user:42"])), [False])
        self.ask(relay, "/api/disconnect", {"user": 42, "revoke_seconds": 60})
        self.assertEqual(self.successResultOf(broker.credentials.are_revoked(["user:42"])), [True])

    def test_disconnected_ticket_is_void(self) -> None:
        relay = self.relay()
        _, document = self.ask(relay, "/api/tickets", {"sub": "42"})
        self.ask(relay, "/api/disconnect", {"ticket": document["ticket"]})
        client = WebSocketClient(relay, f"/ws/room:1?ticket={document['ticket']}")
        client.send_handshake()
        self.assertTrue(client.wire.read().startswith(b"HTTP/1.1 401 "))

    def test_missing_ambiguous_or_invalid_target_is_rejected_with_400(self) -> None:
        relay = self.relay()
        for body in (
            {},
            {"user": "1", "token": "2"},
            {"x": "1"},
            {"user": ""},
            {"user": None},
            {"user": "1", "reconnect": 1},
        ):
            self.assertEqual(self.ask(relay, "/api/disconnect", body)[0], 400, body)
        self.assertEqual(self.ask(relay, "/api/disconnect", {"user": "1", "revoke_seconds": -1})[0], 400)
