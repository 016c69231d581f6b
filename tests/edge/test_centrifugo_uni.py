"""Centrifugo's unidirectional transports at the edge: the whole relay in memory, and sockets."""

from __future__ import annotations

import json
from typing import Any

import jwt
from twisted.internet.defer import Deferred, fail, succeed

from devtools.harness.http import Answer, answers, head, upgrade
from tests.support.edge import EdgeCase, RealEdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.message_stream import MessageStreamClient, with_connect
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.dialects import UNI_HTTP_STREAM, UNI_SSE, UNI_WEBSOCKET
from wsrelay.engine.subscribe_questions import ANSWER_TIMEOUT_SECONDS
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.listening.request_checks import MAX_BODY_BYTES

KEY = "k" * 40
SSE, LINES, SOCKET = UNI_SSE.path, UNI_HTTP_STREAM.path, UNI_WEBSOCKET.path


class UniCase(EdgeCase):
    """A relay that speaks Centrifugo's protocol."""

    def relay(self, broker: Any = None, **settings: Any) -> InMemoryRelay:
        """Build a relay with the routes of Centrifugo's protocol."""
        return super().relay(broker, **{"centrifugo": True, "channels": ("*",), **settings})

    def assert_disconnected(self, client: MessageStreamClient, code: int, reason: str = "") -> None:
        """Assert that a stream ends with a disconnect, and says nothing else."""
        (last,) = client.documents()
        self.assertEqual((client.status, last["disconnect"]["code"]), (200, code))
        self.assertIn(reason, last["disconnect"]["reason"])
        self.assertTrue(client.wire.closed)


class StreamTests(UniCase):
    """From the request to the pushes."""

    def test_event_stream_begins_with_the_connect_and_carries_what_is_published(self) -> None:
        relay = self.relay()
        client = MessageStreamClient(relay, with_connect(SSE, {"subs": {"a": {}, "b": {}}}))
        (first,) = client.documents()
        self.assertEqual(list(first), ["connect"])
        connect = first["connect"]
        self.assertEqual((connect["subs"], connect["ping"]), ({"a": {}, "b": {}}, 25))
        self.assertNotIn("pong", connect)
        self.assertIn(b"\r\nContent-Type: text/event-stream\r\n", client.head)
        self.assertIn(b"\r\nX-Accel-Buffering: no\r\n", client.head)
        self.assertIn(b"\r\nX-Connection-Id: %b" % connect["client"].encode(), client.head)
        relay.publish(b'{"x":1}', b"no json", channel="b")
        pushes = [{"channel": "b", "pub": {"data": {"x": 1}}}, {"channel": "b", "pub": {"data": "no json"}}]
        self.assertEqual(client.documents(), pushes)

    def test_first_bytes_of_an_event_stream_are_an_empty_line_and_each_push_is_one_event(self) -> None:
        relay = self.relay()
        client = MessageStreamClient(relay, with_connect(SSE, {"subs": {"a": {}}}))
        client.documents()
        self.assertIsNotNone(client.parser.retry)
        relay.broker.publish("a", b"1")
        relay.broker.publish("a", b"2")
        relay.turn()
        data = client.read()
        self.assertEqual(data, b'data: {"channel":"a","pub":{"data":1}}\n\ndata: {"channel":"a","pub":{"data":2}}\n\n')
        wire = ClientWire(relay)
        wire.send(head(f"GET {SSE} HTTP/1.1", "Host: x"))
        self.assertTrue(wire.read().partition(b"\r\n\r\n")[2].startswith(b"\r\nretry: "))

    def test_lines_carry_the_same(self) -> None:
        relay = self.relay()
        client = MessageStreamClient(relay, LINES, body={"subs": {"a": {}}})
        self.assertIn(b"\r\nContent-Type: application/x-ndjson\r\n", client.head)
        (first,) = client.documents()
        self.assertEqual(first["connect"]["subs"], {"a": {}})
        relay.publish(b"1", b"2", channel="a")
        self.assertEqual(client.read(), b'{"channel":"a","pub":{"data":1}}\n{"channel":"a","pub":{"data":2}}\n')

    def test_event_stream_takes_its_connect_from_the_body_of_a_post_and_prefers_it(self) -> None:
        target = with_connect(SSE, {"subs": {"a": {}}})
        client = MessageStreamClient(self.relay(), target, body={"subs": {"b": {}}})
        self.assertEqual(list(client.documents()[0]["connect"]["subs"]), ["b"])

    def test_stream_without_a_connect_is_one_without_channels(self) -> None:
        relay = self.relay()
        for client in (
            MessageStreamClient(relay, SSE),
            MessageStreamClient(relay, SSE + "?cf_connect="),
            MessageStreamClient(relay, LINES, body=b""),
        ):
            (first,) = client.documents()
            self.assertNotIn("subs", first["connect"])

    def test_ping_is_an_empty_object_and_has_no_answer(self) -> None:
        relay = self.relay()
        events, lines = MessageStreamClient(relay, SSE), MessageStreamClient(relay, LINES, body={})
        events.documents(), lines.documents()
        relay.pass_time(26)
        self.assertEqual((events.documents(), lines.documents()), ([{}], [{}]))
        relay.pass_time(100)
        self.assertFalse(events.wire.closed)

    def test_drain_and_revocation_are_told_by_the_last_push(self) -> None:
        relay = self.relay()
        for disconnect, code in ((Disconnect.RESTART, 3001), (Disconnect.REVOKED, 3503)):
            client = MessageStreamClient(relay, SSE)
            client.documents()
            (connection,) = relay.connections.open_connections()
            connection.close(disconnect)
            self.assert_disconnected(client, code)

    def test_gap_ends_the_stream_because_its_client_cannot_subscribe_again(self) -> None:
        broker = FakeBroker()
        relay = self.relay(broker)
        client = MessageStreamClient(relay, LINES, body={"subs": {"a": {}}})
        relay.node.subscribed("a")
        client.documents()
        relay.node.disconnected(["a"])
        relay.node.subscribed("a")
        relay.pass_time(5)
        self.assert_disconnected(client, 3010)

    def test_channels_are_subscribed_before_the_connect_is_told_and_pushes_come_behind_it(self) -> None:
        relay = self.relay(FakeBroker())
        client = MessageStreamClient(relay, LINES, body={"subs": {"a": {}, "b": {}}})
        relay.node.subscribed("a")
        relay.publish(b"1", channel="a")
        self.assertEqual(client.documents(), [])
        relay.node.subscribed("b")
        connect, push = client.documents()
        self.assertEqual((list(connect["connect"]["subs"]), push["channel"]), (["a", "b"], "a"))

    def test_channel_that_the_broker_does_not_confirm_ends_the_stream_for_the_time_being(self) -> None:
        relay = self.relay(FakeBroker())
        client = MessageStreamClient(relay, LINES, body={"subs": {"a": {}}})
        relay.pass_time(6)
        self.assert_disconnected(client, 3004)


