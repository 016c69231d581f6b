"""permessage-deflate on a connection, judged by an independent client."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from devtools.harness.http import client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.transports.websocket.compression import accept_offer

OFFER = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
TEXT = b"the same words again and again, " * 40


class OfferTests(SynchronousTestCase):
    """What is agreed to."""

    def answer(self, *parameters: dict[str, list[Any]], name: str = "permessage-deflate") -> str | None:
        accepted = accept_offer([(name, each) for each in parameters])
        return None if accepted is None else accepted.get_extension_string()

    def test_plain_offer(self) -> None:
        """An offer is accepted without contexts on the client's side."""
        self.assertEqual(self.answer({}), "permessage-deflate; client_no_context_takeover")

    def test_demands(self) -> None:
        """What the client demands of the server is granted."""
        self.assertEqual(
            self.answer({"server_no_context_takeover": [True], "server_max_window_bits": ["12"]}),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_no_context_takeover",
        )

    def test_smaller_window(self) -> None:
        """A client that cannot read what all others are sent is declined, or its next offer taken."""
        small: dict[str, list[Any]] = {"server_max_window_bits": ["9"]}
        self.assertIsNone(self.answer(small))
        self.assertEqual(self.answer(small, {}), "permessage-deflate; client_no_context_takeover")

    def test_odd_offers(self) -> None:
        """Other extensions, and parameters that mean nothing, are declined."""
        self.assertIsNone(self.answer({}, name="x-webkit-deflate-frame"))
        self.assertIsNone(self.answer({"server_max_window_bits": ["99"]}))
        self.assertIsNone(self.answer({"colour": ["blue"]}))


class ConversationTests(EdgeCase):
    """Compressed and plain clients side by side."""

    def test_side_by_side(self) -> None:
        """Who offers gets compressed frames, who does not gets plain ones; both read the same."""
        house = self.house(compress=True)
        packed, plain = WebSocketClient(house, extensions=OFFER).enter(), WebSocketClient(house).enter()
        house.publish(TEXT, b"short")
        sent = packed.wire.transport.value()
        self.assertLess(len(sent), 200)
        self.assertEqual(packed.messages(), [TEXT, b"short"])
        self.assertEqual(plain.messages(), [TEXT, b"short"])

    def test_shared(self) -> None:
        """All who compress get the same bytes: compressed once."""
        house = self.house(compress=True)
        visitors = [WebSocketClient(house, extensions=OFFER).enter() for _ in range(3)]
        house.publish(TEXT)
        self.assertEqual(len({visitor.wire.transport.value() for visitor in visitors}), 1)

    def test_inbound(self) -> None:
        """A compressed message of a client is published as it was; between messages no memory is held for it."""
        house = self.house(compress=True, publish=("room",))
        visitor = WebSocketClient(house, extensions=OFFER).enter()
        for _ in range(2):
            visitor.protocol.send_text(TEXT)
            visitor.flush()
            house.turn()
            self.assertEqual(visitor.messages(), [TEXT])
        self.assertIsNone(visitor.wire.socket._perMessageCompress._decompressor)

    def test_bomb(self) -> None:
        """A message that is small and inflates beyond the limit is closed with 1009."""
        house = self.house(compress=True, publish=("room",), max_message_bytes=1000)
        visitor = WebSocketClient(house, extensions=OFFER).enter()
        visitor.protocol.send_binary(bytes(1_000_000))
        visitor.flush()
        visitor.read()
        self.assertEqual((visitor.goodbye or (0, ""))[0], 1009)

    def test_off(self) -> None:
        """By default nothing is agreed to."""
        visitor = WebSocketClient(self.house(), extensions=OFFER).enter()
        self.assertEqual(visitor.protocol.extensions, [])

    def test_by_namespace(self) -> None:
        """A namespace may compress where the setting does not, and the other way round."""
        namespaces = (Namespace("packed", ("room",), compress=True), Namespace("plain", ("*",), compress=False))
        for setting in (False, True):
            house = self.house(compress=setting, namespaces=namespaces)
            self.assertEqual(len(WebSocketClient(house, extensions=OFFER).enter().protocol.extensions), 1)
            self.assertEqual(WebSocketClient(house, "/ws/other", extensions=OFFER).enter().protocol.extensions, [])

    def test_offer_in_two_lines(self) -> None:
        """The legal form of two header lines is read as one list (RFC 6455 section 9.1)."""
        house = self.house(compress=True)
        visitor = WebSocketClient(house)
        visitor.wire.send(
            upgrade("/ws/room", "Sec-WebSocket-Extensions: x-odd", "Sec-WebSocket-Extensions: permessage-deflate")
        )
        self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate;", visitor.wire.read())


class FloodTests(EdgeCase):
    """Clients that send too much."""

    def flooded(self, data: bytes, **settings: Any) -> WebSocketClient:
        """A visitor that sent this at once."""
        visitor = WebSocketClient(self.house(publish=("room",), **settings)).enter()
        visitor.wire.send(data)
        visitor.read()
        return visitor

    def test_tiny_frames(self) -> None:
        """Floods of empty messages, empty fragments, pings and pongs are cut off with 1008, and not read to the end."""
        for first in (0x81, 0x01, 0x89, 0x8A):
            one = bytes((first, 0x80)) + b"mask"
            rest = bytes((0x00, 0x80)) + b"mask" if first == 0x01 else one
            visitor = self.flooded(one + rest * 10_000)
            self.assertEqual(visitor.goodbye, (1008, "too much at once: slow down"))
            self.assertTrue(visitor.wire.closed)

    def test_bytes(self) -> None:
        """Too many bytes are cut off as well."""
        visitor = self.flooded(b"\x82\xfe\xff\xff" + bytes(70_000), max_bytes_per_second=20_000)
        self.assertEqual(visitor.goodbye, (1008, "too much at once: slow down"))

    def test_after_the_close(self) -> None:
        """A client that has been told goodbye may send no more than any other."""
        visitor = WebSocketClient(self.house()).enter()
        visitor.wire.send(client_frame(0x81, b"not permitted"))
        visitor.wire.send(client_frame(0x89) * 1000)
        visitor.read()
        self.assertEqual((visitor.goodbye or (0, ""))[0], 4503)
        self.assertTrue(visitor.wire.closed)

    def test_within(self) -> None:
        """Who keeps to the rate is never cut off."""
        house = self.house(publish=("room",), max_frames_per_second=10)
        visitor = WebSocketClient(house).enter()
        for _ in range(50):
            visitor.protocol.send_text(b"hello")
            visitor.flush()
            house.pass_time(0.25)
        self.assertEqual(len(visitor.messages()), 50)

    def test_the_quiet_are_forgotten(self) -> None:
        """Who has been quiet for a while costs nothing; who is at it is still counted."""
        house = self.house(publish=("room",), max_frames_per_second=1)
        quiet, busy = WebSocketClient(house).enter(), WebSocketClient(house).enter()
        for visitor in (quiet, busy):
            visitor.wire.send(client_frame(0x8A) * 2)
        for _ in range(3):
            house.pass_time(1.5)
            busy.wire.send(client_frame(0x8A))
        self.assertEqual(list(house.sockets.rates._buckets), [busy.wire.socket])
        quiet.wire.send(client_frame(0x8A) * 3)
        self.assertFalse(quiet.wire.closed)
