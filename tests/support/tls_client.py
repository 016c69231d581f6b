"""A TLS client without a socket, which can also send what no library sends."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

__all__ = ["KEY_UPDATE", "MemoryTLSClient"]

KEY_UPDATE = b"\x18\x00\x00\x01\x01"
"""The message of the TLS handshake that changes the sender's keys and asks for new ones (RFC 8446 section 4.6.3)."""

_HANDSHAKE = b"\x16"


class MemoryTLSClient:
    """A TLS client without a socket, on Python's own TLS.

    Args:
        authority: The authority that it trusts.
        secrets: The file for its secrets.
        version: The only version that it speaks.

    Attributes:
        tls: Its connection.
    """

    def __init__(self, authority: trustme.CA, secrets: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        self._secrets = secrets
        secrets.unlink(missing_ok=True)
        context.keylog_filename = str(secrets)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="a.example")
        self._forged = 0

    def handshake(self) -> bytes:
        """Go on with the handshake, and return what is to be sent for it."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    def encrypt(self, data: bytes) -> bytes:
        """Return the records of a message."""
        self.tls.write(data)
        return self._out.read()

    def close(self) -> bytes:
        """Return the record that announces the end."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    def receive(self, data: bytes) -> None:
        """Take bytes that the server sent."""
        self._in.write(data)

    def decrypt(self, data: bytes) -> bytes:
        """Return the bytes in records, without those of a record that is not complete. None follow after the end."""
        self.receive(data)
        found = b""
        try:
            while more := self.tls.read(65536):
                found += more
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return found

    def forge(self, message: bytes) -> bytes:
        """Return a record with a piece of a handshake message. Only in TLS 1.3, and for a client that wrote nothing."""
        (secret,) = (
            bytes.fromhex(line.split()[2])
            for line in self._secrets.read_text().splitlines()
            if line.startswith("CLIENT_TRAFFIC_SECRET_0 ")
        )
        sequence, self._forged = self._forged, self._forged + 1
        nonce = int.from_bytes(_expand(secret, b"iv", 12)) ^ sequence
        inner = message + _HANDSHAKE
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2)
        return head + AESGCM(_expand(secret, b"key", 32)).encrypt(nonce.to_bytes(12), inner, head)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 section 7.1), with the hash of TLS_AES_256_GCM_SHA384."""
    label = b"tls13 " + label
    info = length.to_bytes(2) + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(SHA384(), length, info).derive(secret)
