"""Tests of `wsrelay.outgoing.tls`: names of a certificate are read one by one, and fail closed."""

from __future__ import annotations

import trustme
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.odd_certificates import ODD_NAMES, odd_certificate
from wsrelay.outgoing.tls import RejectedCertificateError, is_issued_for


class NameTests(SynchronousTestCase):
    """`is_issued_for`."""

    authority = trustme.CA()

    def is_for(self, host: str, *names: str) -> bool:
        certificate, _key = odd_certificate(self.authority, names)
        return is_issued_for(certificate, host)

    def test_its_own_name_is_accepted_in_any_case_and_by_wildcard(self) -> None:
        for name in ("DNS:redis.example.org", "DNS:REDIS.example.ORG", "DNS:*.example.org"):
            self.assertTrue(self.is_for("redis.example.org", name), name)

    def test_address_is_accepted_as_an_address(self) -> None:
        self.assertTrue(self.is_for("192.0.2.1", "IP:192.0.2.1"))
        self.assertTrue(self.is_for("2001:db8::1", "IP:2001:db8::1"))

    def test_address_as_a_dns_name_is_rejected(self) -> None:
        self.assertFalse(self.is_for("192.0.2.1", "DNS:192.0.2.1"))

    def test_other_names_are_rejected_beside_each_odd_one(self) -> None:
        for odd in ODD_NAMES:
            self.assertFalse(self.is_for("localhost", odd), odd)
            self.assertFalse(self.is_for("localhost", "DNS:other.example", odd), odd)

    def test_right_name_is_accepted_beside_each_odd_one(self) -> None:
        for odd in ODD_NAMES:
            self.assertTrue(self.is_for("localhost", odd, "DNS:localhost"), odd)
            self.assertTrue(self.is_for("localhost", "DNS:localhost", odd), odd)

    def test_certificate_without_names_is_rejected(self) -> None:
        self.assertFalse(self.is_for("other.example"))

    def test_common_name_counts_for_nothing(self) -> None:
        self.assertFalse(self.is_for("other.example", "DNS:localhost"))

    def test_wildcard_stands_for_one_label(self) -> None:
        self.assertFalse(self.is_for("a.b.example.org", "DNS:*.example.org"))
        self.assertFalse(self.is_for("example.org", "DNS:*.example.org"))

    def test_names_of_container_networks_are_compared_as_they_are(self) -> None:
        for host in ("redis_cache", "my--redis", "redis_", "_x"):
            self.assertTrue(self.is_for(host, "DNS:localhost", f"DNS:{host}"), host)
            self.assertFalse(self.is_for(host, "DNS:rediscache", "DNS:*", "DNS:redis-cache"), host)
        self.assertTrue(self.is_for("redis_cache.internal", "DNS:*.internal", "DNS:redis_cache.internal"))

    def test_dot_at_the_end_of_the_host_counts_for_nothing(self) -> None:
        self.assertTrue(self.is_for("redis.example.org.", "DNS:redis.example.org"))

    def test_rejection_has_its_reason_as_its_text(self) -> None:
        self.assertEqual(str(RejectedCertificateError("it has expired")), "it has expired")

    def test_host_that_cannot_be_encoded_is_rejected(self) -> None:
        self.assertFalse(self.is_for("a" * 70 + ".example.org", "DNS:*.example.org"))
