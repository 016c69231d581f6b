"""The address of a client: as reported by trusted proxies, and as the key under which it is counted."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

__all__ = ["UNREADABLE", "client_address", "client_is_secure", "peer_address", "rate_limit_key"]

UNREADABLE = "unknown"
"""Stands for the address of a client if the entry that should name it cannot be read. It is nobody's: the address of
the proxy would be everybody's, and let everybody in with a ticket that is bound to it."""

_ADDRESS = re.compile(r"[0-9A-Fa-f.:]+(?:%[\w.-]+)?", re.ASCII)

_INTERFACE_BITS = 64


def rate_limit_key(address: str) -> str:
    """Return the key under which a client address is counted.

    An IPv4 address is unchanged. An IPv6 address is reduced to its /64 network, for the client chooses the lower half
    itself (RFC 4291 section 2.5.1); an IPv4-mapped one becomes the IPv4 address. Any other text is unchanged.
    """
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> _INTERFACE_BITS << _INTERFACE_BITS))


def peer_address(host: str) -> str:
    """Return the address of a peer as the operator and the application write it.

    A socket that listens on :: accepts IPv4 connections too, and reports their peers as IPv6 addresses with the IPv4
    one inside (RFC 4291 section 2.5.5.2): `::ffff:192.0.2.1` becomes `192.0.2.1`. Any other text is unchanged.
    """
    if ":" not in host:
        return host
    try:
        mapped = IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Return the address of a client, as far as the proxies in front are trusted.

    Args:
        peer: The address that the connection comes from.
        forwarded_for: The X-Forwarded-For field; empty if there is none.
        trusted_proxies: How many proxies in front append to that field. Entries further left are the client's own
            claim.

    Returns:
        The entry that the outermost trusted proxy appended, in its shortest form; `peer` if there is no field;
        `UNREADABLE` if the entry is not an address.
    """
    if not trusted_proxies or not forwarded_for:
        return peer
    hops = forwarded_for.split(",")
    # A client that reached an inner proxy has fewer entries.
    return _read_hop(hops[-min(trusted_proxies, len(hops))].strip())


def _read_hop(text: str) -> str:
    """Return the address in an entry of X-Forwarded-For.

    There is no standard for the field. Entries have been seen with the client's port (Azure Application Gateway, IIS),
    an IPv6 address in brackets with or without one, and quotes around either, as in Forwarded (RFC 7239 section 6).
    """
    text = text.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    # The zone of a link-local address may be any text for Python.
    if _ADDRESS.fullmatch(text) is None:
        return UNREADABLE
    try:
        return peer_address(str(ip_address(text)))
    except ValueError:
        return UNREADABLE


def client_is_secure(is_tls: bool, forwarded_proto: str, trusted_proxies: int) -> bool | None:
    """Return whether a client's connection is encrypted.

    Args:
        is_tls: Whether TLS ends at the relay.
        forwarded_proto: The X-Forwarded-Proto field; empty if there is none.
        trusted_proxies: As for `client_address`. If 0, a proxy that is not configured may still be in front.

    Returns:
        None if it cannot be known.
    """
    if is_tls:
        return True
    if not trusted_proxies or not forwarded_proto:
        return None
    hops = [hop.strip().lower() for hop in forwarded_proto.split(",")]
    # A proxy that overwrites the field, instead of appending to it, also names the scheme that the client uses.
    scheme = hops[-min(trusted_proxies, len(hops))]
    return {"https": True, "wss": True, "http": False, "ws": False}.get(scheme)
