"""Credentials and origins at the edge: the whole relay in memory."""

from __future__ import annotations

import json
from typing import Any

import jwt
from websockets.frames import Opcode as FrameOpcode

from devtools.harness.http import upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.pending_credentials import CREDENTIAL_TIMEOUT_SECONDS

KEY = "k" * 40
TICKET = "t" * 32
NAMESPACES = (
    Namespace("public", ("public",), publish=Access.AUTHENTICATED),
    Namespace("room", ("room",), Access.AUTHENTICATED, Access.AUTHENTICATED),
    Namespace("token", ("token:*",), Access.TOKEN),
    Namespace("inbox", ("user:{sub}",), Access.AUTHENTICATED),
)


class CredentialCase(EdgeCase):
    """A relay some of whose channels need a credential."""

    def relay_with_credentials(self, **settings: Any) -> InMemoryRelay:
        """A relay with tokens, tickets and namespaces of every kind."""
        relay = self.relay(namespaces=NAMESPACES, token_keys=Secret(KEY), **settings)
        relay.broker.credentials.create(TICKET, json.dumps({"sub": "42", "channels": ["room"]}).encode(), 30)
        return relay

    def token(self, relay: InMemoryRelay, seconds: float = 60, **claims: Any) -> str:
        """Return a token that expires after so many seconds."""
        return jwt.encode({"sub": "42", "exp": relay.clock.seconds() + seconds, **claims}, KEY, "HS256")

    def status(self, relay: InMemoryRelay, path: str, *lines: str) -> int:
        """Return the status that a handshake is answered with."""
        wire = ClientWire(relay)
        wire.send(upgrade(path, *lines))
        return int(wire.read().split(b" ", 2)[1])


class CarrierTests(CredentialCase):
    """Credentials in the handshake."""

    def test_without_credential_only_public_channels_are_accepted(self) -> None:
        relay = self.relay_with_credentials()
        paths = ("/ws/public", "/ws/room", "/ws/token:1", "/ws/user:42", "/ws/nowhere")
        self.assertEqual([self.status(relay, path) for path in paths], [101, 401, 401, 401, 404])
        self.assertEqual(dict(relay.node.counters.auth_rejections), {"no_credential": 3, "unknown_channel": 1})

    def test_bearer_token_gives_access_to_the_channels_of_its_user_and_claims(self) -> None:
        relay = self.relay_with_credentials()
        line = f"Authorization: Bearer {self.token(relay)}"
        paths = ("/ws/public", "/ws/room", "/ws/token:1", "/ws/user:42", "/ws/user:43")
        self.assertEqual([self.status(relay, path, line) for path in paths], [101, 101, 403, 101, 403])
        named = f"Authorization: Bearer {self.token(relay, channels=['token:*'])}"
        self.assertEqual([self.status(relay, path, named) for path in paths], [101, 403, 101, 403, 403])

    def test_token_as_subprotocol_is_accepted_and_never_repeated(self) -> None:
        relay = self.relay_with_credentials()
        token = self.token(relay)
        client = WebSocketClient(relay, subprotocols=["wsrelay", f"wsrelay.token.{token}"]).connect()
        self.assertEqual(client.protocol.subprotocol, "wsrelay")
        wire = ClientWire(relay)
        wire.send(upgrade("/ws/room", f"Sec-WebSocket-Protocol: wsrelay.token.{token}"))
        answer = wire.read()
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))
        self.assertNotIn(token.encode(), answer)
        self.assertNotIn(token.encode(), b"".join(repr(each).encode() for each in vars(wire.connection).values()))

    def test_ticket_in_the_url_is_accepted_once(self) -> None:
        relay = self.relay_with_credentials()
        self.assertEqual(self.status(relay, f"/ws/room?ticket={TICKET}"), 101)
        self.assertEqual(self.status(relay, f"/ws/room?ticket={TICKET}"), 401)

    def test_ticket_is_not_used_up_by_an_unknown_channel(self) -> None:
        relay = self.relay_with_credentials()
        self.assertEqual(self.status(relay, f"/ws/nowhere?ticket={TICKET}"), 404)
        self.assertEqual(self.status(relay, f"/ws/room?ticket={TICKET}"), 101)

    def test_two_credentials_are_rejected_with_400(self) -> None:
        relay = self.relay_with_credentials()
        line = f"Authorization: Bearer {self.token(relay)}"
        self.assertEqual(self.status(relay, f"/ws/room?ticket={TICKET}", line), 400)

    def test_cookie_needs_an_allowed_origin_and_an_expired_one_leaves_public_channels(self) -> None:
        relay = self.relay_with_credentials(token_cookie="session", origins=("https://a.example",))
        good, old = (f"Cookie: session={self.token(relay, seconds)}" for seconds in (60, -60))
        origin = "Origin: https://a.example"
        self.assertEqual(self.status(relay, "/ws/room", good, origin), 101)
        self.assertEqual(self.status(relay, "/ws/room", good), 403)
        self.assertEqual(self.status(relay, "/ws/room", good, "Origin: https://b.example"), 403)
        self.assertEqual([self.status(relay, path, old, origin) for path in ("/ws/room", "/ws/public")], [401, 101])

    def test_only_authenticated_clients_get_a_connection_id(self) -> None:
        relay = self.relay_with_credentials()
        names = []
        for lines in ((f"Authorization: Bearer {self.token(relay)}",), ()):
            wire = ClientWire(relay)
            wire.send(upgrade("/ws/public", *lines))
            names.append(b"X-Connection-Id: " in wire.read())
        self.assertEqual(names, [True, False])

    def test_expired_token_closes_with_4502(self) -> None:
        relay = self.relay_with_credentials(token_leeway_seconds=5.0)
        wire = WebSocketClient(relay, subprotocols=["wsrelay", f"wsrelay.token.{self.token(relay, 10)}"]).connect()
        relay.pass_time(14)
        wire.read()
        self.assertIsNone(wire.close_received)
        relay.pass_time(2)
        wire.read()
        self.assertEqual(wire.close_received, (4502, Disconnect.CREDENTIAL_EXPIRED.reason))

    def test_registry_is_empty_when_clients_have_gone(self) -> None:
        relay = self.relay_with_credentials()
        WebSocketClient(relay, subprotocols=["wsrelay", f"wsrelay.token.{self.token(relay)}"]).connect()
        WebSocketClient(relay, "/ws/room?auth=message").connect()
        self.status(relay, "/ws/room")
        self.assertEqual(len(relay.node.registry), 1)
        self.assertEqual(relay.leftovers(), [])
        self.assertEqual(len(relay.node.registry), 0)


