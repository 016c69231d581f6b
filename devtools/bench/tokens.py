"""The cost of verifying a token: `python -m devtools.bench.tokens`."""

from __future__ import annotations

import time
from functools import partial
from timeit import repeat
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wsrelay.auth.keys import FixedKeys, read_keys
from wsrelay.auth.tokens import TokenVerifier

__all__ = ["main"]

SECRET = "s" * 40
CHECKS = 500


def _public(key: Any) -> str:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def main() -> None:
    """Print a line for each algorithm: microseconds of the fastest of five rounds."""
    keys: dict[str, Any] = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    for algorithm, key in {"HS256": SECRET, **keys}.items():
        known = FixedKeys(read_keys(key if isinstance(key, str) else _public(key)))
        verifier = TokenVerifier(known, algorithms=None, audience=None, issuer=None, leeway_seconds=0.0, now=time.time)
        token = jwt.encode({"sub": "42", "channels": ["room:*"], "exp": time.time() + 600}, key, algorithm)
        fastest = min(repeat(partial(verifier.verify, token), number=CHECKS, repeat=5))
        print(f"{algorithm}  {fastest / CHECKS * 1e6:4.0f} us")


if __name__ == "__main__":
    main()
