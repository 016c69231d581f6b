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
from wsrelay.transports.listening.certificates import Certificates, load_certificates, look_at

__all__ = []

KUBERNETES = ("tls.crt", "tls.key")

PLAIN = ("cert.pem", "key.pem")

TOO_LONG = "x" * 300
"""A name that no file can have: what cannot be read, also for root, to whom permissions are nothing."""


def hosts_of(context: SSL.Context) -> list[str]:
    """Whom the certificate of a context is for."""
    shown = SSL.Connection(context, None).get_certificate(as_cryptography=True)
    assert shown is not None
    found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)


def self_signed(key: Any, *extensions: x509.ExtensionType, public: Any = None) -> bytes:
    """A certificate that nobody would issue, and its private key.

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


def nobody(_server_name: bytes | None) -> SSL.Context:
    """Chooses nothing, for no hand is shaken here."""
    raise NotImplementedError


class CertificatesCase(SynchronousTestCase):
    """With an authority and a folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.issuer = Issuer(self.folder)

    def load(self, *paths: Path, minimum: str = "1.2") -> Certificates:
        """What is loaded from these paths."""
        return load_certificates(paths, minimum, nobody)

    def complaint(self, *paths: Path) -> str:
        """What is said about these paths, without the setting that it begins with and with short names of files."""
        error = self.assertRaises(ConfigError, self.load, *paths)
        start, text = str(error)[:18], str(error)[18:]
        self.assertEqual(start, "tls_certificates: ")
        return text.replace(f"{self.folder}{os.sep}", "")


class PathTests(CertificatesCase):
    """Where certificates lie."""

    def test_file(self) -> None:
        """In one file private key and chain may stand in any order; the first certificate is the one that is shown."""
        leaf = trustme.CA().create_child_ca().issue_cert("a.example")
        first, issuer = (pem.bytes() for pem in leaf.cert_chain_pems)
        note = b"Bag Attributes\n    friendlyName: relay\n"
        for number, blocks in enumerate(
            ((key_of(leaf), first, issuer), (first, issuer, key_of(leaf)), (note, first, key_of(leaf), note, issuer))
        ):
            path = self.issuer.write(f"{number}.pem", *blocks)
            certificates = self.load(path)
            self.assertEqual(hosts_of(certificates.default), ["a.example"])
            self.assertEqual([leaf.path for leaf in certificates.leaves], [path])

    def test_pairs(self) -> None:
        """A directory with two files of known names is one certificate, whatever else lies in it."""
        for files in (CERTBOT, KUBERNETES, PLAIN):
            path = self.issuer.pair(f"of-{files[0]}", "a.example", files=files)
            self.issuer.write(f"{path.name}/chain.pem", b"no matter")
            certificates = self.load(path)
            self.assertEqual((certificates.names, len(certificates.leaves)), (["a.example"], 1))
            self.assertEqual(certificates.leaves[0].path, path / files[0])

    def test_two_pairs(self) -> None:
        """Of two pairs in one directory the full chain counts."""
        path = self.issuer.pair("both", "short.example", files=PLAIN)
        self.issuer.pair("both", "full.example")
        self.assertEqual(self.load(path).names, ["full.example"])

    def test_directory(self) -> None:
        """Any other directory gives its PEM files in order, then its directories that hold a pair; no more."""
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

    def test_links(self) -> None:
        """As certbot has them: directories of links into an archive, beside a README."""
        for name in ("a.example", "b.example"):
            self.issuer.pair(f"archive/{name}", name)
            live = self.folder / "live" / name
            live.mkdir(parents=True)
            for file in CERTBOT:
                (live / file).symlink_to(Path("../../archive") / name / file)
        self.issuer.write("live/README", b"This directory contains your keys and certificates.")
        self.assertEqual(self.load(self.folder / "live").names, ["a.example", "b.example"])

    def test_several_paths(self) -> None:
        """The default is the first of the first path; a directory in which nothing lies yet is no mistake."""
        (self.folder / "empty").mkdir()
        paths = [self.folder / "empty", self.issuer.pair("z", "z.example"), self.issuer.pem("a.pem", "a.example")]
        certificates = self.load(*paths)
        self.assertEqual(certificates.names, ["z.example", "a.example"])
        self.assertEqual(hosts_of(certificates.default), ["z.example"])

    def test_kinds_of_keys(self) -> None:
        """RSA, ECDSA and Ed25519 serve, and a private key in the older form with its parameters in front."""
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
    """Which certificate for which name."""

    def chosen(self, certificates: Certificates, name: bytes | None) -> str:
        """The first host of the certificate for a name."""
        return hosts_of(certificates.context_for(name))[0]

    def test_names(self) -> None:
        """A name gets its own certificate, else that of a wildcard for its one first label, else the default."""
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

    def test_first_counts(self) -> None:
        """A name in two certificates belongs to the first of them, and is told once."""
        certificates = self.load(
            self.issuer.pem("1.pem", "one.example", "same.example", "*.same.example"),
            self.issuer.pem("2.pem", "two.example", "same.example", "*.same.example"),
        )
        self.assertEqual(self.chosen(certificates, b"same.example"), "one.example")
        self.assertEqual(self.chosen(certificates, b"x.same.example"), "one.example")
        self.assertEqual(certificates.names, ["one.example", "same.example", "*.same.example", "two.example"])

    def test_common_name(self) -> None:
        """A certificate without alternative names is for nobody who asks by name, but may be the default."""
        path = self.issuer.write("old.pem", self_signed(ec.generate_private_key(ec.SECP256R1())))
        certificates = self.load(path, self.issuer.pem("new.pem", "relay.example"))
        self.assertEqual(certificates.leaves[0].names, ())
        self.assertEqual(self.chosen(certificates, b"relay.example"), "relay.example")
        self.assertIs(certificates.context_for(None), certificates.default)
        self.assertIsNot(certificates.context_for(b"relay.example"), certificates.default)

    def test_foreign_letters(self) -> None:
        """A name that is no ASCII, which no client can ask for, harms nobody."""
        name = x509.DNSName._init_without_validation("bücher.example")
        data = self_signed(ec.generate_private_key(ec.SECP256R1()), x509.SubjectAlternativeName([name]))
        self.assertEqual(self.load(self.issuer.write("odd.pem", data)).names, ["bücher.example"])

    def test_dates(self) -> None:
        """Each certificate tells from when to when it is valid, and all together when the first of them ends."""
        begins, later = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
        certificates = self.load(
            self.issuer.pem("1.pem", "a.example", not_before=begins, not_after=later + timedelta(days=1)),
            self.issuer.pem("2.pem", "b.example", not_before=begins, not_after=later),
        )
        self.assertEqual(certificates.expires, later.timestamp())
        self.assertEqual(certificates.leaves[0].begins, begins.timestamp())
        self.assertEqual(certificates.leaves[0].expires, (later + timedelta(days=1)).timestamp())


