"""HMAC with secrets that are checked once.

PyJWT looks with each token whether a secret is a public key by mistake: in PEM, for SSH, in DER (two attempts of
OpenSSL to parse it), or a JWK. That takes longer than the HMAC. Here its answer is remembered. So is the one
about the length.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

__all__ = ["MAX_SECRETS", "PreparedHMAC", "check_secrets_once"]

MAX_SECRETS = 64
"""How many secrets are remembered: those of the operator, and those before them."""


class PreparedHMAC(HMACAlgorithm):
    """PyJWT's HMAC, with a memory for secrets that it has accepted.

    Args:
        hash_alg: As PyJWT's.
    """

    def __init__(self, hash_alg: Any) -> None:
        super().__init__(hash_alg)
        self._prepare = lru_cache(maxsize=MAX_SECRETS)(super().prepare_key)
        self._hash_name: str = hash_alg().name
        self._length = lru_cache(maxsize=MAX_SECRETS)(super().check_key_length)

    def prepare_key(self, key: str | bytes) -> bytes:
        """Return a secret in the form that the other methods take.

        Args:
            key: The secret.

        Raises:
            jwt.InvalidKeyError: It is no secret.
        """
        return self._prepare(key)

    def sign(self, msg: bytes, key: bytes) -> bytes:
        """Return the code of a message, made in one step in place of an object that is fed.

        Args:
            msg: The message.
            key: A secret that `prepare_key` returned.
        """
        return hmac.digest(key, msg, self._hash_name)

    def check_key_length(self, key: bytes) -> str | None:
        """Return what is wrong with the length of a secret.

        Args:
            key: The secret.

        Returns:
            A sentence. If None, it is long enough.
        """
        return self._length(key)


def check_secrets_once(jws: jwt.PyJWS) -> None:
    """Have an object of PyJWT check each secret once.

    Args:
        jws: It verifies signatures.
    """
    for name, hash_alg in (
        ("HS256", HMACAlgorithm.SHA256),
        ("HS384", HMACAlgorithm.SHA384),
        ("HS512", HMACAlgorithm.SHA512),
    ):
        jws.unregister_algorithm(name)
        jws.register_algorithm(name, PreparedHMAC(hash_alg))
