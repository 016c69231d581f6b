"""Tests of wsrelay.transports.listening.tls_policy."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.transports.listening.tls_policy import INTERMEDIATE, TLSPolicy


class TLSPolicyTests(SynchronousTestCase):
    """`TLSPolicy`."""

    def names(self, *ciphers: str) -> set[str]:
        """Return the suites of TLS 1.2 that a policy leaves."""
        chosen: Any = TLSPolicy("1.2", ciphers).ciphers
        return {each.fullName for each in chosen._ciphers if not each.fullName.startswith("TLS_")}

    def test_default_is_the_intermediate_list(self) -> None:
        self.assertEqual(self.names(), set(INTERMEDIATE))

    def test_names_and_aliases_are_accepted(self) -> None:
        self.assertEqual(self.names("ECDHE-RSA-AES128-GCM-SHA256"), {"ECDHE-RSA-AES128-GCM-SHA256"})
        self.assertLessEqual({"ECDHE-RSA-AES128-GCM-SHA256"}, self.names("ECDHE+AESGCM"))
        for names in (("HIGH", "!aNULL"), ("HIGH:!aNULL",), ("HIGH !aNULL:@SECLEVEL=1",)):
            self.assertNotIn("ADH-AES128-SHA256", self.names(*names))
            self.assertIn("AES256-SHA", self.names(*names))

    def test_unknown_name_is_a_config_error_that_names_it(self) -> None:
        """OpenSSL skips it as long as it knows any other."""
        for name in ("nonsense", "!aNUL", "ECDHE-RSA-AES128-GCM-SHA265", "\u00e9", ""):
            for ciphers in ((*INTERMEDIATE, name), (f"HIGH:{name}",), (f"{name} HIGH",)):
                error = self.assertRaises(ConfigError, TLSPolicy, "1.2", ciphers)
                self.assertEqual(
                    str(error), f"tls_ciphers: OpenSSL knows no cipher suite {name!r}; see: openssl ciphers -v"
                )

    def test_list_that_leaves_nothing_is_a_config_error(self) -> None:
        for ciphers in (("HIGH", "!HIGH"), ("HIGH", "@nonsense")):
            error = self.assertRaises(ConfigError, TLSPolicy, "1.2", ciphers)
            self.assertEqual(str(error), "tls_ciphers leaves no cipher suite")
