"""PROXY headers, valid and invalid."""

from __future__ import annotations

import struct
from ipaddress import ip_address

__all__ = ["INVALID", "SIGNATURE_V2", "VALID", "addresses", "header_v2"]

SIGNATURE_V2 = b"\r\n\r\n\0\r\nQUIT\n"


def header_v2(command: int, family: int, body: bytes = b"") -> bytes:
    """Return a header of version 2."""
    return SIGNATURE_V2 + struct.pack("!BBH", command, family, len(body)) + body


def addresses(source: str, target: str, more: bytes = b"") -> bytes:
    """Return the body of a header of version 2, from port 1234 to port 443, with more that proxies add."""
    return ip_address(source).packed + ip_address(target).packed + struct.pack("!HH", 1234, 443) + more


VALID: dict[bytes, tuple[str, int] | None] = {
    b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443\r\n": ("198.51.100.7", 1234),
    b"PROXY TCP6 2001:DB8:0::7 2001:db8::9 1234 443\r\n": ("2001:db8::7", 1234),
    b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1234 443\r\n": ("198.51.100.7", 1234),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n": None,
    header_v2(0x21, 0x11, addresses("198.51.100.7", "203.0.113.9")): ("198.51.100.7", 1234),
    header_v2(0x21, 0x11, addresses("198.51.100.7", "203.0.113.9", b"\3\0\4abcd")): ("198.51.100.7", 1234),
    header_v2(0x21, 0x21, addresses("2001:db8::7", "2001:db8::9")): ("2001:db8::7", 1234),
    header_v2(0x21, 0x21, addresses("::ffff:198.51.100.7", "::1")): ("198.51.100.7", 1234),
    header_v2(0x20, 0x00): None,
    header_v2(0x20, 0x11, addresses("198.51.100.7", "203.0.113.9")): None,
    header_v2(0x21, 0x00): None,
    header_v2(0x21, 0x12, addresses("198.51.100.7", "203.0.113.9")): None,
    header_v2(0x21, 0x31, b"/run/client".ljust(108, b"\0") * 2): None,
    header_v2(0x21, 0x00, b"x" * 4080): None,
}
"""Headers, each with the host and port of the client. If None, the header names none."""

INVALID = (
    b"G",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"proxy TCP4 198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY TCP6 198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::9 1234 443\r\n",
    b"PROXY TCP4 relay.example 203.0.113.9 1234 443\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 abc 443\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 1234\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 443 5\r\n",
    b"PROXY TCP4  198.51.100.7 203.0.113.9 1234 443\r\n",
    b"PROXY TCP4 \xff 203.0.113.9 1234 443\r\n",
    b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    b"PROXY " + b"x" * 101,
    header_v2(0x11, 0x11, addresses("198.51.100.7", "203.0.113.9")),
    header_v2(0x22, 0x11, addresses("198.51.100.7", "203.0.113.9")),
    header_v2(0x21, 0x11, addresses("198.51.100.7", "203.0.113.9")[:-1]),
    header_v2(0x21, 0x21, addresses("198.51.100.7", "203.0.113.9")),
    header_v2(0x21, 0x00, b"x" * 4081)[:16],
)
"""Beginnings of connections that are rejected as soon as these bytes have arrived."""
