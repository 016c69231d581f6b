"""Tickets, created on behalf of the application."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Any

from wsrelay.core.access.ticket_claims import MAX_DOCUMENT_BYTES, TICKET_CLAIMS, check_ticket
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError
from wsrelay.engine.operations.arguments import check_seconds
from wsrelay.interfaces import ICredentialStore

__all__ = ["DEFAULT_TICKET_SECONDS", "MAX_TICKET_SECONDS", "create_ticket"]

DEFAULT_TICKET_SECONDS = 30
MAX_TICKET_SECONDS = 3600

TICKET_BYTES = 24
"""The randomness of a ticket."""


async def create_ticket(
    store: ICredentialStore, now: Callable[[], float], claims: Mapping[str, Any], seconds: int
) -> str:
    """Create a ticket and return it.

    Args:
        store: Keeps it.
        now: Returns the wall clock time in seconds since the epoch, which the claim `exp` refers to.
        claims: Those of `wsrelay.core.access.ticket_claims.TICKET_CLAIMS`, each of them optional.
        seconds: The ticket's lifetime, from 1 to `MAX_TICKET_SECONDS`.

    Raises:
        ClaimError: A claim or the lifetime cannot be used; the text names it.
        BrokerUnavailable: The ticket cannot be stored now.
    """
    check_seconds("seconds", seconds, 1, MAX_TICKET_SECONDS)
    if unknown := sorted(set(claims) - set(TICKET_CLAIMS)):
        raise ClaimError(
            f"{unknown[0][:40]} is not a claim of a ticket; these are: {', '.join(TICKET_CLAIMS)}, and seconds"
        )
    identity = check_ticket(dict(claims))
    if identity.expires is not None and identity.expires <= now():
        raise ClaimError("exp is in the past")
    document = json.dumps(dict(claims)).encode()
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ClaimError(f"the claims of a ticket are limited to {MAX_DOCUMENT_BYTES} bytes of JSON")
    ticket = token_urlsafe(TICKET_BYTES)
    if not await store.create(ticket, document, seconds):
        raise BrokerUnavailable("a ticket of this name exists")
    return ticket
