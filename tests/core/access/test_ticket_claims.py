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
    """From the value of a key to claims."""

    def test_good(self) -> None:
        """A JSON object, in any of JSON's encodings, is the claims as they are."""
        claims = {"sub": "J\u00fc", "channels": ["a"], "ip": None, "x": {"y": [1.5]}}
        self.assertEqual(read_document(json.dumps(claims).encode()), claims)
        self.assertEqual(read_document(json.dumps(claims, ensure_ascii=False).encode()), claims)
        self.assertEqual(read_document(b"{}"), {})

    def test_longest(self) -> None:
        """A document may have 16 KiB and not a byte more."""
        self.assertEqual(read_document(b"{}".ljust(MAX_DOCUMENT_BYTES)), {})
        with self.assertRaises(ClaimError):
            read_document(b"{}".ljust(MAX_DOCUMENT_BYTES + 1))

    def test_bad(self) -> None:
        """Whatever else any program may have put there is refused, in words that repeat nothing of it."""
        for document in (b"", b"1", b"null", b"[]", b'"{}"', b"{", b"what-they-sent", b"\xff", b"{}{}", b"[" * 9000):
            with self.assertRaises(ClaimError) as caught:
                read_document(document)
            error = caught.exception
            self.assertEqual(str(error), NO_DOCUMENT)
            self.assertTrue(error.__context__ is None or error.__suppress_context__)


class TicketTests(SynchronousTestCase):
    """From claims to an identity."""

    def test_good(self) -> None:
        """The claims are those of all credentials, and whatever ip is good."""
        claims = {"sub": 42, "channels": ["room:1"], "publish": [], "exp": 5, "ip": "192.0.2.7"}
        self.assertEqual(check_ticket(claims, "ticket:x"), Identity("42", ("room:1",), (), 5.0, "ticket:x"))
        self.assertEqual(check_ticket({}), Identity())

    def test_addresses(self) -> None:
        """The address may be one or a network of either family, or missing, or null."""
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

    def test_bad_addresses(self) -> None:
        """A ticket whose address cannot be read is good for nobody, not for everybody."""
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

    def test_bad_claims(self) -> None:
        """What is wrong with any other claim makes the ticket as bad."""
        for claims in ({"sub": ""}, {"channels": "a"}, {"publish": [1]}, {"exp": "soon"}):
            with self.assertRaises(ClaimError):
                check_ticket({"ip": "192.0.2.7", **claims})


class AddressTests(SynchronousTestCase):
    """Where a client is."""

    def test_table(self) -> None:
        """A client is at its own address and in the networks around it, and nowhere else."""
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

    def test_mapped(self) -> None:
        """The same client seen through a dual-stack socket, here or by the application, is at the same address."""
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

    def test_no_address(self) -> None:
        """A client that has none, as on a unix socket, or whose proxy wrote nonsense, is nowhere."""
        for address in ("", "unix", "localhost", "192.0.2.7:80", "192.0.2.7, 192.0.2.8", "[::1]"):
            for network in ("0.0.0.0/0", "::/0"):
                self.assertFalse(is_within(address, network), address)

    @given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(0, 128))
    @example(ip_address("255.255.255.255"), 0)
    def test_specification(self, address: object, length: int) -> None:
        """An address is in every network that begins as it does, and in none that differs within its length."""
        own = ip_address(str(address))
        network = ip_network(f"{own}/{min(length, own.max_prefixlen)}", strict=False)
        self.assertTrue(is_within(str(own), str(network)))
        if network.prefixlen > 0:
            flipped = type(own)(int(own) ^ (1 << (own.max_prefixlen - network.prefixlen)))
            self.assertFalse(is_within(str(flipped), str(network)))
