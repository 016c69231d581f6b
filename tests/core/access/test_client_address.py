"""Tests of `wsrelay.core.access.client_address`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.client_address import UNREADABLE, client_address, peer_address, rate_limit_key


class PeerAddressTests(SynchronousTestCase):
    """`peer_address`."""

    def test_ipv4_mapped_address_becomes_the_ipv4_address(self) -> None:
        for host in ("::ffff:192.0.2.7", "::FFFF:c000:207", "0:0:0:0:0:ffff:192.0.2.7"):
            self.assertEqual(peer_address(host), "192.0.2.7")

    def test_any_other_text_is_unchanged(self) -> None:
        for host in ("192.0.2.7", "::1", "2001:DB8::1", "fe80::1%eth0", "::192.0.2.7", "unix", "a:b", ""):
            self.assertEqual(peer_address(host), host)


class RateLimitKeyTests(SynchronousTestCase):
    """`rate_limit_key`."""

    def test_ipv6_address_is_reduced_to_its_network_and_other_texts_are_unchanged(self) -> None:
        for address, key in (
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("unix", "unix"),
            ("a:b", "a:b"),
            ("", ""),
        ):
            self.assertEqual(rate_limit_key(address), key)

    @given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
    def test_addresses_of_one_ipv6_network_have_one_key(self, address: object, lower: int) -> None:
        first = rate_limit_key(str(address))
        if "." not in first:
            upper = first.removesuffix("::")
            self.assertEqual(first, rate_limit_key(first))
            self.assertTrue(upper or first == "::", lower)


class ClientAddressTests(SynchronousTestCase):
    """`client_address`."""

    def assert_addresses(self, cases: tuple[tuple[str, int, str], ...]) -> None:
        """Assert the address for a field and a number of trusted proxies, for connections from 9.9.9.9."""
        for forwarded, trusted, expected in cases:
            self.assertEqual(client_address("9.9.9.9", forwarded, trusted), expected, (forwarded, trusted))

    def test_only_the_entry_of_the_outermost_trusted_proxy_is_used(self) -> None:
        self.assert_addresses(
            (
                ("6.6.6.6, 2.2.2.2", 0, "9.9.9.9"),
                ("6.6.6.6, 2.2.2.2", 1, "2.2.2.2"),
                ("6.6.6.6,2.2.2.2 ,3.3.3.3", 2, "2.2.2.2"),
            )
        )

    def test_connection_has_its_own_address_without_the_field(self) -> None:
        self.assert_addresses((("", 1, "9.9.9.9"), ("", 0, "9.9.9.9")))

    def test_first_entry_is_used_if_there_are_fewer_than_trusted_proxies(self) -> None:
        """The client has reached an inner proxy."""
        self.assert_addresses((("2.2.2.2", 2, "2.2.2.2"), ("2.2.2.2, 3.3.3.3", 3, "2.2.2.2")))

    def test_port_brackets_and_quotes_are_removed(self) -> None:
        self.assert_addresses(
            (
                ("203.0.113.1:51234", 1, "203.0.113.1"),
                ('"203.0.113.1"', 1, "203.0.113.1"),
                ("6.6.6.6, 203.0.113.1:51234", 1, "203.0.113.1"),
                ("2001:DB8::1", 1, "2001:db8::1"),
                ("[2001:db8::1]", 1, "2001:db8::1"),
                ("[2001:db8::1]:443", 1, "2001:db8::1"),
                ('"[2001:db8::1]:4711"', 1, "2001:db8::1"),
            )
        )

    def test_ipv4_mapped_address_is_the_ipv4_address(self) -> None:
        self.assert_addresses(
            (("::ffff:203.0.113.1", 1, "203.0.113.1"), ("[::ffff:203.0.113.1]:4711", 1, "203.0.113.1"))
        )

    def test_entry_that_is_not_an_address_is_nobodys(self) -> None:
        """The connection's own is that of the proxy, and so everybody's."""
        odd = ("[", "[]:1", ",", "203.0.113.1:1:2", "a:1", "::1%a b")
        for text in ("unknown", "<script>", "for=203.0.113.1", "_hidden", *odd):
            self.assert_addresses(((text, 1, UNREADABLE),))