class AccessTests(UniCase):
    """Credentials, channels and origins."""

    def token(self, **claims: Any) -> str:
        """Return a signed token."""
        return jwt.encode({"exp": 150, "sub": "42", **claims}, KEY, "HS256")

    def test_channels_that_the_client_may_not_have_are_left_out_without_a_word(self) -> None:
        namespaces = (Namespace("open", ("a", "b")), Namespace("token", ("t",), Access.TOKEN))
        relay = self.relay(channels=None, namespaces=namespaces)
        wished: dict[str, Any] = {"a": {}, "t": {}, "nowhere": {}, "no name": {}, "$x": {}}
        client = MessageStreamClient(relay, LINES, body={"subs": wished})
        self.assertEqual(client.documents()[0]["connect"]["subs"], {"a": {}})

    def test_token_brings_channels_of_its_own_beside_those_that_are_asked_for(self) -> None:
        namespaces = (Namespace("open", ("a",)), Namespace("token", ("t",), Access.TOKEN))
        relay = self.relay(channels=None, namespaces=namespaces, token_keys=Secret(KEY))
        connect = {"token": self.token(channels=["t"]), "subs": {"a": {}}}
        client = MessageStreamClient(relay, LINES, body=connect)
        connected = client.documents()[0]["connect"]
        self.assertEqual((list(connected["subs"]), connected["expires"], connected["ttl"]), (["t", "a"], True, 160))

    def test_failed_connect_is_a_disconnect_and_nothing_else(self) -> None:
        relay = self.relay(token_keys=Secret(KEY))
        relay.pass_time(20)
        expired, foreign = self.token(exp=1), jwt.encode({"exp": 150}, "x" * 40, "HS256")
        for token, code in ((expired, 3005), (foreign, 3500), ("a.b", 3500), ("x" * 20, 3500)):
            for client in (
                MessageStreamClient(relay, LINES, body={"token": token}),
                MessageStreamClient(relay, with_connect(SSE, {"token": token})),
            ):
                relay.turn()
                self.assert_disconnected(client, code)

    def test_malformed_connect_is_a_bad_request(self) -> None:
        relay = self.relay()
        for text in ("[]", "{", '{"subs": [1]}', '{"subs": {"a": 1}}', '{"token": 1}', "\ud83d", "1e999"):
            data = text.encode(errors="surrogatepass")
            self.assert_disconnected(MessageStreamClient(relay, LINES, body=data), 3501)
        self.assert_disconnected(MessageStreamClient(relay, with_connect(SSE, "{")), 3501)

    def test_expiry_is_told_when_the_time_to_refresh_has_passed(self) -> None:
        relay = self.relay(token_keys=Secret(KEY))
        client = MessageStreamClient(relay, LINES, body={"token": self.token(exp=20)})
        # Behind the end of the token come the leeway of 10 s and 25 s for a new one, which the application may give.
        relay.pass_time(54)
        client.documents()
        relay.pass_time(2)
        self.assert_disconnected(client, 3005)

    def test_application_is_asked_about_each_channel_that_the_connect_names(self) -> None:
        relay = self.relay()
        asked: list[str] = []
        authenticator: Any = relay.node.authenticator

        def authorize(_identity: object, channel: str) -> Deferred[None]:
            asked.append(channel)
            return succeed(None) if channel == "a" else fail(RejectedError(ClientError.HOOK))

        self.patch(type(authenticator), "authorizes_subscribe", True)
        self.patch(authenticator, "authorize_subscribe", authorize)
        client = MessageStreamClient(relay, LINES, body={"subs": {"x": {}, "a": {}, "y": {}}})
        # Answers that come at once count a turn later, when all are asked about.
        relay.clock.advance(0)
        self.assertEqual(client.documents()[0]["connect"]["subs"], {"a": {}})
        self.assertEqual(asked, ["x", "a", "y"])
        client = MessageStreamClient(relay, LINES, body={"subs": {"x": {}}})
        self.assertNotIn("subs", client.documents()[0]["connect"])

    def test_application_that_cannot_be_asked_ends_the_stream_for_the_time_being(self) -> None:
        relay = self.relay()
        authenticator: Any = relay.node.authenticator
        self.patch(type(authenticator), "authorizes_subscribe", True)
        answers_ = {"a": succeed(None), "b": fail(RejectedError(ClientError.NOT_CHECKED))}
        self.patch(authenticator, "authorize_subscribe", lambda _identity, channel: answers_[channel])
        client = MessageStreamClient(relay, LINES, body={"subs": {"a": {}, "b": {}}})
        relay.clock.advance(0)
        self.assert_disconnected(client, 3004)

    def test_application_that_does_not_answer_in_time_ends_the_stream_for_the_time_being(self) -> None:
        relay = self.relay()
        authenticator: Any = relay.node.authenticator
        self.patch(type(authenticator), "authorizes_subscribe", True)
        self.patch(authenticator, "authorize_subscribe", lambda _identity, _channel: Deferred())
        wishes: dict[str, dict[str, Any]] = {f"c{number}": {} for number in range(20)}
        client = MessageStreamClient(relay, LINES, body={"subs": wishes})
        relay.pass_time(ANSWER_TIMEOUT_SECONDS - 1)
        self.assertEqual(client.documents(), [])
        relay.pass_time(2)
        self.assert_disconnected(client, 3004)

    def test_foreign_origin_is_rejected_with_403_and_an_allowed_one_may_read(self) -> None:
        relay = self.relay(origins=("https://page.example",))
        for target, body in ((SSE, None), (LINES, b"{}")):
            self.assertEqual(MessageStreamClient(relay, target, "Origin: https://evil.example", body=body).status, 403)
            client = MessageStreamClient(relay, target, "Origin: https://page.example", body=body)
            self.assertIn(b"\r\nAccess-Control-Allow-Origin: https://page.example\r\n", client.head)
            self.assertIn(b"\r\nAccess-Control-Allow-Credentials: true\r\n", client.head)


