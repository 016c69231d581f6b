"""Tests of `wsrelay.core.access.ticket_claims`."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import Identity
from wsrelay.core.access.ticket_claims import MAX_DOCUMENT_BYTES, check_ticket, is_within, read_document
from wsrelay.core.outcomes.errors import ClaimError

NO_DOCUMENT = "its document must be a JSON object of at most 16384 bytes"
NO_ADDRESS = "ip must be an address, or a network such as 192.0.2.0/24"


class DocumentTests(SynchronousTestCase):
    """`read_document`."""

    def test_json_object_in_any_encoding_is_read_as_it_is(self) -> None:
        claims = {"sub": "J\u00fc", "channels": ["a"], "ip": None, "x": {"y": [1.5]}}
        self.assertEqual(read_document(json.dumps(claims).encode()), claims)
        self.assertEqual(read_document(json.dumps(claims, ensure_ascii=False).encode()), claims)
        self.assertEqual(read_document(b"{}"), {})

    def test_document_has_at_most_16_kib(self) -> None:
        self.assertEqual(read_document(b"{}".ljust(MAX_DOCUMENT_BYTES)), {})
        with self.assertRaises(ClaimError):
            read_document(b"{}".ljust(MAX_DOCUMENT_BYTES + 1))

    def test_other_documents_are_rejected_and_not_repeated(self) -> None:
        for document in (b"", b"1", b"null", b"[]", b'"{}"', b"{", b"what-they-sent", b"\xff", b"{}{}", b"[" * 9000):
            with self.assertRaises(ClaimError) as caught:
                read_document(document)
            error = caught.exception
            self.assertEqual(str(error), NO_DOCUMENT)
            self.assertTrue(error.__context__ is None or error.__suppress_context__)


class TicketTests(SynchronousTestCase):
    """`check_ticket`."""

    def test_claims_become_the_identity(self) -> None:
        claims = {"sub": 42, "channels": ["room:1"], "publish": [], "exp": 5, "ip": "192.0.2.7"}
        self.assertEqual(check_ticket(claims, "ticket:x"), Identity("42", ("room:1",), (), 5.0, "ticket:x"))
        self.assertEqual(check_ticket({}), Identity())
        self.assertEqual(
            check_ticket({"info": 1, "subs": {}, "exp": 5, "expire_at": 7}), Identity(info=b"1", expires=5.0)
        )

    def test_ip_may_be_an_address_a_network_or_missing(self) -> None:
        for ip in (
            None,
            "192.0.2.7",
            "192.0.2.0/24",
            "192.0.2.7/24",
            "0.0.0.0/0",
            "2001:db8::1",
            "2001:db8::/32",
            "::/0",
        ):
            self.assertEqual(check_ticket({"ip": ip}), Identity())

    def test_unreadable_ip_is_rejected_and_not_ignored(self) -> None:
        for ip in (
            "",
            "localhost",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.256",
            "192.0.2.1 ",
            "::1/129",
            "192.0.2.1/",
            1,
            True,
        ):
            with self.assertRaises(ClaimError) as caught:
                check_ticket({"ip": ip})
            self.assertEqual(str(caught.exception), NO_ADDRESS, ip)
        others: list[object] = [3221225985, 0, [], ["192.0.2.7"], {}, b"\xc0\x00\x02\x07", 1.5]
        for other in others:
            with self.assertRaises(ClaimError):
                check_ticket({"ip": other})

    def test_any_other_invalid_claim_is_rejected(self) -> None:
        invalid: list[dict[str, object]] = [
            {"sub": ""},
            {"channels": "a"},
            {"publish": [1]},
            {"exp": "soon"},
            {"expire_at": "later"},
            {"subs": ["a"]},
            {"b64info": "?"},
            {"meta": {}},
        ]
        for claims in invalid:
            with self.assertRaises(ClaimError):
                check_ticket({"ip": "192.0.2.7", **claims})


class AddressTests(SynchronousTestCase):
    """`is_within`."""

    def test_address_is_within_itself_and_its_networks_only(self) -> None:
        cases = {
            ("192.0.2.7", "192.0.2.7"): True,
            ("192.0.2.7", "192.0.2.7/32"): True,
            ("192.0.2.7", "192.0.2.0/24"): True,
            ("192.0.2.7", "192.0.2.9/24"): True,
            ("192.0.2.7", "0.0.0.0/0"): True,
            ("2001:db8::1", "2001:db8::1"): True,
            ("2001:DB8::1", "2001:db8:0:0::1"): True,
            ("2001:db8::1", "2001:db8::/32"): True,
            ("192.0.2.7", "192.0.2.8"): False,
            ("192.0.2.7", "192.0.3.0/24"): False,
            ("2001:db8::1", "2001:db8::2"): False,
            ("192.0.2.7", "::/0"): True,
            ("::1", "0.0.0.0/0"): False,
            ("2001:db8::1", "0.0.0.0/0"): False,
            ("::c000:207", "192.0.2.7"): False,
            ("192.0.2.7", "::c000:207"): False,
        }
        self.assertEqual({case: is_within(*case) for case in cases}, cases)

    def test_ipv4_mapped_address_is_the_ipv4_address(self) -> None:
        for address in ("192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207"):
            for network in (
                "192.0.2.7",
                "::ffff:192.0.2.7",
                "::ffff:c000:207/128",
                "192.0.2.0/24",
                "::ffff:192.0.2.0/120",
            ):
                self.assertTrue(is_within(address, network), (address, network))
            for network in ("192.0.2.8", "::ffff:192.0.2.8", "192.0.3.0/24", "::ffff:192.0.3.0/120", "::ffff:0:0:0/96"):
                self.assertFalse(is_within(address, network), (address, network))

    def test_text_that_is_no_address_is_in_no_network(self) -> None:
        for address in ("", "unix", "localhost", "192.0.2.7:80", "192.0.2.7, 192.0.2.8", "[::1]"):
            for network in ("0.0.0.0/0", "::/0"):
                self.assertFalse(is_within(address, network), address)

    @given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(0, 128))
    @example(ip_address("255.255.255.255"), 0)
    def test_address_is_within_networks_with_its_prefix_only(self, address: object, length: int) -> None:
        own = ip_address(str(address))
        network = ip_network(f"{own}/{min(length, own.max_prefixlen)}", strict=False)
        self.assertTrue(is_within(str(own), str(network)))
        if network.prefixlen > 0:
            flipped = type(own)(int(own) ^ (1 << (own.max_prefixlen - network.prefixlen)))
            self.assertFalse(is_within(str(flipped), str(network)))
