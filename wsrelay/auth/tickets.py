"""Tickets: random texts that the application gave to clients, each with a document that the relay redeems once.

Application and relay share nothing but Redis. A ticket is short-lived and good once, so that one in a URL that a router
wrote to its log is worthless by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from wsrelay.core.access.identity import Identity, read_end
from wsrelay.core.access.secret import Secret
from wsrelay.core.access.ticket_claims import check_ticket, is_within, read_document
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError, RejectedError
from wsrelay.interfaces import ICredentialStore

__all__ = ["TicketVerifier"]

_T = TypeVar("_T")


class TicketVerifier:
    """Checks tickets, and spends them.

    Args:
        store: Keeps the tickets.
        log_detail: Logs a constant text that says more about a rejection than the client may know.
        now: The wall clock, in seconds since the epoch.
    """

    def __init__(self, store: ICredentialStore, log_detail: Callable[[str], None], now: Callable[[], float]) -> None:
        self._store = store
        self._log_detail = log_detail
        self._now = now
        # The tickets of handshakes that are under way in this process, with their documents once they are read.
        self._in_use: dict[str, bytes | None] = {}

    @contextmanager
    def reserve(self, ticket: Secret) -> Iterator[None]:
        """Keep a ticket for one handshake, from `check` to `spend`.

        Without that a ticket that is replayed while the application is asked about it would have it asked again.

        Raises:
            RejectedError: Another handshake of this process has it.
        """
        name = ticket.reveal()
        if name in self._in_use:
            self._log_detail("a ticket: it is used twice at the same time")
            raise RejectedError(ClientError.TICKET)
        self._in_use[name] = None
        try:
            yield
        finally:
            del self._in_use[name]

    async def check(self, ticket: Secret, address: str, connection: str) -> Identity:
        """Read a ticket, and make sure that it can be known now what has been revoked.

        It is not spent yet: an answer that says "try again" must leave it good. One that is not valid is spent.

        Args:
            ticket: The ticket, inside its grammar; it is reserved.
            address: The address of the client that sent it.
            connection: The name of the client's connection.

        Returns:
            The identity of the client, for whom the ticket has to be spent before it is let in.

        Raises:
            RejectedError: The ticket is not valid, or cannot be looked up now.
        """
        document = await self._ask(self._store.read(ticket.reveal()), "a ticket cannot be looked up")
        if document is None:
            raise RejectedError(ClientError.TICKET)
        self._in_use[ticket.reveal()] = document
        try:
            claims = read_document(document)
            identity = check_ticket(claims, credential_id=f"ticket:{ticket.reveal()}")
            self._check(claims, identity, address)
        except ClaimError as error:
            self._log_detail(f"a ticket: {error}")
            await self.spend(ticket)
            raise RejectedError(ClientError.TICKET) from None
        # The answer counts later, when the client is registered and a revocation finds it; here, that there is one.
        targets = identity.revocation_targets(connection)
        await self._ask(self._store.are_revoked(targets), "it cannot be known whether a ticket is revoked")
        # Without `exp`: that is the end of the ticket, and the connection outlives it.
        return replace(identity, expires=read_end(claims, None))

    async def spend(self, ticket: Secret) -> None:
        """Take a ticket out of the store: nobody can use it again.

        Raises:
            RejectedError: Another client was faster, the ticket is not the one that was checked, or the store does not
                answer now.
        """
        document = await self._ask(self._store.redeem(ticket.reveal()), "a ticket cannot be redeemed")
        if document is None or document != self._in_use.get(ticket.reveal()):
            raise RejectedError(ClientError.TICKET)

    async def _ask(self, answer: Deferred[_T], what: str) -> _T:
        try:
            return await answer
        except BrokerUnavailable as error:
            self._log_detail(f"{what}: {error.code}")
            raise RejectedError(ClientError.NOT_CHECKED) from None

    def _check(self, claims: dict[str, Any], identity: Identity, address: str) -> None:
        if identity.expires is not None and identity.expires <= self._now():
            raise ClaimError("it has expired")
        if claims.get("ip") is not None and not is_within(address, claims["ip"]):
            raise ClaimError("it is bound to another address")
