"""The way to Redis: TCP, TLS or a unix socket."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL, crypto
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.outgoing.tls import verified_tls

__all__ = ["redis_endpoint"]

CONNECT_TIMEOUT_SECONDS = 5


def redis_endpoint(
    reactor: object,
    url: RedisURL,
    *,
    verify: bool = True,
    ca_file: Path | None = None,
    fingerprint: str | None = None,
) -> IStreamClientEndpoint:
    """Return the endpoint for a Redis URL.

    Args:
        reactor: The reactor to connect with.
        url: The address of Redis.
        verify: True to verify the certificate of a ``rediss://`` server. Hosters with self-signed certificates,
            Heroku among them, leave no other choice than False: encrypted, but a man in the middle can pose as the
            server.
        ca_file: A file of PEM certificates to trust instead of the platform's.
        fingerprint: SHA-256 of the one certificate to trust, in hex, with or without colons. Nothing else in the
            certificate is verified.

    Raises:
        ConfigError: `ca_file` cannot be read, or holds no valid certificate.
    """
    if url.path:
        return UNIXClientEndpoint(reactor, url.path, timeout=CONNECT_TIMEOUT_SECONDS)
    plain = HostnameEndpoint(reactor, url.host, url.port, timeout=CONNECT_TIMEOUT_SECONDS)
    if not url.tls:
        return plain
    if fingerprint is not None:
        return wrapClientTLS(_PinnedTLS(url.host, fingerprint), plain)
    if not verify:
        return wrapClientTLS(_UnverifiedTLS(url.host), plain)
    trust = trustRootFromCertificates(_certificates(ca_file)) if ca_file is not None else None
    return wrapClientTLS(verified_tls(url.host, trust), plain)


def _certificates(path: Path) -> list[Certificate]:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"redis_tls_ca_file cannot be read: {error}") from None
    end = "-----END CERTIFICATE-----"
    blocks = [block + end for block in text.split(end)[:-1]]
    if not blocks:
        raise ConfigError(f"redis_tls_ca_file: {path} holds no PEM certificate")
    try:
        return [Certificate.loadPEM(block.encode()) for block in blocks]
    except (crypto.Error, ValueError):
        raise ConfigError(f"redis_tls_ca_file: {path} holds a malformed certificate") from None


@implementer(IOpenSSLClientConnectionCreator)
class _UnverifiedTLS:
    """TLS without verification of the certificate, but with the server name, which shared front ends route by."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._context = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2).getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        # RFC 6066 section 3: a server name is never an IP address.
        if not isIPAddress(self._host) and not isIPv6Address(self._host):
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _PinnedTLS(_UnverifiedTLS):
    """TLS that trusts the one certificate with a given fingerprint, and no issuer."""

    def __init__(self, host: str, fingerprint: str) -> None:
        super().__init__(host)
        self._fingerprint = fingerprint.replace(":", "").lower()
        self._context.set_verify(SSL.VERIFY_PEER, self._is_pinned)

    def _is_pinned(self, _connection: object, shown: crypto.X509, _error: int, depth: int, _ok: int) -> bool:
        # Depth 0 is the server's own certificate. Those of its issuers prove nothing here.
        return depth > 0 or shown.digest("sha256").decode().replace(":", "").lower() == self._fingerprint
