"""The way to Redis: TCP, TLS or a unix socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from wsrelay.config import Settings
from wsrelay.config.pem_files import file_error, read_certificates, read_pair
from wsrelay.config.redis_url import RedisURL
from wsrelay.outgoing.endpoints import NamedHostEndpoint
from wsrelay.outgoing.tls import ClientCertificate, pinned_tls, unverified_tls, verified_tls
from wsrelay.outgoing.tls_problems import openssl_reasons

__all__ = ["RedisTLS", "redis_endpoint", "redis_tls"]

CONNECT_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTLS:
    """How a ``rediss://`` server is trusted, and what the relay shows to it.

    Attributes:
        verify: True to verify the server's certificate. Hosters with self-signed certificates, Heroku among them, leave
            no other choice than False: encrypted, but a man in the middle can pose as the server.
        ca_file: A file of PEM certificates to trust. If None, those of the platform are trusted.
        fingerprint: SHA-256 of the one certificate to trust, in hex, with or without colons. Nothing else in the
            certificate is verified. If None, no certificate is pinned.
        client_certificate: A file of the relay's own PEM certificate and those of its issuers. If None, it shows none.
        client_key: The file of its private key. If None, it is in the same file.
    """

    verify: bool = True
    ca_file: Path | None = None
    fingerprint: str | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


def redis_tls(settings: Settings) -> RedisTLS:
    """Return what the settings say about a ``rediss://`` server."""
    return RedisTLS(
        verify=settings.redis_tls_verify,
        ca_file=settings.redis_tls_ca_file,
        fingerprint=settings.redis_tls_fingerprint,
        client_certificate=settings.redis_tls_client_certificate,
        client_key=settings.redis_tls_client_key,
    )


def redis_endpoint(reactor: object, url: RedisURL, tls: RedisTLS | None = None) -> IStreamClientEndpoint:
    """Return the endpoint for a Redis URL. The files of `tls` are read now.

    Args:
        reactor: The reactor to connect with.
        url: The address of Redis.
        tls: Whom to trust. If None, what the defaults of `RedisTLS` say. Of no effect unless the URL is ``rediss://``.

    Raises:
        ConfigError: A file cannot be read, or does not hold what it should.
    """
    if url.path:
        return UNIXClientEndpoint(reactor, url.path, timeout=CONNECT_TIMEOUT_SECONDS)
    plain = NamedHostEndpoint(reactor, url.host, url.port, timeout=CONNECT_TIMEOUT_SECONDS)
    return wrapClientTLS(_client_tls(url.host, tls or RedisTLS()), plain) if url.tls else plain


def _client_tls(host: str, tls: RedisTLS) -> IOpenSSLClientConnectionCreator:
    client = None
    if (path := tls.client_certificate) is not None:
        key_setting = None if tls.client_key is None else "redis_tls_client_key"
        chain, key = read_pair("redis_tls_client_certificate", path, tls.client_key or path, key_setting)
        client = ClientCertificate(key, chain)
    trust = None
    if tls.ca_file is not None:
        found = read_certificates("redis_tls_ca_file", tls.ca_file)
        trust = trustRootFromCertificates([Certificate(crypto.X509.from_cryptography(each)) for each in found])
    try:
        if tls.fingerprint is not None:
            return pinned_tls(host, tls.fingerprint, client)
        return verified_tls(host, trust, client) if tls.verify else unverified_tls(host, client)
    except (SSL.Error, TypeError) as error:
        if path is None:
            raise
        # TypeError: a kind that pyOpenSSL does not accept, such as ML-DSA.
        reasons = openssl_reasons(error) if isinstance(error, SSL.Error) else "its kind is not supported"
        raise file_error("redis_tls_client_certificate", path, f"is rejected by OpenSSL: {reasons}") from None
