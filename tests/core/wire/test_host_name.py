"""Tests of `wsrelay.core.wire.host_name`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.host_name import ascii_host_name, check_host


class HostNameTests(SynchronousTestCase):
    """`ascii_host_name`."""

    def test_names_of_container_networks_stay_as_they_are(self) -> None:
        for name in (
            "redis_cache",
            "my--redis",
            "ab--redis",
            "_x",
            "-x",
            "x-",
            "redis.",
            "REDIS_Cache2",
            "xn--x",
            "::1",
        ):
            self.assertEqual(ascii_host_name(name), name)

    def test_international_names_are_encoded_as_of_2008(self) -> None:
        self.assertEqual(ascii_host_name("faß.example"), "xn--fa-hia.example")

    def test_names_that_no_resolver_takes_are_rejected(self) -> None:
        for name in ("a" * 64, "a..b", "\u2603\u2604" * 40, "ab\u2014"):
            with self.assertRaises(ValueError):
                ascii_host_name(name)

    def test_host_of_a_url_is_an_ipv6_address_in_brackets_or_a_name_without(self) -> None:
        for host, in_brackets in (
            ("redis_cache", False),
            ("fa\u00df.example", False),
            ("192.0.2.7", False),
            ("::1", True),
            ("::ffff:192.0.2.7", True),
            ("fe80::1%eth0", True),
        ):
            check_host(host, in_brackets=in_brackets)
        for host, in_brackets in (
            ("", False),
            ("::1", False),
            ("a b", False),
            ("a%20b", False),
            ("a\nb", False),
            ("a\0", False),
            ("a..b", False),
            ("", True),
            ("redis", True),
            ("v1.x", True),
            ("1::2::3", True),
            ("fe80::1%", True),
            ("fe80::1%eth\n0", True),
        ):
            with self.assertRaises(ValueError, msg=host):
                check_host(host, in_brackets=in_brackets)
