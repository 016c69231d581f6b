"""Addresses as something that somebody has, to be counted by."""

from __future__ import annotations

from ipaddress import IPv6Address

__all__ = ["block"]

_BITS = 64


def block(address: str) -> str:
    """What one party has where it has this address: the address itself, or the /64 of an IPv6 one.

    The lower half of an IPv6 address is the party's own choice (RFC 4291 section 2.5.1). What is no address stays as it
    is.
    """
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> _BITS << _BITS))
