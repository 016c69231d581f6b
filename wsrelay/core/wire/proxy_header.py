"""PROXY headers, versions 1 and 2: the address of a client, sent by the proxy in front before anything else.

The protocol is https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import NamedTuple

__all__ = ["ProxyHeader", "read_proxy_header"]

_SIGNATURE_V1 = b"PROXY "
_SIGNATURE_V2 = b"\r\n\r\n\0\r\nQUIT\n"

_MAX_V1_BYTES = 107
"""The largest size of a header of version 1."""

_MAX_V2_BYTES = 4096
"""The largest size of a header of version 2: 52 bytes carry the addresses, the rest is what proxies add about TLS."""

_ADDRESS_BYTES = {0x11: 4, 0x21: 16}
"""The size of an address by its family and protocol: TCP over IPv4, and over IPv6."""


class ProxyHeader(NamedTuple):
    """One header.

    Attributes:
        source: The client's IP address in its canonical form, and its port. If None, the connection is the proxy's
            own, such as a health check, or it is neither TCP over IPv4 nor TCP over IPv6.
        rest: The bytes behind the header.
    """

    source: tuple[str, int] | None
    rest: bytes


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of a connection.

    Args:
        data: All bytes that have arrived.

    Returns:
        The header. None if it is incomplete.

    Raises:
        ValueError: The bytes do not begin with a header, or it is malformed or too long.
    """
    if data.startswith(_SIGNATURE_V2[: len(data)]):
        return _read_v2(data)
    if data.startswith(_SIGNATURE_V1[: len(data)]):
        return _read_v1(data)
    raise ValueError("no PROXY header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _MAX_V1_BYTES)
    if end < 0:
        if len(data) >= _MAX_V1_BYTES:
            raise ValueError("the header is too long")
        return None
    words = data[:end].decode("ascii").split(" ")
    rest = data[end + 2 :]
    if words[1] == "UNKNOWN":
        return ProxyHeader(None, rest)
    _, family, source, _, port, _ = words
    if family != f"TCP{ip_address(source).version}":
        raise ValueError("the address is of another family")
    return ProxyHeader((_canonical(source), int(port)), rest)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    command, family, size = struct.unpack_from("!BBH", data, 12)
    end = 16 + size
    if command not in (0x20, 0x21) or end > _MAX_V2_BYTES:
        raise ValueError("the command is unknown, or the header is too long")
    if len(data) < end:
        return None
    width = _ADDRESS_BYTES.get(family)
    # 0x20 is the proxy's own connection. Other families than TCP over IPv4 and IPv6 are accepted without an address.
    if command == 0x20 or width is None:
        return ProxyHeader(None, data[end:])
    if size < 2 * width + 4:
        raise ValueError("the header is too short for its addresses")
    (port,) = struct.unpack_from("!H", data, 16 + 2 * width)
    return ProxyHeader((_canonical(data[16 : 16 + width]), port), data[end:])


def _canonical(host: str | bytes) -> str:
    """Return the one text that stands for an address, so that the limits per address count a client as one."""
    address = ip_address(host)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
