"""Certificates with names that trustme does not issue, as public reports show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

__all__ = ["ODD_NAMES", "names", "odd_certificate", "pem"]

ODD_NAMES = (
    "DNS:*.internal",
    "DNS:*",
    "DNS:*.com",
    "DNS:*.*.example.com",
    "DNS:a.*.example.com",
    "DNS:f*.example.com",
    "DNS:192.0.2.1",
    "DNS:redis_cache",
    "DNS:*.redis_cache.internal",
    "DNS:ab--x",
    "URI:spiffe://cluster.local/ns/default/sa/other",
    "URI:redis://*",
    "email:ops@other.example",
)
"""Names that service-identity cannot read, or that name no host; none of them is that of a server in a test."""


def names(*texts: str) -> list[x509.GeneralName]:
    """Return subjectAltName entries for texts such as ``DNS:example.org`` and ``IP:192.0.2.1``."""
    kinds: dict[str, Callable[[str], x509.GeneralName]] = {
        "DNS": x509.DNSName,
        "URI": x509.UniformResourceIdentifier,
        "email": x509.RFC822Name,
    }
    found: list[x509.GeneralName] = []
    for text in texts:
        kind, _, value = text.partition(":")
        found.append(x509.IPAddress(ip_address(value)) if kind == "IP" else kinds[kind](value))
    return found


def odd_certificate(
    authority: trustme.CA, subject_names: Sequence[str]
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Issue a certificate with these subjectAltName entries, or without the extension if there are none."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    issuer_key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other.example")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if subject_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names(*subject_names)), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()), key


def pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return private key and certificate in one PEM text."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
