"""permessage-deflate on a connection, judged by an independent client."""

from __future__ import annotations

import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from devtools.harness.http import client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.transports.websocket.closing import UNANSWERED_CLOSE_SECONDS
from wsrelay.transports.websocket.compression import accept_offer

OFFER = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
TEXT = b"the same words again and again, " * 40


class OfferTests(SynchronousTestCase):
    """The answer to an offer."""

    def answer(self, *parameters: dict[str, list[Any]], name: str = "permessage-deflate") -> str | None:
        accepted = accept_offer([(name, each) for each in parameters])
        return None if accepted is None else accepted.get_extension_string()

    def test_offer_is_accepted_without_context_takeover_by_the_client(self) -> None:
        self.assertEqual(self.answer({}), "permessage-deflate; client_no_context_takeover")

    def test_demands_on_the_server_are_granted(self) -> None:
        self.assertEqual(
            self.answer({"server_no_context_takeover": [True], "server_max_window_bits": ["12"]}),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_no_context_takeover",
        )

    def test_offer_of_a_window_below_the_relays_is_declined_and_the_next_one_taken(self) -> None:
        small: dict[str, list[Any]] = {"server_max_window_bits": ["9"]}
        self.assertIsNone(self.answer(small))
        self.assertEqual(self.answer(small, {}), "permessage-deflate; client_no_context_takeover")

    def test_other_extensions_and_invalid_parameters_are_declined(self) -> None:
        self.assertIsNone(self.answer({}, name="x-webkit-deflate-frame"))
        self.assertIsNone(self.answer({"server_max_window_bits": ["99"]}))
        self.assertIsNone(self.answer({"colour": ["blue"]}))


class ConversationTests(EdgeCase):
    """Compressed and plain clients side by side."""

    def test_compressed_and_plain_clients_of_a_channel_receive_the_same_messages(self) -> None:
        relay = self.relay(compress=True)
        packed, plain = WebSocketClient(relay, extensions=OFFER).connect(), WebSocketClient(relay).connect()
        relay.publish(TEXT, b"short")
        sent = packed.wire.transport.value()
        self.assertLess(len(sent), 200)
        self.assertEqual(packed.messages(), [TEXT, b"short"])
        self.assertEqual(plain.messages(), [TEXT, b"short"])

    def test_compressed_clients_receive_identical_bytes(self) -> None:
        relay = self.relay(compress=True)
        clients = [WebSocketClient(relay, extensions=OFFER).connect() for _ in range(3)]
        relay.publish(TEXT)
        self.assertEqual(len({client.wire.transport.value() for client in clients}), 1)

    def test_compressed_message_is_published_inflated_and_holds_no_memory_afterwards(self) -> None:
        relay = self.relay(compress=True, publish=("room",))
        client = WebSocketClient(relay, extensions=OFFER).connect()
        for _ in range(2):
            client.protocol.send_text(TEXT)
            client.flush()
            relay.turn()
            self.assertEqual(client.messages(), [TEXT])
        self.assertIsNone(client.wire.connection._perMessageCompress._decompressor)

    def test_client_that_compresses_with_context_is_closed_with_1007_and_told_so(self) -> None:
        relay = self.relay(compress=True, publish=("room",))
        client = WebSocketClient(relay, extensions=OFFER).connect()
        compressor = zlib.compressobj(wbits=-15)
        for _ in range(2):
            data = compressor.compress(TEXT) + compressor.flush(zlib.Z_SYNC_FLUSH)
            client.wire.send(client_frame(0xC1, data[:-4]))
            relay.turn()
        self.assertEqual(client.messages(), [TEXT])
        self.assertEqual(
            client.close_received,
            (1007, "the message cannot be decompressed without those before it (client_no_context_takeover)"),
        )

    def test_garbled_message_is_closed_with_1007(self) -> None:
        client = WebSocketClient(self.relay(compress=True), extensions=OFFER).connect()
        client.wire.send(client_frame(0xC1, b"\xff\xff\xff"))
        client.read()
        self.assertEqual((client.close_received or (0, ""))[0], 1007)

    def test_what_follows_a_garbled_message_is_read_up_to_the_close_frame(self) -> None:
        relay = self.relay(compress=True, publish=("room",))
        for message in (b"\xff\xff\xff", b"\xff" * 300):
            client = WebSocketClient(relay, extensions=OFFER).connect()
            client.wire.send(client_frame(0xC1, message) + client_frame(0x81, b"more"))
            client.wire.send(client_frame(0xC1, b"more"))
            self.assertFalse(client.wire.closed)
            client.read()
            client.flush()
            self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))
            self.assertEqual(client.messages(), [])

    def test_safari_gets_no_compression(self) -> None:
        relay = self.relay(compress=True)
        wire = ClientWire(relay)
        agent = "User-Agent: Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15"
        wire.send(upgrade("/ws/room", "Sec-WebSocket-Extensions: permessage-deflate", agent))
        answer = wire.read()
        self.assertIn(b" 101 ", answer)
        self.assertNotIn(b"permessage-deflate", answer)

    def test_message_that_inflates_beyond_the_limit_closes_with_1009(self) -> None:
        relay = self.relay(compress=True, publish=("room",), max_message_bytes=1000)
        client = WebSocketClient(relay, extensions=OFFER).connect()
        client.protocol.send_binary(bytes(1_000_000))
        client.flush()
        client.read()
        self.assertEqual((client.close_received or (0, ""))[0], 1009)

    def test_compression_is_off_by_default(self) -> None:
        client = WebSocketClient(self.relay(), extensions=OFFER).connect()
        self.assertEqual(client.protocol.extensions, [])

    def test_namespace_overrides_the_setting(self) -> None:
        namespaces = (Namespace("packed", ("room",), compress=True), Namespace("plain", ("*",), compress=False))
        for setting in (False, True):
            relay = self.relay(compress=setting, namespaces=namespaces)
            self.assertEqual(len(WebSocketClient(relay, extensions=OFFER).connect().protocol.extensions), 1)
            self.assertEqual(WebSocketClient(relay, "/ws/other", extensions=OFFER).connect().protocol.extensions, [])

    def test_offer_in_two_header_lines_is_one_list(self) -> None:
        """See RFC 6455 section 9.1."""
        relay = self.relay(compress=True)
        client = WebSocketClient(relay)
        client.wire.send(
            upgrade("/ws/room", "Sec-WebSocket-Extensions: x-odd", "Sec-WebSocket-Extensions: permessage-deflate")
        )
        self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate;", client.wire.read())