class BodyTests(UniCase):
    """Bodies of requests, which are hostile."""

    def post(self, relay: InMemoryRelay, *fields: str, body: bytes = b"", method: str = "POST") -> ClientWire:
        """Send a request and return its connection."""
        wire = ClientWire(relay)
        wire.send(head(f"{method} {LINES} HTTP/1.1", "Host: x", *fields) + body)
        return wire

    def status(self, wire: ClientWire) -> int:
        """Return the status of the one response."""
        (answer,) = answers(wire.read())
        return answer.status

    def test_body_may_come_in_pieces_and_what_follows_it_is_dropped(self) -> None:
        relay = self.relay()
        wire = self.post(relay, "Content-Length: 18")
        for byte in b'{"subs":{"a": {}}}':
            self.assertEqual(len(relay.connections), 0)
            wire.send(bytes([byte]))
        self.assertIn(b'"subs":{"a":{}}', wire.read())
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual((wire.read(), wire.closed), (b"", False))
        wire.send(b"x" * 5000)
        self.assertIn(b'"code":3013', wire.read())

    def test_body_that_is_too_long_or_has_no_length_is_rejected_before_it_is_read(self) -> None:
        relay = self.relay()
        for field, status in (
            (f"Content-Length: {MAX_BODY_BYTES + 1}", 413),
            ("Content-Length: " + "9" * 5000, 413),
            ("Content-Length: -1", 400),
            ("Content-Length: \xb2", 400),
            ("Transfer-Encoding: chunked", 411),
        ):
            self.assertEqual(self.status(self.post(relay, field)), status, field)

    def test_body_of_the_largest_size_is_read(self) -> None:
        body = b'{"data":"%b"}' % (b"x" * (MAX_BODY_BYTES - 11))
        self.assertEqual(len(body), MAX_BODY_BYTES)
        wire = self.post(self.relay(), f"Content-Length: {len(body)}", body=body)
        self.assertIn(b'{"connect":', wire.read())

    def test_body_that_comes_slowly_is_given_up_and_takes_no_place(self) -> None:
        relay = self.relay(max_connections=1)
        slow = self.post(relay, "Content-Length: 100", body=b"{")
        self.assertEqual(MessageStreamClient(relay, SSE).status, 200)
        for _ in range(9):
            relay.pass_time(1)
            slow.send(b" ")
        self.assertFalse(slow.closed)
        relay.pass_time(2)
        self.assertEqual(self.status(slow), 408)

    def test_client_that_leaves_within_its_body_leaves_nothing(self) -> None:
        relay = self.relay()
        for leave in (ClientWire.hang_up, ClientWire.half_close):
            wire = self.post(relay, "Content-Length: 100", body=b"{")
            leave(wire)
            self.assertTrue(wire.closed)

    def test_places_are_counted_when_the_body_is_complete(self) -> None:
        relay = self.relay(max_connections=1)
        waiting = self.post(relay, "Content-Length: 2", body=b"{")
        MessageStreamClient(relay, SSE)
        waiting.send(b"}")
        self.assertEqual(self.status(waiting), 503)
        relay.connections.start_draining()
        waiting = self.post(relay, "Content-Length: 2", body=b"{}")
        self.assertEqual(self.status(waiting), 503)

    def test_body_of_a_get_is_rejected(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(head(f"GET {SSE} HTTP/1.1", "Host: x", "Content-Length: 2") + b"{}")
        self.assertEqual(self.status(wire), 400)


class OtherRequestTests(UniCase):
    """Requests at the paths of streams that ask for none."""

    def ask(self, relay: InMemoryRelay, request_line: str, *fields: str) -> Answer:
        """Return the response to a request."""
        wire = ClientWire(relay)
        wire.send(head(f"{request_line} HTTP/1.1", "Host: x", *fields))
        (answer,) = answers(wire.read(), to_head=request_line.startswith("HEAD"))
        return answer

    def test_routes_are_off_by_default(self) -> None:
        relay = self.relay(centrifugo=False)
        for request_line in (f"GET {SSE}", f"POST {LINES}", f"OPTIONS {SSE}", f"GET {SOCKET}"):
            self.assertEqual(self.ask(relay, request_line).status, 404, request_line)

    def test_other_methods_are_told_the_right_ones(self) -> None:
        relay = self.relay()
        for request_line, allowed in (
            (f"PUT {SSE}", "GET, POST, HEAD, OPTIONS"),
            (f"GET {LINES}", "POST, OPTIONS"),
            (f"DELETE {LINES}", "POST, OPTIONS"),
        ):
            answer = self.ask(relay, request_line)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allowed), request_line)
        self.assertEqual(self.ask(relay, f"HEAD {SSE}").status, 200)
        self.assertEqual(self.ask(relay, f"GET {SOCKET}").status, 426)

    def test_browser_that_asks_first_is_told_the_methods_and_that_it_may_send_json(self) -> None:
        relay = self.relay(origins=("https://page.example",))
        answer = self.ask(relay, f"OPTIONS {LINES}", "Origin: https://page.example")
        self.assertEqual((answer.status, answer.headers["access-control-allow-methods"]), (204, "POST"))
        self.assertIn("Content-Type", answer.headers["access-control-allow-headers"])
        self.assertEqual(self.ask(relay, f"OPTIONS {LINES}", "Origin: https://evil.example").status, 403)

    def test_handshake_at_the_path_of_a_stream_is_404(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(upgrade(SSE))
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, b"no WebSocket" in answer.body), (404, True))


