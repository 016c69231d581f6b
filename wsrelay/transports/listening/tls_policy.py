"""The versions of TLS and the cipher suites that clients may use."""

from __future__ import annotations

import re

from OpenSSL import SSL
from twisted.internet.interfaces import IAcceptableCiphers
from twisted.internet.ssl import AcceptableCiphers, TLSVersion

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["INTERMEDIATE", "TLSPolicy"]

INTERMEDIATE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Mozilla's "intermediate" (https://wiki.mozilla.org/Security/Server_Side_TLS, version 5.7), without its three DHE
suites: those need parameters of their own, and no client that speaks TLS 1.2 with GCM lacks ECDHE. Twisted's own list
has suites with CBC, too."""


_VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}


class TLSPolicy:
    """The versions of TLS and the cipher suites that clients may use.

    Args:
        min_version: The lowest version of TLS to accept: "1.2" or "1.3".
        ciphers: The cipher suites of TLS 1.2, by the names or aliases that OpenSSL knows them by (openssl-ciphers(1)).
            If empty, `INTERMEDIATE`. Those of TLS 1.3 are all good, and always on.

    Attributes:
        min_version: The lowest version, as Twisted takes it.
        ciphers: The cipher suites, as Twisted takes them.

    Raises:
        ConfigError: OpenSSL does not know a name, or they leave no suite. Left to itself it skips unknown names.
    """

    def __init__(self, min_version: str = "1.2", ciphers: tuple[str, ...] = ()) -> None:
        self.min_version = _VERSIONS[min_version]
        # OpenSSL separates names by colons and by spaces, too.
        chosen = [name for item in ciphers or INTERMEDIATE for name in re.split(r"[:\s]", item)]
        for name in chosen:
            # An alias behind ! or - takes suites away, and is known if it gives some by itself. A command such as
            # @SECLEVEL=1 gives none; OpenSSL rejects the whole list for one that it does not know.
            if not name.startswith("@") and not _is_known(name.lstrip("!-+")):
                raise ConfigError(f"tls_ciphers: OpenSSL knows no cipher suite {name!r}; see: openssl ciphers -v")
        text = ":".join(chosen)
        if not _is_known(text):
            raise ConfigError("tls_ciphers leaves no cipher suite")
        self.ciphers: IAcceptableCiphers = AcceptableCiphers.fromOpenSSLCipherString(text)


def _is_known(text: str) -> bool:
    try:
        SSL.Context(SSL.TLS_METHOD).set_cipher_list(text.encode())
    except (SSL.Error, UnicodeError):
        return False
    return True
