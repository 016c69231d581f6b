"""Tickets: a random text that the application gave a client, and a document about it that the relay finds once.

Nothing is shared between application and relay but Redis, nothing lives long, and a ticket in a URL that a router wrote
to its log is worth nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.access.ticket_claims import check_ticket, is_within, read_document
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError, RejectedError
from wsrelay.interfaces import ICredentialStore

__all__ = ["TicketVerifier"]


class TicketVerifier:
    """Redeems tickets.

    Args:
        store: Where they are.
        log_detail: Takes a constant text that says more about a denial than the client is told.
        now: Seconds since the epoch.
    """

    def __init__(self, store: ICredentialStore, log_detail: Callable[[str], None], now: Callable[[], float]) -> None:
        self._store = store
        self._explain = log_detail
        self._now = now

    async def redeem(self, ticket: Secret, address: str) -> Identity:
        """Who the client is that shows a ticket, which from now on is good for nobody.

        Args:
            ticket: Inside its grammar.
            address: Where the client is.

        Raises:
            DeniedError: It is not good, or nobody can say.
        """
        try:
            document = await self._store.redeem(ticket.reveal())
        except BrokerUnavailable as error:
            self._explain(f"a ticket cannot be looked up: {error.code}")
            raise RejectedError(ClientError.NOT_CHECKED) from None
        if document is None:
            raise RejectedError(ClientError.TICKET)
        try:
            claims = read_document(document)
            identity = check_ticket(claims, credential_id=f"ticket:{ticket.reveal()}")
            self._check(claims, identity, address)
        except ClaimError as error:
            self._explain(f"a ticket: {error}")
            raise RejectedError(ClientError.TICKET) from None
        # The end is that of the ticket, which has come; the connection goes on.
        return Identity(identity.subject, identity.channels, identity.publish, credential_id=identity.credential_id)

    def _check(self, claims: dict[str, Any], identity: Identity, address: str) -> None:
        if identity.expires is not None and identity.expires <= self._now():
            raise ClaimError("it has expired")
        if claims.get("ip") is not None and not is_within(address, claims["ip"]):
            raise ClaimError("it is bound to another address")
