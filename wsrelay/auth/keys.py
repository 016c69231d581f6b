"""Keys that verify tokens, each for the algorithms of its kind and no others.

A token never chooses its algorithm alone (RFC 8725 section 3.1): for one that names HS256, a public key, which anybody
may know, is never used as a secret.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import InvalidVersion, load_der_x509_certificate, load_pem_x509_certificate
from twisted.internet.defer import Deferred, succeed

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.pem import PEMBlock, read_pem

__all__ = ["ALGORITHMS", "ASYMMETRIC", "FixedKeys", "Key", "Keys", "make_public_key", "matching_keys", "read_keys"]

# RFC 7518 section 3.2: a secret is at least as long as the hash.
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_RSA_BITS = 2048  # RFC 7518 sections 3.3 and 3.5
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}

ASYMMETRIC = frozenset({*_RSA, *_CURVES.values(), "EdDSA"})
"""The algorithms with public keys."""

ALGORITHMS = frozenset({*_SECRET_BYTES, *ASYMMETRIC})
"""Every supported algorithm (RFC 7518 section 3.1, RFC 8037, RFC 8812)."""

Material: TypeAlias = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey


@dataclass(frozen=True, slots=True)
class Key:
    """A key that verifies tokens.

    Attributes:
        kid: Its key ID (RFC 7515 section 4.1.4). If None, it matches tokens of any key ID.
        algorithms: The algorithms that it may be used with.
        material: The secret, or the public key.
    """

    kid: str | None
    algorithms: frozenset[str]
    material: Material = field(repr=False)


class Keys(Protocol):
    """A source of keys."""

    def find(self, kid: str | None, algorithm: str) -> Deferred[list[Key]]:
        """Find the keys with which a token may be signed.

        Args:
            kid: The key ID in the token. If None, it has none.
            algorithm: The algorithm in the token. Every key that is found may be used with it.

        Returns:
            Fires with the keys, an empty list if there is none.

        Raises:
            RejectedError: (Failure of the Deferred, with `ClientError.NOT_CHECKED`.) The keys are not known now.
        """


class FixedKeys:
    """Keys that the operator configured.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Verify tokens with these keys from now on, and no others."""
        self._keys = tuple(keys)

    def find(self, kid: str | None, algorithm: str) -> Deferred[list[Key]]:
        """See `Keys.find`. The Deferred has fired already."""
        return succeed(matching_keys(self._keys, kid, algorithm))


def matching_keys(keys: Iterable[Key], kid: str | None, algorithm: str) -> list[Key]:
    """Return those of the keys with which a token may be signed, in their order. See `Keys.find` for the arguments."""
    return [key for key in keys if algorithm in key.algorithms and (key.kid is None or kid is None or key.kid == kid)]


def make_public_key(material: object, kid: str | None = None) -> Key:
    """Make a key of a public key of `cryptography`.

    Raises:
        ConfigError: Its kind or size is not accepted.
    """
    if isinstance(material, RSAPublicKey):
        if material.key_size < _RSA_BITS:
            raise ConfigError(f"an RSA key has at least {_RSA_BITS} bits")
        return Key(kid, _RSA, material)
    if isinstance(material, EllipticCurvePublicKey) and material.curve.name in _CURVES:
        return Key(kid, frozenset({_CURVES[material.curve.name]}), material)
    if isinstance(material, (Ed25519PublicKey, Ed448PublicKey)):
        return Key(kid, frozenset({"EdDSA"}), material)
    raise ConfigError("a public key is RSA, EC on P-256, P-384, P-521 or secp256k1, Ed25519 or Ed448")


def read_keys(text: str) -> tuple[Key, ...]:
    """Read keys that the operator configured.

    Of a certificate only the key counts, neither its dates nor its issuer: the operator vouches for it.

    Args:
        text: PEM public keys or certificates, or secrets separated by commas or white space.

    Returns:
        The keys, at least one, in their order.

    Raises:
        ConfigError: There is none, or one cannot be used. The error never repeats the text.
    """
    if "-----BEGIN" in text:
        return _read_pem(text)
    words = text.replace(",", " ").split()
    if not words:
        raise ConfigError("there is no key in it")
    if any(map(_is_der, [*words, "".join(words)])):
        raise ConfigError("a public key needs its BEGIN and END lines: without them it would be used as a secret")
    return tuple(map(_make_secret, words))


def _make_secret(word: str) -> Key:
    material = word.encode("utf-8", "surrogateescape")
    algorithms = frozenset(name for name, minimum in _SECRET_BYTES.items() if len(material) >= minimum)
    if not algorithms:
        raise ConfigError(
            f"a secret has at least {min(_SECRET_BYTES.values())} bytes, without commas and spaces in it; "
            "a good one: openssl rand -base64 48"
        )
    return Key(None, algorithms, material)


def _is_der(text: str) -> bool:
    for load in (load_der_public_key, load_der_x509_certificate):
        try:
            load(b64decode(text, validate=True))
        except (ValueError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _read_pem(text: str) -> tuple[Key, ...]:
    # Many environments cannot hold line breaks, and hold the two characters \\n instead.
    text = text.replace("\\n", "\n")
    if "PRIVATE KEY-----" in text:
        raise ConfigError(
            "this is a private key, which nobody but the issuer of tokens should have: give the public one "
            "(openssl pkey -in private.pem -pubout)"
        )
    found = read_pem(text.encode("utf-8", "surrogateescape"))
    if b"-----" in found.rest or any(map(_may_be_secret, found.rest.splitlines())):
        raise ConfigError("there is text outside the PEM blocks that is no comment: give public keys, or secrets")
    return tuple(map(_read_block, found.blocks))


def _may_be_secret(line: bytes) -> bool:
    """Return whether a line outside of the PEM blocks is more than a comment, or what openssl says about a key.

    Nobody is to believe that a secret is in use while it is taken for a comment.
    """
    words = [] if line.lstrip(b"\xef\xbb\xbf").startswith(b"#") else line.replace(b",", b" ").split()
    return any(len(word) >= min(_SECRET_BYTES.values()) and b":" not in word for word in words)


def _read_block(block: PEMBlock) -> Key:
    try:
        if block.label == "CERTIFICATE":
            return make_public_key(load_pem_x509_certificate(block.data).public_key())
        return make_public_key(load_pem_public_key(block.data))
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        raise ConfigError("a PEM block is no public key or certificate, or is damaged") from None
