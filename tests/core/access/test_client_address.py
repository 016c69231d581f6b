"""Tests of `wsrelay.core.access.client_address`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.client_address import rate_limit_key


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