class FloodTests(EdgeCase):
    """Clients that send too much."""

    def flooded(self, data: bytes, **settings: Any) -> WebSocketClient:
        """Return a client that sent this at once."""
        relay = self.relay(publish=("room",), **settings)
        client = WebSocketClient(relay).connect()
        client.wire.send(data)
        # It is read only so far in a turn.
        relay.turn()
        client.read()
        relay.pass_time(UNANSWERED_CLOSE_SECONDS + 0.5)
        return client

    def test_flood_of_empty_frames_of_any_kind_closes_with_1008_unread(self) -> None:
        for first in (0x81, 0x01, 0x89, 0x8A):
            one = bytes((first, 0x80)) + b"mask"
            rest = bytes((0x00, 0x80)) + b"mask" if first == 0x01 else one
            client = self.flooded(one + rest * 10_000)
            self.assertEqual(client.close_received, (1008, "rate limit exceeded"))
            self.assertTrue(client.wire.closed)

    def test_flood_of_bytes_closes_with_1008(self) -> None:
        client = self.flooded(b"\x82\xfe\xff\xff" + bytes(70_000), max_bytes_per_second=20_000)
        self.assertEqual(client.close_received, (1008, "rate limit exceeded"))

    def test_rate_limit_holds_after_the_close_frame(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay).connect()
        client.wire.send(client_frame(0x81, b"not permitted"))
        client.wire.send(client_frame(0x89) * 1000)
        client.read()
        relay.pass_time(UNANSWERED_CLOSE_SECONDS + 0.5)
        self.assertEqual((client.close_received or (0, ""))[0], 4503)
        self.assertTrue(client.wire.closed)

    def test_client_within_the_rate_is_never_closed(self) -> None:
        relay = self.relay(publish=("room",), max_frames_per_second=10)
        client = WebSocketClient(relay).connect()
        for _ in range(50):
            client.protocol.send_text(b"hello")
            client.flush()
            relay.pass_time(0.25)
        self.assertEqual(len(client.messages()), 50)

    def test_only_clients_that_sent_lately_have_token_buckets(self) -> None:
        relay = self.relay(publish=("room",), max_frames_per_second=1)
        quiet, busy = WebSocketClient(relay).connect(), WebSocketClient(relay).connect()
        for client in (quiet, busy):
            client.wire.send(client_frame(0x8A) * 2)
        buckets = relay.websockets.rate_limits._buckets
        of_busy = buckets[busy.wire.connection]
        for _ in range(4):
            relay.pass_time(0.75)
            busy.wire.send(client_frame(0x8A))
        relay.pass_time(0.5)
        self.assertEqual(list(buckets), [busy.wire.connection])
        self.assertIs(buckets[busy.wire.connection], of_busy)
        quiet.wire.send(client_frame(0x8A) * 3)
        self.assertFalse(quiet.wire.closed)
        self.assertFalse(busy.wire.closed)
        relay.pass_time(10)
        self.assertEqual(buckets, {})
