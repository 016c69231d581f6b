"""How credentials and origins fare at the door: the whole edge in memory."""

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
from wsrelay.engine.client import CREDENTIAL_TIMEOUT_SECONDS

KEY = "k" * 40
TICKET = "t" * 32
NAMESPACES = (
    Namespace("public", ("public",), publish=Access.AUTHENTICATED),
    Namespace("room", ("room",), Access.AUTHENTICATED, Access.AUTHENTICATED),
    Namespace("token", ("token:*",), Access.TOKEN),
    Namespace("inbox", ("user:{sub}",), Access.AUTHENTICATED),
)


class CredentialCase(EdgeCase):
    """A house where some channels are only for some."""

    def doors(self, **settings: Any) -> InMemoryRelay:
        """A house with tokens, tickets and namespaces of every kind."""
        house = self.house(namespaces=NAMESPACES, token_keys=Secret(KEY), **settings)
        house.broker.credentials.create(TICKET, json.dumps({"sub": "42", "channels": ["room"]}).encode(), 30)
        return house

    def token(self, house: InMemoryRelay, seconds: float = 60, **claims: Any) -> str:
        """A token that is good for so long."""
        return jwt.encode({"sub": "42", "exp": house.clock.seconds() + seconds, **claims}, KEY, "HS256")

    def knock(self, house: InMemoryRelay, path: str, *lines: str) -> int:
        """The status that a handshake is answered with."""
        wire = ClientWire(house)
        wire.send(upgrade(path, *lines))
        return int(wire.read().split(b" ", 2)[1])


class CarrierTests(CredentialCase):
    """Where a credential may stand."""

    def test_none(self) -> None:
        """What is public is for everybody, and what is not is for nobody without a credential."""
        house = self.doors()
        paths = ("/ws/public", "/ws/room", "/ws/token:1", "/ws/user:42", "/ws/nowhere")
        self.assertEqual([self.knock(house, path) for path in paths], [101, 401, 401, 401, 404])
        self.assertEqual(dict(house.node.counters.auth_rejections), {"no_credential": 3, "unknown_channel": 1})

    def test_header(self) -> None:
        """A token in the Authorization field opens what its user may have, and no more."""
        house = self.doors()
        line = f"Authorization: Bearer {self.token(house)}"
        paths = ("/ws/public", "/ws/room", "/ws/token:1", "/ws/user:42", "/ws/user:43")
        self.assertEqual([self.knock(house, path, line) for path in paths], [101, 101, 403, 101, 403])
        named = f"Authorization: Bearer {self.token(house, channels=['token:*'])}"
        self.assertEqual([self.knock(house, path, named) for path in paths], [101, 403, 101, 403, 403])

    def test_subprotocol(self) -> None:
        """A token among the subprotocols opens as well; the answer names the other one."""
        house = self.doors()
        token = self.token(house)
        visitor = WebSocketClient(house, subprotocols=["wsrelay", f"wsrelay.token.{token}"]).enter()
        self.assertEqual(visitor.protocol.subprotocol, "wsrelay")
        wire = ClientWire(house)
        wire.send(upgrade("/ws/room", f"Sec-WebSocket-Protocol: wsrelay.token.{token}"))
        answer = wire.read()
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))
        self.assertNotIn(token.encode(), answer)
        self.assertNotIn(token.encode(), b"".join(repr(each).encode() for each in vars(wire.socket).values()))

    def test_ticket(self) -> None:
        """A ticket in the URL opens once."""
        house = self.doors()
        self.assertEqual(self.knock(house, f"/ws/room?ticket={TICKET}"), 101)
        self.assertEqual(self.knock(house, f"/ws/room?ticket={TICKET}"), 401)

    def test_ticket_is_not_spent(self) -> None:
        """A ticket is not spent on a channel that there is not, or that nobody may hear."""
        house = self.doors()
        self.assertEqual(self.knock(house, f"/ws/nowhere?ticket={TICKET}"), 404)
        self.assertEqual(self.knock(house, f"/ws/room?ticket={TICKET}"), 101)

    def test_two(self) -> None:
        """Two credentials are refused: it could not be said which one counts."""
        house = self.doors()
        line = f"Authorization: Bearer {self.token(house)}"
        self.assertEqual(self.knock(house, f"/ws/room?ticket={TICKET}", line), 400)

    def test_cookie(self) -> None:
        """A cookie counts with an Origin that is allowed; an old one leaves what is public."""
        house = self.doors(token_cookie="session", origins=("https://a.example",))
        good, old = (f"Cookie: session={self.token(house, seconds)}" for seconds in (60, -60))
        origin = "Origin: https://a.example"
        self.assertEqual(self.knock(house, "/ws/room", good, origin), 101)
        self.assertEqual(self.knock(house, "/ws/room", good), 403)
        self.assertEqual(self.knock(house, "/ws/room", good, "Origin: https://b.example"), 403)
        self.assertEqual([self.knock(house, path, old, origin) for path in ("/ws/room", "/ws/public")], [401, 101])

    def test_name(self) -> None:
        """Who is known is told the name of its connection; who is not has none."""
        house = self.doors()
        names = []
        for lines in ((f"Authorization: Bearer {self.token(house)}",), ()):
            wire = ClientWire(house)
            wire.send(upgrade("/ws/public", *lines))
            names.append(b"X-Connection-Id: " in wire.read())
        self.assertEqual(names, [True, False])

    def test_end(self) -> None:
        """When a token ends so does its connection, with a code of its own."""
        house = self.doors(token_leeway_seconds=5.0)
        wire = WebSocketClient(house, subprotocols=["wsrelay", f"wsrelay.token.{self.token(house, 10)}"]).enter()
        house.pass_time(14)
        wire.read()
        self.assertIsNone(wire.goodbye)
        house.pass_time(2)
        wire.read()
        self.assertEqual(wire.goodbye, (4502, Disconnect.CREDENTIAL_EXPIRED.reason))

    def test_nothing_is_left(self) -> None:
        """Whoever was known, or knocked in vain, is forgotten when it has gone."""
        house = self.doors()
        WebSocketClient(house, subprotocols=["wsrelay", f"wsrelay.token.{self.token(house)}"]).enter()
        WebSocketClient(house, "/ws/room?auth=message").enter()
        self.knock(house, "/ws/room")
        self.assertEqual(len(house.node.registry), 1)
        self.assertEqual(house.leftovers(), [])
        self.assertEqual(len(house.node.registry), 0)


