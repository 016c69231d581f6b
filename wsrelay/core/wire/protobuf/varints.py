"""Varints: whole numbers as seven bits a byte, the lowest first, with the high bit set where more bytes follow."""

from __future__ import annotations

__all__ = ["MASK_32", "MASK_64", "MAX_SHORT_BYTES", "read_varint", "signed", "write_varint"]

MASK_32 = 2**32 - 1
MASK_64 = 2**64 - 1

_MAX_BYTES = 10
"""Ten times seven bits hold 64. Google's reader drops those beyond them, and so does this one."""

MAX_SHORT_BYTES = 5
"""The largest size of tags and lengths, which have 32 bits."""

_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))
"""Most are this small, and made once."""


def read_varint(data: bytes, at: int, end: int, max_bytes: int = _MAX_BYTES) -> tuple[int, int]:
    """Read a number.

    Args:
        data: It is in here,
        at: from this index on,
        end: and ends before this one.
        max_bytes: Its largest size.

    Returns:
        The lowest 64 bits of the number, and the index behind it.

    Raises:
        ValueError: It is cut short or too long.
    """
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    number = 0
    for index, byte in enumerate(data[at : min(end, at + max_bytes)]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & MASK_64, at + index + 1
    raise ValueError("a number is cut short or too long")


def write_varint(number: int) -> bytes:
    """Return the bytes of a number, which is not negative."""
    if number < 0x80:
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def signed(number: int, bits: int) -> int:
    """Return the number whose two's complement is in the lowest bits of another."""
    sign = 1 << bits - 1
    return ((number & (1 << bits) - 1) ^ sign) - sign
