"""Tests of wsrelay.transports.listening.known_handshakes: what is known of a head is what reading it would find."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from devtools.harness.http import KEY, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.transports.websocket.test_opening import HEADS, _altered
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.transports.listening import request_checks
from wsrelay.transports.listening.connection_ids import ConnectionIDs
from wsrelay.transports.listening.known_handshakes import MAX_KNOWN, MAX_KNOWN_BYTES
from wsrelay.transports.listening.request_checks import Destination

OTHER_KEY = "x3JJHMbDL1EzLkh9GBhXDw=="


class KnownHandshakesTests(EdgeCase):
    """Which heads are kept, and what is found of the next one."""

    def setUp(self) -> None:
        """Give every connection the same id."""
        self.patch(ConnectionIDs, "next", lambda _ids: "0" * 16)

    def check(self, relay: InMemoryRelay, head: bytes) -> Any:
        """Return what the router finds in a head: a destination, a request of HTTP, or the text of a rejection."""
        wire = ClientWire(relay)
        try:
            found = relay.router.checks.check_request(wire.transport, head)
        except HTTPError as error:
            return error.response
        except RejectedError as error:
            return error.client_error
        finally:
            wire.hang_up()
        if isinstance(found, Destination):
            relay.router.checks.release(found)
            request = found.request
            # The whole head is that of the first client, and nothing looks at it.
            seen = request.method, request.path, request.query, request.subprotocols, request.offer
            return found.route, found.handshake, found.key, found.body_bytes, seen
        return found

    def known(self, relay: InMemoryRelay) -> int:
        """Return how many handshakes a relay knows."""
        return len(relay.router.checks._known)

    def test_second_client_is_found_to_ask_what_reading_its_head_would_find(self) -> None:
        relay = self.relay(centrifugo=True, compress=True)
        rng = Random(2)
        found = 0
        for number in range(3000):
            first = list(HEADS.values())[number] if number < len(HEADS) else _altered(rng)
            self.check(relay, first)
            # The key of the next client, or what is none.
            for second in (KEY, OTHER_KEY, KEY[:-1], KEY[:-2] + "A=", KEY[:-3] + "\r\n=", KEY[:3] + "\x01" + KEY[4:]):
                head = first.replace(KEY.encode(), second.encode())
                outcome = self.check(relay, head)
                relay.router.checks._known._known, kept = {}, relay.router.checks._known._known
                self.assertEqual(outcome, self.check(relay, head), head)
                relay.router.checks._known._known = kept
            found += relay.router.checks._known.find(first, is_tls=False) is not None
        self.assertGreater(found, 300)
        self.assertLess(found, 2500)

    def test_known_head_is_not_read_again(self) -> None:
        relay = self.relay()
        self.check(relay, upgrade())
        self.patch(request_checks, "parse_head", lambda *_arguments, **_more: self.fail("it was read"))
        self.assertEqual(self.check(relay, upgrade(key=OTHER_KEY))[2], OTHER_KEY.encode())

    def test_answer_is_that_to_the_clients_own_key(self) -> None:
        relay = self.relay()
        accepted = set()
        for key in (KEY, OTHER_KEY, KEY):
            wire = ClientWire(relay)
            wire.send(upgrade(key=key))
            accepted |= set(re.findall(rb"Sec-WebSocket-Accept: (.*)\r\n", wire.read()))
            wire.hang_up()
        self.assertEqual(len(accepted), 2)
        self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accepted)

    def test_head_with_a_credential_or_an_address_is_not_kept(self) -> None:
        relay = self.relay(trusted_proxies=1)
        for path, line in (
            ("/ws/room?ticket=abcdefghijklmnop", "X: y"),
            ("/ws/room", "Authorization: Bearer a.b.c"),
            ("/ws/room", "Cookie: a=b"),
            ("/ws/room", "Sec-WebSocket-Protocol: wsrelay.ticket.abcdefghijklmnop"),
            ("/ws/room", "X-Forwarded-For: 192.0.2.1"),
            ("/ws/room", "X: " + "y" * MAX_KNOWN_BYTES),
        ):
            self.check(relay, upgrade(path, line))
            self.assertEqual(self.known(relay), 0, line)
        self.check(relay, upgrade("/ws/room", "X: y"))
        self.assertEqual(self.known(relay), 1)

    def test_head_that_is_rejected_is_not_kept(self) -> None:
        relay = self.relay()
        for head in (
            upgrade("/ws/room", "Origin: http://other.example"),
            upgrade("/elsewhere"),
            upgrade(version="8"),
            upgrade(key="short"),
        ):
            self.check(relay, head)
        self.assertEqual(self.known(relay), 0)

    def test_head_whose_key_is_written_in_another_way_is_not_kept(self) -> None:
        relay = self.relay()
        for name in (b"sec-websocket-key: ", b"Sec-WebSocket-Key:", b"Sec-WebSocket-Key:  "):
            self.check(relay, upgrade().replace(b"Sec-WebSocket-Key: ", name))
        self.check(relay, upgrade().replace(KEY.encode(), KEY.encode() + b" "))
        self.assertEqual(self.known(relay), 0)
        self.check(relay, upgrade())
        # Neither is it found.
        lower = upgrade().replace(b"Sec-WebSocket-Key: ", b"sec-websocket-key: ")
        self.assertIsNone(relay.router.checks._known.find(lower, is_tls=False))

    def test_head_is_known_over_tls_and_without_it_apart(self) -> None:
        """A page over TLS is of another origin."""
        relay = self.relay()
        self.check(relay, upgrade("/ws/room", "Origin: http://relay.example"))
        known = relay.router.checks._known
        head = upgrade("/ws/room", "Origin: http://relay.example", key=OTHER_KEY)
        self.assertIsNotNone(known.find(head, is_tls=False))
        self.assertIsNone(known.find(head, is_tls=True))

    def test_known_handshake_is_rejected_while_the_relay_stops_and_when_it_is_full(self) -> None:
        relay = self.relay(max_connections=1)
        self.check(relay, upgrade())
        wire = ClientWire(relay)
        wire.send(upgrade())
        self.assertIn(b" 101 ", wire.read())
        self.assertIn("limit of connections", self.check(relay, upgrade(key=OTHER_KEY)).text)
        relay.connections.start_draining()
        self.assertIn("stopping", self.check(relay, upgrade(key=OTHER_KEY)).text)

    def test_number_of_those_that_are_kept_is_bounded(self) -> None:
        relay = self.relay()
        for number in range(MAX_KNOWN + 2):
            self.check(relay, upgrade("/ws/room", f"X: {number}"))
            self.assertLessEqual(self.known(relay), MAX_KNOWN)
        self.assertEqual(self.known(relay), 2)

    def test_nothing_is_kept_where_autobahn_reads_every_handshake(self) -> None:
        relay = self.relay()
        relay.websockets.opens_usual_handshakes = False
        self.check(relay, upgrade())
        self.assertEqual(self.known(relay), 0)

    def test_field_that_holds_the_words_of_another_is_not_taken_for_it(self) -> None:
        relay = self.relay()
        for head in (
            upgrade("/ws/room", f"X: Sec-WebSocket-Key: {OTHER_KEY}"),
            upgrade().replace(b"Host:", b"X: Sec-WebSocket-Key: y\r\nHost:"),
        ):
            self.check(relay, head)
            self.assertEqual(self.check(relay, head.replace(KEY.encode(), OTHER_KEY.encode()))[2], OTHER_KEY.encode())
        self.assertEqual(self.known(relay), 2)
        # Twice the field itself is an error, whichever of them comes first.
        self.assertEqual(self.check(relay, upgrade("/ws/room", f"Sec-WebSocket-Key: {OTHER_KEY}")).status, 400)
        self.assertEqual(self.known(relay), 2)