class FirstMessageTests(CredentialCase):
    """A credential that comes as the first message."""

    def visitor(self, house: InMemoryRelay, path: str = "/ws/room") -> WebSocketClient:
        """A client that is in and has said nothing."""
        return WebSocketClient(house, f"{path}?auth=message").enter()

    def say(self, visitor: WebSocketClient, text: str) -> None:
        """Send a text message."""
        visitor.protocol.send_text(text.encode())
        visitor.flush()

    def test_welcome(self) -> None:
        """It is welcomed by name, and hears and speaks from there on."""
        house = self.doors()
        visitor = self.visitor(house)
        self.say(visitor, json.dumps({"token": self.token(house)}))
        house.publish(b"news")
        self.say(visitor, "mine")
        house.turn()
        frames = [(frame.opcode, bytes(frame.data)) for frame in visitor.read()]
        welcome = (FrameOpcode.TEXT, b'{"subscribed": "room"}')
        self.assertEqual(frames, [welcome, (FrameOpcode.TEXT, b"news"), (FrameOpcode.TEXT, b"mine")])

    def test_hears_nothing_before(self) -> None:
        """A client that has not said who it is gets nothing."""
        house = self.doors()
        other = WebSocketClient(house, f"/ws/room?ticket={TICKET}").enter()
        visitor = self.visitor(house)
        house.publish(b"secret")
        self.assertEqual([bytes(frame.data) for frame in other.read()], [b"secret"])
        self.assertEqual(visitor.read(), [])

    def test_refusals(self) -> None:
        """What is wrong with it is told by a close code."""
        house = self.doors()
        good = json.dumps({"token": self.token(house)})
        for path, text, disconnect in (
            ("/ws/room", "hello", Disconnect.CREDENTIAL),
            ("/ws/room", '{"token": 1}', Disconnect.CREDENTIAL),
            ("/ws/room", '{"token": "a.b.c"}', Disconnect.CREDENTIAL),
            ("/ws/room", '{"ticket": "unknown-unknown-unknown"}', Disconnect.CREDENTIAL),
            ("/ws/room", json.dumps({"token": self.token(house, -60)}), Disconnect.CREDENTIAL_EXPIRED),
            ("/ws/user:43", good, Disconnect.NOT_PERMITTED),
        ):
            visitor = self.visitor(house, path)
            self.say(visitor, text)
            visitor.read()
            self.assertEqual(visitor.goodbye, (disconnect.code, disconnect.reason), text)

    def test_too_late(self) -> None:
        """It has so long for it, and no longer."""
        house = self.doors()
        visitor = self.visitor(house)
        house.pass_time(CREDENTIAL_TIMEOUT_SECONDS + 1)
        visitor.read()
        self.assertEqual(visitor.goodbye, (4501, Disconnect.CREDENTIAL.reason))

    def test_silence_keeps_no_place(self) -> None:
        """Who has shown nothing, and does not answer the goodbye either, is gone when it has read it."""
        house = self.doors(close_timeout_seconds=60.0)
        visitor = self.visitor(house)
        house.pass_time(CREDENTIAL_TIMEOUT_SECONDS + 1)
        visitor.wire.read()
        self.assertTrue(visitor.wire.closed)
        self.assertEqual(house.sockets.admission.count, 0)

    def test_channels_that_there_are_not(self) -> None:
        """A channel that does not exist for anybody is refused before."""
        self.assertEqual(self.knock(self.doors(), "/ws/nowhere?auth=message"), 404)


class OriginTests(CredentialCase):
    """Which pages may connect."""

    def test_same_origin(self) -> None:
        """With nothing said a page of the relay's own host may, no other, and who is no page."""
        house = self.house()
        for origin, status in (
            ("http://relay.example", 101),
            ("https://relay.example", 101),
            ("https://relay.example:444", 403),
            ("https://other.example", 403),
            ("null", 403),
        ):
            self.assertEqual(self.knock(house, "/ws/room", f"Origin: {origin}"), status, origin)
        self.assertEqual(self.knock(house, "/ws/room"), 101)
        self.assertEqual(house.node.counters.auth_rejections["origin"], 3)

    def test_behind_a_proxy(self) -> None:
        """A proxy that is trusted says whether the page came by TLS."""
        house = self.house(trusted_proxies=1)
        for scheme, status in (("http", 403), ("https", 101)):
            lines = (f"Origin: {scheme}://relay.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7")
            self.assertEqual(self.knock(house, "/ws/room", *lines), status)

    def test_required(self) -> None:
        """Who is no page may be kept out."""
        self.assertEqual(self.knock(self.house(require_origin=True), "/ws/room"), 403)

    def test_nobody_is_counted(self) -> None:
        """A page that is turned away takes no room."""
        house = self.house(max_connections=1)
        for _ in range(5):
            self.knock(house, "/ws/room", "Origin: https://other.example")
        self.assertEqual(self.knock(house, "/ws/room"), 101)
