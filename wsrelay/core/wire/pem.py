"""PEM text (RFC 7468) as editors, shells, openssl and bundles write it."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass

__all__ = ["PEMBlock", "PEMText", "read_pem"]

# A block without an END line ends where the next one begins, and cannot be decoded then.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?(?:-----END \1-----|(?=-----BEGIN)|\Z)", re.DOTALL)

# RFC 7468 section 5.1: parsers may take the old label for the new one.
_OLD_LABELS = {b"X509 CERTIFICATE": b"CERTIFICATE"}


@dataclass(frozen=True, slots=True)
class PEMBlock:
    """One block.

    Attributes:
        label: What it holds, such as ``CERTIFICATE``.
        data: The block with its BEGIN and END lines. One that is cut short has no END line.
    """

    label: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PEMText:
    """All blocks of a text.

    Attributes:
        blocks: The blocks, in their order.
        rest: What stands outside of them, in any encoding.
    """

    blocks: tuple[PEMBlock, ...]
    rest: bytes

    def labelled(self, label: str) -> list[bytes]:
        """Return the blocks that hold one kind of thing."""
        return [block.data for block in self.blocks if block.label == label]


def read_pem(data: bytes) -> PEMText:
    """Find the blocks of a text. What stands around them is explanatory (RFC 7468 section 2), in any encoding.

    Never raises. The content of the blocks is not decoded.

    Args:
        data: The text. A byte order mark and line ends of any kind are accepted, and UTF-16 with its mark, which
            PowerShell writes.
    """
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("utf-8")
    blocks = []
    for match in _BLOCK.finditer(data):
        old = match[1]
        label = _OLD_LABELS.get(old, old)
        blocks.append(PEMBlock(label.decode("ascii"), match[0].replace(b" %s-----" % old, b" %s-----" % label)))
    return PEMText(tuple(blocks), _BLOCK.sub(b"", data))