class WebSocketTests(UniCase):
    """The same over a WebSocket."""

    def documents(self, client: WebSocketClient) -> list[Any]:
        """Return the objects that a client has received, each of them a message."""
        return [json.loads(message) for message in client.messages()]

    def test_connect_is_the_first_message_and_later_ones_mean_nothing(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay, SOCKET).connect()
        self.assertEqual(client.frames, [])
        client.protocol.send_text(b'{"subs": {"a": {}}}')
        client.flush()
        (first,) = self.documents(client)
        self.assertEqual((first["connect"]["subs"], "pong" in first["connect"]), ({"a": {}}, False))
        client.protocol.send_text(b'{"id": 1, "publish": {"channel": "a", "data": 1}}')
        client.flush()
        relay.turn()
        self.assertEqual(self.documents(client), [])
        relay.publish(b"1", b"2", channel="a")
        self.assertEqual([each["pub"]["data"] for each in self.documents(client)], [1, 2])

    def test_connect_may_be_in_the_query(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay, with_connect(SOCKET, {"subs": {"a": {}}}))
        client.send_handshake()
        (first,) = self.documents(client)
        self.assertEqual(first["connect"]["subs"], {"a": {}})

    def test_disconnect_is_told_by_a_message_and_by_the_close_frame(self) -> None:
        client = WebSocketClient(self.relay(), with_connect(SOCKET, "[]"))
        client.send_handshake()
        self.assertEqual(self.documents(client), [{"disconnect": {"code": 3501, "reason": "bad request"}}])
        self.assertEqual(client.close_received, (3501, "bad request"))

    def test_client_that_sends_no_connect_is_closed(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay, SOCKET).connect()
        relay.pass_time(11)
        self.assertEqual(self.documents(client)[0]["disconnect"], {"code": 3502, "reason": "stale"})

    def test_ping_is_the_websockets_own_and_an_empty_object_for_the_page(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay, with_connect(SOCKET, {}))
        client.send_handshake()
        client.messages()
        relay.pass_time(26)
        self.assertEqual([bytes(frame.data)[:2] for frame in client.read()][1:], [b"{}"])
        client.flush()
        relay.pass_time(22)
        self.assertFalse(client.wire.closed)
        relay.pass_time(60)
        self.assertTrue(client.wire.closed)


class RealSocketTests(RealEdgeCase):
    """Streams over sockets."""

    async def test_lines_reach_a_client_over_a_socket_and_the_stream_ends_in_order(self) -> None:
        relay = await self.open(centrifugo=True, channels=("*",))
        client = await self.connect()
        body = b'{"subs":{"a":{}}}'
        client.write(head(f"POST {LINES} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"))
        await self.next_turn()
        client.write(body)
        first = await client.until(b"}}\n")
        self.assertIn(b'\r\n\r\n{"connect":', first)
        relay.broker.publish("a", b"1")
        self.assertEqual(await client.until(b"\n"), b'{"channel":"a","pub":{"data":1}}\n')
        (connection,) = relay.connections.open_connections()
        connection.close(Disconnect.RESTART)
        await client.ended
        self.assertEqual(client.data, b'{"disconnect":{"code":3001,"reason":"service restart"}}\n')
        self.assertFalse(client.was_reset)
