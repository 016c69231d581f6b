"""The document of a ticket: a JSON object of claims."""

from __future__ import annotations

import json
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from wsrelay.core.access.identity import Identity, read_end, read_identity, reject_unknown_claims
from wsrelay.core.outcomes.errors import ClaimError

__all__ = ["MAX_DOCUMENT_BYTES", "TICKET_CLAIMS", "check_ticket", "is_within", "read_document"]

MAX_DOCUMENT_BYTES = 16 * 1024
"""The longest document of a ticket."""

TICKET_CLAIMS = ("sub", "channels", "publish", "ip", "exp", "expire_at", "info", "b64info", "subs")
"""The claims that a ticket may have."""


def read_document(document: bytes) -> dict[str, Any]:
    """Read the claims from the document of a ticket.

    Raises:
        ClaimError: The document is not a JSON object, or is longer than `MAX_DOCUMENT_BYTES`.
    """
    try:
        claims = json.loads(document) if len(document) <= MAX_DOCUMENT_BYTES else None
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise ClaimError(f"its document must be a JSON object of at most {MAX_DOCUMENT_BYTES} bytes")
    return claims


def check_ticket(claims: dict[str, Any], credential_id: str | None = None) -> Identity:
    """Read the identity from the claims of a ticket.

    Args:
        claims: Those of `wsrelay.core.access.identity.read_identity`; `ip`: an address, or a network such as
            192.0.2.0/24; and `expire_at`, see `wsrelay.core.access.identity.read_end`.
        credential_id: The target that revokes the ticket. If None, nothing does.

    Raises:
        ClaimError: A claim has another type, form or name.
    """
    reject_unknown_claims(claims, TICKET_CLAIMS)
    read_end(claims, None)
    ip = claims.get("ip")
    if ip is not None:
        try:
            ip_network(ip if isinstance(ip, str) else "", strict=False)
        except ValueError:
            raise ClaimError("ip must be an address, or a network such as 192.0.2.0/24") from None
    return read_identity(claims, credential_id)


def is_within(address: str, network: str) -> bool:
    """Return whether an address is in a network.

    Args:
        address: The client's address. Anything that is not an IP address is in no network.
        network: An address, or a network such as 192.0.2.0/24.
    """
    try:
        own = ip_address(address)
    except ValueError:
        # A client on a unix socket has no address.
        return False
    # A dual-stack socket, ours or the application's, shows a client as ::ffff:192.0.2.1 (RFC 4291 section 2.5.5.2).
    if isinstance(own, IPv6Address) and own.ipv4_mapped is not None:
        own = own.ipv4_mapped
    found = ip_network(network, strict=False)
    return own in found or (own.version == 4 and IPv6Address(f"::ffff:{own}") in found)