class MistakeTests(CertificatesCase):
    """What cannot be used, and what is said about it."""

    def setUp(self) -> None:
        super().setUp()
        leaf = self.issuer.authority.issue_cert("a.example")
        self.key, self.chain = key_of(leaf), chain_of(leaf)

    def about(self, *blocks: bytes) -> str:
        """What is said about a file of these blocks."""
        text = self.complaint(self.issuer.write("x.pem", *blocks))
        for line in b"".join(blocks).decode("ascii", "replace").split("\n"):
            self.assertFalse(len(line) > 8 and line in text, "what is in the file is nobody's business")
        return text

    def test_missing(self) -> None:
        """What is not there is said not to be, be it a path of the settings or where a link leads."""
        self.assertEqual(self.complaint(self.folder / "x.pem"), "x.pem cannot be read: No such file or directory")
        (self.folder / "link.pem").symlink_to("nowhere")
        self.assertEqual(self.complaint(self.folder), "link.pem cannot be read: No such file or directory")

    def test_unreadable(self) -> None:
        """What cannot be read says why, be it a file or a directory."""
        loop = self.folder / "loop.pem"
        loop.symlink_to("loop.pem")
        self.assertEqual(self.complaint(loop), "loop.pem cannot be read: Too many levels of symbolic links")
        text = self.complaint(self.folder / TOO_LONG)
        self.assertEqual(text, f"{TOO_LONG} cannot be read: File name too long")

    def test_nothing(self) -> None:
        """No certificate at all is said to be none, with where it was looked for."""
        (self.folder / "a").mkdir()
        (self.folder / "b").mkdir()
        self.assertEqual(self.complaint(self.folder / "a", self.folder / "b"), "there is no certificate in a, b")

    def test_halves(self) -> None:
        """A file without the one or the other says which; so does a file of a pair."""
        self.assertEqual(self.about(self.chain), "x.pem holds no private key")
        self.assertEqual(self.about(self.key), "x.pem holds no certificate")
        self.assertEqual(self.about(b"nonsense \xff\n"), "x.pem holds no certificate")
        pair = self.issuer.pair("pair", "a.example")
        self.issuer.write("pair/privkey.pem", b"")
        self.assertEqual(self.complaint(pair), "pair/privkey.pem holds no private key")
        self.issuer.write("pair/fullchain.pem", b"")
        self.assertEqual(self.complaint(pair), "pair/fullchain.pem holds no certificate")

    def test_only_one_file_of_a_pair(self) -> None:
        """A directory with one file of a pair is looked at as any other, and the file says what it lacks."""
        pair = self.issuer.pair("pair", "a.example")
        (pair / "fullchain.pem").unlink()
        self.assertEqual(self.complaint(pair), "pair/privkey.pem holds no certificate")

    def test_malformed(self) -> None:
        """Rubbish and a file that was cut off are malformed, which of the two halves they may concern."""
        for chain in (self.chain[:200], self.chain.replace(b"\n", b"\nAAAA", 1), self.chain[:300] + self.chain):
            self.assertEqual(self.about(self.key, chain), "x.pem holds a malformed certificate")
        for key in (self.key[:100], self.key.replace(b"\n", b"\nAAAA", 1)):
            self.assertEqual(self.about(self.chain, key), "x.pem holds a malformed private key")

    def test_encrypted(self) -> None:
        """A private key with a password is said to be encrypted, in the newer form and in the older one."""
        key = load_pem_private_key(self.key, None)
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            data = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"password"))
            self.assertEqual(
                self.about(self.chain, data),
                "x.pem holds an encrypted private key: nobody is there to be asked for its password",
            )

    def test_strangers(self) -> None:
        """A private key of another certificate is said to be one, with both files."""
        other = key_of(self.issuer.authority.issue_cert("b.example"))
        text = "holds a private key that does not belong to the first certificate of"
        self.assertEqual(self.about(self.chain, other), f"x.pem {text} x.pem")
        pair = self.issuer.pair("pair", "a.example")
        self.issuer.write("pair/privkey.pem", other)
        self.assertEqual(self.complaint(pair), f"pair/privkey.pem {text} pair/fullchain.pem")

    def test_odd(self) -> None:
        """A certificate of which the names cannot be read is said not to be understood."""
        rubbish = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"rubbish")
        data = self_signed(ec.generate_private_key(ec.SECP256R1()), rubbish)
        self.assertEqual(self.about(data), "x.pem holds a certificate that cannot be understood")

    def test_refused(self) -> None:
        """What OpenSSL does not serve with is said in its own words."""
        weak = self_signed(rsa.generate_private_key(65537, 1024))
        self.assertEqual(self.about(weak), "x.pem holds what OpenSSL refuses: ee key too small")
        other = self_signed(ec.generate_private_key(ec.SECP256R1()), public=x25519.X25519PrivateKey.generate())
        self.assertEqual(self.about(other), "x.pem holds what OpenSSL refuses: unknown certificate type")

    def test_newer_than_pyopenssl(self) -> None:
        """A kind of certificate that only one of the two libraries knows is said not to be supported."""
        try:
            from cryptography.hazmat.primitives.asymmetric import mldsa
        except ImportError:
            self.skipTest("cryptography does not know ML-DSA")
        data = self_signed(mldsa.MLDSA65PrivateKey.generate())
        self.assertEqual(self.about(data), "x.pem holds a certificate of a kind that is not supported")


class LookTests(CertificatesCase):
    """What the file system says."""

    def changes(self, *paths: Path) -> bool:
        """Whether something has changed since the last time this was asked."""
        before, self.seen = getattr(self, "seen", None), look_at(paths)
        return self.seen != before

    def test_quiet(self) -> None:
        """What is read, and what lies beside it without being read, changes nothing."""
        self.issuer.pair("a", "a.example")
        path = self.issuer.pem("b.pem", "b.example")
        self.changes(self.folder, path)
        self.assertFalse(self.changes(self.folder, path))
        self.load(self.folder)
        self.issuer.write("README", b"hello")
        self.issuer.write("a/chain.pem", b"hello")
        self.assertFalse(self.changes(self.folder, path))

    def test_file(self) -> None:
        """A file that is written, replaced by one of the same size, allowed, or removed has changed; so with links."""
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

    def test_directory(self) -> None:
        """A file or a directory that comes or goes is a change of the directory that it is in."""
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

    def test_unreadable(self) -> None:
        """A path that the file system refuses to say anything about is the same until it does."""
        self.changes(self.folder / TOO_LONG)
        self.assertFalse(self.changes(self.folder / TOO_LONG))
        self.assertTrue(self.changes(self.folder))
