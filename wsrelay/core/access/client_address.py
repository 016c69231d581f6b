"""The address of a client: as proxies in front tell it, and as the key under which it is counted."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

__all__ = ["client_address", "client_is_secure", "rate_limit_key"]

_BITS = 64


def rate_limit_key(address: str) -> str:
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


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """The address of a client.

    Args:
        peer: Where the connection comes from.
        forwarded_for: What the request says in X-Forwarded-For.
        trusted_proxies: How many proxies in front append to it. What stands further left is the client's own claim.
    """
    if not trusted_proxies:
        return peer
    hops = [hop.strip() for hop in forwarded_for.split(",")]
    try:
        return str(ip_address(hops[-trusted_proxies]))
    except (IndexError, ValueError):
        return peer


def client_is_secure(is_tls: bool, forwarded_proto: str, trusted_proxies: int) -> bool | None:
    """Whether a client's connection is encrypted; None where that cannot be known.

    Args:
        is_tls: Whether TLS ends here.
        forwarded_proto: What the request says in X-Forwarded-Proto.
        trusted_proxies: As for `client_address`. A proxy that nobody told the relay of may be there all the same.
    """
    if is_tls:
        return True
    if not trusted_proxies or not forwarded_proto:
        return None
    hops = [hop.strip().lower() for hop in forwarded_proto.split(",")]
    # A proxy that overwrites the field, instead of adding to it, has said what the client speaks, too.
    scheme = hops[-min(trusted_proxies, len(hops))]
    return {"https": True, "wss": True, "http": False, "ws": False}.get(scheme)
