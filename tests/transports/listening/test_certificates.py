"""Tests of wsrelay.transports.listening.certificates: files in, contexts out."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.certificates import CERTBOT, Issuer, chain_of, key_of
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.transports.listening.certificates import Certificates, file_stamps, load_certificates
from wsrelay.transports.listening.tls_policy import TLSPolicy

__all__ = []

KUBERNETES = ("tls.crt", "tls.key")

PLAIN = ("cert.pem", "key.pem")

TOO_LONG = "x" * 300
"""A name that no file can have: a path that root cannot read either, whom permissions do not bind."""


def hosts_of(context: SSL.Context) -> list[str]:
    """Return the DNS names of the certificate of a context."""
    shown = SSL.Connection(context, None).get_certificate(as_cryptography=True)
    assert shown is not None
    found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)


def self_signed(key: Any, *extensions: x509.ExtensionType, public: Any = None) -> bytes:
    """A certificate that select_nothing would issue, and its private key.

    Args:
        key: What signs it.
        *extensions: What is in it.
        public: What it is for, where that is not what signs it.
    """
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, (public or key).public_key(), 1, now, now + timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if type(key).__name__.startswith(("Ed25519", "MLDSA")) else hashes.SHA256()
    shown: bytes = builder.sign(key, algorithm).public_bytes(Encoding.PEM)
    held: bytes = (public or key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return shown + held


def select_nothing(_server_name: bytes | None) -> SSL.Context:
    """Take the place of a context selector where no handshake is made."""
    raise NotImplementedError


class CertificatesCase(SynchronousTestCase):
    """A test with an authority and a folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.issuer = Issuer(self.folder)

    def load(self, *paths: Path, min_version: str = "1.2") -> Certificates:
        """Load certificates from these paths."""
        return load_certificates(paths, TLSPolicy(min_version), select_nothing)

    def error_text(self, *paths: Path) -> str:
        """Return the error about these paths, with short file names and without its prefix."""
        error = self.assertRaises(ConfigError, self.load, *paths)
        start, text = str(error)[:18], str(error)[18:]
        self.assertEqual(start, "tls_certificates: ")
        return text.replace(f"{self.folder}{os.sep}", "")


class PathTests(CertificatesCase):
    """The files that are read."""

    def test_one_file_may_hold_key_and_chain_in_any_order(self) -> None:
        """The first certificate is the one that is sent."""
        leaf = trustme.CA().create_child_ca().issue_cert("a.example")
        first, issuer = (pem.bytes() for pem in leaf.cert_chain_pems)
        note = b"Bag Attributes\n    friendlyName: relay\n"
        for number, blocks in enumerate(
            ((key_of(leaf), first, issuer), (first, issuer, key_of(leaf)), (note, first, key_of(leaf), note, issuer))
        ):
            path = self.issuer.write(f"{number}.pem", *blocks)
            certificates = self.load(path)
            self.assertEqual(hosts_of(certificates.default), ["a.example"])
            self.assertEqual([leaf.path for leaf in certificates.certificates], [path])

    def test_directory_with_a_pair_of_known_names_is_one_certificate(self) -> None:
        for files in (CERTBOT, KUBERNETES, PLAIN):
            path = self.issuer.pair(f"of-{files[0]}", "a.example", files=files)
            self.issuer.write(f"{path.name}/chain.pem", b"no matter")
            certificates = self.load(path)
            self.assertEqual((certificates.names, len(certificates.certificates)), (["a.example"], 1))
            self.assertEqual(certificates.certificates[0].path, path / files[0])

    def test_full_chain_is_used_of_two_pairs_in_one_directory(self) -> None:
        path = self.issuer.pair("both", "short.example", files=PLAIN)
        self.issuer.pair("both", "full.example")
        self.assertEqual(self.load(path).names, ["full.example"])

    def test_other_directory_gives_its_pem_files_then_its_pairs(self) -> None:
        """In the order of their names, and no deeper."""
        self.issuer.pem("b.pem", "b.example")
        self.issuer.pem("a.pem", "a.example")
        self.issuer.pair("d", "d.example", files=KUBERNETES)
        self.issuer.pair("c", "c.example")
        self.issuer.pair("..data", "hidden.example")
        self.issuer.pair("c/deeper", "deeper.example")
        self.issuer.write(".swap.pem", b"hidden")
        self.issuer.write("README", b"This directory contains your keys and certificates.")
        self.issuer.write("half/privkey.pem", b"the other file is not there")
        certificates = self.load(self.folder)
        self.assertEqual(certificates.names, ["a.example", "b.example", "c.example", "d.example"])
        self.assertEqual(hosts_of(certificates.default), ["a.example"])

    def test_links_into_an_archive_are_followed(self) -> None:
        """As certbot makes them: directories of links into an archive, beside a README."""
        for name in ("a.example", "b.example"):
            self.issuer.pair(f"archive/{name}", name)
            live = self.folder / "live" / name
            live.mkdir(parents=True)
            for file in CERTBOT:
                (live / file).symlink_to(Path("../../archive") / name / file)
        self.issuer.write("live/README", b"This directory contains your keys and certificates.")
        self.assertEqual(self.load(self.folder / "live").names, ["a.example", "b.example"])

    def test_default_is_the_first_of_the_first_path(self) -> None:
        """An empty directory is no error if another path has a certificate."""
        (self.folder / "empty").mkdir()
        paths = [self.folder / "empty", self.issuer.pair("z", "z.example"), self.issuer.pem("a.pem", "a.example")]
        certificates = self.load(*paths)
        self.assertEqual(certificates.names, ["z.example", "a.example"])
        self.assertEqual(hosts_of(certificates.default), ["z.example"])

    def test_rsa_ecdsa_and_ed25519_keys_are_supported(self) -> None:
        """So is a private key in the older form with its parameters in front."""
        curve = ec.generate_private_key(ec.SECP256R1())
        older = curve.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        shown = self_signed(curve).partition(b"-----BEGIN PRIVATE KEY")[0]
        self.load(
            self.issuer.write("rsa.pem", self_signed(rsa.generate_private_key(65537, 2048))),
            self.issuer.write("ed25519.pem", self_signed(ed25519.Ed25519PrivateKey.generate())),
            self.issuer.write("older.pem", parameters, older, shown),
        )


