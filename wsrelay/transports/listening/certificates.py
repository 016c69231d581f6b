"""Server certificates: where they lie, and which of them a client gets.

A path is a PEM file with a private key and its certificates, or a directory that holds a pair of files under names that
certbot, Kubernetes or a person would give them, or a directory of such files and directories. A certificate is for the
DNS names of its subjectAltName; its common name has counted for nothing since RFC 9525.

The texts of errors name files and never show what is in them: one of the two is a private key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions, TLSVersion

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["Certificates", "ChooseContext", "Leaf", "load_certificates", "look_at"]

ChooseContext = Callable[[bytes | None], SSL.Context]
"""Gives the context for the server name that a client asks for. None: it asks for no name."""

_PAIRS = (("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key"), ("cert.pem", "key.pem"))
"""Certificates and private key, as certbot, Kubernetes and people call them; the first pair that is there counts."""

_MINIMA = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}

_KEY_BEGINS = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_CERTIFICATE_BEGINS = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate that is shown to clients.

    Attributes:
        path: The file it comes from.
        names: Its DNS names, in lower case, in its own order.
        begins: From when on it is valid, in seconds since the epoch.
        expires: Until when it is valid, in seconds since the epoch.
    """

    path: Path
    names: tuple[str, ...]
    begins: float
    expires: float


@dataclass(frozen=True, slots=True)
class Certificates:
    """All certificates of one moment. A name that two of them have belongs to the first.

    Attributes:
        leaves: What was loaded, in order.
        exact: The context of each name.
        wildcard: The context of each wildcard, by what stands behind its ``*.``.
        default: The context for clients that ask for no name, or for one that nobody has: the first one's.
    """

    leaves: tuple[Leaf, ...]
    exact: Mapping[bytes, SSL.Context]
    wildcard: Mapping[bytes, SSL.Context]
    default: SSL.Context

    @property
    def expires(self) -> float:
        """When the first of them ceases to be valid, in seconds since the epoch."""
        return min(leaf.expires for leaf in self.leaves)

    @property
    def names(self) -> list[str]:
        """The names that clients can ask for, each once."""
        return list(dict.fromkeys(name for leaf in self.leaves for name in leaf.names))

    def context_for(self, server_name: bytes | None) -> SSL.Context:
        """The context for the name that a client asks for. None: it asks for no name."""
        name = (server_name or b"").lower()
        if (context := self.exact.get(name)) is not None:
            return context
        # A wildcard stands for one whole label (RFC 9525 section 6.3).
        label, _, rest = name.partition(b".")
        return self.wildcard.get(rest, self.default) if label else self.default


def load_certificates(paths: Iterable[Path], minimum: str, choose: ChooseContext) -> Certificates:
    """Read certificates and private keys.

    It takes half a millisecond for each certificate.

    Args:
        paths: Files and directories, at least one; the first certificate of the first one is the default.
        minimum: The lowest version of TLS that is spoken: "1.2" or "1.3".
        choose: Asked in each handshake for the context to go on with.

    Raises:
        ConfigError: One of them cannot be used, or there is none at all; the text names the file.
    """
    leaves: list[Leaf] = []
    contexts: list[SSL.Context] = []
    exact: dict[bytes, SSL.Context] = {}
    wildcard: dict[bytes, SSL.Context] = {}
    paths = list(paths)
    try:
        for chain_path, key_path in [pair for path in paths for pair in _pairs(path)]:
            leaf, context = _load(chain_path, key_path, minimum, choose)
            leaves.append(leaf)
            contexts.append(context)
            for name in leaf.names:
                table, key = (wildcard, name[2:]) if name.startswith("*.") else (exact, name)
                table.setdefault(key.encode(), context)
    except OSError as error:
        raise _complaint(error.filename, f"cannot be read: {error.strerror}") from None
    if not contexts:
        raise ConfigError(f"tls_certificates: there is no certificate in {', '.join(map(str, paths))}")
    return Certificates(tuple(leaves), exact, wildcard, contexts[0])


def look_at(paths: Iterable[Path]) -> object:
    """What the file system says about every file that `load_certificates` would read: equal while nothing changes."""
    return [_look_at(path) for path in paths]


def _look_at(path: Path) -> object:
    try:
        return [(file, _stamp(file)) for file in _candidates(path)]
    except OSError as error:
        return error.errno


