"""Tests of `wsrelay.auth.keys`."""

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

from wsrelay.auth.keys import ALGORITHMS, ASYMMETRIC, FixedKeys, Key, make_public_key, matching_keys, read_keys
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["EC", "ED", "OTHER_RSA", "RSA", "RSA_ALGORITHMS", "SECRET", "pem"]

SECRET = "0123456789abcdef" * 4
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def pem(key: PublicKeyTypes) -> str:
    """Return the PEM form of a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: PrivateKeyTypes, form: PrivateFormat) -> str:
    """Return a PEM form of a private key."""
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


class SecretTests(SynchronousTestCase):
    """HMAC secrets."""

    def test_secret_fits_the_hashes_that_are_no_longer_than_itself(self) -> None:
        for length, algorithms in (
            (32, {"HS256"}),
            (47, {"HS256"}),
            (48, {"HS256", "HS384"}),
            (63, {"HS256", "HS384"}),
            (64, {"HS256", "HS384", "HS512"}),
        ):
            (key,) = read_keys("x" * length)
            self.assertEqual((key.kid, key.algorithms, key.material), (None, algorithms, b"x" * length))

    def test_length_counts_bytes_even_of_invalid_unicode(self) -> None:
        (key,) = read_keys("ä" * 16)
        self.assertEqual(key.material, "ä".encode() * 16)
        (key,) = read_keys("\udcff" * 32)
        self.assertEqual(key.material, b"\xff" * 32)

    def test_one_short_secret_is_rejected_and_not_repeated(self) -> None:
        for text in ("x" * 31, f"{SECRET},{'x' * 31}", f"two words {SECRET}"):
            with self.assertRaisesRegex(ConfigError, "at least 32 bytes") as caught:
                read_keys(text)
            self.assertNotIn("xxx", str(caught.exception))

    def test_commas_and_white_space_separate_secrets(self) -> None:
        keys = read_keys(f" {'a' * 32},{'b' * 32}\n{'c' * 32} , {'d' * 32}\t")
        self.assertEqual([key.material for key in keys], [letter * 32 for letter in (b"a", b"b", b"c", b"d")])

    def test_text_without_a_key_is_rejected(self) -> None:
        for text in ("", "  ", ",\n,"):
            with self.assertRaisesRegex(ConfigError, "there is no key in it"):
                read_keys(text)

    def test_public_key_without_begin_and_end_lines_is_rejected(self) -> None:
        """It would be a secret that anybody may know."""
        spki = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        body = "\n".join(pem(RSA.public_key()).splitlines()[1:-1])
        certificate = "".join(trustme.CA().cert_pem.bytes().decode().splitlines()[1:-1])
        for text in (base64.b64encode(spki).decode(), body, certificate, f"{SECRET} {base64.b64encode(spki).decode()}"):
            with self.assertRaisesRegex(ConfigError, "BEGIN and END"):
                read_keys(text)

    def test_repr_hides_the_material(self) -> None:
        self.assertNotIn("01234567", repr(read_keys(SECRET)))


class PublicTests(SynchronousTestCase):
    """Public keys."""

    def test_each_kind_of_key_has_its_own_algorithms_and_none_of_hmac(self) -> None:
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

    def test_key_that_signs_no_tokens_is_rejected(self) -> None:
        for key in (
            dsa.generate_private_key(2048).public_key(),
            ec.generate_private_key(ec.SECP224R1()).public_key(),
            x25519.X25519PrivateKey.generate().public_key(),
        ):
            with self.assertRaisesRegex(ConfigError, "a public key is RSA"):
                read_keys(pem(key))

    def test_rsa_key_below_2048_bits_is_rejected(self) -> None:
        with self.assertRaisesRegex(ConfigError, "at least 2048 bits"):
            read_keys(pem(rsa.generate_private_key(65537, 1024).public_key()))

    def test_several_blocks_are_several_keys_in_their_order(self) -> None:
        texts = [pem(RSA.public_key()), pem(EC.public_key()), pem(ED.public_key())]
        for separator in ("", "\n\n", ",", "\r\n "):
            keys = read_keys(separator.join(texts))
            self.assertEqual([key.material for key in keys], [RSA.public_key(), EC.public_key(), ED.public_key()])

    def test_both_pem_forms_and_escaped_line_breaks_are_read(self) -> None:
        pkcs1 = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
        for text in (pkcs1, pkcs1.replace("\n", "\\n"), pkcs1.replace("\n", "\r\n"), pkcs1.replace("\n", " ")):
            (key,) = read_keys(text)
            self.assertEqual(key.material, RSA.public_key())

    def test_key_of_an_expired_certificate_is_read(self) -> None:
        ended = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        certificate = (
            CertificateBuilder(Name([]), Name([]), EC.public_key(), random_serial_number(), ended, ended)
            .sign(EC, SHA256())
            .public_bytes(Encoding.PEM)
            .decode()
        )
        (key,) = read_keys(certificate)
        self.assertEqual((key.algorithms, key.material), ({"ES256"}, EC.public_key()))

    def test_private_key_is_rejected_with_advice_and_not_repeated(self) -> None:
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

    def test_comments_around_blocks_are_ignored(self) -> None:
        """In any encoding, and what openssl -text writes."""
        block = pem(RSA.public_key())
        for text in (
            f"# Főtanúsítvány\n{block}",
            f"\ufeff# {'x' * 60}\n{block}",
            f"# Zertifikat f\udcfcr\n{block}",
            f"Public-Key: (2048 bit)\nModulus:\n    00:{'c3:' * 14}\nExponent: 65537 (0x10001)\n{block}",
            f"{block}\n# old\n{block}",
            block.replace("\n", "\r\n"),
        ):
            self.assertTrue(all(key.algorithms == RSA_ALGORITHMS for key in read_keys(text)), text[:20])

    def test_secret_beside_blocks_is_rejected(self) -> None:
        """It would be taken for a comment, and nobody would notice."""
        block = pem(RSA.public_key())
        for text in (f"{SECRET}\n{block}", f"{block},{SECRET}", f"{block}\n{SECRET},x"):
            with self.assertRaisesRegex(ConfigError, "no comment"):
                read_keys(text)

    def test_damaged_block_is_rejected_and_not_repeated(self) -> None:
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
    def test_any_text_is_keys_or_a_config_error(self, text: str) -> None:
        for whole in (text, f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----"):
            try:
                keys = read_keys(whole)
            except ConfigError:
                continue
            self.assertTrue(keys)


class MatchingKeysTests(SynchronousTestCase):
    """The keys with which a token may be signed."""

    def setUp(self) -> None:
        self.a = make_public_key(RSA.public_key(), "a")
        self.b = make_public_key(EC.public_key(), "b")
        self.unnamed = make_public_key(OTHER_RSA.public_key())
        self.secret = read_keys(SECRET)[0]

    def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that are found among the four."""
        keys = FixedKeys([self.a, self.b, self.unnamed, self.secret])
        return self.successResultOf(keys.find(kid, algorithm))

    def test_key_id_finds_its_key_and_keys_without_an_id(self) -> None:
        self.assertEqual(self.find("a", "RS256"), [self.a, self.unnamed])
        self.assertEqual(self.find("b", "ES256"), [self.b])

    def test_token_without_a_key_id_matches_every_key_of_its_algorithm(self) -> None:
        self.assertEqual(self.find(None, "RS256"), [self.a, self.unnamed])
        self.assertEqual(self.find(None, "HS256"), [self.secret])

    def test_key_is_never_found_for_another_kind_of_algorithm(self) -> None:
        self.assertEqual(self.find("a", "ES256"), [])
        self.assertEqual(self.find("a", "none"), [])
        self.assertEqual(matching_keys([self.a], "a", "HS256"), [])

    def test_unknown_key_id_finds_keys_without_an_id_only(self) -> None:
        for kid in ("c", "", "../../dev/null", "a\0"):
            self.assertEqual(self.find(kid, "RS256"), [self.unnamed])
            self.assertEqual(self.find(kid, "ES256"), [])