class NameTests(CertificatesCase):
    """The choice of a certificate for a name."""

    def chosen(self, certificates: Certificates, name: bytes | None) -> str:
        """Return the first name of the certificate for a name."""
        return hosts_of(certificates.context_for(name))[0]

    def test_exact_name_precedes_wildcard_precedes_default(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificates = self.load(
            self.issuer.pem("1.pem", "default.example"),
            self.issuer.pem("2.pem", "*.wild.example"),
            self.issuer.pem("3.pem", "first.example", "in.wild.example"),
            self.issuer.write("4.pem", self_signed(key, x509.SubjectAlternativeName([x509.DNSName("MiXed.example")]))),
        )
        for name, expected in (
            (b"default.example", "default.example"),
            (b"first.example", "first.example"),
            (b"in.wild.example", "first.example"),
            (b"any.wild.example", "*.wild.example"),
            (b"ANY.Wild.Example", "*.wild.example"),
            (b"mixed.EXAMPLE", "MiXed.example"),
            (b"a.b.wild.example", "default.example"),
            (b"wild.example", "default.example"),
            (b".wild.example", "default.example"),
            (b"unknown.example", "default.example"),
            (b"\xff\0", "default.example"),
            (b"", "default.example"),
            (None, "default.example"),
        ):
            self.assertEqual(self.chosen(certificates, name), expected, name)

    def test_shared_name_belongs_to_the_first_certificate(self) -> None:
        certificates = self.load(
            self.issuer.pem("1.pem", "one.example", "same.example", "*.same.example"),
            self.issuer.pem("2.pem", "two.example", "same.example", "*.same.example"),
        )
        self.assertEqual(self.chosen(certificates, b"same.example"), "one.example")
        self.assertEqual(self.chosen(certificates, b"x.same.example"), "one.example")
        self.assertEqual(certificates.names, ["one.example", "same.example", "*.same.example", "two.example"])

    def test_common_name_is_ignored(self) -> None:
        """Such a certificate may still be the default."""
        path = self.issuer.write("old.pem", self_signed(ec.generate_private_key(ec.SECP256R1())))
        certificates = self.load(path, self.issuer.pem("new.pem", "relay.example"))
        self.assertEqual(certificates.certificates[0].names, ())
        self.assertEqual(self.chosen(certificates, b"relay.example"), "relay.example")
        self.assertIs(certificates.context_for(None), certificates.default)
        self.assertIsNot(certificates.context_for(b"relay.example"), certificates.default)

    def test_name_outside_ascii_is_harmless(self) -> None:
        """No client can ask for it."""
        name = x509.DNSName._init_without_validation("bücher.example")
        data = self_signed(ec.generate_private_key(ec.SECP256R1()), x509.SubjectAlternativeName([name]))
        self.assertEqual(self.load(self.issuer.write("odd.pem", data)).names, ["bücher.example"])

    def test_validity_of_each_and_earliest_end_of_all(self) -> None:
        begins, later = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
        certificates = self.load(
            self.issuer.pem("1.pem", "a.example", not_before=begins, not_after=later + timedelta(days=1)),
            self.issuer.pem("2.pem", "b.example", not_before=begins, not_after=later),
        )
        self.assertEqual(certificates.expires, later.timestamp())
        self.assertEqual(certificates.certificates[0].begins, begins.timestamp())
        self.assertEqual(certificates.certificates[0].expires, (later + timedelta(days=1)).timestamp())


class ErrorTests(CertificatesCase):
    """Files that cannot be used."""

    def setUp(self) -> None:
        super().setUp()
        leaf = self.issuer.authority.issue_cert("a.example")
        self.key, self.chain = key_of(leaf), chain_of(leaf)

    def error_about(self, *blocks: bytes) -> str:
        """Return the error about a file of these blocks."""
        text = self.error_text(self.issuer.write("x.pem", *blocks))
        for line in b"".join(blocks).decode("ascii", "replace").split("\n"):
            self.assertFalse(len(line) > 8 and line in text, "what is in the file is select_nothing's business")
        return text

    def test_missing_file_is_named_also_behind_a_link(self) -> None:
        self.assertEqual(self.error_text(self.folder / "x.pem"), "x.pem cannot be read: No such file or directory")
        (self.folder / "link.pem").symlink_to("nowhere")
        self.assertEqual(self.error_text(self.folder), "link.pem cannot be read: No such file or directory")

    def test_unreadable_path_is_named_with_the_reason(self) -> None:
        loop = self.folder / "loop.pem"
        loop.symlink_to("loop.pem")
        self.assertEqual(self.error_text(loop), "loop.pem cannot be read: Too many levels of symbolic links")
        text = self.error_text(self.folder / TOO_LONG)
        self.assertEqual(text, f"{TOO_LONG} cannot be read: File name too long")

    def test_no_certificate_names_the_paths(self) -> None:
        (self.folder / "a").mkdir()
        (self.folder / "b").mkdir()
        self.assertEqual(self.error_text(self.folder / "a", self.folder / "b"), "no certificate found in a, b")

    def test_missing_key_or_certificate_is_named(self) -> None:
        self.assertEqual(self.error_about(self.chain), "x.pem contains no private key")
        self.assertEqual(self.error_about(self.key), "x.pem contains no certificate")
        self.assertEqual(self.error_about(b"nonsense \xff\n"), "x.pem contains no certificate")
        pair = self.issuer.pair("pair", "a.example")
        self.issuer.write("pair/privkey.pem", b"")
        self.assertEqual(self.error_text(pair), "pair/privkey.pem contains no private key")
        self.issuer.write("pair/fullchain.pem", b"")
        self.assertEqual(self.error_text(pair), "pair/fullchain.pem contains no certificate")

    def test_half_a_pair_is_read_as_any_other_directory(self) -> None:
        pair = self.issuer.pair("pair", "a.example")
        (pair / "fullchain.pem").unlink()
        self.assertEqual(self.error_text(pair), "pair/privkey.pem contains no certificate")

    def test_garbage_and_truncated_files_are_malformed(self) -> None:
        for chain in (self.chain[:200], self.chain.replace(b"\n", b"\nAAAA", 1), self.chain[:300] + self.chain):
            self.assertEqual(self.error_about(self.key, chain), "x.pem contains a malformed certificate")
        for key in (self.key[:100], self.key.replace(b"\n", b"\nAAAA", 1)):
            self.assertEqual(self.error_about(self.chain, key), "x.pem contains a malformed private key")

    def test_encrypted_key_is_rejected_in_both_forms(self) -> None:
        key = load_pem_private_key(self.key, None)
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            data = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"password"))
            self.assertEqual(
                self.error_about(self.chain, data),
                "x.pem contains an encrypted private key: store it without a password",
            )

    def test_key_of_another_certificate_is_rejected_with_both_files(self) -> None:
        other = key_of(self.issuer.authority.issue_cert("b.example"))
        text = "contains a private key that does not belong to the first certificate of"
        self.assertEqual(self.error_about(self.chain, other), f"x.pem {text} x.pem")
        pair = self.issuer.pair("pair", "a.example")
        self.issuer.write("pair/privkey.pem", other)
        self.assertEqual(self.error_text(pair), f"pair/privkey.pem {text} pair/fullchain.pem")

    def test_certificate_with_unreadable_names_is_rejected(self) -> None:
        rubbish = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"rubbish")
        data = self_signed(ec.generate_private_key(ec.SECP256R1()), rubbish)
        self.assertEqual(self.error_about(data), "x.pem contains a certificate that cannot be parsed")

    def test_openssl_errors_are_passed_on(self) -> None:
        weak = self_signed(rsa.generate_private_key(65537, 1024))
        self.assertEqual(self.error_about(weak), "x.pem is rejected by OpenSSL: ee key too small")
        other = self_signed(ec.generate_private_key(ec.SECP256R1()), public=x25519.X25519PrivateKey.generate())
        self.assertEqual(self.error_about(other), "x.pem is rejected by OpenSSL: unknown certificate type")

    def test_kind_unknown_to_pyopenssl_is_unsupported(self) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import mldsa
        except ImportError:
            self.skipTest("cryptography does not know ML-DSA")
        data = self_signed(mldsa.MLDSA65PrivateKey.generate())
        self.assertEqual(self.error_about(data), "x.pem contains a certificate of an unsupported kind")


