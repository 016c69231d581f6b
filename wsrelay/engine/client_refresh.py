"""New tokens of a client that is connected, in dialects with commands."""

from __future__ import annotations

from itertools import chain
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.sessions.effects import Close
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS, client_error_of
from wsrelay.engine.client_services import SessionDriver

__all__ = ["MAX_REFRESHES", "ClientRefresh", "refresh_failed"]

T = TypeVar("T")


MAX_REFRESHES = 8
"""The most new tokens of one client that are checked at the same time."""


class ClientRefresh:
    """The refreshes of one client's credential.

    The registry has the client by its identity, and by each new token that is looked up: a revocation that comes
    meanwhile finds it. Whatever becomes of one of them, the others stay.

    Args:
        client: The client.
    """

    __slots__ = ("_client", "_in_flight", "_looked_up")

    def __init__(self, client: SessionDriver) -> None:
        self._client = client
        self._in_flight: set[Deferred[None]] = set()
        # By the tokens that are looked up.
        self._looked_up: list[Identity] = []

    def refresh(self, command_id: int, token: str) -> None:
        """Check a new token, and report the outcome to the session within `AUTHENTICATE_TIMEOUT_SECONDS`.

        Args:
            command_id: The id of the client's command.
            token: The token, as the client sent it.
        """
        client = self._client
        if len(self._in_flight) >= MAX_REFRESHES:
            client.perform(client.session.refresh_failed(command_id, ClientError.TOO_MANY_REQUESTS))
            return
        outcome = Deferred.fromCoroutine(self._refresh(command_id, token))
        self._in_flight.add(outcome)
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, client.services.clock)
        outcome.addBoth(self._ended, outcome)
        outcome.addErrback(lambda failure: refresh_failed(client, failure, command_id))
        outcome.addErrback(client.failed)

    def stop(self) -> None:
        """Cancel every check."""
        for outcome in tuple(self._in_flight):
            outcome.cancel()

    def _ended(self, result: T, outcome: Deferred[None]) -> T:
        self._in_flight.discard(outcome)
        return result

    async def _refresh(self, command_id: int, token: str) -> None:
        client = self._client
        answer = client.session.identity.answer
        identity = await client.services.authenticator.refresh(token, client.session.identity)
        # Before its targets are looked up, so that a revocation that comes meanwhile finds the client here.
        self._looked_up.append(identity)
        self._register()
        try:
            known = chain.from_iterable(
                each.revocation_targets(client.connection_id) for each in (client.session.identity, identity)
            )
            if any(await client.services.are_revoked(tuple(dict.fromkeys(known)))):
                raise RejectedError(ClientError.REVOKED)
            if client.session.identity.answer is not answer:
                # The application has set another end meanwhile, which this identity does not know.
                raise RejectedError(ClientError.NOT_CHECKED)
            client.perform(client.session.refreshed(command_id, identity))
            client.update_presence(client.session.channels)
        finally:
            self._looked_up.remove(identity)
            self._register()

    def _register(self) -> None:
        client = self._client
        # Nothing is registered of a client that has left.
        client.services.registry.replace(client, client.session.identity, *self._looked_up)


def refresh_failed(
    client: SessionDriver, failure: Failure, command_id: int, expired: ClientError = ClientError.TOKEN_EXPIRED
) -> None:
    """Report to the session of a client that its new token is not accepted. Nothing, if the client has left.

    Args:
        client: The client.
        failure: Why.
        command_id: The id of the client's command.
        expired: What it is told of a token that has expired already.
    """
    found = client_error_of(failure)
    if client.session.is_closed:
        return
    effects = client.session.refresh_failed(command_id, expired if found is ClientError.TOKEN_EXPIRED else found)
    if effects and type(effects[-1]) is Close:
        # Where there is a reply, it is recorded when that is sent.
        client.services.rejections.record(found, connection=client.connection_id)
    client.perform(effects)
