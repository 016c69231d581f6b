"""What the document of a ticket says."""

from __future__ import annotations

import json
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from wsrelay.core.access.identity import Identity, check_names, read_identity
from wsrelay.core.outcomes.errors import ClaimError

__all__ = ["MAX_DOCUMENT_BYTES", "check_ticket", "is_within", "read_document"]

MAX_DOCUMENT_BYTES = 16 * 1024


def read_document(document: bytes) -> dict[str, Any]:
    """The claims of a ticket.

    Raises:
        ClaimError: It is no JSON object.
    """
    try:
        claims = json.loads(document) if len(document) <= MAX_DOCUMENT_BYTES else None
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise ClaimError(f"its document must be a JSON object of at most {MAX_DOCUMENT_BYTES} bytes")
    return claims


def check_ticket(claims: dict[str, Any], credential_id: str | None = None) -> Identity:
    """The identity that the document of a ticket amounts to.

    Args:
        claims: As for `wsrelay.core.identity.read_identity`, and `ip`: an address, or a network such as 192.0.2.0/24.
        credential_id: What revokes it.

    Raises:
        ClaimError: One of them is something else.
    """
    check_names(claims, ("sub", "channels", "publish", "ip", "exp"))
    ip = claims.get("ip")
    if ip is not None:
        try:
            ip_network(ip if isinstance(ip, str) else "", strict=False)
        except ValueError:
            raise ClaimError("ip must be an address, or a network such as 192.0.2.0/24") from None
    return read_identity(claims, credential_id)


def is_within(address: str, network: str) -> bool:
    """Whether an address is the other one, or in that network."""
    try:
        own = ip_address(address)
    except ValueError:
        # A unix socket: it has none.
        return False
    # A dual-stack socket, ours or the application's, shows a client as ::ffff:192.0.2.1 (RFC 4291 section 2.5.5.2).
    if isinstance(own, IPv6Address) and own.ipv4_mapped is not None:
        own = own.ipv4_mapped
    found = ip_network(network, strict=False)
    return own in found or (own.version == 4 and IPv6Address(f"::ffff:{own}") in found)
