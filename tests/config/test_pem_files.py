"""Tests of `wsrelay.config.pem_files`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from ssl import DER_cert_to_PEM_cert

import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config.pem_files import read_certificates, read_pair
from wsrelay.core.outcomes.errors import ConfigError


def of_version_10(pem: bytes) -> bytes:
    """Return a certificate that has an unknown version."""
    der = load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return DER_cert_to_PEM_cert(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)).encode()


class PEMFileTests(SynchronousTestCase):
    """Certificates and private keys among whatever else is in their files."""

    issued = trustme.CA().issue_cert("a.example")
    chain = issued.cert_chain_pems[0].bytes()
    key = issued.private_key_pem.bytes()

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, data: bytes) -> Path:
        path = self.folder / "x.pem"
        path.write_bytes(data)
        return path

    def test_text_around_blocks_counts_for_nothing(self) -> None:
        for before, after in (
            ("# Főtanúsítvány\n".encode(), b""),
            (b"", "# für Müller\n".encode("latin-1")),
            (b"\xef\xbb\xbf", b""),
            (b"Certificate:\n    Data:\n", b"\n\n"),
        ):
            path = self.write(before + self.key + after + before + self.chain + after)
            chain, key = read_pair("setting", path, path)
            self.assertEqual((len(chain), key.public_key()), (1, chain[0].public_key()))
        path = self.write((self.chain + self.key).replace(b"\n", b"\r\n"))
        self.assertEqual(len(read_pair("setting", path, path)[0]), 1)
        path = self.write(self.chain.decode().encode("utf-16"))
        self.assertEqual(len(read_certificates("setting", path)), 1)

    def test_error_names_setting_and_file_and_shows_no_content(self) -> None:
        other = trustme.CA().issue_cert("b.example").private_key_pem.bytes()
        for data, problem in (
            (b"", "contains no certificate"),
            (self.key, "contains no certificate"),
            (self.chain[:200] + self.key, "contains a malformed certificate"),
            (of_version_10(self.chain), "contains a malformed certificate"),
            (self.chain, "contains no private key"),
            (self.chain + self.key[:100], "contains a malformed private key"),
            (self.chain + other, "contains a private key that does not belong to the first certificate of"),
        ):
            path = self.write(data)
            with self.assertRaises(ConfigError) as caught:
                read_pair("setting", path, path)
            self.assertTrue(str(caught.exception).startswith(f"setting: {path} {problem}"), caught.exception)
        with self.assertRaises(ConfigError) as caught:
            read_pair("setting", self.write(self.chain), self.folder / "missing", "other_setting")
        self.assertEqual(
            str(caught.exception), f"other_setting: {self.folder / 'missing'} cannot be read: No such file or directory"
        )
