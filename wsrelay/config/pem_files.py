"""The PEM files that settings name: certificates and private keys.

Error texts name files and never show their content, which may be a private key.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from wsrelay.config.files import read_file
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.pem import PEMText, read_pem

__all__ = ["file_error", "read_certificates", "read_pair"]


def file_error(setting: str, path: object, problem: str) -> ConfigError:
    """Return the error about a file.

    Args:
        setting: The setting that names the file.
        path: The file.
        problem: What is wrong, as the end of a sentence that begins with the file.
    """
    return ConfigError(f"{setting}: {path} {problem}")


def read_certificates(setting: str, path: Path) -> list[x509.Certificate]:
    """Read the certificates of a file, at least one, in their order. What else is in it counts for nothing.

    Args:
        setting: The setting that names the file.
        path: The file.

    Raises:
        ConfigError: The file cannot be read, or holds no certificate or a malformed one.
    """
    found = _read(setting, path).labelled("CERTIFICATE")
    if not found:
        raise file_error(setting, path, "contains no certificate")
    try:
        return [x509.load_pem_x509_certificate(block) for block in found]
    except (ValueError, x509.InvalidVersion):
        raise file_error(setting, path, "contains a malformed certificate") from None


def read_pair(
    setting: str, chain_path: Path, key_path: Path, key_setting: str | None = None
) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
    """Read a certificate with those of its issuers, and its private key.

    Args:
        setting: The setting that names the first file.
        chain_path: The file of the certificates, the own one first.
        key_path: The file of the private key, which may be the same.
        key_setting: The setting that names the second file. If None, the first one does.

    Raises:
        ConfigError: A file cannot be used, or the private key belongs to another certificate.
    """
    chain = read_certificates(setting, chain_path)
    key = _read_key(key_setting or setting, key_path)
    try:
        belongs = chain[0].public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise file_error(setting, chain_path, "contains a certificate that cannot be parsed") from None
    if not belongs:
        problem = f"contains a private key that does not belong to the first certificate of {chain_path}"
        raise file_error(key_setting or setting, key_path, problem)
    return chain, key


def _read(setting: str, path: Path) -> PEMText:
    try:
        return read_pem(read_file(path))
    except OSError as error:
        raise file_error(setting, path, f"cannot be read: {error.strerror}") from None


def _read_key(setting: str, path: Path) -> PrivateKeyTypes:
    blocks = [block for block in _read(setting, path).blocks if block.label.endswith("PRIVATE KEY")]
    if not blocks:
        raise file_error(setting, path, "contains no private key")
    try:
        return load_pem_private_key(blocks[0].data, password=None)
    except TypeError:
        raise file_error(setting, path, "contains an encrypted private key: store it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise file_error(setting, path, "contains a malformed private key") from None
