"""A certificate authority and the files that it issues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme

__all__ = ["CERTBOT", "Issuer", "chain_of", "key_of"]

CERTBOT = ("fullchain.pem", "privkey.pem")


class Issuer:
    """A certificate authority that writes what it issues to a folder.

    Args:
        folder: Where files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()

    def write(self, name: str, *blocks: bytes) -> Path:
        """Write a file of PEM blocks and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(blocks))
        return path

    def pem(self, name: str, *hosts: str, **dates: Any) -> Path:
        """Issue a certificate for hosts, write it and its key to one file, and return the path."""
        leaf = self.authority.issue_cert(*hosts, **dates)
        return self.write(name, key_of(leaf), chain_of(leaf))

    def pair(self, name: str, *hosts: str, files: tuple[str, str] = CERTBOT) -> Path:
        """Issue a certificate for hosts, write it and its key to two files, and return their directory."""
        leaf = self.authority.issue_cert(*hosts)
        self.write(f"{name}/{files[0]}", chain_of(leaf))
        self.write(f"{name}/{files[1]}", key_of(leaf))
        return self.folder / name


def key_of(leaf: trustme.LeafCert) -> bytes:
    """Return the private key of a certificate as PEM."""
    return leaf.private_key_pem.bytes()


def chain_of(leaf: trustme.LeafCert) -> bytes:
    """Return a certificate and its chain as PEM."""
    return b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
