"""Keys: what is one, and what it may be used with."""

from __future__ import annotations

import base64
import datetime

import trustme
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import CertificateBuilder, Name, random_serial_number
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.auth.keys import ALGORITHMS, ASYMMETRIC, FixedKeys, Key, fitting, public_key, read_keys
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["EC", "ED", "OTHER_RSA", "RSA", "RSA_ALGORITHMS", "SECRET", "pem"]

SECRET = "0123456789abcdef" * 4
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def pem(key: PublicKeyTypes) -> str:
    """A public key as PEM has it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: PrivateKeyTypes, form: PrivateFormat) -> str:
    """A private key as PEM has it."""
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


class SecretTests(SynchronousTestCase):
    """Secrets for HMAC."""

    def test_length(self) -> None:
        """A secret is good for the hashes that are no longer than it is."""
        for length, algorithms in (
            (32, {"HS256"}),
            (47, {"HS256"}),
            (48, {"HS256", "HS384"}),
            (63, {"HS256", "HS384"}),
            (64, {"HS256", "HS384", "HS512"}),
        ):
            (key,) = read_keys("x" * length)
            self.assertEqual((key.kid, key.algorithms, key.material), (None, algorithms, b"x" * length))

    def test_bytes_count(self) -> None:
        """The length of a secret is that of its bytes, of those too that are no Unicode."""
        (key,) = read_keys("ä" * 16)
        self.assertEqual(key.material, "ä".encode() * 16)
        (key,) = read_keys("\udcff" * 32)
        self.assertEqual(key.material, b"\xff" * 32)

    def test_too_short(self) -> None:
        """One secret that is too short is refused, however long the others are, and never repeated."""
        for text in ("x" * 31, f"{SECRET},{'x' * 31}", f"two words {SECRET}"):
            with self.assertRaisesRegex(ConfigError, "at least 32 bytes") as caught:
                read_keys(text)
            self.assertNotIn("xxx", str(caught.exception))

    def test_several(self) -> None:
        """Commas and white space separate secrets."""
        keys = read_keys(f" {'a' * 32},{'b' * 32}\n{'c' * 32} , {'d' * 32}\t")
        self.assertEqual([key.material for key in keys], [letter * 32 for letter in (b"a", b"b", b"c", b"d")])

    def test_none(self) -> None:
        """No key at all is refused."""
        for text in ("", "  ", ",\n,"):
            with self.assertRaisesRegex(ConfigError, "there is no key in it"):
                read_keys(text)

    def test_unarmoured(self) -> None:
        """A public key or certificate without its BEGIN and END lines is not taken for a secret that all know."""
        spki = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        body = "\n".join(pem(RSA.public_key()).splitlines()[1:-1])
        certificate = "".join(trustme.CA().cert_pem.bytes().decode().splitlines()[1:-1])
        for text in (base64.b64encode(spki).decode(), body, certificate, f"{SECRET} {base64.b64encode(spki).decode()}"):
            with self.assertRaisesRegex(ConfigError, "BEGIN and END"):
                read_keys(text)

    def test_unseen(self) -> None:
        """The repr of a key does not show it."""
        self.assertNotIn("01234567", repr(read_keys(SECRET)))


class PublicTests(SynchronousTestCase):
    """Public keys."""

    def test_kinds(self) -> None:
        """Each kind of key is good for its own algorithms, and for none of HMAC's."""
        for key, algorithms in (
            (RSA.public_key(), RSA_ALGORITHMS),
            (EC.public_key(), {"ES256"}),
            (ec.generate_private_key(ec.SECP384R1()).public_key(), {"ES384"}),
            (ec.generate_private_key(ec.SECP521R1()).public_key(), {"ES512"}),
            (ec.generate_private_key(ec.SECP256K1()).public_key(), {"ES256K"}),
            (ED.public_key(), {"EdDSA"}),
            (ed448.Ed448PrivateKey.generate().public_key(), {"EdDSA"}),
        ):
            (read,) = read_keys(pem(key))
            self.assertEqual((read.kid, read.algorithms, read.material), (None, algorithms, key))
            self.assertLessEqual(read.algorithms, ASYMMETRIC)
        self.assertEqual(ALGORITHMS - ASYMMETRIC, {"HS256", "HS384", "HS512"})

    def test_other_kinds(self) -> None:
        """A key that signs no tokens is refused."""
        for key in (
            dsa.generate_private_key(2048).public_key(),
            ec.generate_private_key(ec.SECP224R1()).public_key(),
            x25519.X25519PrivateKey.generate().public_key(),
        ):
            with self.assertRaisesRegex(ConfigError, "a public key is RSA"):
                read_keys(pem(key))

    def test_small(self) -> None:
        """An RSA key below 2048 bits is refused."""
        with self.assertRaisesRegex(ConfigError, "at least 2048 bits"):
            read_keys(pem(rsa.generate_private_key(65537, 1024).public_key()))

    def test_several(self) -> None:
        """Several blocks are several keys, in their order, whatever stands between them."""
        texts = [pem(RSA.public_key()), pem(EC.public_key()), pem(ED.public_key())]
        for separator in ("", "\n\n", ",", "\r\n "):
            keys = read_keys(separator.join(texts))
            self.assertEqual([key.material for key in keys], [RSA.public_key(), EC.public_key(), ED.public_key()])

    def test_forms(self) -> None:
        """Both PEM forms of an RSA key are read, and line breaks as environments have them."""
        pkcs1 = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
        for text in (pkcs1, pkcs1.replace("\n", "\\n"), pkcs1.replace("\n", "\r\n"), pkcs1.replace("\n", " ")):
            (key,) = read_keys(text)
            self.assertEqual(key.material, RSA.public_key())

    def test_certificate(self) -> None:
        """Of a certificate the key counts, even if it ended long ago."""
        ended = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        certificate = (
            CertificateBuilder(Name([]), Name([]), EC.public_key(), random_serial_number(), ended, ended)
            .sign(EC, SHA256())
            .public_bytes(Encoding.PEM)
            .decode()
        )
        (key,) = read_keys(certificate)
        self.assertEqual((key.algorithms, key.material), ({"ES256"}, EC.public_key()))

    def test_private(self) -> None:
        """A private key is refused in each of its forms, with what to give instead, and never repeated."""
        for text in (
            private_pem(RSA, PrivateFormat.PKCS8),
            private_pem(RSA, PrivateFormat.TraditionalOpenSSL),
            private_pem(EC, PrivateFormat.TraditionalOpenSSL),
            private_pem(ED, PrivateFormat.OpenSSH),
            pem(RSA.public_key()) + private_pem(EC, PrivateFormat.PKCS8),
        ):
            with self.assertRaisesRegex(ConfigError, "give the public one") as caught:
                read_keys(text)
            self.assertNotIn(text.splitlines()[1], str(caught.exception))

    def test_damaged(self) -> None:
        """A block that cannot be read, has no end, or is something else is refused, and never repeated."""
        whole = pem(RSA.public_key())
        lines = whole.splitlines()
        for text in (
            "\n".join(lines[:-1]),
            "\n".join(lines[:3] + lines[4:]),
            whole.replace("PUBLIC KEY", "CERTIFICATE"),
            whole.replace("PUBLIC KEY", "EC PARAMETERS"),
            whole + SECRET,
            whole + "-----BEGIN",
            "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nä\udcff\n-----END PUBLIC KEY-----",
        ):
            with self.assertRaises(ConfigError) as caught:
                read_keys(text)
            self.assertNotIn(lines[2][:8], str(caught.exception))

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Whatever an operator gives is keys or an error to read."""
        for whole in (text, f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----"):
            try:
                keys = read_keys(whole)
            except ConfigError:
                continue
            self.assertTrue(keys)


class FittingTests(SynchronousTestCase):
    """Which keys a token may be signed with."""

    def setUp(self) -> None:
        self.a = public_key(RSA.public_key(), "a")
        self.b = public_key(EC.public_key(), "b")
        self.unnamed = public_key(OTHER_RSA.public_key())
        self.secret = read_keys(SECRET)[0]

    def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """What is found among them."""
        keys = FixedKeys([self.a, self.b, self.unnamed, self.secret])
        return self.successResultOf(keys.find(kid, algorithm))

    def test_named(self) -> None:
        """A key that a token names is found, and those that have no name."""
        self.assertEqual(self.find("a", "RS256"), [self.a, self.unnamed])
        self.assertEqual(self.find("b", "ES256"), [self.b])

    def test_unnamed(self) -> None:
        """A token that names none may be signed with each that fits its algorithm."""
        self.assertEqual(self.find(None, "RS256"), [self.a, self.unnamed])
        self.assertEqual(self.find(None, "HS256"), [self.secret])

    def test_not_fitting(self) -> None:
        """A key is never found for the algorithm of another kind."""
        self.assertEqual(self.find("a", "ES256"), [])
        self.assertEqual(self.find("a", "none"), [])
        self.assertEqual(fitting([self.a], "a", "HS256"), [])

    def test_unknown(self) -> None:
        """A name that no key has, not even one that looks like a path, finds those without a name."""
        for kid in ("c", "", "../../dev/null", "a\0"):
            self.assertEqual(self.find(kid, "RS256"), [self.unnamed])
            self.assertEqual(self.find(kid, "ES256"), [])