class FirstMessageTests(CredentialCase):
    """A credential as the first message."""

    def client(self, relay: InMemoryRelay, path: str = "/ws/room") -> WebSocketClient:
        """Return a connected client that has not sent its credential."""
        return WebSocketClient(relay, f"{path}?auth=message").connect()

    def send_text(self, client: WebSocketClient, text: str) -> None:
        """Send a text message."""
        client.protocol.send_text(text.encode())
        client.flush()

    def test_credential_as_first_message_is_answered_and_then_messages_flow(self) -> None:
        relay = self.relay_with_credentials()
        client = self.client(relay)
        self.send_text(client, json.dumps({"token": self.token(relay)}))
        relay.publish(b"news")
        self.send_text(client, "mine")
        relay.turn()
        frames = [(frame.opcode, bytes(frame.data)) for frame in client.read()]
        welcome = (FrameOpcode.TEXT, b'{"subscribed": "room"}')
        self.assertEqual(frames, [welcome, (FrameOpcode.TEXT, b"news"), (FrameOpcode.TEXT, b"mine")])

    def test_nothing_is_received_before_the_credential(self) -> None:
        relay = self.relay_with_credentials()
        other = WebSocketClient(relay, f"/ws/room?ticket={TICKET}").connect()
        client = self.client(relay)
        relay.publish(b"secret")
        self.assertEqual([bytes(frame.data) for frame in other.read()], [b"secret"])
        self.assertEqual(client.read(), [])

    def test_invalid_first_message_closes_with_the_code_of_its_error(self) -> None:
        relay = self.relay_with_credentials()
        good = json.dumps({"token": self.token(relay)})
        for path, text, disconnect in (
            ("/ws/room", "hello", Disconnect.CREDENTIAL),
            ("/ws/room", '{"token": 1}', Disconnect.CREDENTIAL),
            ("/ws/room", '{"token": "a.b.c"}', Disconnect.CREDENTIAL),
            ("/ws/room", '{"ticket": "unknown-unknown-unknown"}', Disconnect.CREDENTIAL),
            ("/ws/room", json.dumps({"token": self.token(relay, -60)}), Disconnect.CREDENTIAL_EXPIRED),
            ("/ws/user:43", good, Disconnect.NOT_PERMITTED),
        ):
            client = self.client(relay, path)
            self.send_text(client, text)
            client.read()
            self.assertEqual(client.close_received, (disconnect.code, disconnect.reason), text)

    def test_missing_first_message_closes_with_4507_in_time(self) -> None:
        relay = self.relay_with_credentials()
        client = self.client(relay)
        relay.pass_time(CREDENTIAL_TIMEOUT_SECONDS + 1)
        client.read()
        self.assertEqual(client.close_received, (4507, Disconnect.STALE.reason))

    def test_client_without_credential_is_dropped_without_answering_the_close(self) -> None:
        relay = self.relay_with_credentials(close_timeout_seconds=60.0)
        client = self.client(relay)
        relay.pass_time(CREDENTIAL_TIMEOUT_SECONDS + 1)
        client.wire.read()
        self.assertTrue(client.wire.closed)
        self.assertEqual(relay.websockets.admission.count, 0)

    def test_unknown_channel_is_rejected_with_404_before_the_credential(self) -> None:
        self.assertEqual(self.status(self.relay_with_credentials(), "/ws/nowhere?auth=message"), 404)


class OriginTests(CredentialCase):
    """The origins of pages."""

    def test_by_default_only_pages_of_the_relays_own_origin_connect(self) -> None:
        relay = self.relay()
        for origin, status in (
            ("http://relay.example", 101),
            ("https://relay.example", 101),
            ("https://relay.example:444", 403),
            ("https://other.example", 403),
            ("null", 403),
        ):
            self.assertEqual(self.status(relay, "/ws/room", f"Origin: {origin}"), status, origin)
        self.assertEqual(self.status(relay, "/ws/room"), 101)
        self.assertEqual(relay.node.counters.auth_rejections["origin"], 3)

    def test_trusted_proxy_tells_the_scheme_of_the_page(self) -> None:
        relay = self.relay(trusted_proxies=1)
        for scheme, status in (("http", 403), ("https", 101)):
            lines = (f"Origin: {scheme}://relay.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7")
            self.assertEqual(self.status(relay, "/ws/room", *lines), status)

    def test_missing_origin_is_rejected_if_one_is_required(self) -> None:
        self.assertEqual(self.status(self.relay(require_origin=True), "/ws/room"), 403)

    def test_rejected_origin_takes_no_place_among_connections(self) -> None:
        relay = self.relay(max_connections=1)
        for _ in range(5):
            self.status(relay, "/ws/room", "Origin: https://other.example")
        self.assertEqual(self.status(relay, "/ws/room"), 101)
