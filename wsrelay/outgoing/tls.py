"""TLS of connections that the relay makes itself: to Redis, the hook and the key set.

Twisted 26.10 verifies the server's name in a callback of OpenSSL (`twisted.internet._sslverify._verifyCB`) that treats
only `VerificationError` as a failure; any other exception is logged, and the verdict on the chain stands.
service-identity raises another exception, `CertificateError`, as soon as it cannot read *one* name of the certificate
(``*.internal``, ``*``, an address as a DNS name), and when there is none. A certificate that any trusted authority
issued for another host was therefore accepted. And `optionsForClientTLS` takes no name outside IDNA, such as the
``redis_cache`` of a container, which resolvers do take.

Here everything but a match is a failure. A name that cannot be read counts as absent, so that an honest server that
also carries one is still accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from twisted.internet.ssl import CertificateOptions, TLSVersion, platformTrust
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer

from wsrelay.core.wire.host_name import ascii_host_name
from wsrelay.outgoing.tls_problems import untrusted_because

__all__ = [
    "ClientCertificate",
    "RejectedCertificateError",
    "VerifiedHTTPS",
    "is_issued_for",
    "pinned_tls",
    "unverified_tls",
    "verified_tls",
]

UNSPECIFIED = 1
"""The verdict of OpenSSL that something is wrong, without saying what (X509_V_ERR_UNSPECIFIED)."""


class RejectedCertificateError(VerificationError):
    """The server's certificate is not accepted.

    Args:
        problem: The reason, which repeats nothing of the certificate.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(errors=[])
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The proof of the relay's own identity, for a server that demands it.

    Attributes:
        key: The private key, of `cryptography`.
        chain: The certificate and those of its issuers, in this order.
    """

    key: Any
    chain: Sequence[x509.Certificate]


def verified_tls(
    host: str, trust: Any = None, client: ClientCertificate | None = None
) -> IOpenSSLClientConnectionCreator:
    """Make the TLS side of connections to a server that must prove its name.

    Args:
        host: The name or IP address that the server's certificate must be issued for.
        trust: The authorities to trust, as `CertificateOptions` takes them. If None, those of the platform.
        client: What the relay proves its own identity with. If None, nothing.

    Returns:
        A creator whose handshakes fail with `RejectedCertificateError` unless a trusted authority issued the
        certificate, for this host.
    """

    def problem_of(shown: crypto.X509, verdict: int, depth: int) -> str | None:
        # OpenSSL alone judges the certificates above the server's own one, which is at depth 0.
        if verdict:
            return f"its certificate is not trusted: {untrusted_because(verdict)}"
        if depth == 0 and not is_issued_for(shown.to_cryptography(), host):
            return "its certificate is for another name"
        return None

    return _ClientTLS(host, problem_of, client, trustRoot=trust or platformTrust())


def pinned_tls(host: str, fingerprint: str, client: ClientCertificate | None = None) -> IOpenSSLClientConnectionCreator:
    """Make the TLS side of connections to a server with one known certificate, whoever issued it.

    Args:
        host: The name or IP address to ask for.
        fingerprint: The SHA-256 of the certificate, in hex, with or without colons. Nothing else in it is verified.
        client: What the relay proves its own identity with. If None, nothing.

    Returns:
        A creator whose handshakes fail with `RejectedCertificateError` for any other certificate.
    """
    wanted = fingerprint.replace(":", "").lower()

    def problem_of(shown: crypto.X509, _verdict: int, depth: int) -> str | None:
        # Those of its issuers prove nothing here.
        if depth > 0 or shown.digest("sha256").decode().replace(":", "").lower() == wanted:
            return None
        return "its certificate has another fingerprint"

    return _ClientTLS(host, problem_of, client)


def unverified_tls(host: str, client: ClientCertificate | None = None) -> IOpenSSLClientConnectionCreator:
    """Make the TLS side of connections that anybody in between can answer.

    Args:
        host: The name or IP address to ask for: shared front ends route by it.
        client: What the relay proves its own identity with. If None, nothing.
    """
    return _ClientTLS(host, lambda _shown, _verdict, _depth: None, client)


def is_issued_for(certificate: x509.Certificate, host: str) -> bool:
    """Return whether a certificate names a host in its subjectAltName (RFC 9525 section 6).

    Never raises, whatever the certificate holds. Names that cannot be read count as absent; a certificate that cannot
    be read at all names no host.

    Args:
        certificate: The server's own certificate.
        host: A DNS name, or an IP address without brackets.
    """
    try:
        wanted = IPAddress_ID(host) if _is_address(host) else DNS_ID(_server_name(host))
        verify_service_identity(_patterns(certificate), [wanted], [])
    except Exception:  # noqa: BLE001 -- this check fails closed, whatever the reason
        return False
    return True


def _is_address(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)


def _server_name(host: str) -> str:
    # RFC 6066 section 3, and names in certificates: without the dot that makes a name absolute.
    return ascii_host_name(host).removesuffix(".")


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
class _ClientTLS:
    """Chain, versions and ciphers are those of `CertificateOptions`; the verdict on each certificate is ours.

    Args:
        host: The name or IP address to ask for.
        problem_of: Judges a certificate by OpenSSL's verdict (0: trusted) and its depth in the chain. Returns the
            reason to reject it. If None, it is accepted.
        client: See `verified_tls`.
        options: More arguments of `CertificateOptions`.
    """

    def __init__(
        self,
        host: str,
        problem_of: Callable[[crypto.X509, int, int], str | None],
        client: ClientCertificate | None,
        **options: Any,
    ) -> None:
        self._host = host
        self._problem_of = problem_of
        if client is not None:
            options.update(privateKey=client.key, certificate=client.chain[0], extraCertChain=client.chain[1:])
        self._context = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2, **options).getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """See `IOpenSSLClientConnectionCreator.clientConnectionForTLS`."""
        connection = SSL.Connection(self._context, None)
        # RFC 6066 section 3: a server name is never an IP address.
        if not _is_address(self._host):
            connection.set_tlsext_host_name(_server_name(self._host).encode("ascii"))
        unverified = [tlsProtocol]

        def verify(_connection: SSL.Connection, shown: crypto.X509, number: int, depth: int, ok: int) -> bool:
            # pyOpenSSL treats an exception in here as a failure, too (SSL._VerifyHelper).
            verdict = 0 if ok else number or UNSPECIFIED
            if (problem := self._problem_of(shown, verdict, depth)) is None:
                if depth == 0:
                    # No reference to the protocol remains in a context that outlives it.
                    unverified.clear()
                return True
            for protocol in unverified:
                protocol.failVerification(Failure(RejectedCertificateError(problem)))
            unverified.clear()
            return False

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection


class VerifiedHTTPS(BrowserLikePolicyForHTTPS):
    """The TLS policy of https connections: trusts the authorities of the platform, and checks the name as above."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: N802 -- Twisted's
        """See `twisted.web.iweb.IPolicyForHTTPS.creatorForNetloc`."""
        return verified_tls(hostname.decode("ascii"), self._trustRoot)