class FileStampTests(CertificatesCase):
    """Changes of files."""

    def changes(self, *paths: Path) -> bool:
        """Return whether something has changed since the last call."""
        before, self.seen = getattr(self, "seen", None), file_stamps(paths)
        return self.seen != before

    def test_reading_and_unrelated_files_change_nothing(self) -> None:
        self.issuer.pair("a", "a.example")
        path = self.issuer.pem("b.pem", "b.example")
        self.changes(self.folder, path)
        self.assertFalse(self.changes(self.folder, path))
        self.load(self.folder)
        self.issuer.write("README", b"hello")
        self.issuer.write("a/chain.pem", b"hello")
        self.assertFalse(self.changes(self.folder, path))

    def test_written_replaced_permitted_or_removed_file_has_changed(self) -> None:
        """So has a link to it."""
        path = self.issuer.write("x.pem", b"one")
        link = self.folder / "link"
        link.symlink_to("x.pem")
        for watched in (path, link):
            self.changes(watched)
            self.issuer.write("x.pem", b"longer")
            self.assertTrue(self.changes(watched))
            times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
            other = self.issuer.write("other", b"equals")
            os.utime(other, ns=times)
            other.rename(path)
            self.assertTrue(self.changes(watched))
            # The kernel's clock for files has ticks of some milliseconds.
            before = path.stat().st_ctime_ns
            while path.stat().st_ctime_ns == before:
                path.chmod(0o600)
            self.assertTrue(self.changes(watched))
            path.unlink()
            self.assertTrue(self.changes(watched))
            self.issuer.write("x.pem", b"again")
            self.assertTrue(self.changes(watched))

    def test_added_or_removed_entry_changes_its_directory(self) -> None:
        self.changes(self.folder)
        self.issuer.pem("a.pem", "a.example")
        self.assertTrue(self.changes(self.folder))
        pair = self.issuer.pair("pair", "b.example")
        self.assertTrue(self.changes(self.folder))
        (pair / "privkey.pem").unlink()
        self.assertTrue(self.changes(self.folder))
        (pair / "fullchain.pem").unlink()
        pair.rmdir()
        self.assertTrue(self.changes(self.folder))

    def test_unreadable_path_is_stable(self) -> None:
        self.changes(self.folder / TOO_LONG)
        self.assertFalse(self.changes(self.folder / TOO_LONG))
        self.assertTrue(self.changes(self.folder))