def _stamp(file: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    # The time of the last change as well: a file that could not be read is mended by chmod.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _candidates(path: Path) -> list[str]:
    if not path.is_dir():
        return [str(path)]
    files, directories = _children(path)
    # Strings: a Path for each of them would cost more than to look at it.
    inside = [f"{directory}/{name}" for directory in (path, *directories) for pair in _PAIRS for name in pair]
    return [*map(str, files), *inside]


def _children(path: Path) -> tuple[list[Path], list[Path]]:
    """The PEM files and the directories in a directory, without what is hidden: Kubernetes has its workshop there."""
    children = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    directories = [child for child in children if child.is_dir()]
    return [child for child in children if child.suffix == ".pem" and child not in directories], directories


def _pairs(path: Path) -> list[tuple[Path, Path]]:
    """The files to read for a path: certificates and private key, which may be the same one."""
    if not path.is_dir():
        return [(path, path)]
    if (pair := _known_pair(path)) is not None:
        return [pair]
    files, directories = _children(path)
    found = [_known_pair(directory) for directory in directories]
    return [*((file, file) for file in files), *(pair for pair in found if pair is not None)]


def _known_pair(directory: Path) -> tuple[Path, Path] | None:
    for chain, key in _PAIRS:
        if (directory / chain).exists() and (directory / key).exists():
            return directory / chain, directory / key
    return None


def _load(chain_path: Path, key_path: Path, minimum: str, choose: ChooseContext) -> tuple[Leaf, SSL.Context]:
    chain = _chain(chain_path)
    key = _key(key_path)
    try:
        belongs = chain[0].public_key() == key.public_key()
        names = _names(chain[0])
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise _complaint(chain_path, "holds a certificate that cannot be understood") from None
    if not belongs:
        raise _complaint(key_path, f"holds a private key that does not belong to the first certificate of {chain_path}")
    begins, expires = chain[0].not_valid_before_utc.timestamp(), chain[0].not_valid_after_utc.timestamp()
    return Leaf(chain_path, names, begins, expires), _context(chain_path, chain, key, minimum, choose)


def _chain(path: Path) -> list[x509.Certificate]:
    data = path.read_bytes()
    if _CERTIFICATE_BEGINS not in data:
        raise _complaint(path, "holds no certificate")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise _complaint(path, "holds a malformed certificate") from None


def _key(path: Path) -> PrivateKeyTypes:
    data = path.read_bytes()
    begin = _KEY_BEGINS.search(data)
    if begin is None:
        raise _complaint(path, "holds no private key")
    try:
        return load_pem_private_key(data[begin.start() :], password=None)
    except TypeError:
        raise _complaint(path, "holds an encrypted private key: nobody is there to be asked for its password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _complaint(path, "holds a malformed private key") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def _context(
    path: Path, chain: Sequence[x509.Certificate], key: Any, minimum: str, choose: ChooseContext
) -> SSL.Context:
    # No session tickets. Their keys are made with the context, so they are worth nothing after a deploy, when everybody
    # comes at once, nor at another process. Who does come back to the same one would save it 0.07 ms of 0.35 with an
    # ECDSA certificate, 0.29 of 0.55 with RSA; the handshake of the WebSocket costs 0.36 either way. The price: OpenSSL
    # resumes under one name what was begun under another, whatever certificate belongs to it, and never changes the
    # keys, on which the secrecy of all that was said under TLS 1.2 would hang.
    leaf: Any = chain[0]
    rest: Any = chain[1:]
    try:
        return CertificateOptions(
            privateKey=key,
            certificate=leaf,
            extraCertChain=rest,
            raiseMinimumTo=_MINIMA[minimum],
            acceptableProtocols=[b"http/1.1"],
            contextForServerName=choose,
        ).getContext()
    except TypeError:
        # ML-DSA: cryptography reads it, pyOpenSSL does not take it.
        raise _complaint(path, "holds a certificate of a kind that is not supported") from None
    except SSL.Error as error:
        reasons = ", ".join(entry[-1] for entry in error.args[0])
        raise _complaint(path, f"holds what OpenSSL refuses: {reasons}") from None


def _complaint(path: object, what: str) -> ConfigError:
    return ConfigError(f"tls_certificates: {path} {what}")
