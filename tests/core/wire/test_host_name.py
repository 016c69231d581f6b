"""Tests of `wsrelay.core.wire.host_name`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.host_name import ascii_host_name


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
