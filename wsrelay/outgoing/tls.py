"""TLS of connections that the relay makes itself: to Redis, the hook and the key set.

Twisted 26.10 verifies the server's name in a callback of OpenSSL (`twisted.internet._sslverify._verifyCB`) that treats
only `VerificationError` as a failure; any other exception is logged, and the verdict on the chain stands.
service-identity raises another exception, `CertificateError`, as soon as it cannot read *one* name of the certificate
(``*.internal``, ``*``, an address as a DNS name), and when there is none. A certificate that any trusted authority
issued for another host was therefore accepted.

Here everything but a match is a failure. A name that cannot be read counts as absent, so that an honest server that
also carries one is still accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer

__all__ = ["VerifiedHTTPS", "WrongNameError", "is_issued_for", "verified_tls"]


class WrongNameError(VerificationError):
    """The server's certificate is for another host than the one that was requested."""

    def __init__(self) -> None:
        super().__init__(errors=[])

    def __str__(self) -> str:
        return "the server's certificate is for another name"


def verified_tls(host: str, trust: Any = None) -> IOpenSSLClientConnectionCreator:
    """Make the TLS side of connections to a server that must prove its name.

    Args:
        host: The name or IP address that the server's certificate must be issued for.
        trust: The authorities to trust, as `optionsForClientTLS` takes them. If None, those of the platform.

    Returns:
        A creator whose handshakes fail unless a trusted authority issued the certificate, for this host. If only the
        host is wrong, they fail with `WrongNameError`.
    """
    return _VerifiedTLS(optionsForClientTLS(host, trustRoot=trust), host)


def is_issued_for(certificate: x509.Certificate, host: str) -> bool:
    """Return whether a certificate names a host in its subjectAltName (RFC 9525 section 6).

    Never raises, whatever the certificate holds. Names that cannot be read count as absent; a certificate that cannot
    be read at all names no host.

    Args:
        certificate: The server's own certificate.
        host: A DNS name, or an IP address without brackets.
    """
    is_address = isIPAddress(host) or isIPv6Address(host)
    try:
        wanted = IPAddress_ID(host) if is_address else DNS_ID(host.encode("idna").decode("ascii"))
        verify_service_identity(_patterns(certificate), [wanted], [])
    except Exception:  # noqa: BLE001 -- this check fails closed, whatever the reason
        return False
    return True


def _patterns(certificate: x509.Certificate) -> Sequence[CertificatePattern]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    # The type also allows networks, which only name constraints hold.
    addresses: Any = names.get_values_for_type(x509.IPAddress)
    found: list[CertificatePattern] = [IPAddressPattern(each) for each in addresses]
    for name in names.get_values_for_type(x509.DNSName):
        try:
            found.append(DNSPattern.from_bytes(name.encode("utf-8")))
        except CertificateError:
            continue
    return found


@implementer(IOpenSSLClientConnectionCreator)
class _VerifiedTLS:
    """Twisted's creator with our check of the name. Chain, versions, ciphers and SNI stay Twisted's."""

    def __init__(self, inner: IOpenSSLClientConnectionCreator, host: str) -> None:
        self._inner = inner
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """See `IOpenSSLClientConnectionCreator.clientConnectionForTLS`."""
        connection = self._inner.clientConnectionForTLS(tlsProtocol)
        unverified = [tlsProtocol]

        def verify(_connection: SSL.Connection, shown: crypto.X509, _error: int, depth: int, ok: int) -> bool:
            # pyOpenSSL treats an exception in here as a failure, too (SSL._VerifyHelper). OpenSSL alone judges the
            # certificates above the server's own one, which is at depth 0.
            if depth > 0 or not ok:
                return bool(ok)
            if is_issued_for(shown.to_cryptography(), self._host):
                # No reference to the protocol remains in a context that outlives it.
                unverified.clear()
                return True
            for protocol in unverified:
                protocol.failVerification(Failure(WrongNameError()))
            unverified.clear()
            return False

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection


class VerifiedHTTPS(BrowserLikePolicyForHTTPS):
    """The TLS policy of https connections: trusts the authorities of the platform, and checks the name as above."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: N802 -- Twisted's
        """See `twisted.web.iweb.IPolicyForHTTPS.creatorForNetloc`."""
        return _VerifiedTLS(super().creatorForNetloc(hostname, port), hostname.decode("ascii"))
