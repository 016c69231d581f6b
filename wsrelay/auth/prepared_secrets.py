"""HMAC with secrets that are checked once.

PyJWT looks with each token whether a secret is a public key by mistake: in PEM, for SSH, in DER (two attempts of
OpenSSL to parse it), or a JWK. That takes longer than the HMAC. Here its answer is remembered.
"""

from __future__ import annotations

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

    def prepare_key(self, key: str | bytes) -> bytes:
        """Return a secret in the form that the other methods take.

        Args:
            key: The secret.

        Raises:
            jwt.InvalidKeyError: It is no secret.
        """
        return self._prepare(key)


def check_secrets_once() -> None:
    """Have `jwt.decode` check each secret once. Calling it again forgets them, and changes nothing else."""
    for name, hash_alg in (
        ("HS256", HMACAlgorithm.SHA256),
        ("HS384", HMACAlgorithm.SHA384),
        ("HS512", HMACAlgorithm.SHA512),
    ):
        jwt.unregister_algorithm(name)
        jwt.register_algorithm(name, PreparedHMAC(hash_alg))
