"""An authority and what it issues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme

__all__ = ["CERTBOT", "Issuer", "chain_of", "key_of"]

CERTBOT = ("fullchain.pem", "privkey.pem")


class Issuer:
    """An authority, and the folder for what it issues.

    Args:
        folder: Where files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()

    def write(self, name: str, *blocks: bytes) -> Path:
        """A file of these blocks."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(blocks))
        return path

    def pem(self, name: str, *hosts: str, **dates: Any) -> Path:
        """One file for these hosts."""
        leaf = self.authority.issue_cert(*hosts, **dates)
        return self.write(name, key_of(leaf), chain_of(leaf))

    def pair(self, name: str, *hosts: str, files: tuple[str, str] = CERTBOT) -> Path:
        """A directory with a pair of files for these hosts."""
        leaf = self.authority.issue_cert(*hosts)
        self.write(f"{name}/{files[0]}", chain_of(leaf))
        self.write(f"{name}/{files[1]}", key_of(leaf))
        return self.folder / name


def key_of(leaf: trustme.LeafCert) -> bytes:
    """The private key of what was issued."""
    return leaf.private_key_pem.bytes()


def chain_of(leaf: trustme.LeafCert) -> bytes:
    """The certificates of what was issued."""
    return b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
