"""Tests of wsrelay.auth.prepared_secrets."""

from __future__ import annotations

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import HMACAlgorithm
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.auth.prepared_secrets import PreparedHMAC, check_secrets_once

PUBLIC = ed25519.Ed25519PrivateKey.generate().public_key()
NO_SECRETS = (
    b"",
    PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    b'{"kty":"oct","k":"c2VjcmV0"}',
)


class PreparedSecretsTests(SynchronousTestCase):
    """Secrets, and what is none."""

    def test_secret_is_checked_once(self) -> None:
        checked: list[bytes] = []
        ordinary = HMACAlgorithm.prepare_key

        def check(algorithm: HMACAlgorithm, key: bytes) -> bytes:
            checked.append(key)
            return ordinary(algorithm, key)

        self.patch(HMACAlgorithm, "prepare_key", check)
        algorithm = PreparedHMAC(HMACAlgorithm.SHA256)
        for _ in range(3):
            self.assertEqual(algorithm.prepare_key(b"s" * 40), b"s" * 40)
        self.assertEqual(checked, [b"s" * 40])

    def test_what_is_no_secret_is_rejected_each_time(self) -> None:
        algorithm = PreparedHMAC(HMACAlgorithm.SHA256)
        for key in NO_SECRETS:
            for _ in range(2):
                self.assertRaises(jwt.InvalidKeyError, algorithm.prepare_key, key)

    def test_length_of_a_secret_is_judged_once_and_as_before(self) -> None:
        algorithm, ordinary = PreparedHMAC(HMACAlgorithm.SHA256), HMACAlgorithm(HMACAlgorithm.SHA256)
        for key in (b"s" * 31, b"s" * 32):
            for _ in range(2):
                self.assertEqual(algorithm.check_key_length(key), ordinary.check_key_length(key))
        self.assertIsNone(algorithm.check_key_length(b"s" * 32))

    def test_tokens_are_decoded_by_it(self) -> None:
        jws = jwt.PyJWS()
        check_secrets_once(jws)
        for name in ("HS256", "HS384", "HS512"):
            self.assertIsInstance(jws.get_algorithm_by_name(name), PreparedHMAC)
            self.assertNotIsInstance(jwt.get_algorithm_by_name(name), PreparedHMAC)
            token = jwt.encode({"sub": "42"}, "s" * 64, name)
            self.assertEqual(jws.decode(token, "s" * 64, [name]), b'{"sub":"42"}')
            self.assertRaises(jwt.InvalidSignatureError, jws.decode, token, "t" * 64, [name])
