"""Tests of `wsrelay.core.access.client_address`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.client_address import rate_limit_key


class BlockTests(SynchronousTestCase):
    """What one party has."""

    def test_blocks(self) -> None:
        """An IPv4 address is one party's, of an IPv6 address the upper half, and what is no address stays as it is."""
        for address, party in (
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("unix", "unix"),
            ("a:b", "a:b"),
            ("", ""),
        ):
            self.assertEqual(rate_limit_key(address), party)

    @given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
    def test_neighbours(self, address: object, lower: int) -> None:
        """Whatever a party makes of the lower half, it stays one."""
        first = rate_limit_key(str(address))
        if "." not in first:
            upper = first.removesuffix("::")
            self.assertEqual(first, rate_limit_key(first))
            self.assertTrue(upper or first == "::", lower)
