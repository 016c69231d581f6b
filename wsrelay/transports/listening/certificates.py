"""Server certificates: the files they are read from, and the choice of one for a client.

A path is a PEM file with a private key and its certificates, or a directory that holds a pair of files under names that
certbot, Kubernetes or a person would give them, or a directory of such files and directories. A certificate is valid
for the DNS names of its subjectAltName; its common name has been ignored since RFC 9525.

Error texts name files and never show their content: one of the two is a private key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions

from wsrelay.config.pem_files import file_error, read_pair
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.outgoing.tls_problems import openssl_reasons
from wsrelay.transports.listening.tls_policy import TLSPolicy

__all__ = ["Certificates", "ContextSelector", "ServerCertificate", "file_stamps", "load_certificates"]

ContextSelector = Callable[[bytes | None], SSL.Context]
"""Returns the context for the server name that a client asks for. If None, it asks for no name."""

_PAIRS = (("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key"), ("cert.pem", "key.pem"))
"""File names of certificates and private key, as certbot, Kubernetes and people choose them; the first pair found is
used."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate that is sent to clients, without the chain behind it.

    Attributes:
        path: The file that it was read from.
        names: Its DNS names, in lower case, in the order of the certificate.
        begins: The beginning of its validity, in seconds since the epoch.
        expires: The end of its validity, in seconds since the epoch.
    """

    path: Path
    names: tuple[str, ...]
    begins: float
    expires: float


@dataclass(frozen=True, slots=True)
class Certificates:
    """All certificates that were loaded together. A name that two of them share belongs to the first.

    Attributes:
        certificates: The certificates, in the order in which they were read.
        exact: The context of each name.
        wildcard: The context of each wildcard, by the part of the name behind its ``*.``.
        default: The context for clients that ask for no name, or for an unknown one: that of the first certificate.
    """

    certificates: tuple[ServerCertificate, ...]
    exact: Mapping[bytes, SSL.Context]
    wildcard: Mapping[bytes, SSL.Context]
    default: SSL.Context

    @property
    def expires(self) -> float:
        """The earliest end of the validity of one of them, in seconds since the epoch."""
        return min(certificate.expires for certificate in self.certificates)

    @property
    def names(self) -> list[str]:
        """The names that clients can ask for, each once."""
        return list(dict.fromkeys(name for certificate in self.certificates for name in certificate.names))

    def context_for(self, server_name: bytes | None) -> SSL.Context:
        """Return the context for a client.

        Args:
            server_name: The name that the client asks for. If None, it asks for no name.
        """
        name = (server_name or b"").lower()
        if (context := self.exact.get(name)) is not None:
            return context
        # A wildcard stands for one whole label (RFC 9525 section 6.3).
        label, _, rest = name.partition(b".")
        return self.wildcard.get(rest, self.default) if label else self.default


def load_certificates(paths: Iterable[Path], policy: TLSPolicy, select_context: ContextSelector) -> Certificates:
    """Read certificates and private keys. This takes half a millisecond for each certificate.

    Args:
        paths: Files and directories, at least one; the first certificate of the first one is the default.
        policy: The versions and cipher suites to accept.
        select_context: Called in each handshake for the context to continue with.

    Raises:
        ConfigError: A file cannot be used, or no certificate was found; the text names the file.
    """
    certificates: list[ServerCertificate] = []
    contexts: list[SSL.Context] = []
    exact: dict[bytes, SSL.Context] = {}
    wildcard: dict[bytes, SSL.Context] = {}
    paths = list(paths)
    try:
        for chain_path, key_path in [pair for path in paths for pair in _file_pairs(path)]:
            certificate, context = _load_pair(chain_path, key_path, policy, select_context)
            certificates.append(certificate)
            contexts.append(context)
            for name in certificate.names:
                table, key = (wildcard, name[2:]) if name.startswith("*.") else (exact, name)
                table.setdefault(key.encode(), context)
    except OSError as error:
        raise _config_error(error.filename, f"cannot be read: {error.strerror}") from None
    if not contexts:
        raise ConfigError(f"tls_certificates: no certificate found in {', '.join(map(str, paths))}")
    return Certificates(tuple(certificates), exact, wildcard, contexts[0])


def file_stamps(paths: Iterable[Path]) -> object:
    """Return a value that equals an earlier one while no file that `load_certificates` would read has changed.

    Args:
        paths: As for `load_certificates`. Paths that cannot be read are no error.
    """
    return [_path_stamps(path) for path in paths]


def _path_stamps(path: Path) -> object:
    try:
        return [(file, _file_stamp(file)) for file in _candidates(path)]
    except OSError as error:
        return error.errno


def _file_stamp(file: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    # The time of the last status change as well: chmod repairs a file that could not be read.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _candidates(path: Path) -> list[str]:
    if not path.is_dir():
        return [str(path)]
    files, directories = _children(path)
    # Strings: a Path for each of them would cost more than to look at it.
    inside = [f"{directory}/{name}" for directory in (path, *directories) for pair in _PAIRS for name in pair]
    return [*map(str, files), *inside]


def _children(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the PEM files and the directories of a directory. Kubernetes prepares updates in hidden ones."""
    children = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    directories = [child for child in children if child.is_dir()]
    return [child for child in children if child.suffix == ".pem" and child not in directories], directories


def _file_pairs(path: Path) -> list[tuple[Path, Path]]:
    """Return the files to read for a path: pairs of certificates and private key, which may be the same file."""
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


def _load_pair(
    chain_path: Path, key_path: Path, policy: TLSPolicy, select_context: ContextSelector
) -> tuple[ServerCertificate, SSL.Context]:
    chain, key = read_pair("tls_certificates", chain_path, key_path)
    try:
        names = _dns_names(chain[0])
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise _config_error(chain_path, "contains a certificate that cannot be parsed") from None
    begins, expires = chain[0].not_valid_before_utc.timestamp(), chain[0].not_valid_after_utc.timestamp()
    context = _make_context(chain_path, chain, key, policy, select_context)
    return ServerCertificate(chain_path, names, begins, expires), context


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def _make_context(
    path: Path, chain: Sequence[x509.Certificate], key: Any, policy: TLSPolicy, select_context: ContextSelector
) -> SSL.Context:
    # No session tickets. Their keys are made with the context, so they are useless after a deploy, when all clients
    # reconnect, and at another process. A client that reconnects to the same process would save it 0.07 ms of 0.35 with
    # an ECDSA certificate, 0.29 of 0.55 with RSA; the WebSocket handshake costs 0.36 either way. The price: OpenSSL
    # resumes under one name a session that began under another, whatever certificate belongs to it, and never changes
    # the keys, on which the secrecy of all traffic under TLS 1.2 would depend.
    leaf: Any = chain[0]
    rest: Any = chain[1:]
    try:
        return CertificateOptions(
            privateKey=key,
            certificate=leaf,
            extraCertChain=rest,
            raiseMinimumTo=policy.min_version,
            acceptableCiphers=policy.ciphers,
            acceptableProtocols=[b"http/1.1"],
            contextForServerName=select_context,
        ).getContext()
    except TypeError:
        # ML-DSA: cryptography reads it, pyOpenSSL does not accept it.
        raise _config_error(path, "contains a certificate of an unsupported kind") from None
    except SSL.Error as error:
        raise _config_error(path, f"is rejected by OpenSSL: {openssl_reasons(error)}") from None


def _config_error(path: object, problem: str) -> ConfigError:
    return file_error("tls_certificates", path, problem)
