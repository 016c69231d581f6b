"""Tokens: valid ones, and forged ones that no relay may accept."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "claims",
    "encode",
    "now",
    "private_key",
    "public_jwk",
    "public_pem",
    "raw",
    "signed",
    "signed_by_secret",
]

AUDIENCE = "relay"
ISSUER = "https://issuer.example"


@cache
def private_key(_name: str) -> RSAPrivateKey:
    """Return the key of a name, always the same one. Relays trust that of the name "issuer"."""
    return generate_private_key(65537, 2048)


def public_pem(name: str = "issuer") -> str:
    """Return the public half of a key as PEM."""
    return private_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_jwk(kid: str, name: str = "issuer") -> dict[str, Any]:
    """Return the public half of a key as in a JWK Set."""
    return {**RSAAlgorithm.to_jwk(private_key(name).public_key(), as_dict=True), "kid": kid, "use": "sig"}


def now() -> float:
    """Return the time in seconds since the epoch."""
    return datetime.now(UTC).timestamp()


def claims(**more: Any) -> dict[str, Any]:
    """Return valid claims with some replaced; None removes one."""
    good = {"sub": "42", "exp": int(now()) + 300, "aud": AUDIENCE, "iss": ISSUER, "channels": ["room:*"]}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def signed(*, key: str = "issuer", headers: Mapping[str, Any] | None = None, **more: Any) -> str:
    """Return a token signed with a key that relays trust, or with another one."""
    return jwt.encode(claims(**more), private_key(key), "RS256", dict(headers or {}))


def raw(header: Mapping[str, Any], payload: Mapping[str, Any], signature: bytes = b"") -> str:
    """Return a token of any parts: libraries refuse to make some of them."""
    return ".".join((encode(json.dumps(header).encode()), encode(json.dumps(payload).encode()), encode(signature)))


def signed_by_secret(secret: bytes, header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """Return a token with an HMAC, also by bytes that libraries refuse as a secret."""
    unsigned = raw(header, payload).removesuffix(".")
    return f"{unsigned}.{encode(hmac.digest(secret, unsigned.encode(), sha256))}"


def encode(data: bytes) -> str:
    """Return bytes in Base64 as in tokens (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).decode().rstrip("=")
