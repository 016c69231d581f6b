"""New tokens of a client that is connected, in dialects with commands."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS, client_error_of
from wsrelay.engine.client_services import SessionDriver

__all__ = ["ClientRefresh", "refresh_failed"]


class ClientRefresh:
    """The refreshes of one client's credential.

    Args:
        client: The client.
    """

    __slots__ = ("_client",)

    def __init__(self, client: SessionDriver) -> None:
        self._client = client

    def refresh(self, command_id: int, token: str) -> None:
        """Check a new token, and report the outcome to the session within `AUTHENTICATE_TIMEOUT_SECONDS`.

        Args:
            command_id: The id of the client's command.
            token: The token, as the client sent it.
        """
        client = self._client
        outcome = Deferred.fromCoroutine(self._identify(token))
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, client.services.clock)
        outcome.addCallback(lambda identity: client.perform(client.session.refreshed(command_id, identity)))
        outcome.addErrback(lambda failure: refresh_failed(client, failure, command_id))
        outcome.addErrback(client.failed)

    async def _identify(self, token: str) -> Identity:
        client = self._client
        registry, connection_id = client.services.registry, client.connection_id
        identity = await client.services.authenticator.refresh(token, client.session.identity)
        if not client.session.is_closed:
            # Before it is looked up, so that a revocation that comes meanwhile finds the client here.
            registry.add(client, identity.revocation_targets(connection_id))
            if any(await client.services.are_revoked(registry.targets_of(client))):
                raise RejectedError(ClientError.REVOKED)
            registry.replace(client, identity.revocation_targets(connection_id))
        return identity


def refresh_failed(
    client: SessionDriver, failure: Failure, command_id: int, expired: ClientError = ClientError.TOKEN_EXPIRED
) -> None:
    """Report to the session of a client that its new token is not accepted.

    Args:
        client: The client.
        failure: Why.
        command_id: The id of the client's command.
        expired: What it is told of a token that has expired already.
    """
    found = client_error_of(failure)
    client.services.rejections.record(found)
    error = expired if found is ClientError.TOKEN_EXPIRED else found
    client.perform(client.session.refresh_failed(command_id, error))
