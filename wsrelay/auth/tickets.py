"""Tickets: random texts that the application gave to clients, each with a document that the relay redeems once.

Application and relay share nothing but Redis. A ticket is short-lived and good once, so that one in a URL that a router
wrote to its log is worthless by then.
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
        store: Keeps the tickets.
        log_detail: Logs a constant text that says more about a rejection than the client may know.
        now: The wall clock, in seconds since the epoch.
    """

    def __init__(self, store: ICredentialStore, log_detail: Callable[[str], None], now: Callable[[], float]) -> None:
        self._store = store
        self._log_detail = log_detail
        self._now = now

    async def redeem(self, ticket: Secret, address: str) -> Identity:
        """Redeem a ticket. Nobody can use it again, even if it is rejected here.

        Args:
            ticket: The ticket, inside its grammar.
            address: The address of the client that sent it.

        Returns:
            The identity of the client.

        Raises:
            RejectedError: The ticket is not valid, or cannot be looked up now.
        """
        try:
            document = await self._store.redeem(ticket.reveal())
        except BrokerUnavailable as error:
            self._log_detail(f"a ticket cannot be looked up: {error.code}")
            raise RejectedError(ClientError.NOT_CHECKED) from None
        if document is None:
            raise RejectedError(ClientError.TICKET)
        try:
            claims = read_document(document)
            identity = check_ticket(claims, credential_id=f"ticket:{ticket.reveal()}")
            self._check(claims, identity, address)
        except ClaimError as error:
            self._log_detail(f"a ticket: {error}")
            raise RejectedError(ClientError.TICKET) from None
        # Without `expires`: that is the end of the ticket, and the connection outlives it.
        return Identity(identity.subject, identity.channels, identity.publish, credential_id=identity.credential_id)

    def _check(self, claims: dict[str, Any], identity: Identity, address: str) -> None:
        if identity.expires is not None and identity.expires <= self._now():
            raise ClaimError("it has expired")
        if claims.get("ip") is not None and not is_within(address, claims["ip"]):
            raise ClaimError("it is bound to another address")
